"""Draw trails over a map of heights, how far down each is, and which is which. Draws only; knows no result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from striate.drawing import ACCENT, INK, PAPER
from striate.results._gallery import GREY, MONOSPACE, text

__all__ = ["CHART", "HEIGHT", "LEGEND", "MAP", "Scene", "Trail", "draw_legend", "draw_losses", "draw_map"]

MAP: Final = 5.9  # width of the map with its margins, inches
CHART: Final = 3.7
LEGEND: Final = 2.45
HEIGHT: Final = 4.6

_LEFT: Final = 0.55  # room for the figures of an axis
_GAP: Final = 0.25
_LEVELS: Final = 22  # contour lines
_MARKS: Final = 10  # of a trail, about
_FLOOR: Final = 1e-6  # of the height at the start: what is lower is not drawn
_DASHED: Final = ("#7a5230",)  # on nearly the way of another
_OTHER: Final = (INK, "d")
_STYLES: Final = {
    "sgd": ("#000000", "o"),
    "momentum": ("#0072b2", "s"),
    "nesterov": ("#56b4e9", "^"),
    "adagrad": ("#009e73", "D"),
    "adadelta": ("#8a8a8a", "v"),
    "rmsprop": ("#e69f00", "P"),
    "adam": ("#d55e00", "*"),
    "adamax": ("#cc79a7", "X"),
    "nadam": ("#7b3fa0", "<"),
    "amsgrad": ("#7a5230", ">"),
    "adamw": ("#7d8b00", "h"),
    "muon": ("#00a5a5", "p"),
}
"""Colour and mark of each name, the same on every map: Okabe and Ito's but the yellow, and five more."""


@dataclass(frozen=True, eq=False)
class Trail:
    """One path, ready to be drawn.

    Attributes:
        name: of it.
        rate: written beside it.
        places: (T, 2).
        losses: (T,).
        lost: it was given up.
        end: how high it ends, in words.
    """

    name: str
    rate: str
    places: NDArray[np.float64]
    losses: NDArray[np.float64]
    lost: bool
    end: str


@dataclass(frozen=True, eq=False)
class Scene:
    """All that is drawn.

    Attributes:
        trails: in the order of the legend.
        across: (C,).
        up: (R,).
        heights: (R, C).
        least: the least height there is.
        lowest: where it is.
        axes: what the directions are called.
    """

    trails: tuple[Trail, ...]
    across: NDArray[np.float64]
    up: NDArray[np.float64]
    heights: NDArray[np.float64]
    least: float
    lowest: tuple[tuple[float, float], ...]
    axes: tuple[str, str]


def draw_map(figure: Figure, scene: Scene, left: float, down: float) -> None:
    """Draw contour lines, denser where it is low, and the trails over them."""
    axes = _axes(figure, left + _LEFT, down, MAP - _LEFT - _GAP)
    above = scene.heights - scene.least
    levels = _levels(above)
    if len(levels) > 1:
        shades = LinearSegmentedColormap.from_list("depth", ["#dfe6ea", PAPER])
        axes.contourf(
            scene.across,
            scene.up,
            above,
            levels=[-np.inf, *levels, np.inf],
            colors=shades(np.linspace(0, 1, len(levels) + 1)),
        )
        axes.contour(scene.across, scene.up, above, levels=levels, colors="#a9b0b6", linewidths=0.55)
    halo = [withStroke(linewidth=3.0, foreground=PAPER, alpha=0.8)]
    every = mark_every(scene)
    for index, trail in enumerate(scene.trails):
        colour, mark = _STYLES.get(trail.name, _OTHER)
        line, shown = _line(colour), trail.places
        order = 4 + 0.02 * index
        axes.plot(*shown.T, color=colour, lw=1.4, ls=line, path_effects=halo if line == "solid" else None, zorder=order)
        axes.plot(*shown[every:-1:every].T, ls="", marker=mark, ms=5, color=colour, mec=PAPER, mew=0.6, zorder=6)
        axes.plot(*shown[-1], marker=mark, ms=8.5, color=colour, mec=INK, mew=0.9, zorder=7 + 0.02 * index)
    for place in scene.lowest:
        axes.plot(*place, marker="+", ms=15, mew=4.0, color=PAPER, zorder=8)
        axes.plot(*place, marker="+", ms=13, mew=2.0, color=ACCENT, zorder=8)
    start = scene.trails[0].places[0]
    axes.plot(*start, marker="o", ms=10, mfc="none", mec=INK, mew=1.6, zorder=9)
    rightwards = float(np.mean([trail.places[-1][0] - start[0] for trail in scene.trails])) > 0
    axes.annotate(
        "start",
        start,
        xytext=(-10 if rightwards else 10, 0),  # away from where most go
        textcoords="offset points",
        ha="right" if rightwards else "left",
        va="center",
        fontsize=8.5,
        color=INK,
        weight="bold",
        zorder=9,
        path_effects=[withStroke(linewidth=2.5, foreground=PAPER)],
    )
    axes.set_xlim(scene.across[0], scene.across[-1])
    axes.set_ylim(scene.up[0], scene.up[-1])
    axes.set_xlabel(scene.axes[0], fontsize=7.5, color=GREY)
    axes.set_ylabel(scene.axes[1], fontsize=7.5, color=GREY, labelpad=1)
    text(figure, left + _LEFT, down - 0.2, _explained(scene, every), size=7.5, colour=GREY)


