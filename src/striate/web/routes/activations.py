"""The maps of a layer for a picture, and its kernels: numbers as JSON, all channels as one sheet."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from striate.network import Network
from striate.registry import function
from striate.results import FilterBank
from striate.results.sprite import Scale, Sprite
from striate.web.reply import PNG_RESPONSES, Asked, Served, as_json, as_png
from striate.web.shapes import Sheet

__all__ = ["router"]

router = APIRouter(tags=["activations"])

Layer = Annotated[str, Query(description="address of a layer, without a channel", max_length=1000)]


class Answered(Sheet):
    """What every channel of a layer answers; a `cell` is smaller than its map where the sheet would be too large."""

    layer: str
    channels: int
    height: int
    width: int
    maxima: list[float]
    means: list[float]


class Kernels(Sheet):
    """The kernels of a layer; a cell `shows` "colour", a "kernel", or the "strength" over the input channels."""

    layer: str
    channels: int
    height: int
    width: int
    shows: str
    norms: list[float]


@router.get("/activations", response_model=Answered)
def activations(
    request: Request,
    house: Served,
    asked: Asked,
    layer: Layer,
    picture: str,
    scale: Scale = "shared",
) -> Response:
    """Give peak and mean of every channel, and how the sheet of its maps is laid out."""

    def make() -> Answered:
        found = house.activations(picture, layer, asked())
        maxima, means = found.extremes(layer, 0)
        channels, height, width = found.grid(layer).shape[1:]
        sheet = Sheet.of(house.sheet(picture, layer, scale, asked()))
        return Answered(
            **sheet.model_dump(),
            layer=layer,
            channels=channels,
            height=height,
            width=width,
            maxima=maxima,
            means=means,
        )

    return as_json(request, house, make)


@router.get("/activations.png", responses=PNG_RESPONSES, response_class=Response)
def activations_sheet(
    request: Request,
    house: Served,
    asked: Asked,
    layer: Layer,
    picture: str,
    scale: Scale = "shared",
) -> Response:
    """Draw the maps of all channels, a pixel for each unit, row by row without gaps."""

    def make() -> bytes:
        return house.sheet(picture, layer, scale, asked()).png()

    return as_png(request, house, make)


@router.get("/filters", response_model=Kernels)
def filters(
    request: Request,
    house: Served,
    asked: Asked,
    layer: Layer,
    scale: Scale = "shared",
) -> Response:
    """Say how the sheet of a layer's kernels is laid out."""

    def make() -> Kernels:
        bank, made, shows = _bank(asked(), layer, scale)
        kernels, _, height, width = bank.weights.shape
        return Kernels(
            **Sheet.of(made).model_dump(),
            layer=layer,
            channels=kernels,
            height=height,
            width=width,
            shows=shows,
            norms=bank.norms(),
        )

    return as_json(request, house, make)


@router.get("/filters.png", responses=PNG_RESPONSES, response_class=Response)
def filters_sheet(
    request: Request,
    house: Served,
    asked: Asked,
    layer: Layer,
    scale: Scale = "shared",
) -> Response:
    """Draw the kernels of a layer, a pixel for each weight."""
    return as_png(request, house, lambda: _bank(asked(), layer, scale)[1].png())


def _bank(network: Network, layer: str, scale: Scale) -> tuple[FilterBank, Sprite, str]:
    bank: FilterBank = function("filters")(network, layer=layer)
    return bank, *bank.sprite(scale=scale)
