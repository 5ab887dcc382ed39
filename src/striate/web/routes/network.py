"""`GET network`: the layers, what flows where, and stages."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from striate.layer_map import Node, aliases, layer_map
from striate.web.reply import Served, as_json

__all__ = ["router"]

router = APIRouter(tags=["network"])


class Window(BaseModel):
    """A receptive field: its size in pixels of the input, and how far to trust it."""

    size: tuple[int, int] | None
    status: str


class Layer(BaseModel):
    """A step that can be looked at; `units` is 0 where it gives neither maps nor a vector."""

    address: str
    kind: str
    shape: list[int]
    units: int
    field: Window | None
    parameters: int
    macs: int
    stage: str
    order: int


class Stage(BaseModel):
    """Layers that work at one resolution."""

    name: str
    first: str
    last: str
    layers: int


class Structure(BaseModel):
    """The network as a map: `edges` are pairs of addresses, "" is the picture.

    `aliases` are layers that end where one of `layers` does: it gives the same values.
    """

    layers: list[Layer]
    edges: list[tuple[str, str]]
    stages: list[Stage]
    parameters: int
    macs: int
    last_map: str | None
    aliases: dict[str, str]
    note: str


@router.get("/network", response_model=Structure)
def network(
    request: Request, house: Served, other: Annotated[bool, Query(description="the second network")] = False
) -> Response:
    """Give the network's layers in the order of execution, with shape, receptive field and cost."""

    def make() -> Structure:
        graph = house.asked(other).graph()
        drawn = layer_map(graph)
        names = [stage.name for stage in drawn.stages]
        deepest = graph.last_map().address if graph.maps() else None
        return Structure(
            layers=[_layer(node, names[node.stage], order) for order, node in enumerate(drawn.nodes)],
            edges=drawn.edges,
            stages=[
                Stage(name=stage.name, first=stage.first, last=stage.last, layers=stage.layers)
                for stage in drawn.stages
            ],
            parameters=graph.parameters,
            macs=graph.macs,
            last_map=deepest,
            aliases=aliases(graph),
            note=graph.note,
        )

    return as_json(request, house, make)


def _layer(node: Node, stage: str, order: int) -> Layer:
    field = None if node.field is None else Window(size=node.field.size, status=node.field.status)
    return Layer(
        address=node.address,
        kind=node.kind,
        shape=list(node.shape),
        units=node.units,
        field=field,
        parameters=node.parameters,
        macs=node.macs,
        stage=stage,
        order=order,
    )
