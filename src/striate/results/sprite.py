"""All maps of a layer on one sheet without gaps, for a page that cuts its cells out of it. Runs no network."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from striate import drawing
from striate.results.drawn import Pixels

__all__ = ["Scale", "Sprite", "columns_of", "sprite", "sprite_of_pictures"]

Scale = Literal["shared", "own"]

MOST = 16_000_000  # pixels of a sheet: browsers refuse larger ones, and nobody sees more
PERCENTILE = 99.9  # end of the shared scale, as in `Activations.scale`: a few units fire far above all others
_LEVELS = 254  # of the colour table; its 256th entry is the grey of what is no number


@dataclass(frozen=True, eq=False)
class Sprite:
    """A sheet of cells, row by row, without gaps or labels.

    Attributes:
        pixels: uint8, (H, W) places in `palette`, or (H, W, 3) colours.
        palette: uint8 (256, 3), or None.
        count: cells on it; places behind the last are empty.
        columns: cells in a row.
        rows: of cells.
        cell: height and width of one, in pixels of the sheet.
        low: value of the first colour; of each cell its own where the scale is "own", and this is the least of them.
        high: value of the last colour, likewise.
        signed: the scale is symmetric about zero, which is paper.
    """

    pixels: NDArray[np.uint8]
    palette: Pixels | None
    count: int
    columns: int
    rows: int
    cell: tuple[int, int]
    low: float
    high: float
    signed: bool

    def png(self) -> bytes:
        """Return the sheet as a PNG file."""
        picture = Image.fromarray(np.ascontiguousarray(self.pixels))
        if self.palette is not None:
            picture.putpalette(self.palette.tobytes())
        stream = io.BytesIO()
        picture.save(stream, "PNG", compress_level=1)  # a page on the same machine waits for the work, not for bytes
        return stream.getvalue()


def sprite(maps: NDArray[Any], *, signed: bool, scale: Scale = "shared") -> Sprite:
    """Draw maps in the colours of their scale, a pixel for each value.

    Args:
        maps: float, shape (C, h, w).
        signed: values below zero mean something: the diverging scale instead of magma.
        scale: "shared" draws all on one scale, "own" each up to its own largest value.

    Returns:
        A sheet of C cells; of maps too large for a sheet (16 million pixels) every second, third, ... value.
    """
    count = len(maps)
    step = max(1, math.ceil(math.sqrt(maps.size / MOST)))
    maps = np.asarray(maps[:, ::step, ::step], dtype=np.float32)
    missing = ~np.isfinite(maps)
    values = np.where(missing, 0, maps) if missing.any() else maps
    sizes = np.abs(values) if signed else np.maximum(values, 0)
    peaks = sizes.reshape(count, -1).max(axis=1) if maps.size else np.zeros(count, np.float32)
    shared = _end(sizes, float(peaks.max(initial=0.0)))
    ends = np.full(count, shared, np.float32) if scale == "shared" else peaks
    factors = np.divide(1, ends, out=np.zeros_like(ends), where=ends > 0)[:, None, None]
    if signed:
        places = np.rint((np.clip(values * factors, -1, 1) + 1) * (_LEVELS / 2)).astype(np.uint8)
    else:
        places = np.rint(np.clip(values * factors, 0, 1) * _LEVELS).astype(np.uint8)
    places[missing] = 255
    columns = columns_of(count, *places.shape[1:])
    high = shared if scale == "shared" else float(peaks.max(initial=0.0))
    pixels = _tiled(places, columns, empty=_LEVELS // 2 if signed else 0)
    rows = math.ceil(count / columns)
    low = 0.0 - high if signed else 0.0
    return Sprite(pixels, _palette(signed), count, columns, rows, places.shape[1:], low, high, signed)


def sprite_of_pictures(cells: Pixels) -> Sprite:
    """Lay out pictures of one size, uint8 (N, h, w, 3), that are drawn already."""
    columns = columns_of(len(cells), *cells.shape[1:3])
    rows = math.ceil(len(cells) / columns)
    return Sprite(_tiled(cells, columns, 0), None, len(cells), columns, rows, cells.shape[1:3], 0.0, 0.0, False)


def columns_of(count: int, height: int, width: int) -> int:
    """Return how many cells stand in a row of a sheet that is about square."""
    return min(count, max(1, math.ceil(math.sqrt(count * height / width))))


def _end(sizes: NDArray[np.float32], largest: float) -> float:
    """Return the value that the last colour stands for."""
    if not sizes.size:
        return 0.0
    end = float(np.percentile(sizes, PERCENTILE))
    return end if end > 0 else largest


def _tiled(cells: NDArray[np.uint8], columns: int, empty: int) -> NDArray[np.uint8]:
    """Lay cells (N, h, w, ...) out row by row: (rows h, columns w, ...)."""
    rows = math.ceil(len(cells) / columns)
    _, height, width, *depth = cells.shape
    if missing := rows * columns - len(cells):
        cells = np.concatenate([cells, np.full((missing, *cells.shape[1:]), empty, np.uint8)])
    grid = cells.reshape(rows, columns, height, width, *depth).swapaxes(1, 2)
    return np.ascontiguousarray(grid).reshape(rows * height, columns * width, *depth)


def _palette(signed: bool) -> Pixels:
    """Return the colours of the scale, (256, 3); the last is for what is no number."""
    steps = np.linspace(-1 if signed else 0, 1, _LEVELS + 1)
    colours = drawing.diverging(steps) if signed else drawing.magma(steps)
    return np.concatenate([colours, np.array([drawing.rgb(drawing.MISSING)], np.uint8)])
