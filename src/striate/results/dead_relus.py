"""Which units never fire on some pictures, behind each rectifier, beside random first weights. Runs no network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from striate import drawing
from striate.results._gallery import GREY, MONOSPACE, blank
from striate.results._inches import inch_axes, rasterised, under_words, write
from striate.results._lives import draw_spread, percent, short
from striate.results.base import Json, Result
from striate.results.dead_units import LayerLife
from striate.results.drawn import Drawing
from striate.results.words import count

__all__ = ["DeadRelus"]

_ROW: Final = 0.24
_NAME: Final = 2.5  # width of the columns, inches
_TRACK: Final = 2.0
_COUNTS: Final = 2.2
_FIRES: Final = 2.0
_GAP: Final = 0.25
_WIDTH: Final = _NAME + _TRACK + _COUNTS + _FIRES + 3 * _GAP

_KEY: Final = "Thin: from the unit that fires least to the one that fires most; thick: the inner 80 %; dot: the median."


@dataclass(frozen=True, eq=False)
class DeadRelus(Result):
    """How many units behind each rectifier never fire on N pictures.

    Args:
        layers: one for each use of a rectifier, in the order of the run.
        active: for each the share of places at which its units are above 0, mean over the pictures, (C,).
        random: for each how often its units fire with random first weights, (C,); None where that is not known.
        initial: how those weights were drawn.
        seed: of them.
        total: N.
    """

    layers: tuple[LayerLife, ...]
    active: tuple[NDArray[np.float64], ...]
    random: tuple[NDArray[np.float64] | None, ...]
    initial: str
    seed: int
    total: int
    by_picture: ClassVar[bool] = False

    def __len__(self) -> int:
        return len(self.layers)

    @property
    def dead(self) -> dict[str, tuple[int, ...]]:
        """By rectifier the units that never fire; those with none are left out."""
        return {layer.address: layer.silent for layer in self.layers if layer.silent}

    def share(self, index: int) -> float:
        """Return the share of the units behind one rectifier that never fire."""
        return float((self.layers[index].fires == 0).mean())

    def random_share(self, index: int) -> float:
        """Return the same with random first weights; NaN where that is not known."""
        fires = self.random[index]
        return float("nan") if fires is None else float((fires == 0).mean())

    def caption(self) -> str:
        """Say how many units are dead, where most are, and how many are with random weights."""
        units = sum(len(layer.fires) for layer in self.layers)
        dead = sum(len(layer.silent) for layer in self.layers)
        seen = count(self.total, "picture")
        where = f"{count(units, 'unit')} behind {count(len(self.layers), 'rectifier')}"
        if dead:
            text = f"{dead:,} of {where} never {'fires' if dead == 1 else 'fire'} on {seen} ({percent(dead / units)})"
            worst = max(range(len(self.layers)), key=self.share)
            layer = self.layers[worst]
            text += f", most behind {layer.address} ({len(layer.silent):,} of {len(layer.fires):,})."
        else:
            text = f"Each of {where} fires on at least one of {seen}."
        known = [fires for fires in self.random if fires is not None]
        if known:
            drawn = sum(int((fires == 0).sum()) for fires in known)
            of = sum(len(fires) for fires in known)
            many = f"{drawn:,} would never fire ({percent(drawn / of)})" if drawn else "all would fire"
            text += f" With random first weights ({self.initial}, seed {self.seed}) {many}."
        if dead and self.total > 1:
            # the rule of three: with 95 % confidence a thing never seen in n trials has a chance below 3/n
            most = percent(min(1.0, 3 / self.total))
            text += f" With so many pictures, a unit that fires in less than {most} of all can pass for dead."
        elif dead:
            text += " One picture says little: give more."
        return text

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawings, ready for JSON."""
        layers = []
        for layer, active, fires in zip(self.layers, self.active, self.random, strict=True):
            layers.append(
                {
                    "address": layer.address,
                    "units": len(layer.fires),
                    "never": list(layer.silent),
                    "nearly": list(layer.nearly),
                    "fires": layer.fires.tolist(),
                    "active": active.tolist(),
                    "random_fires": None if fires is None else fires.tolist(),
                }
            )
        return {"pictures": self.total, "initial": self.initial, "seed": self.seed, "layers": layers}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name: what belongs to all units, those of all rectifiers one after another."""
        return {
            "addresses": np.array([layer.address for layer in self.layers]),
            "starts": np.cumsum([0, *(len(layer.fires) for layer in self.layers)]),
            "fires": np.concatenate([layer.fires for layer in self.layers]),
            "active": np.concatenate(self.active),
            "random_fires": np.concatenate(
                [
                    np.full(len(layer.fires), np.nan) if fires is None else fires
                    for layer, fires in zip(self.layers, self.random, strict=True)
                ]
            ),
        }

    def drawings(self) -> list[Drawing]:
        """Return the chart."""
        made = blank(_WIDTH + 0.2, self._height + 0.2)
        self._draw(inch_axes(made), 0.1, 0.1)
        return [Drawing("dead relus", f"How many units behind each rectifier never fire. {_KEY}", rasterised(made))]

    def figure(self) -> Figure:
        """Draw the chart under the words."""
        return under_words(self.recipe.lens, self.caption(), (_WIDTH, self._height), self._draw)

    @property
    def _end(self) -> float:
        """Where the bars of dead units end: no further than they need."""
        shares = [self.share(index) for index in range(len(self))] + [
            self.random_share(index) for index in range(len(self)) if self.random[index] is not None
        ]
        return next(end for end in (0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if end >= max(shares))

    @property
    def _height(self) -> float:
        return _ROW * (len(self.layers) + 1) + 0.45

    def _draw(self, axes: Axes, left: float, down: float) -> None:
        columns = np.cumsum([0, _NAME + _GAP, _TRACK + _GAP, _COUNTS + _GAP]) + left
        heads = ("rectifier, in the order of the run", "units that never fire", "", "fires in ... of the pictures")
        for column, words in zip(columns, heads, strict=True):
            write(axes, column, down, words, size=7.5, colour=GREY, above=False)
        foot = down + self._height - 0.34
        for start, width, end in ((columns[1], _TRACK, self._end), (columns[3], _FIRES, 1.0)):
            for share in (0, 0.5, 1):
                place = start + share * width
                axes.plot([place] * 2, [down + _ROW, foot], color=GREY, alpha=0.25, lw=0.5)
            for words, place, align in (("0 %", start, "left"), (percent(end), start + width, "right")):
                write(axes, place, foot + 0.04, words, size=7, colour=GREY, align=align, above=False)
        for index in range(len(self.layers)):
            self._draw_row(axes, index, columns, down + _ROW * (index + 1))
        if any(fires is not None for fires in self.random):
            for place, colour, words in (
                (left, drawing.ACCENT, "this network"),
                (left + 0.95, drawing.MISSING, "random first weights"),
            ):
                axes.add_patch(Rectangle((place, foot + 0.07), 0.16, 0.07, facecolor=colour, lw=0))
                write(axes, place + 0.22, foot + 0.105, words, size=7, colour=GREY, centre=True)
        write(axes, left, foot + 0.25, _KEY, size=7, colour=GREY, above=False)

    def _draw_row(self, axes: Axes, index: int, columns: NDArray[np.float64], top: float) -> None:
        layer, middle = self.layers[index], top + _ROW / 2
        write(axes, columns[0], middle, short(layer.address, 34), size=7.5, family=MONOSPACE, centre=True)
        compared = self.random[index] is not None
        bars = [(self.share(index), drawing.ACCENT)]
        bars += [(self.random_share(index), drawing.MISSING)] if compared else []
        height = 0.07
        for place, (share, colour) in enumerate(bars):
            above = middle - height * len(bars) / 2 + place * height
            width = max(share / self._end * _TRACK, 0.02 if share else 0.0)  # one dead unit of a thousand is to be seen
            for part, opacity in ((1.0, 0.16), (width / _TRACK, 1.0)):
                axes.add_patch(
                    Rectangle(
                        (columns[1], above),
                        part * _TRACK,
                        height - 0.012,
                        facecolor=colour if opacity == 1 else GREY,
                        alpha=opacity,
                        lw=0,
                    )
                )
        words = f"{layer.words()} of {len(layer.fires):,}"
        if compared:
            words += f"; random {percent(self.random_share(index))}"
        quiet = not layer.silent and not layer.nearly
        write(axes, columns[2], middle, words, size=7.5, colour=GREY if quiet else drawing.INK, centre=True)
        draw_spread(axes, layer.fires, columns[3], middle, _FIRES)
