"""Draw architectures by what they reach with random weights and trained: points with names and error bars."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from striate.drawing import ACCENT, INK, PAPER, PARTNER
from striate.results._charts import short_name
from striate.results._gallery import GREY
from striate.results.words import count

if TYPE_CHECKING:
    from striate.results.net_ranking import NetRanking, RankedNet

__all__ = ["CHART", "LETTERS", "draw_ranking"]

CHART: Final = 3.9
"""Height of the frame, in inches."""
LETTERS: Final = 34
"""Of a name that is written."""
_EDGE: Final = 0.3  # inches
_MANY: Final = 12  # names from which on some may find no room


def draw_ranking(ranking: NetRanking, figure: Figure, down: float) -> None:
    """Draw random over trained, or random alone where none was trained; the frame so many inches from the top."""
    width, height = figure.get_size_inches()
    left = 0.75 if ranking.trained else 2.6
    at = (left / width, 1 - (down + CHART) / height, (width - left - _EDGE - 0.2) / width, CHART / height)
    axes = figure.add_axes(at, facecolor=PAPER)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#c4c4c2")
    axes.tick_params(which="both", labelsize=7.5, colors=GREY, length=2.5, width=0.6)
    axes.grid(visible=True, color="#e6e6e3", lw=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("right with random weights and a trained last layer, %", fontsize=7.5, color=GREY)
    low, high = _reach(ranking)
    axes.set_xlim(low, high)
    if ranking.trained:
        _draw_scatter(ranking, axes)
    else:
        _draw_dots(ranking, axes)


def _reach(ranking: NetRanking) -> tuple[float, float]:
    values = [100 * value for one in ranking.nets for value in one.random]
    room = max(0.08 * (max(values) - min(values)), 0.5)
    return min(values) - room, max(values) + room


def _draw_scatter(ranking: NetRanking, axes: Axes) -> None:
    axes.set_ylabel(f"right after {count(ranking.epochs, 'epoch')} of training, %", fontsize=7.5, color=GREY)
    trained = ranking.trained
    places = [(100 * one.mean, 100 * one.trained) for one in trained]
    for one, (across, up) in zip(trained, places, strict=True):
        first = one is trained[0]
        axes.errorbar(
            across,
            up,
            xerr=None if not math.isfinite(one.spread) else 100 * one.spread,
            yerr=100 * ranking.error(one.trained),
            fmt="o",
            ms=6.5,
            color=ACCENT if first else PARTNER,
            mec=PAPER,
            mew=1.0,
            ecolor=GREY,
            elinewidth=0.7,
            zorder=4,
        )
    ends = axes.get_ylim()
    others = [one for one in ranking.nets if not math.isfinite(one.trained)]
    for one in others:
        axes.plot(100 * one.mean, 0.02, "|", ms=9, color=GREY, transform=axes.get_xaxis_transform(), zorder=3)
    room = (ends[1] - ends[0]) * 0.06
    axes.set_ylim(ends[0] - room, ends[1] + room)
    said = [f"ticks below: {count(len(others), 'architecture')} not trained"] if others else []
    if _name(ranking, axes, trained, places):
        said.insert(0, "where a name has no room: its place with random weights")
    axes.text(0.995, 0.05, "; ".join(said), transform=axes.transAxes, fontsize=7.5, color=GREY, ha="right")


def _name(ranking: NetRanking, axes: Axes, nets: Sequence[RankedNet], places: Sequence[tuple[float, float]]) -> bool:
    """Write each name beside its point, on the side with room, moved up or down where another name stands.

    Returns:
        Whether places were written instead of names that have no room.
    """
    figure = axes.get_figure()
    assert figure is not None
    to_dots = axes.transData.transform
    frame = axes.get_window_extent()
    scale = 100 / 72  # dots of a point, at 100 dots an inch
    points = [to_dots(place) for place in places]
    taken = [(x - 7, y - 7, x + 7, y + 7) for x, y in points]
    if len(nets) < len(ranking) or len(nets) > _MANY:  # room for what is said at the bottom
        taken.append((frame.x0 + 0.3 * frame.width, frame.y0, frame.x1, frame.y0 + 0.05 * frame.height + 16))
    tries = [(side, shift) for shift in (0.7, -0.7, 1.7, -1.7, 2.7, -2.7) for side in (1, -1)]
    tall = 8 * scale * 1.15
    by_place = False
    for one, (x, y) in sorted(zip(nets, points, strict=True), key=lambda pair: -pair[1][1]):
        place = str(1 + ranking.nets.index(one))
        chosen = None
        for words, (side, shift) in itertools.product((short_name(one.name, LETTERS), place), tries):
            wide = 0.56 * 8 * scale * len(words)
            left = x + 9 if side > 0 else x - 9 - wide
            box = (left, y + shift * tall - tall / 2, left + wide, y + shift * tall + tall / 2)
            inside = box[0] >= frame.x0 and box[2] <= frame.x1 + 15 and frame.y0 <= box[1] and box[3] <= frame.y1
            if inside and not any(_overlap(box, other) for other in taken):
                chosen = words, side, shift, box
                break
        if chosen is None:  # so many points in one spot that not even a number has room
            continue
        words, side, shift, box = chosen
        by_place |= words == place
        taken.append(box)
        axes.annotate(
            words,
            (100 * one.mean, 100 * one.trained),
            xytext=(side * 9 / scale, shift * tall / scale),
            textcoords="offset points",
            ha="left" if side > 0 else "right",
            va="center",
            fontsize=8,
            color=INK,
            parse_math=False,
            zorder=6,
        )
    return by_place


def _draw_dots(ranking: NetRanking, axes: Axes) -> None:
    rows = np.arange(len(ranking))[::-1]
    for row, one in zip(rows, ranking.nets, strict=True):
        axes.plot([100 * value for value in one.random], [row] * len(one.random), "o", ms=4, color=PARTNER,
                  alpha=0.55, mec="none", zorder=3)  # fmt: skip
        axes.plot(100 * one.mean, row, "|", ms=13, mew=2, color=ACCENT if row == rows[0] else INK, zorder=4)
    names = [short_name(one.name, LETTERS) for one in ranking.nets]
    axes.set_yticks(rows, names, parse_math=False)
    axes.tick_params(axis="y", labelsize=8, colors=INK, length=0)
    axes.set_ylim(-0.7, len(ranking) - 0.3)


def _overlap(first: Sequence[float], second: Sequence[float]) -> bool:
    across = first[0] < second[2] and second[0] < first[2]
    return across and first[1] < second[3] and second[1] < first[3]
