"""Draw curves over the amount of a movement, a column for each kind. Draws only; knows no result."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from striate import drawing
from striate.results._gallery import GREY, MONOSPACE, blank
from striate.results._inches import draw_image, inch_axes, rasterised, write
from striate.results.drawn import Pixels

__all__ = ["Column", "figure", "pixels"]

_COLOURS: Final = ("#0072b2", "#56b4e9", "#009e73", "#e69f00", "#d55e00", "#cc79a7", "#000000")
"""Okabe and Ito's, from cool to warm: from the first layer to the last."""
_ANSWERS: Final = (drawing.ACCENT, drawing.PARTNER, drawing.INK, drawing.MISSING)
_WIDTH: Final = 3.3  # of a panel, inches
_HEIGHT: Final = 1.75
_LEFT: Final = 0.4  # room for the figures of an axis
_GAP: Final = 0.2
_STRIP: Final = 1.25  # height of the moved picture
_MARGIN: Final = 0.3
_LINE: Final = 0.17
_PANELS: Final = (
    "Does the map move with the picture? Error",
    "Does the map stay as it is? Change in place",
    "Does the answer stay? Probability",
)


@dataclass(frozen=True, eq=False)
class Column:
    """One kind of movement, ready to be drawn.

    Attributes:
        title: in words.
        unit: of the amounts.
        amounts: T of them.
        layers: their addresses.
        strides: pixels between neighbouring units.
        broken: for each layer, whether its line is to be broken.
        errors: for each layer (T,).
        changes: of the picture, then of each layer, (T,).
        probabilities: (N, T).
        classes: N names.
        picture: the first one, moved.
        example: by how much.
    """

    title: str
    unit: str
    amounts: tuple[float, ...]
    layers: tuple[str, ...]
    strides: tuple[float, ...]
    broken: tuple[bool, ...]
    errors: tuple[NDArray[np.float64], ...]
    changes: tuple[NDArray[np.float64], ...]
    probabilities: NDArray[np.float64]
    classes: tuple[str, ...]
    picture: Pixels
    example: str


def figure(columns: Sequence[Column], *, heading: str, caption: str) -> Figure:
    """Put the columns side by side under a heading, with one legend below."""
    inner = len(columns) * (_LEFT + _WIDTH) + (len(columns) - 1) * _GAP
    width = max(inner, _legend_width(columns[0])) + 2 * _MARGIN
    lines = textwrap.wrap(caption, round((width - 2 * _MARGIN) * 14.5))
    head = 0.35 + len(lines) * 0.165 + 0.2
    made = blank(width, head + _body(columns) + 2 * _MARGIN)
    axes = inch_axes(made)
    write(axes, _MARGIN, _MARGIN, heading, size=13, weight="bold", above=False)
    for index, line in enumerate(lines):
        write(axes, _MARGIN, _MARGIN + 0.35 + index * 0.165, line, size=8.5, above=False)
    _draw(made, axes, columns, _MARGIN, _MARGIN + head)
    return made


def pixels(columns: Sequence[Column]) -> Pixels:
    """Draw columns by themselves at twice the screen's density: uint8, (H, W, 3)."""
    panels = len(columns) * (_LEFT + _WIDTH) + (len(columns) - 1) * _GAP
    width = max(panels, _legend_width(columns[0])) + 0.2
    made = blank(width, _body(columns) + 0.2)
    _draw(made, inch_axes(made), columns, 0.1, 0.1)
    return rasterised(made)


def _body(columns: Sequence[Column]) -> float:
    panels = len(_PANELS) * (_HEIGHT + 0.55)
    return 0.25 + _STRIP + 0.35 + panels + 0.1 + _LINE * (len(columns[0].layers) + 1)


def _draw(made: Figure, axes: Axes, columns: Sequence[Column], left: float, down: float) -> None:
    """Draw the columns with their top left corner at a place, and the legend below."""
    tops = [
        max(0.1, *(_largest(one) for column in columns for one in column.errors)),
        max(0.1, *(_largest(one) for column in columns for one in column.changes)),
        1.0,
    ]
    for index, column in enumerate(columns):
        at = left + index * (_LEFT + _WIDTH + _GAP)
        write(axes, at + _LEFT, down, column.title, size=10, weight="bold", above=False)
        right = draw_image(axes, column.picture, at + _LEFT, down + 0.25, _STRIP, smooth=True)
        write(axes, right + 0.1, down + 0.25 + _STRIP, column.example, size=7.5, colour=GREY)
        for row, top in enumerate(tops):
            panel_down = down + 0.25 + _STRIP + 0.35 + row * (_HEIGHT + 0.55)
            write(axes, at + _LEFT, panel_down, _PANELS[row], size=7.5, colour=GREY)
            panel = _panel(made, at + _LEFT, panel_down + 0.08, column, top, last=row == len(tops) - 1)
            _fill(panel, column, row)
    _legend(axes, columns[0], left + _LEFT, down + _body(columns) - _LINE * len(columns[0].layers))


