"""The best patch of every unit of a layer, on one sheet."""

from __future__ import annotations

import math

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from striate.atlas.selecting import selectivity
from striate.lenses.patches import patches as cut_out
from striate.results.sprite import columns_of, sprite_of_pictures
from striate.web.house import House
from striate.web.reply import PNG_RESPONSES, Served, as_json, as_png
from striate.web.routes.atlas import atlas_of

router = APIRouter(tags=["atlas"])

CELL = 48  # pixels
PIECE = 64  # units whose pictures are held at a time


class Patches(BaseModel):
    """The sheet of `patches.png`: `columns` cells in a row, each `cell` pixels high and wide, no gaps.

    `values` are the strongest answers, `fires` the shares of pictures in which the units are above 0, `selectivity`
    from 0 to 1 (null without labels, or where answers are below 0).
    """

    layer: str
    channels: int
    columns: int
    rows: int
    cell: list[int]
    values: list[float | None]
    fires: list[float]
    selectivity: list[float | None] | None


@router.get("/patches", response_model=Patches)
def patches(request: Request, house: Served, layer: str) -> Response:
    """Say how the sheet of best patches is laid out, and how strongly the units answer in them."""

    def make() -> Patches:
        atlas = atlas_of(house)
        held = atlas.layer(house.own(layer, atlas.layers))
        columns = columns_of(held.channels, CELL, CELL)
        means = held.class_mean
        return Patches(
            layer=held.address,
            channels=held.channels,
            columns=columns,
            rows=math.ceil(held.channels / columns),
            cell=[CELL, CELL],
            values=[float(value) for value in held.top_values[:, 0]],
            fires=[float(share) for share in held.fires],
            selectivity=None if means is None else [float(value) for value in selectivity(means)],
        )

    return as_json(request, house, make)


@router.get("/patches.png", responses=PNG_RESPONSES, response_class=Response)
def sheet(request: Request, house: Served, layer: str) -> Response:
    """Draw the best patch of every unit, cut out by its receptive field."""
    return as_png(request, house, lambda: _sheet(house, layer))


def _sheet(house: House, layer: str) -> bytes:
    atlas = atlas_of(house)
    held = atlas.layer(house.own(layer, atlas.layers))
    with house.jobs.short():
        cells = []
        for start in range(0, held.channels, PIECE):
            units = [f"{held.address}:{unit}" for unit in range(start, min(start + PIECE, held.channels))]
            cells.append(cut_out(house.network, atlas, units, top=1, beside="none").cells(CELL))
    return sprite_of_pictures(np.concatenate(cells)).png()
