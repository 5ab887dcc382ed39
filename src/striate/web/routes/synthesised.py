"""The pictures that were made for the units of a layer before, on one sheet."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from striate.web.reply import PNG_RESPONSES, Served, as_json, as_png
from striate.web.shapes import Sheet

__all__ = ["router"]

router = APIRouter(tags=["activations"])


class Synthesised(Sheet):
    """How the sheet of `synthesised.png` is laid out; `made` are the units that have a picture, the others are grey."""

    layer: str
    channels: int
    made: list[int]


@router.get("/synthesised", response_model=Synthesised)
def synthesised(request: Request, house: Served, layer: str) -> Response:
    """Say for which units of a layer pictures were made (`striate serve --sheets`), and how their sheet lies."""

    def make() -> Synthesised:
        sheets = house.made_before()
        made = sheets.made(house.own(layer, sheets.layers))
        channels = house.network.graph().layer(layer).channels
        sheet = Sheet.of(house.made_sheet(layer))
        return Synthesised(**sheet.model_dump(), layer=layer, channels=channels, made=sorted(made.places))

    return as_json(request, house, make)


@router.get("/synthesised.png", responses=PNG_RESPONSES, response_class=Response)
def sheet(request: Request, house: Served, layer: str) -> Response:
    """Draw what was made for the units of a layer."""
    return as_png(request, house, lambda: house.made_sheet(layer).png())