def _panel(made: Figure, left: float, down: float, column: Column, top: float, *, last: bool) -> Axes:
    """Return axes for one panel, at a place in inches."""
    width, height = made.get_size_inches()
    axes = made.add_axes((left / width, 1 - (down + _HEIGHT) / height, _WIDTH / width, _HEIGHT / height))
    axes.set_facecolor(drawing.PAPER)
    axes.set_xlim(min(column.amounts), max(column.amounts) if len(column.amounts) > 1 else min(column.amounts) + 1)
    axes.set_ylim(0, top * 1.05)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#c4c4c2")
    axes.tick_params(labelsize=7, colors=GREY, length=2.5, width=0.6)
    axes.grid(visible=True, axis="y", color="#e6e6e3", lw=0.6)
    axes.set_axisbelow(True)
    ticks = _ticks(column)
    axes.set_xticks(ticks)
    if last:
        axes.set_xlabel(column.unit, fontsize=7.5, color=GREY, labelpad=2)
    return axes


def _ticks(column: Column) -> list[float]:
    if column.unit == "pixels":
        most = max(column.amounts)
        step = next(step for step in (1, 2, 4, 8, 16, 32, 64, 128, 1 << 30) if most / step <= 8)
        return [float(tick) for tick in np.arange(0, most + 1, step)]
    if column.unit == "degrees":
        return [angle for angle in column.amounts if angle % 45 == 0] or list(column.amounts)
    return [factor for factor in column.amounts if round(factor * 100) % 20 == 0] or list(column.amounts)


def _fill(panel: Axes, column: Column, row: int) -> None:
    """Draw the curves of one panel."""
    if row == 2:
        for index, values in enumerate(column.probabilities):
            _curve(panel, column, values, _ANSWERS[index % len(_ANSWERS)], broken=False)
        return
    curves = column.errors if row == 0 else column.changes[1:]
    if row == 1:
        order = np.argsort(column.amounts)
        picture = np.asarray(column.amounts)[order], column.changes[0][order]
        panel.plot(*picture, color="#9a9aa0", lw=2.2, alpha=0.6, solid_capstyle="round")
    for index, values in enumerate(curves):
        _curve(panel, column, values, _COLOURS[index], broken=column.broken[index])


def _curve(panel: Axes, column: Column, values: NDArray[Any], colour: str, *, broken: bool) -> None:
    look: dict[str, Any] = {"ls": (0, (3, 1.6))} if broken else {}
    marker = "o" if len(column.amounts) <= 33 else ""
    order = np.argsort(column.amounts)  # they are drawn from left to right, whatever order they were given in
    panel.plot(
        np.asarray(column.amounts)[order],
        values[order],
        color=colour,
        lw=1.3,
        marker=marker,
        ms=2.2,
        clip_on=False,
        zorder=3,
        **look,
    )


def _legend(axes: Axes, column: Column, left: float, down: float) -> None:
    """Name the curves, from the first layer to the last, and beside them what the pictures show."""
    axes.plot([left, left + 0.3], [down - 0.04] * 2, color="#9a9aa0", lw=2.2, alpha=0.6)
    write(axes, left + 0.4, down, "the picture itself", size=8)
    strides = left + _strides_left(column)
    for index, layer in enumerate(column.layers):
        line = down + _LINE * (index + 1)
        axes.plot([left, left + 0.3], [line - 0.04] * 2, color=_COLOURS[index], lw=1.6)
        write(axes, left + 0.4, line, layer, size=8, family=MONOSPACE)
        stride = column.strides[index]
        words = "" if not stride else f"{stride:g} pixel{'' if stride == 1 else 's'} between units"
        write(axes, strides, line, words, size=8, colour=GREY)
    answers = strides + 1.75
    for index, name in enumerate(column.classes[: len(column.layers) + 1]):
        line = down + _LINE * index
        axes.plot([answers, answers + 0.3], [line - 0.04] * 2, color=_ANSWERS[index % len(_ANSWERS)], lw=1.6)
        write(axes, answers + 0.4, line, name if len(name) <= 24 else f"{name[:23]}…", size=8)


def _strides_left(column: Column) -> float:
    """Return where the strides stand in the legend, so that they clear the longest name; inches."""
    return 0.55 + 0.068 * max(len(layer) for layer in column.layers)


def _legend_width(column: Column) -> float:
    return _LEFT + _strides_left(column) + 1.75 + 0.4 + 1.6


def _largest(values: NDArray[np.float64]) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.max()) if finite.size else 0.0
