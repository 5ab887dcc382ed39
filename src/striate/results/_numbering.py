"""Lay pictures of one size out in a sheet, the number of each below it. Knows no result; reads no files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from striate import drawing
from striate.results.drawn import Label, Pixels

__all__ = ["numbered_sheet"]

MOST_ROOM = 0.3  # of a picture's width


def numbered_sheet(
    cells: Sequence[Pixels], numbers: Sequence[str], *, columns: int, room: float, background: str = drawing.PAPER
) -> tuple[Pixels, tuple[Label, ...]]:
    """Leave room for small figures below each picture, and say where they go.

    The figures are not drawn here: as letters of the figure that the sheet stands in they stay crisp at any size.

    Args:
        cells: at least one; uint8, all of the shape (H, W, 3).
        numbers: what to write below each; nothing where it is empty.
        columns: pictures in a row.
        room: height of the figures' place, as a share of the sheet's width; where pictures are small, less.
        background: colour of the gaps between the pictures.

    Returns:
        The sheet, uint8, and a label for each number.
    """
    height, width = cells[0].shape[:2]
    strip = max(1, round(min(room * columns, MOST_ROOM) * width))
    paper = np.full((strip, width, 3), drawing.rgb(drawing.PAPER), dtype=np.uint8)
    gap = 2
    pixels = drawing.sheet([np.concatenate([cell, paper]) for cell in cells], columns, gap, background)
    last, used = divmod(len(cells), columns)
    if used:  # places that hold nothing are paper, not one large gap
        pixels[last * (height + strip + gap) :, used * (width + gap) :] = drawing.rgb(drawing.PAPER)
    labels = []
    for index, words in enumerate(numbers):
        row, column = divmod(index, columns)
        if words:
            labels.append(Label(words, column * (width + gap), row * (height + strip + gap) + height, strip))
    return pixels, tuple(labels)
