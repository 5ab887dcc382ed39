"""One value of a layer, worked out by hand: window, kernel, products, sum."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from striate.lenses.arithmetic import arithmetic as worked_out
from striate.web.reply import Asked, Served, as_json

router = APIRouter(tags=["arithmetic"])

SHOWN = 8  # input channels whose window is told number by number, unless asked otherwise


class Part(BaseModel):
    """What one input channel adds."""

    channel: int
    sum: float
    values: list[list[float]]
    kernel: list[list[float]] | None
    products: list[list[float]] | None


class Step(BaseModel):
    """What follows the sum."""

    name: str
    value: float


class Arithmetic(BaseModel):
    """One value: `sum` of the products of all channels and the bias, then `steps`; `value` is the network's own."""

    address: str
    kind: str
    folded: str | None
    sentence: str
    caption: str
    value: float
    sum: float
    error: float
    bias: float | None
    steps: list[Step]
    input: list[int]
    rows: list[int]
    columns: list[int]
    padding: list[list[bool]]
    colour: bool
    window: list[int]
    channels: int
    rest: float
    largest: list[float]
    parts: list[Part]
    field: list[int] | None


@router.get("/arithmetic", response_model=Arithmetic)
def arithmetic(
    request: Request,
    house: Served,
    asked: Asked,
    layer: str,
    picture: str,
    unit: Annotated[int, Query(ge=0)],
    row: Annotated[int, Query(ge=0)] = 0,
    col: Annotated[int, Query(ge=0)] = 0,
    shown: Annotated[int, Query(ge=1, le=64)] = SHOWN,
) -> Response:
    """Work out one value of a convolution, dense layer or pooling, or of what normalises or rectifies one.

    `parts` holds the channels that count for most, the largest first; `rest` is what the others add. `field` is what
    the unit sees, in pixels of the picture as the network sees it (top, left, bottom, right; inclusive).
    """

    def make() -> Arithmetic:
        network = asked()
        mapped = network.graph().layer(layer).map_size is not None
        address = f"{layer}:{unit}@{row},{col}" if mapped else f"{layer}:{unit}"
        with house.jobs.short():
            found = worked_out(network, house.looked_at(picture, network), address, shown=shown)
        one = found.computed[0]
        products, sums = one.products, one.sums
        every = one.values if products is None else products
        return Arithmetic(
            address=found.addresses[0],
            kind=found.kind,
            folded=found.folded,
            sentence=one.sentence(),
            caption=found.caption(),
            value=one.own,
            sum=one.total,
            error=one.error,
            bias=one.bias,
            steps=[Step(name=name, value=value) for name, value in one.steps],
            input=list(one.given),
            rows=list(one.rows),
            columns=list(one.columns),
            padding=one.padding.tolist(),
            colour=found.colour,
            window=list(one.values.shape[1:]),
            channels=len(one.channels),
            rest=0.0 if products is None else one.rest,
            largest=[
                float(abs(numbers).max()) if numbers is not None else 0.0 for numbers in (one.values, one.kernel, every)
            ],
            parts=[
                Part(
                    channel=one.channels[place],
                    sum=float(sums[place]),
                    values=one.values[place].tolist(),
                    kernel=None if one.kernel is None else one.kernel[place].tolist(),
                    products=None if products is None else products[place].tolist(),
                )
                for place in one.shown
            ],
            field=None if found.boxes[0] is None else list(found.boxes[0]),
        )

    return as_json(request, house, make)
