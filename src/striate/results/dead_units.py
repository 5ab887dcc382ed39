"""Which units of a network never fire in a data set, layer by layer, as words, a table and a chart. Runs no network."""

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
from striate.results.drawn import Drawing
from striate.results.words import count, number

__all__ = ["DeadUnits", "LayerLife"]

_ROW: Final = 0.2
_NAME: Final = 2.5  # width of the columns, inches
_NEXT: Final = 1.9
_TRACK: Final = 1.9
_COUNTS: Final = 2.0
_FIRES: Final = 1.9
_GAP: Final = 0.2
_WIDTH: Final = _NAME + _NEXT + _TRACK + _COUNTS + _FIRES + 4 * _GAP


_KEY: Final = "Thin: from the unit that fires least to the one that fires most; thick: the inner 80 %; dot: the median."


@dataclass(frozen=True, eq=False)
class LayerLife:
    """How often the units of one layer fire.

    Args:
        address: of the layer.
        kind: of the layer, such as "Conv2d".
        following: what is to be known of what follows: "its rectifier", "ReLU6 follows", "BatchNorm2d follows".
        final: what is not above 0 here is 0 further on: the layer rectifies, or rectifiers alone follow it.
        fires: share of the pictures in which each unit is above 0 somewhere, or above what a batch normalisation
            turns into 0; (C,), in [0, 1], NaN where that is not known.
        constant: units that have one value at all positions of all pictures and are not dead.
        threshold: share of the pictures below which a unit counts as nearly dead.
        gate: which step of the network rectifies it; a layer before a rectifier shares it with the rectifier itself,
            and their units are the same.
    """

    address: str
    kind: str
    following: str
    final: bool
    fires: NDArray[np.float64]
    constant: tuple[int, ...]
    threshold: float
    gate: int | None = None

    @property
    def silent(self) -> tuple[int, ...]:
        """Units that are above 0 in no picture: dead where this is `final`."""
        return tuple(np.flatnonzero(self.fires == 0).tolist())

    @property
    def nearly(self) -> tuple[int, ...]:
        """Units that fire in some picture, but in a smaller share than the threshold."""
        return tuple(np.flatnonzero((self.fires > 0) & (self.fires < self.threshold)).tolist())

    def words(self) -> str:
        """Say how many units are dead, nearly dead and constant: "2 dead, 1 nearly"; "none" where all is well."""
        parts = []
        if self.silent:
            parts.append(f"{len(self.silent):,} {'dead' if self.final else 'never above 0'}")
        if self.nearly:
            parts.append(f"{len(self.nearly):,} nearly" if self.final else f"{len(self.nearly):,} seldom")
        if self.constant:
            parts.append(f"{len(self.constant):,} constant")
        return ", ".join(parts) or "none"

    def to_dict(self) -> dict[str, Json]:
        """Return every number as JSON-able values."""
        return {
            "address": self.address,
            "kind": self.kind,
            "following": self.following,
            "death": self.final,
            "units": len(self.fires),
            "never_above_zero": list(self.silent),
            "nearly": list(self.nearly),
            "constant": list(self.constant),
            "fires": self.fires.tolist(),
        }


