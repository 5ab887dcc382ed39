"""Draw on a sheet whose unit is the inch, counted from the top left. Knows no result; touches no pyplot."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from striate import drawing
from striate.geometry import Box
from striate.results._fonts import writable
from striate.results._gallery import DENSITY, blank
from striate.results.drawn import Pixels

__all__ = ["draw_frame", "draw_image", "inch_axes", "rasterised", "under_words", "write"]

_LEAST: Final = 0.07  # side of the smallest frame, inches
_MARGIN: Final = 0.3
_LETTERS: Final = 14.5  # of 8.5 points that fit in an inch


def inch_axes(made: Figure) -> Axes:
    """Return axes over the whole sheet whose unit is the inch, counted from the top left."""
    width, height = made.get_size_inches()
    axes = made.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    axes.set_autoscale_on(False)
    return axes


def rasterised(made: Figure) -> Pixels:
    """Return what is on a sheet as pixels, at twice the screen's density: uint8, (H, W, 3)."""
    made.set_dpi(DENSITY)
    canvas = FigureCanvasAgg(made)
    canvas.draw()  # type: ignore[no-untyped-call]  # matplotlib leaves it untyped
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()  # type: ignore[no-untyped-call]


def under_words(
    title: str,
    words: str,
    size: tuple[float, float],
    draw: Callable[[Axes, float, float], None],
    *,
    gap: float = 0.2,
) -> Figure:
    """Draw a chart under its title and its words.

    Args:
        title: in bold.
        words: broken into lines as wide as the chart.
        size: width and height of the chart, inches.
        draw: draws it, given axes, left and top in inches.
        gap: between words and chart, inches.
    """
    width, height = size
    lines = textwrap.wrap(words, round(width * _LETTERS))
    head = 0.35 + len(lines) * 0.165 + gap
    made = blank(width + 2 * _MARGIN, head + height + 2 * _MARGIN)
    axes = inch_axes(made)
    write(axes, _MARGIN, _MARGIN, title, size=13, weight="bold", above=False)
    for index, line in enumerate(lines):
        write(axes, _MARGIN, _MARGIN + 0.35 + index * 0.165, line, size=8.5, above=False)
    draw(axes, _MARGIN, _MARGIN + head)
    return made


def draw_frame(axes: Axes, box: Box, corner: tuple[float, float], scale: float, ends: tuple[float, float]) -> None:
    """Frame cells of a map or pixels of a picture by the accent with a dark halo, never too small to be seen.

    Args:
        axes: of the sheet.
        box: first row, first column, last row, last column, inclusive.
        corner: left and top of the map, inches.
        scale: inches a cell.
        ends: right and bottom of the map; the frame stays inside.
    """
    edges = []
    for axis, (first, last) in enumerate(((box[1], box[3]), (box[0], box[2]))):
        low, high = corner[axis] + first * scale, corner[axis] + (last + 1) * scale
        low, high = min(low, (low + high - _LEAST) / 2), max(high, (low + high + _LEAST) / 2)
        inset = 0.012
        edges.append((max(low, corner[axis] + inset), min(high, ends[axis] - inset)))
    (left, right), (top, bottom) = edges
    for colour, line, opacity in ((drawing.INK, 3.6, 0.75), (drawing.ACCENT, 1.5, 1.0)):
        axes.add_patch(
            Rectangle(
                (left, top), right - left, bottom - top, fill=False, edgecolor=colour, lw=line, alpha=opacity, zorder=4
            )
        )


def draw_image(axes: Axes, shown: Pixels, left: float, top: float, height: float, *, smooth: bool) -> float:
    """Draw pixels undistorted, and return where they end."""
    width = float(height * shown.shape[1] / shown.shape[0])
    axes.imshow(
        shown,
        extent=(left, left + width, top + height, top),
        interpolation="antialiased" if smooth else "nearest",
        aspect="auto",
        zorder=1,
    )
    return left + width


def write(
    axes: Axes,
    left: float,
    down: float,
    words: str,
    *,
    size: float,
    colour: str = drawing.INK,
    family: str = "sans-serif",
    weight: str = "normal",
    align: str = "left",
    above: bool = True,
    centre: bool = False,
) -> None:
    """Write one line: standing on `down`, hanging from it (above False), or centred on it."""
    words, families = writable(words, family)
    axes.text(
        left,
        down,
        words,
        fontsize=size,
        color=colour,
        family=families,
        weight=weight,
        ha=align,
        va="center_baseline" if centre else "baseline" if above else "top",
        parse_math=False,
        zorder=10,
    )
