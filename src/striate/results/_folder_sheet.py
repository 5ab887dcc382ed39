"""Draw what is in a set of pictures: classes, sizes, and pictures that are alike. Knows no result."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from striate.drawing import INK, PARTNER
from striate.results._charts import draw_words, short_name, words_height
from striate.results._gallery import GREY, blank, text
from striate.results._inches import draw_image, inch_axes, write
from striate.results.drawn import Pixels

__all__ = ["draw_check"]

_WIDTH, _EDGE = 9.4, 0.35  # inches
_ROWS = 24  # classes that are drawn; of more, the largest and the smallest
_LINE = 0.18
_CHART = 3.2
_PAIR = 1.25  # height of the pictures of a pair
_DOTS = 20_000  # sizes that are drawn

Pair = tuple[tuple[Pixels, ...], tuple[str, ...]]


def draw_check(
    caption: str,
    class_names: Sequence[str],
    counts: NDArray[np.int64],
    sizes: NDArray[np.int32],
    pairs: Sequence[Pair],
) -> Figure:
    """Draw a check.

    Args:
        caption: what is said of it.
        class_names: K of them.
        counts: pictures of each class, shape (K,).
        sizes: width and height, shape (N, 2).
        pairs: pictures that are alike, and what is written below them.
    """
    rows = _rows(class_names, counts)
    top = _EDGE + words_height(caption, _WIDTH - 2 * _EDGE) + 0.3
    charts = max(0.3 + _LINE * len(rows), 0.3 + _CHART) if len(sizes) else 0.3 + _LINE * len(rows)
    across = 3
    each = _PAIR + 0.75
    below = 0.45 + each * -(-len(pairs) // across) if pairs else 0.0
    figure = blank(_WIDTH, top + charts + 0.3 + below + 0.2)
    draw_words(figure, _EDGE, _EDGE, "check", caption)
    axes = inch_axes(figure)
    _draw_classes(axes, rows, int(counts.max(initial=1)), top)
    if len(sizes):
        _draw_sizes(figure, sizes, (_WIDTH - _EDGE - 3.4, top + 0.3, 3.4, _CHART - 0.45))
    down = top + charts + 0.3
    if pairs:
        write(axes, _EDGE, down, "Pictures that are alike", size=10, weight="bold", above=False)
        width = (_WIDTH - 2 * _EDGE + 0.3) / across
        for place, pair in enumerate(pairs):
            _draw_pair(axes, pair, _EDGE + place % across * width, down + 0.35 + place // across * each, width - 0.3)
    return figure


def _rows(class_names: Sequence[str], counts: NDArray[np.int64]) -> list[tuple[str, int | None]]:
    """Return the classes to be drawn, largest first; None stands for those between."""
    order = np.argsort(-counts, kind="stable").tolist()
    rows: list[tuple[str, int | None]] = [(class_names[index], int(counts[index])) for index in order]
    if len(rows) <= _ROWS:
        return rows
    half = _ROWS // 2
    return [*rows[:half], (f"{len(rows) - 2 * half + 1:,} classes between", None), *rows[-half + 1 :]]


def _draw_classes(axes: Axes, rows: Sequence[tuple[str, int | None]], most: int, top: float) -> None:
    write(axes, _EDGE, top, "Pictures of each class", size=10, weight="bold", above=False)
    left, room = _EDGE + 1.65, 2.6
    for place, (name, many) in enumerate(rows):
        middle = top + 0.3 + _LINE * (place + 0.5)
        if many is None:
            write(axes, left - 0.08, middle, name, size=7.5, colour=GREY, align="right", centre=True)
            continue
        write(axes, left - 0.08, middle, short_name(name, 24), size=8, align="right", centre=True)
        axes.barh(middle, room * many / max(most, 1), height=0.11, left=left, color=PARTNER)
        write(axes, left + room * many / max(most, 1) + 0.06, middle, f"{many:,}", size=7.5, colour=GREY, centre=True)


def _draw_sizes(figure: Figure, sizes: NDArray[np.int32], at: tuple[float, float, float, float]) -> None:
    left, top, width, height = at
    sheet_width, sheet_height = figure.get_size_inches()
    text(figure, left, top - 0.3, "Width and height in pixels", size=10, weight="bold")
    axes = figure.add_axes(
        (left / sheet_width, 1 - (top + height) / sheet_height, width / sheet_width, height / sheet_height),
        facecolor="none",
    )
    found, many = np.unique(sizes[:: max(len(sizes) // _DOTS, 1)], axis=0, return_counts=True)
    area = np.clip(4 * np.sqrt(many), 4, 160)  # points: a size that many pictures have is a large dot
    axes.scatter(found[:, 0], found[:, 1], s=area, color=PARTNER, alpha=0.5, linewidths=0)
    low, high = float(sizes.min()), float(sizes.max())
    ends = (max(low / 1.25, 0.8), high * 1.25)
    if high > 8 * low:
        axes.set_xscale("log")
        axes.set_yscale("log")
    else:
        ends = (0.0, high * 1.1)
    axes.set_xlim(*ends)
    axes.set_ylim(*ends)
    ticks = _ticks(low, high, ends)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(ticks, [f"{tick:,.0f}" for tick in ticks])
        axis.set_ticks([], minor=True)
    axes.plot(ends, ends, color=GREY, alpha=0.4, linewidth=0.6, zorder=0)  # squares lie here
    axes.tick_params(length=0, labelsize=7.5, labelcolor=GREY)
    axes.grid(color=GREY, alpha=0.2, linewidth=0.5)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)


def _ticks(low: float, high: float, ends: tuple[float, float]) -> list[float]:
    """Return three to five round lengths that lie within the ends."""
    if high > 8 * low:
        rounds = [float(digit * 10**power) for power in range(6) for digit in (1, 2, 5)]
        inside = [one for one in rounds if ends[0] <= one <= ends[1]]
        return inside[:: max(len(inside) // 5, 1)]
    step = max(10 ** np.floor(np.log10(high)), 1.0)
    step = step / 2 if high / step < 3 else step
    return [float(one) for one in np.arange(0, ends[1], step)]


def _draw_pair(axes: Axes, pair: Pair, left: float, top: float, width: float) -> None:
    pictures, lines = pair
    whole = sum(one.shape[1] / one.shape[0] for one in pictures)
    height = min(_PAIR, (width - 0.06) / whole)
    step = left
    for one in pictures:
        step = draw_image(axes, one, step, top + _PAIR - height, height, smooth=one.shape[1] > 96) + 0.06
    for place, words in enumerate(lines):
        last = place == len(lines) - 1
        colour = INK if last else GREY
        write(axes, left, top + _PAIR + 0.06 + 0.14 * place, short_name(words, 44), size=7, colour=colour, above=False)