def draw_losses(figure: Figure, scene: Scene, left: float, down: float) -> None:
    """Draw how far above the least each is, by step."""
    axes = _axes(figure, left + _LEFT, down, CHART - _LEFT - _GAP)
    highest = max(float(trail.losses[0] - scene.least) for trail in scene.trails)
    floor = max(highest * _FLOOR, 1e-12)
    every = mark_every(scene)
    lowest = highest
    for trail in scene.trails:
        colour, mark = _STYLES.get(trail.name, _OTHER)
        curve = np.where(np.isfinite(trail.losses), np.maximum(trail.losses - scene.least, floor / 100), np.nan)
        lowest = min(lowest, float(np.nanmin(curve)))
        steps = np.arange(len(curve))
        axes.plot(steps, curve, color=colour, lw=1.4, ls=_line(colour))
        axes.plot(
            steps[every::every], curve[every::every], ls="", marker=mark, ms=4.5, color=colour, mec=PAPER, mew=0.5
        )
    axes.set_yscale("log")
    axes.set_ylim(max(floor, lowest / 1.5), 1.8 * highest)
    axes.set_xlim(0, max(len(trail.losses) for trail in scene.trails) - 1 or 1)
    axes.grid(visible=True, axis="y", color="#e6e6e3", lw=0.6)
    axes.minorticks_off()
    axes.set_xlabel("steps", fontsize=7.5, color=GREY)
    words = "Height above the lowest" if scene.lowest else "Loss"
    text(figure, left + _LEFT, down - 0.2, words, size=7.5, colour=GREY)


def draw_legend(figure: Figure, scene: Scene, left: float, down: float) -> None:
    """Write which is which, with the rate of each and its loss at the end."""
    width, height = figure.get_size_inches()
    rates, ends = left + LEGEND - 0.75, left + LEGEND
    text(figure, left + 0.38, down, "optimiser", size=7.5, colour=GREY)
    text(figure, rates, down, "rate", size=7.5, colour=GREY, align="right")
    text(figure, ends, down, "end", size=7.5, colour=GREY, align="right")
    for index, trail in enumerate(scene.trails):
        colour, mark = _STYLES.get(trail.name, _OTHER)
        top = down + 0.22 + 0.22 * index
        axes = figure.add_axes((left / width, 1 - (top + 0.13) / height, 0.3 / width, 0.13 / height))
        axes.plot(
            [0, 0.5, 1],
            [0, 0, 0],
            color=colour,
            ls=_line(colour),
            lw=1.6,
            marker=mark,
            ms=6,
            mec=PAPER,
            mew=0.5,
            markevery=[1],
        )
        axes.set_axis_off()
        text(figure, left + 0.38, top, trail.name, size=8, family=MONOSPACE)
        text(figure, rates, top, trail.rate, size=7.5, align="right")
        end = "lost" if trail.lost else trail.end
        text(figure, ends, top, end, size=7.5, align="right", colour=GREY if trail.lost else None)


def _axes(figure: Figure, left: float, down: float, wide: float) -> Axes:
    width, height = figure.get_size_inches()
    axes = figure.add_axes((left / width, 1 - (down + HEIGHT) / height, wide / width, HEIGHT / height), facecolor=PAPER)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#c4c4c2")
    axes.tick_params(which="both", labelsize=7, colors=GREY, length=2.5, width=0.6)
    return axes


def _levels(above: NDArray[np.float64]) -> list[float]:
    """Choose heights of contour lines at equal ratios, from what is low on the map to its highest."""
    finite = above[np.isfinite(above) & (above > 0)]
    if not finite.size:
        return []
    low, high = float(np.quantile(finite, 0.005)), float(np.quantile(finite, 0.995))
    low = max(low, high * 1e-5)
    if not high > low:
        return []
    return [float(level) for level in np.geomspace(low, high, _LEVELS)]


def mark_every(scene: Scene) -> int:
    """Return after how many steps each trail gets a mark."""
    longest = max(len(trail.losses) for trail in scene.trails) - 1
    return next((step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500) if longest / step <= _MARKS), longest)


def _explained(scene: Scene, every: int) -> str:
    words = f"Paths, a mark every {every} steps" if every > 1 else "Paths, a mark at every step"
    return f"{words}, a large one at the end" + ("; cross: the lowest place" if scene.lowest else "")


def _line(colour: str) -> str | tuple[int, tuple[float, float]]:
    return (0, (3.0, 2.0)) if colour in _DASHED else "solid"
