"""Paths of optimisers over one error surface, drawn as on a map, with how their losses fall. Walks nowhere itself."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from striate.results import _trails
from striate.results._gallery import blank
from striate.results._inches import inch_axes, rasterised, write
from striate.results.base import Json, Result
from striate.results.drawn import Drawing
from striate.results.words import count, number

__all__ = ["OptimizerPaths", "Path"]

_MARGIN: Final = 0.3  # inches
_LEADING: Final = 0.165
_LETTERS: Final = 14.5  # of 8.5 points that fit in an inch
_WHOLE: Final = 0.9995  # a plane that holds so much holds all


@dataclass(frozen=True, eq=False)
class Path:
    """Where one optimiser went.

    Attributes:
        name: of the optimiser.
        rate: its learning rate.
        places: on the surface, (T + 1, 2): the start, and after each step.
        losses: there, of the weights themselves, T + 1 of them; where the weights leave the plane that is drawn, they
            are not the heights below the path.
        lost: it was given up early, having gone far off.
        share: how much of its movement the plane holds, 0 to 1; None where there are no other directions.
    """

    name: str
    rate: float
    places: NDArray[np.float64]
    losses: tuple[float, ...]
    lost: bool = False
    share: float | None = None

    @property
    def end(self) -> float:
        """The loss at the end, the last that is a number."""
        return next((loss for loss in reversed(self.losses) if np.isfinite(loss)), float("nan"))


@dataclass(frozen=True, eq=False)
class OptimizerPaths(Result):
    """Paths of several optimisers from one place.

    Args:
        paths: in the order in which the optimisers were named.
        across: places along the first direction, (C,).
        up: places along the second, (R,).
        heights: the loss there, (R, C).
        surface: what it is of, in words.
        lowest: where it is least, where that is known.
        least: the least loss that there can be.
        axes: what the two directions are.
        plane: what plane is drawn, of a surface of many weights; empty for one of two.
    """

    paths: tuple[Path, ...]
    across: NDArray[np.float64]
    up: NDArray[np.float64]
    heights: NDArray[np.float64]
    surface: str
    lowest: tuple[tuple[float, float], ...]
    least: float
    axes: tuple[str, str]
    plane: str = ""

    by_picture = False

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def share(self) -> float | None:
        """How much of the paths' movement the plane holds, mean over the paths; None for a surface of two weights."""
        shares = [path.share for path in self.paths if path.share is not None]
        return float(np.mean(shares)) if shares else None

    def ranked(self) -> list[Path]:
        """Return the paths, the lowest at the end first; those that were lost last."""
        return sorted(self.paths, key=lambda path: (path.lost, np.nan_to_num(path.end, nan=np.inf)))

    def height(self, path: Path) -> str:
        """Write how far above the least a path ends."""
        above, start = path.end - self.least, path.losses[0] - self.least
        small = 1e-6 * start
        return f"<{number(small, 1)}" if above < small else number(above, 2)

    def caption(self) -> str:
        """Say what is walked on, and who gets lowest."""
        steps = max(len(path.losses) for path in self.paths) - 1
        ranked = self.ranked()
        text = (
            f"{count(len(self), 'optimiser')} from one place, {count(steps, 'step')} each: {self.surface}. "
            f"Lowest at the end: {ranked[0].name} ({self.height(ranked[0])})"
        )
        text += f", highest: {ranked[-1].name} ({self.height(ranked[-1])})." if len(self) > 1 else "."
        return text

    def seen(self) -> str:
        """Say what of the surface is drawn, and how much of the paths is seen there."""
        if self.share is None:
            return "The height at every place, in lines at equal ratios."
        shares = {path.name: path.share for path in self.paths if path.share is not None}
        least = min(shares, key=lambda name: shares[name])
        rest = (
            " The rest goes in directions that are not seen, so the loss on a path is not that of the surface below it."
            if self.share < _WHOLE
            else ""
        )
        some = f" (of {least}'s, {_percent(shares[least])})" if len(shares) > 1 and rest else ""
        held = f"it holds {_percent(self.share)} of their movement{some}"
        return f"Drawn on a plane through the start, {self.plane}: {held}.{rest}"

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawings, ready for JSON."""
        return {
            "surface": self.surface,
            "plane": self.plane,
            "share": self.share,
            "least": self.least,
            "lowest": [list(place) for place in self.lowest],
            "paths": [
                {
                    "name": path.name,
                    "rate": path.rate,
                    "lost": path.lost,
                    "share": path.share,
                    "losses": list(path.losses),
                    "places": path.places.tolist(),
                }
                for path in self.paths
            ],
            "axes": list(self.axes),
            "across": self.across.tolist(),
            "up": self.up.tolist(),
            "heights": self.heights.tolist(),
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name; paths that ended early are filled up with NaN."""
        longest = max(len(path.losses) for path in self.paths)
        places = np.full((len(self), longest, 2), np.nan)
        losses = np.full((len(self), longest), np.nan)
        for row, path in enumerate(self.paths):
            places[row, : len(path.places)] = path.places
            losses[row, : len(path.losses)] = path.losses
        return {
            "names": np.array([path.name for path in self.paths]),
            "rates": np.array([path.rate for path in self.paths]),
            "places": places,
            "losses": losses,
            "across": self.across,
            "up": self.up,
            "heights": self.heights,
        }

    def drawings(self) -> list[Drawing]:
        """Return the map and the losses, each with its legend."""
        made = []
        for title, words, draw, width in (
            ("paths", self.seen(), _trails.draw_map, _trails.MAP + _trails.LEGEND),
            ("losses", self.sentence(), _trails.draw_losses, _trails.CHART + _trails.LEGEND),
        ):
            figure = blank(width + 2 * _MARGIN, _trails.HEIGHT + 1.0)
            draw(figure, self._scene(), _MARGIN, 0.4)
            beside = _MARGIN + (_trails.MAP if title == "paths" else _trails.CHART)
            _trails.draw_legend(figure, self._scene(), beside, 0.4)
            made.append(Drawing(title, words, rasterised(figure)))
        return made

    def sentence(self) -> str:
        """Say how far each gets."""
        parts = [
            f"{path.name} {self.height(path)}{' (lost)' if path.lost else ''} at a rate of {number(path.rate, 2)}"
            for path in self.ranked()
        ]
        return f"{'Height above the lowest' if self.lowest else 'Loss'} at the end: {', '.join(parts)}."

    def figure(self) -> Figure:
        """Draw map, losses and legend side by side."""
        width = 2 * _MARGIN + _trails.MAP + _trails.CHART + _trails.LEGEND
        lines = textwrap.wrap(self._words(), round((width - 2 * _MARGIN) * _LETTERS))
        head = _MARGIN + 0.35 + _LEADING * len(lines) + 0.45
        figure = blank(width, head + _trails.HEIGHT + 0.65)
        axes = inch_axes(figure)
        write(axes, _MARGIN, _MARGIN, "Paths of optimisers", size=13, weight="bold", above=False)
        for index, line in enumerate(lines):
            write(axes, _MARGIN, _MARGIN + 0.35 + index * _LEADING, line, size=8.5, above=False)
        scene = self._scene()
        _trails.draw_map(figure, scene, _MARGIN, head)
        _trails.draw_losses(figure, scene, _MARGIN + _trails.MAP, head)
        _trails.draw_legend(figure, scene, _MARGIN + _trails.MAP + _trails.CHART, head)
        return figure

    def _words(self) -> str:
        plane = () if self.share is None else (self.seen(),)
        return " ".join((self.caption(), *plane, *self.recipe.notes))

    def _scene(self) -> _trails.Scene:
        return _trails.Scene(
            trails=tuple(
                _trails.Trail(
                    path.name, number(path.rate, 2), path.places, np.array(path.losses), path.lost, self.height(path)
                )
                for path in self.paths
            ),
            across=self.across,
            up=self.up,
            heights=self.heights,
            least=self.least,
            lowest=self.lowest,
            axes=self.axes,
        )


def _percent(share: float) -> str:
    return f"{number(100 * share, 2)} %"