@dataclass(frozen=True, eq=False)
class DeadUnits(Result):
    """How many units of each layer never fire in a data set.

    Args:
        layers: in the order of the network.
        total: pictures in the atlas.
    """

    layers: tuple[LayerLife, ...]
    total: int
    by_picture: ClassVar[bool] = False

    def __len__(self) -> int:
        return len(self.layers)

    @property
    def dead(self) -> dict[str, tuple[int, ...]]:
        """By layer the units that are 0 in all pictures for what comes after; layers with none are left out."""
        return {layer.address: layer.silent for layer in self.layers if layer.final and layer.silent}

    def caption(self) -> str:
        """Say how many units are dead, and how sure that is."""
        final = list(self._gates.values())
        raw = [layer for layer in self.layers if not layer.final]
        units, dead = sum(len(layer.fires) for layer in final), sum(len(layer.silent) for layer in final)
        nearly = sum(len(layer.nearly) for layer in final)
        if final:
            where = f"{count(units, 'unit')} before or after a rectifier"
            seen = count(self.total, "picture")
            if dead:
                text = f"{dead:,} of {where} {'is' if dead == 1 else 'are'} dead: never above 0 in {seen}."
            else:
                text = f"None of {where} is dead: each is above 0 in at least one of {seen}."
            worst = max(final, key=lambda layer: len(layer.silent) / len(layer.fires))
            if worst.silent:
                share = 100 * len(worst.silent) / len(worst.fires)
                text += f" Most in {worst.address} ({len(worst.silent)} of {len(worst.fires)}, {number(share, 2)} %)."
            if nearly:
                verb = "fires" if nearly == 1 else "fire"
                text += f" {nearly:,} more {verb} in less than {percent(self._threshold)} of them."
            # the rule of three: with 95 % confidence a thing never seen in n trials has a chance below 3/n
            if dead:
                most = percent(min(1.0, 3 / self.total))
                text += f" With so many pictures, a unit that fires in less than {most} of all can pass for dead."
        else:
            text = f"No layer of the {len(self.layers)} shown is before or after a rectifier."
        if constant := sum(len(layer.constant) for layer in self.layers):
            text += f" {count(constant, 'unit')} {'has' if constant == 1 else 'have'} one value everywhere."
        if raw:
            text += (
                f" {count(len(raw), 'layer')} (grey) {'goes' if len(raw) == 1 else 'go'} on with the sign of the "
                "values, to a normalisation or a sum: never above 0 is no death there."
            )
        return text

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawings, ready for JSON."""
        return {
            "pictures_in_atlas": self.total,
            "threshold": self._threshold,
            "layers": [layer.to_dict() for layer in self.layers],
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name: the share in which each unit fires, those of all layers one after another."""
        return {
            "addresses": np.array([layer.address for layer in self.layers]),
            "starts": np.cumsum([0, *(len(layer.fires) for layer in self.layers)]),
            "fires": np.concatenate([layer.fires for layer in self.layers]),
            "death": np.array([layer.final for layer in self.layers]),
        }

    def drawings(self) -> list[Drawing]:
        """Return the chart."""
        made = blank(_WIDTH + 0.2, self._height + 0.2)
        self._draw(inch_axes(made), 0.1, 0.1)
        return [
            Drawing(
                "dead units",
                f"How many units of each layer never fire, and how often they do. {_KEY}",
                rasterised(made),
            )
        ]

    def figure(self) -> Figure:
        """Draw the chart under the words."""
        return under_words(self.recipe.lens, self.caption(), (_WIDTH, self._height), self._draw)

    @property
    def _gates(self) -> dict[object, LayerLife]:
        """The layers in which death can be told; of those with one rectifier the last, for their units are the same."""
        return {(layer.address if layer.gate is None else layer.gate): layer for layer in self.layers if layer.final}

    @property
    def _threshold(self) -> float:
        return self.layers[0].threshold

    @property
    def _height(self) -> float:
        return _ROW * (len(self.layers) + 1) + 0.15

    def _draw(self, axes: Axes, left: float, down: float) -> None:
        columns = np.cumsum([0, _NAME + _GAP, _NEXT + _GAP, _TRACK + _GAP, _COUNTS + _GAP]) + left
        heads = ("layer, from first to last", "what follows", "never fires", "", "fires in ... of the pictures")
        for column, words in zip(columns, heads, strict=True):
            write(axes, column, down, words, size=7.5, colour=GREY, above=False)
        right = columns[4] + _FIRES
        for share in (0, 0.5, 1):
            place = columns[4] + share * _FIRES
            axes.plot([place] * 2, [down + _ROW, down + self._height - 0.1], color=GREY, alpha=0.25, lw=0.5)
        for words, place, align in (("0 %", columns[4], "left"), ("100 %", right, "right")):
            write(axes, place, down + self._height - 0.06, words, size=7, colour=GREY, align=align, above=False)
        write(axes, left, down + self._height - 0.06, _KEY, size=7, colour=GREY, above=False)
        for index, layer in enumerate(self.layers):
            self._draw_row(axes, layer, columns, down + _ROW * (index + 1))

    def _draw_row(self, axes: Axes, layer: LayerLife, columns: NDArray[np.float64], top: float) -> None:
        middle = top + _ROW / 2
        ink = drawing.INK if layer.final else GREY
        write(axes, columns[0], middle, short(layer.address, 34), size=7.5, family=MONOSPACE, colour=ink, centre=True)
        write(axes, columns[1], middle, short(layer.following, 32), size=7.5, colour=GREY, centre=True)
        units = len(layer.fires)
        height = 0.09
        parts = ((1.0, GREY, 0.15), (len(layer.silent) / units, drawing.ACCENT if layer.final else GREY, 1.0))
        for share, colour, opacity in parts:
            width = max(share * _TRACK, 0.02 if share else 0.0)  # one dead unit of a thousand is to be seen
            axes.add_patch(
                Rectangle((columns[2], middle - height / 2), width, height, facecolor=colour, alpha=opacity, lw=0)
            )
        counted = layer.words()
        inks = GREY if counted == "none" or not layer.final else drawing.INK
        write(axes, columns[3], middle, f"{counted} of {units:,}", size=7.5, colour=inks, centre=True)
        draw_spread(axes, layer.fires, columns[4], middle, _FIRES)
