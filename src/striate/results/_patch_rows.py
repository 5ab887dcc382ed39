"""Lay out the patches of units: whole pictures, patches and signals below each other, or all units one a line.

Places everything in inches; draws what it is given and runs no network.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from striate.results._gallery import GREY, MONOSPACE, blank
from striate.results._inches import inch_axes, rasterised, write
from striate.results._patch_cells import draw_empty, draw_frame_in, draw_patch, draw_signal, draw_whole
from striate.results.drawn import Pixels
from striate.results.words import number

if TYPE_CHECKING:
    from striate.results.patches import Patch, PatchRow

__all__ = ["WIDTH", "block_height", "draw_block", "draw_line", "figure", "line_height", "pixels"]

WIDTH: Final = 10.6  # of a sheet without its margins, inches
_MARGIN: Final = 0.3
_TITLE: Final = 0.24
_NAMES: Final = 0.72  # column that names the rows of a block
_GAP: Final = 0.05
_APART: Final = 0.25  # between patches and signals on one line
_LARGEST_CELL: Final = 1.35
_VALUES: Final = 0.18
_WORDS: Final = 0.15
_BETWEEN: Final = 0.2  # two units
_CLOSE: Final = 0.08  # two units of one line each
_FEW: Final = 3  # units that are drawn with their whole pictures
_LETTERS: Final = 17.5  # of 7 points that fit in an inch
_CAPTION: Final = 14.5  # of 8.5 points


def figure(rows: Sequence[PatchRow], *, heading: str, caption: str, signal: str, full: bool | None = None) -> Figure:
    """Put units below each other under a heading and a caption.

    Args:
        rows: the units.
        heading: large.
        caption: below it.
        signal: what the row of signals is called; none is drawn where this is empty.
        full: with whole pictures and classes; a line each otherwise. Few units are drawn in full unless it is given.
    """
    full = len(rows) <= _FEW if full is None else full
    lines = textwrap.wrap(caption, round(WIDTH * _CAPTION))
    head = 0.35 + len(lines) * 0.165 + 0.2
    heights = [_height(row, signal=signal, full=full) for row in rows]
    between = _BETWEEN if full else _CLOSE
    made = blank(WIDTH + 2 * _MARGIN, head + sum(heights) + between * (len(rows) - 1) + 2 * _MARGIN)
    axes = inch_axes(made)
    write(axes, _MARGIN, _MARGIN, heading, size=13, weight="bold", above=False)
    for index, line in enumerate(lines):
        write(axes, _MARGIN, _MARGIN + 0.35 + index * 0.165, line, size=8.5, above=False)
    down = _MARGIN + head
    for row, height in zip(rows, heights, strict=True):
        _draw(axes, row, _MARGIN, down, signal=signal, full=full)
        down += height + between
    return made


def pixels(row: PatchRow, *, signal: str, full: bool = True) -> Pixels:
    """Draw one unit by itself, without its title, at twice the screen's density: uint8, (H, W, 3)."""
    if full:
        made = blank(WIDTH + 0.2, block_height(row.patches, signal=signal) + 0.15)
        draw_block(inch_axes(made), row.patches, 0.1, 0.1, signal=signal)
    else:
        made = blank(WIDTH + 0.2, line_height(len(row.patches), signal=signal) + 0.15)
        draw_line(inch_axes(made), row.patches, 0.1, 0.1, signal=signal)
    return rasterised(made)


def block_height(patches: Sequence[Patch], *, signal: str, whole: bool = True, width: float = WIDTH) -> float:
    """Return how high a block is, inches."""
    cell = _cell(len(patches), width)
    return (1 + whole + bool(signal)) * (cell + _GAP) + _VALUES + _WORDS * any(patch.words for patch in patches)


def draw_block(
    axes: Axes,
    patches: Sequence[Patch],
    left: float,
    down: float,
    *,
    signal: str,
    whole: bool = True,
    width: float = WIDTH,
) -> None:
    """Draw patches side by side: the whole picture with its frame, the patch, the signal, the value and the class.

    Args:
        axes: of the sheet.
        patches: in their order.
        left: inches.
        down: inches.
        signal: what the row of signals is called; none is drawn where this is empty.
        whole: draw the row of whole pictures.
        width: inches.
    """
    cell = _cell(len(patches), width)
    names = ["picture"] * whole + ["patch"] + [signal] * bool(signal)
    for index, name in enumerate(names):
        top = down + index * (cell + _GAP)
        for line, word in enumerate(name.split()):
            write(axes, left, top + cell / 2 + 0.13 * line, word, size=7.5, colour=GREY, centre=True)
        for place, patch in enumerate(patches):
            corner = (left + _NAMES + place * (cell + _GAP), top)
            if name == "picture":
                _draw_whole(axes, patch, corner, cell)
            elif name == "patch":
                _draw_patch(axes, patch, corner, cell)
            else:
                _draw_signal(axes, patch, corner, cell)
    under = down + len(names) * (cell + _GAP)
    for place, patch in enumerate(patches):
        middle = left + _NAMES + place * (cell + _GAP) + cell / 2
        write(axes, middle, under, number(patch.value), size=7.5, align="center", above=False)
        words = _shortened(patch.words, round(cell * _LETTERS))
        write(axes, middle, under + _VALUES, words, size=7, colour=GREY, align="center", above=False)


