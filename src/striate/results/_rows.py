"""Put rows of small pictures of many layers on one sheet, each layer with its name. Knows no result.

Layers stand below each other in their order; where that would be a long strip, they go on in further columns.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from matplotlib.figure import Figure

from striate.results._gallery import GREY, MONOSPACE, Head, blank, draw_picture, text
from striate.results.drawn import Drawing

__all__ = ["Rows", "draw_rows"]

_WIDEST: Final = 5.2  # column, inches
_NARROWEST: Final = 3.9
_LARGEST: Final = 0.72  # width of a picture, inches
_MARGIN: Final = 0.3
_BETWEEN: Final = 0.4  # columns
_LINE: Final = 0.15  # height of a line, inches
_GAP: Final = 0.16  # below a layer
_LETTERS: Final = 17.5  # of 7.5 pt that fit in an inch
_TALLEST: Final = 1.6  # times its width that a sheet is high, at most, as long as more columns help
_MOST: Final = 8  # columns


@dataclass(frozen=True, eq=False)
class Rows:
    """The pictures of one layer.

    Args:
        drawing: its pictures in rows with the number of each; its title is the layer's address.
        columns: pictures in its longest row.
        words: what is said of the layer, below its address.
    """

    drawing: Drawing
    columns: int
    words: str


def draw_rows(layers: Sequence[Rows], *, heading: str, caption: str) -> Figure:
    """Lay the layers out below each other, their pictures all of one width.

    Args:
        layers: at least one, in their order.
        heading: set large at the top left; empty for none.
        caption: set below the heading, wrapped to the width.

    Returns:
        A figure at 100 dots per inch.
    """
    across = max(layer.columns for layer in layers)
    cell = min(_LARGEST, _WIDEST / across)
    wide = max(_NARROWEST, cell * across)
    widths = [cell * layer.columns for layer in layers]
    lines = [textwrap.wrap(layer.words, round(wide * _LETTERS)) for layer in layers]
    heights = [
        (1.2 + len(said)) * _LINE + width * layer.drawing.pixels.shape[0] / layer.drawing.pixels.shape[1] + _GAP
        for layer, said, width in zip(layers, lines, widths, strict=True)
    ]
    bounds = _columns(heights, wide)
    columns = len(bounds) - 1
    total = columns * wide + (columns - 1) * _BETWEEN + 2 * _MARGIN
    head = Head(heading, caption, total - 2 * _MARGIN)
    tallest = max(sum(heights[start:stop]) for start, stop in pairwise(bounds))
    figure = blank(total, head.height + tallest - _GAP + 2 * _MARGIN)
    top = head.draw(figure, _MARGIN)
    for column, (start, stop) in enumerate(pairwise(bounds)):
        down, left = top, _MARGIN + column * (wide + _BETWEEN)
        for index in range(start, stop):
            text(figure, left, down, layers[index].drawing.title, size=8, family=MONOSPACE)
            for number, line in enumerate(lines[index]):
                text(figure, left, down + (1.05 + number) * _LINE, line, size=7.5, colour=GREY)
            below = down + (1.2 + len(lines[index])) * _LINE
            draw_picture(figure, layers[index].drawing, left, below, widths[index])
            down += heights[index]
    return figure


def _columns(heights: Sequence[float], wide: float) -> list[int]:
    """Return where columns begin, and where the last one ends: as few as keep the sheet from becoming a strip."""
    bounds = [0, len(heights)]
    for count in range(1, min(_MOST, len(heights)) + 1):
        bounds = _dealt(heights, count)
        if max(sum(heights[start:stop]) for start, stop in pairwise(bounds)) <= _TALLEST * count * wide:
            break
    return bounds


def _dealt(heights: Sequence[float], count: int) -> list[int]:
    """Deal layers out to so many columns in their order, so that the highest is as low as can be."""
    low, high = max(heights), sum(heights)
    for _ in range(40):  # halvings: the least height within which so many columns hold all
        middle = (low + high) / 2
        low, high = (low, middle) if len(_filled(heights, middle)) - 1 <= count else (middle, high)
    return _filled(heights, high)


def _filled(heights: Sequence[float], room: float) -> list[int]:
    """Fill columns of a height one after the other, and return where they begin, and where the last one ends."""
    bounds, used = [0], 0.0
    for index, height in enumerate(heights):
        if index > bounds[-1] and used + height > room:
            bounds.append(index)
            used = 0.0
        used += height
    return [*bounds, len(heights)]
