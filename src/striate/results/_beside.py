"""One large picture with small ones in a strip below it, a block for each of several. Draws; knows no result."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from striate.results._gallery import DENSITY, GREY, MONOSPACE, Head, blank, draw_picture, text
from striate.results.drawn import Drawing

__all__ = ["draw_beside"]

_WIDE, _SMALL = 5.4, 1.7  # inches: width of a large picture, and of a small one at most
_GAP, _STRIP, _MARGIN, _LINE = 0.35, 0.12, 0.3, 0.15
_LETTERS = 17.5  # of 7.5 pt that fit in an inch
_TALLEST = 1.6  # times its width that a large picture is high at most
_COLUMNS = 2


def draw_beside(blocks: Sequence[tuple[Drawing, Sequence[Drawing]]], *, heading: str = "", caption: str = "") -> Figure:
    """Draw blocks of a large picture and the small ones that explain it, two blocks in a row where there are several.

    Args:
        blocks: a large picture with its small ones, which may be none.
        heading: set large at the top left; empty for none.
        caption: set below the heading, wrapped to the width.

    Returns:
        A figure at 100 dots per inch; `figure_png` writes it at twice that.
    """
    columns = min(_COLUMNS, len(blocks))
    rows = [blocks[start : start + columns] for start in range(0, len(blocks), columns)]
    width = 2 * _MARGIN + columns * _WIDE + (columns - 1) * _GAP
    head = Head(heading, caption, width - 2 * _MARGIN)
    heights = [max(_height(*block) for block in row) for row in rows]
    figure = blank(width, 2 * _MARGIN + head.height + sum(heights) + (len(rows) - 1) * _GAP)
    down = head.draw(figure, _MARGIN)
    for row, height in zip(rows, heights, strict=True):
        for column, (large, small) in enumerate(row):
            _draw_block(figure, large, small, _MARGIN + column * (_WIDE + _GAP), down)
        down += height + _GAP
    return figure


def _draw_block(figure: Figure, large: Drawing, small: Sequence[Drawing], left: float, down: float) -> None:
    text(figure, left, down, large.title, size=8, family=MONOSPACE)
    width = _shown_width(large, _WIDE, _TALLEST)
    draw_picture(figure, _smooth(large, width), left, down + 1.3 * _LINE, width)
    bottom = down + 1.3 * _LINE + _picture_height(large, _WIDE, _TALLEST)
    for index, line in enumerate(_note(large)):
        text(figure, left, bottom + (0.4 + index) * _LINE, line, size=7.5, colour=GREY)
    if not small:
        return
    top = bottom + (0.4 + len(_note(large)) + 0.8) * _LINE
    cell = _cell(small)
    for index, drawing in enumerate(small):
        start = left + index * (cell + _STRIP)
        shown_width = _shown_width(drawing, cell, 1.0)
        draw_picture(figure, _smooth(drawing, shown_width), start, top, shown_width)
        for line_number, line in enumerate(_small_note(drawing, cell)):
            below = top + _picture_height(drawing, cell, 1.0) + (0.4 + line_number) * _LINE
            text(figure, start, below, line, size=7, colour=GREY)


def _height(large: Drawing, small: Sequence[Drawing]) -> float:
    """Return how high a block is, in inches."""
    height = 1.3 * _LINE + _picture_height(large, _WIDE, _TALLEST) + (0.4 + len(_note(large))) * _LINE
    if small:
        cell = _cell(small)
        strip = max(_picture_height(one, cell, 1.0) + (0.4 + len(_small_note(one, cell))) * _LINE for one in small)
        height += 0.8 * _LINE + strip
    return height


def _cell(small: Sequence[Drawing]) -> float:
    return min(_SMALL, (_WIDE - (len(small) - 1) * _STRIP) / len(small))


def _picture_height(drawing: Drawing, width: float, tallest: float) -> float:
    rows, columns = drawing.pixels.shape[:2]
    return float(width * min(rows / max(columns, 1), tallest))


def _shown_width(drawing: Drawing, width: float, tallest: float) -> float:
    """Return the width of a picture that may be no higher than `tallest` times the room's width."""
    rows, columns = drawing.pixels.shape[:2]
    return float(min(width, width * tallest * columns / max(rows, 1)))


def _note(drawing: Drawing) -> list[str]:
    return textwrap.wrap(drawing.caption, round(_WIDE * _LETTERS))


def _small_note(drawing: Drawing, cell: float) -> list[str]:
    return textwrap.wrap(drawing.caption, max(8, round(cell * _LETTERS)))


def _smooth(drawing: Drawing, width: float) -> Drawing:
    """Resample a photograph to the dots that it will be drawn with, where its pixels would show as squares."""
    rows, columns = drawing.pixels.shape[:2]
    dots = round(width * DENSITY)
    if drawing.sharp or dots <= columns:
        return drawing
    size = (dots, max(1, round(dots * rows / columns)))
    larger = Image.fromarray(drawing.pixels).resize(size, Image.Resampling.BICUBIC)
    return replace(drawing, pixels=np.asarray(larger))