def line_height(patches: int, *, signal: str, width: float = WIDTH) -> float:
    """Return how high a unit is that takes one line, inches."""
    return _line_cell(patches, signal, width) + _GAP + _VALUES


def draw_line(
    axes: Axes, patches: Sequence[Patch], left: float, down: float, *, signal: str, width: float = WIDTH
) -> None:
    """Draw patches with their values, and the signals right of them.

    Args:
        axes: of the sheet.
        patches: in their order.
        left: inches.
        down: inches.
        signal: empty where no signals are to be drawn.
        width: inches.
    """
    cell = _line_cell(len(patches), signal, width)
    second = left + len(patches) * (cell + _GAP) + _APART
    for place, patch in enumerate(patches):
        across = place * (cell + _GAP)
        _draw_patch(axes, patch, (left + across, down), cell)
        words = number(patch.value)
        write(axes, left + across + cell / 2, down + cell + 0.03, words, size=7, align="center", above=False)
        if signal:
            _draw_signal(axes, patch, (second + across, down), cell)


def _line_cell(patches: int, signal: str, width: float) -> float:
    columns = max(patches, 6) * (1 + bool(signal))
    return float(min(_LARGEST_CELL, (width - _APART * bool(signal)) / columns - _GAP))


def _height(row: PatchRow, *, signal: str, full: bool) -> float:
    if full:
        return _TITLE + 0.18 + block_height(row.patches, signal=signal)
    return _TITLE + line_height(len(row.patches), signal=signal)


def _draw(axes: Axes, row: PatchRow, left: float, down: float, *, signal: str, full: bool) -> None:
    """Draw one unit with its title: as a block, or on one line."""
    write(axes, left, down, row.title, size=9 if full else 8, family=MONOSPACE, above=False)
    if full:
        write(axes, left, down + 0.2, row.sentence(), size=7.5, colour=GREY, above=False)
        draw_block(axes, row.patches, left, down + _TITLE + 0.18, signal=signal)
        return
    write(axes, left + WIDTH, down, row.sentence(), size=7.5, colour=GREY, align="right", above=False)
    draw_line(axes, row.patches, left, down + _TITLE, signal=signal)


def _draw_whole(axes: Axes, patch: Patch, corner: tuple[float, float], cell: float) -> None:
    if patch.whole is None:
        draw_empty(axes, "not found", corner, cell)
    else:
        draw_whole(axes, patch.whole, patch.frame, corner, cell)


def _draw_patch(axes: Axes, patch: Patch, corner: tuple[float, float], cell: float) -> None:
    shown = patch.pixels
    if shown is None:
        draw_empty(axes, "not found", corner, cell)
    else:
        draw_patch(axes, shown, patch.missing, corner, cell)
        if not patch.narrowed and _within(patch):  # more was cut out than the unit sees
            top, left, bottom, right = patch.field
            box = top - patch.window[0], left - patch.window[1], bottom - patch.window[0], right - patch.window[1]
            draw_frame_in(axes, box, shown.shape[:2], corner, cell)


def _within(patch: Patch) -> bool:
    """Tell whether the window holds more of the picture than the unit sees."""
    assert patch.whole is not None
    ends = patch.whole.shape[0] - 1, patch.whole.shape[1] - 1
    top, left, bottom, right = patch.window
    return patch.field != (max(top, 0), max(left, 0), min(bottom, ends[0]), min(right, ends[1]))


def _draw_signal(axes: Axes, patch: Patch, corner: tuple[float, float], cell: float) -> None:
    if patch.signal is None:
        draw_empty(axes, "" if patch.whole is not None else "not found", corner, cell)
    else:
        draw_signal(axes, patch.signal, patch.missing, corner, cell)


def _cell(patches: int, width: float) -> float:
    return float(min(_LARGEST_CELL, (width - _NAMES) / max(patches, 6) - _GAP))


def _shortened(words: str, letters: int) -> str:
    return words if len(words) <= letters else f"{words[: max(letters - 1, 1)].rstrip()}…"
