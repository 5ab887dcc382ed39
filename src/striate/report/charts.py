"""Charts as numbers for a page's own drawing (SVG), so that they take its colours by day and by night."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator
from numpy.typing import NDArray

from striate.results.words import number

__all__ = ["HEIGHT", "WIDTH", "Panel", "panel"]

WIDTH, HEIGHT = 480.0, 220.0  # of the chart itself, units of the drawing
_LOGARITHMIC = 30.0  # ends further apart than this need a logarithmic axis

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Panel:
    """One chart: lines over whole numbers, scaled to WIDTH and HEIGHT, the top being 0.

    Args:
        title: above it.
        lines: name and points ("x,y x,y") of each.
        dots: name and places of points to be marked one by one.
        rows: height and words of the marks of the vertical axis.
        columns: place and words of the marks of the horizontal axis.
        mark: place of the line down through the best; None for none.
        ring: where that meets its line.
    """

    title: str
    lines: tuple[tuple[str, str], ...]
    dots: tuple[tuple[str, float, float], ...]
    rows: tuple[tuple[float, str], ...]
    columns: tuple[tuple[float, str], ...]
    mark: float | None = None
    ring: tuple[float, float] | None = None


def panel(
    title: str,
    places: NDArray[np.int64],
    lines: Sequence[tuple[str, Numbers]],
    *,
    best: int | None = None,
    logarithmic: bool = False,
    ends: tuple[float, float] | None = None,
) -> Panel:
    """Scale lines into a chart.

    Args:
        title: above it.
        places: of all lines, (E,), whole numbers.
        lines: name and values (E,) of each; not a number where there is none.
        best: place that is marked, on the last line that has a value there.
        logarithmic: the vertical axis may be, where the ends are far apart.
        ends: that the vertical axis does not go beyond.
    """
    values = np.concatenate([values for _, values in lines])
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
    bent = logarithmic and low > 0 and high / low > _LOGARITHMIC
    if bent:
        marks = [
            one for one in LogLocator(subs=(1.0, 2.0, 5.0)).tick_values(low, high) if low / 1.3 <= one <= high * 1.3
        ]
        low, high = min(low, *marks), max(high, *marks)
    else:
        margin = 0.04 * (high - low) or 0.05 * abs(high) or 0.05
        low, high = (low - margin if low < 0 else max(low - margin, 0.0)), high + margin
        if ends is not None:
            low, high = max(low, ends[0]), min(high, ends[1])
        marks = [one for one in MaxNLocator(5).tick_values(low, high) if low <= one <= high]
    first, last = int(places[0]), int(places[-1])
    left, right = (first - 0.5, last + 0.5) if last - first < 12 else (first - 0.01 * last, last + 0.02 * last)

    def across(place: float) -> float:
        return round(WIDTH * (place - left) / (right - left), 2)

    def down(value: float) -> float:
        share = math.log(value / low) / math.log(high / low) if bent else (value - low) / (high - low)
        return round(HEIGHT * (1 - share), 2)

    drawn, dots = [], []
    ring = None
    for name, held in lines:
        there = np.flatnonzero(np.isfinite(held))
        points = [(across(float(places[one])), down(float(held[one]))) for one in there.tolist()]
        drawn.append((name, " ".join(f"{x:g},{y:g}" for x, y in points)))
        if len(points) <= 12:
            dots += [(name, x, y) for x, y in points]
        for one, point in zip(there.tolist(), points, strict=True):
            if best is not None and int(places[one]) == best:
                ring = point
    epochs = [int(one) for one in MaxNLocator(8, integer=True, min_n_ticks=1).tick_values(first, last)]
    return Panel(
        title=title,
        lines=tuple(drawn),
        dots=tuple(dots),
        rows=tuple(zip((down(float(one)) for one in marks), _words(marks), strict=True)),
        columns=tuple((across(one), str(one)) for one in epochs if first <= one <= last),
        mark=None if best is None else across(best),
        ring=ring,
    )


def _words(marks: Sequence[float]) -> list[str]:
    """Write numbers with as many digits as it takes to tell them apart."""
    words: list[str] = []
    for digits in range(2, 8):
        words = [number(float(one), digits) for one in marks]
        if len(set(words)) == len(words):
            break
    return words
