"""From a unit to what it sees of the picture, and from a place of the picture to the units that see it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, RootModel

from striate.errors import AddressError
from striate.network import Network
from striate.web.reply import Asked, Served, as_json
from striate.web.shapes import Edges, in_original
from striate.web.store import Picture

__all__ = ["router", "seen_by"]

router = APIRouter(tags=["fields"])

STRONGEST = 16  # channels of a column that are named

Layer = Annotated[str, Query(description="address of a layer, without a channel", max_length=1000)]


class Seeing(Edges):
    """What a unit sees, in pixels of the picture as it was given; bottom and right are exclusive."""

    status: str
    value: float | None = None


class Found(RootModel[Seeing | None]):
    """What a unit sees, or null."""


class Column(BaseModel):
    """What all channels answer at one place."""

    row: int
    col: int
    values: list[float]
    strongest: list[int]


@router.get("/field", response_model=Found)
def field(
    request: Request,
    house: Served,
    asked: Asked,
    layer: Layer,
    row: Annotated[int, Query(ge=0)],
    col: Annotated[int, Query(ge=0)],
    picture: str,
    unit: Annotated[int | None, Query(ge=0, description="channel, to be told what it answers there")] = None,
) -> Response:
    """Say which part of a picture a unit sees; null where that is nothing but padding."""

    def make() -> Found:
        network = asked()
        given = house.pictures.get(picture)
        box, status = seen_by(network, given, layer, row, col)
        value = None
        if unit is not None:
            values = house.activations(picture, layer, network).column(layer, 0, row, col)
            if unit >= len(values):
                raise AddressError(f"no channel {unit} in {layer!r}: it has {len(values)}, 0 to {len(values) - 1}.")
            value = values[unit]
        seeing = None if box is None else Seeing(**box.model_dump(), status=status, value=value)
        return Found(seeing)

    return as_json(request, house, make)


def seen_by(network: Network, given: Picture, layer: str, row: int, col: int) -> tuple[Edges | None, str]:
    """Return which part of a picture a unit sees, and how exactly that is known.

    Raises:
        AddressError: the layer has no such unit.
    """
    found = network.graph().layer(layer)
    height, width = found.map_size or (1, 1)
    if row >= height or col >= width:
        raise AddressError(f"no unit {row},{col} in {layer!r}: its map is {height} x {width}.")
    top, left, bottom, right = found.field.box(row, col)
    size, spec = (given.height, given.width), network.spec
    return in_original((top, left, bottom + 1, right + 1), spec.size, spec.seen(*size), size), found.field.status


@router.get("/column", response_model=Column)
def column(
    request: Request,
    house: Served,
    asked: Asked,
    layer: Layer,
    picture: str,
    y: Annotated[float, Query(ge=0, le=1, description="share of the picture's height")],
    x: Annotated[float, Query(ge=0, le=1, description="share of its width")],
) -> Response:
    """Give what every channel answers at the unit whose field has its middle nearest to a place."""

    def make() -> Column:
        network = asked()
        given = house.pictures.get(picture)
        found = house.activations(picture, layer, network)
        spec, size = network.spec, (given.height, given.width)
        part = spec.seen(*size)
        place = (
            (y * size[0] - part[0]) * spec.height / (part[2] - part[0]),
            (x * size[1] - part[1]) * spec.width / (part[3] - part[1]),
        )
        height, width = found.grid(layer).shape[2:]
        row, col = found.fields[layer].nearest(*place, (height, width))
        values = found.column(layer, 0, row, col)
        order = sorted(range(len(values)), key=lambda channel: -values[channel])
        return Column(row=row, col=col, values=values, strongest=order[:STRONGEST])

    return as_json(request, house, make)
