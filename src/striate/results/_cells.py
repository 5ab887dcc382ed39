"""Draw a window as cells with numbers in them. Draws only; knows no result and runs no network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from striate import drawing
from striate.results._gallery import GREY
from striate.results._inches import write
from striate.results.drawn import Pixels

__all__ = ["Scale", "Window", "draw_window", "window_size"]

_FAINT: Final = "#c4c4c2"
_SIDES: Final = ((3, 0.46, 8.0), (5, 0.4, 7.0), (7, 0.34, 6.0), (11, 0.27, 5.0))  # taps, cell in inches, type in points
_UNNUMBERED: Final = 2.2  # side of a window whose cells are too small for numbers, inches


@dataclass(frozen=True)
class Scale:
    """The colours of one column of windows, and the unit that its numbers are written in.

    Attributes:
        low: least of the numbers.
        high: greatest of them.
        signed: they are drawn on the diverging scale.
        factor: a power of ten that they are divided by before they are written.
    """

    low: float
    high: float
    signed: bool
    factor: float

    @classmethod
    def of(cls, values: NDArray[Any], *, signed: bool) -> Scale:
        """Choose the scale of some windows; signed also where a value is below zero."""
        low, high = float(values.min()), float(values.max())
        size = max(abs(low), abs(high))
        power = 0 if size == 0 or 0.0995 <= size < 999.5 else math.floor(math.log10(size))
        return cls(low, high, signed or low < 0, factor=10.0**power)

    @property
    def words(self) -> str:
        """What to write after the name of the column."""
        return "" if self.factor == 1 else f", unit {self.factor:g}"

    def colours(self, values: NDArray[Any]) -> Pixels:
        """Colour numbers on this scale."""
        low, high = (self.low, self.high) if self.signed else (0.0, max(self.high, 0.0))
        return drawing.colour(np.asarray(values, dtype=np.float32), signed=self.signed, low=low, high=high)


@dataclass(frozen=True, eq=False)
class Window:
    """One window to be drawn.

    Attributes:
        values: its numbers, (kh, kw).
        colours: of its cells, uint8, (kh, kw, 3).
        factor: that the numbers are divided by before they are written.
        hatched: (kh, kw), cells that are padding.
        framed: by the accent, as what the unit reads is.
        marked: row and column of the cell that is the answer; None for none.
    """

    values: NDArray[Any]
    colours: Pixels
    factor: float
    hatched: NDArray[np.bool_]
    framed: bool
    marked: tuple[int, int] | None = None


def window_size(taps: tuple[int, int]) -> tuple[float, float]:
    """Return height and width of a window of so many cells as it is drawn, inches."""
    side, _ = _cell(taps)
    return taps[0] * side, taps[1] * side


def _cell(taps: tuple[int, int]) -> tuple[float, float]:
    """Return the side of a cell, and the type of its number; 0 where it is too small for one."""
    widest = max(taps)
    found = ((side, size) for most, side, size in _SIDES if widest <= most)
    return next(found, (_UNNUMBERED / widest, 0.0))


def draw_window(axes: Axes, window: Window, left: float, top: float) -> None:
    """Draw one window with its top left corner at a place."""
    rows, columns = window.values.shape
    side, size = _cell((rows, columns))
    right, bottom = left + columns * side, top + rows * side
    axes.imshow(window.colours, extent=(left, right, bottom, top), interpolation="nearest", aspect="auto", zorder=1)
    for row, column in np.argwhere(window.hatched):
        look: dict[str, Any] = {"facecolor": drawing.PAPER, "edgecolor": _FAINT, "hatch": "////"}
        axes.add_patch(Rectangle((left + column * side, top + row * side), side, side, lw=0, zorder=2, **look))
    if size:
        for row, column in np.ndindex(rows, columns):
            ink = GREY if window.hatched[row, column] else _ink(window.colours[row, column])
            words = _words(float(window.values[row, column]) / window.factor)
            middle = left + (column + 0.5) * side, top + (row + 0.5) * side
            write(axes, *middle, words, size=size, colour=ink, align="center", centre=True)
        for line in range(1, rows):
            axes.plot([left, right], [top + line * side] * 2, color=drawing.PAPER, lw=0.8, zorder=3)
        for line in range(1, columns):
            axes.plot([left + line * side] * 2, [top, bottom], color=drawing.PAPER, lw=0.8, zorder=3)
    edge, line_width = (drawing.ACCENT, 1.5) if window.framed else (_FAINT, 0.6)
    _outline(axes, (left, top), right - left, bottom - top, edge, line_width)
    if window.marked is not None:
        row, column = window.marked
        _outline(axes, (left + column * side, top + row * side), side, side, drawing.PARTNER, 2.0)


def _outline(axes: Axes, corner: tuple[float, float], width: float, height: float, colour: str, line: float) -> None:
    axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=colour, lw=line, zorder=5))


def _ink(colour: Pixels) -> str:
    """Choose letters that can be read on a colour."""
    light = float(colour @ np.array([0.299, 0.587, 0.114])) > 120
    return drawing.INK if light else drawing.NIGHT_INK


def _words(value: float) -> str:
    """Write a number in at most five letters; 0 stands for nothing but zero."""
    if value == 0:
        return "0"
    size = abs(value)
    digits = 2 if size < 9.995 else 1 if size < 99.95 else 0
    return f"{value:.{digits}f}".replace("-0.00", "0.00")
