"""Draw the ways of a transfer as a table with points and error bars, and the depths below. Knows no result's file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle

from striate import drawing
from striate.results._charts import short_name
from striate.results._gallery import GREY
from striate.results._inches import inch_axes, write
from striate.results.likeness import Likeness
from striate.results.words import number

__all__ = ["draw_transfer", "transfer_height"]

_EDGE: Final = 0.3  # inches
_WIDTH: Final = 9.0
_LINE: Final = 0.24
_NAME: Final = 3.1  # room for what was done
_FIGURES: Final = (0.62, 0.5, 0.85, 0.95)  # accuracy, standard error, time, weights
_LETTERS: Final = 46
_COLOURS: Final = {"head": drawing.PARTNER, "tuned": drawing.ACCENT, "scratch": GREY}
_TRACK: Final = "#e6e6e2"


def transfer_height(ways: int, depths: int) -> float:
    """Return how much room the drawing takes, inches."""
    return 0.3 + _LINE * ways + 0.3 + 0.25 + 0.3 + _LINE * depths + 0.1


def draw_transfer(
    figure: Figure,
    top: float,
    table: Sequence[tuple[str, str, str, str, str]],
    points: Sequence[tuple[float, float, str]],
    best: int,
    likeness: Likeness,
) -> None:
    """Draw table and points of the ways, and bars of the depths.

    Args:
        figure: to draw on.
        top: inches from its top.
        table: way, accuracy, standard error, time and weights of each, in words.
        points: accuracy, standard error and kind of each.
        best: which of them is marked.
        likeness: whose depths are drawn.
    """
    axes = inch_axes(figure)
    left = _EDGE + _NAME + sum(_FIGURES) + 0.3
    width = _WIDTH - _EDGE - left
    low, high = _ends(points)
    right = _EDGE + _NAME
    for words, room in zip(("right", "± s.e.", "time", "learned"), _FIGURES, strict=True):
        right += room
        write(axes, right, top, words, size=7.5, colour=GREY, align="right", above=False)
    bottom = top + 0.3 + _LINE * len(table)
    for mark in _marks(low, high):
        across = left + width * (mark - low) / (high - low)
        axes.plot([across, across], [top + 0.22, bottom], color=GREY, alpha=0.25, lw=0.5, zorder=0)
        write(axes, across, bottom + 0.16, f"{100 * mark:.0f} %", size=7, colour=GREY, align="center")
    for place, (row, (accuracy, error, kind)) in enumerate(zip(table, points, strict=True)):
        middle = top + 0.3 + (place + 0.5) * _LINE
        marked = place == best
        write(
            axes,
            _EDGE,
            middle,
            short_name(row[0], _LETTERS),
            size=8,
            weight="bold" if marked else "normal",
            centre=True,
        )
        right = _EDGE + _NAME
        for words, room in zip(row[1:], _FIGURES, strict=True):
            right += room
            write(axes, right, middle, words, size=8, align="right", weight="bold" if marked else "normal", centre=True)
        _point(axes, (left, middle, width), (accuracy, error), (low, high), _COLOURS[kind], marked)
    _depths(axes, bottom + 0.55, likeness)


def _point(
    axes: Axes,
    at: tuple[float, float, float],
    value: tuple[float, float],
    ends: tuple[float, float],
    colour: str,
    marked: bool,
) -> None:
    left, middle, width = at
    accuracy, error = value

    def across(share: float) -> float:
        return left + width * (min(max(share, ends[0]), ends[1]) - ends[0]) / (ends[1] - ends[0])

    axes.plot([across(accuracy - error), across(accuracy + error)], [middle, middle], color=colour, lw=1.2, zorder=2)
    axes.add_patch(Circle((across(accuracy), middle), 0.045, facecolor=colour, edgecolor="none", zorder=3))
    if marked:
        axes.add_patch(Circle((across(accuracy), middle), 0.085, facecolor="none", edgecolor=colour, lw=1.0, zorder=3))


def _depths(axes: Axes, top: float, likeness: Likeness) -> None:
    """Draw how well each depth tells the classes apart, from the first layer to the deepest."""
    title = "How well the network's own features tell these classes apart (nearest class mean)"
    write(axes, _EDGE, top, title, size=8.5, weight="bold", above=False)
    left, wide = _EDGE + _NAME + 0.2, _WIDTH - 2 * _EDGE - _NAME - 0.9
    best = likeness.best
    for place, depth in enumerate(likeness.depths):
        middle = top + 0.3 + (place + 0.5) * _LINE
        field = "" if depth.field is None else f", sees {number(depth.field)} px"
        write(axes, _EDGE, middle, short_name(depth.address, 24), size=8, family="monospace", centre=True)
        words = f"{depth.channels:,} numbers{field}"
        write(axes, left - 0.2, middle, words, size=7, colour=GREY, align="right", centre=True)
        axes.add_patch(Rectangle((left, middle - 0.045), wide, 0.09, facecolor=_TRACK, zorder=1))
        colour = drawing.ACCENT if depth is best else drawing.PARTNER
        axes.add_patch(Rectangle((left, middle - 0.045), wide * depth.accuracy, 0.09, facecolor=colour, zorder=2))
        words = f"{100 * depth.accuracy:.1f} %"
        write(axes, left + wide + 0.6, middle, words, size=8, align="right", centre=True)
    chance = left + wide * likeness.chance
    down = top + 0.3, top + 0.3 + _LINE * len(likeness.depths)
    axes.plot([chance, chance], down, color=drawing.INK, lw=0.8, ls=(0, (2, 2)), zorder=3)
    write(axes, chance, down[0] - 0.02, "chance", size=6.5, colour=GREY, align="center")


def _ends(points: Sequence[tuple[float, float, str]]) -> tuple[float, float]:
    """Return the ends of the axis: whole steps of 5 points around everything."""
    low = min(accuracy - error for accuracy, error, _ in points)
    high = max(accuracy + error for accuracy, error, _ in points)
    low, high = max(0.0, (low - 0.01) // 0.05 * 0.05), min(1.0, -(-(high + 0.01) // 0.05) * 0.05)
    return (low, high) if high > low else (max(0.0, low - 0.05), min(1.0, low + 0.05))


def _marks(low: float, high: float) -> list[float]:
    step = next(one for one in (0.05, 0.1, 0.2, 0.25, 0.5) if (high - low) / one <= 4.001)
    first = -(-round(low / step, 6) // 1) * step
    return [first + place * step for place in range(int((high - first) / step + 1e-6) + 1)]
