"""The mean over dropout masks against the scaled network, as curves and rows. Runs no network."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray
from torch import Tensor

from striate import drawing
from striate.results._gallery import GREY, blank, text
from striate.results._inches import draw_image, inch_axes, rasterised, write
from striate.results._lives import draw_spread
from striate.results.base import Json, Result
from striate.results.drawn import Drawing, Pixels
from striate.results.words import count, number, probability

__all__ = ["DropoutEnsemble"]

_MARGIN: Final = 0.3
_CHART: Final = (4.6, 2.9)  # width and height of the curves, inches
_GAP: Final = 0.9
_ROW: Final = 0.42
_SIDE: Final = 0.36  # of a picture in a row
_NAME: Final = 1.7
_TRACK: Final = 2.6
_SAYS: Final = 1.5
_ROWS_WIDTH: Final = _SIDE + 0.1 + _NAME + _TRACK + 0.15 + _SAYS
_LETTERS: Final = 14.5  # of 8.5 points that fit in an inch
_MOST: Final = 24  # pictures drawn


@dataclass(frozen=True, eq=False)
class DropoutEnsemble(Result):
    """What N pictures give with M masks each, and without.

    Args:
        scaled: logits of the network as it is used, (N, K).
        drawn: logits with each mask, (N, M, K).
        classes: names of the K classes.
        layers: how many dropout layers there are.
        shares: of units that they drop, each different one once.
        pictures: uint8, (N, H, W, 3).
        seed: of the masks.
    """

    scaled: Tensor
    drawn: Tensor
    classes: tuple[str, ...]
    layers: int
    shares: tuple[float, ...]
    pictures: Pixels
    seed: int
    by_picture: ClassVar[bool] = False

    def __len__(self) -> int:
        return len(self.scaled)

    @property
    def masks(self) -> int:
        """M."""
        return int(self.drawn.shape[1])

    @cached_property
    def _logits(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return self.scaled.double().numpy(), self.drawn.double().numpy()

    @cached_property
    def spread(self) -> NDArray[np.float64]:
        """How far one mask's logits lie from the mean of all masks, root mean square, (N,)."""
        _, drawn = self._logits
        off = drawn - drawn.mean(1, keepdims=True)
        return np.asarray(np.sqrt((off**2).sum((1, 2)) / (self.masks - 1)))

    @property
    def counts(self) -> list[int]:
        """Numbers of masks that are averaged in `distances`: 1, 2, 4, ... and all."""
        return sorted({*(2**power for power in range(self.masks.bit_length()) if 2**power <= self.masks), self.masks})

    @cached_property
    def distances(self) -> NDArray[np.float64]:
        """How far the mean of so many masks lies from the scaled network, in spreads of one mask, (N, len(counts)).

        Root mean square over as many separate groups of masks as there are.
        """
        scaled, drawn = self._logits
        found = []
        for size in self.counts:
            groups = self.masks // size
            means = drawn[:, : groups * size].reshape(len(self), groups, size, -1).mean(2)
            found.append(np.sqrt(((means - scaled[:, None]) ** 2).sum(2).mean(1)))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.stack(found, 1) / self.spread[:, None])

    @cached_property
    def left(self) -> NDArray[np.float64]:
        """What would be left of the distance with masks without number, in spreads of one mask, (N,)."""
        scaled, drawn = self._logits
        square = ((drawn.mean(1) - scaled) ** 2).sum(1) - self.spread**2 / self.masks
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.sqrt(np.maximum(square, 0)) / self.spread)

    @cached_property
    def probabilities(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Probability of each picture's top class (of the scaled network): without masks (N,), with each (N, M)."""
        scaled, drawn = (np.exp(values - values.max(-1, keepdims=True)) for values in self._logits)
        scaled, drawn = (values / values.sum(-1, keepdims=True) for values in (scaled, drawn))
        at = np.arange(len(self))
        return scaled[at, self.tops], np.asarray(drawn.transpose(0, 2, 1)[at, self.tops])

    @property
    def tops(self) -> NDArray[np.int64]:
        """Class that the scaled network sees in each picture, (N,)."""
        return np.asarray(self.scaled.argmax(1).numpy())

    def caption(self) -> str:
        """Say how near the mean over masks comes to the scaled network."""
        where = f"{count(self.layers, 'dropout layer')}" if self.layers else "What is drawn by lot"
        if self.shares:
            where += f" (a share of {', '.join(number(share) for share in self.shares)})"
        first, last = (float(np.nanmean(self.distances[:, at])) for at in (0, -1))
        words = (
            f"{where}, {count(len(self), 'picture')}, {self.masks} masks each (seed {self.seed}). In spreads (how far "
            f"the masks lie from their own mean), one mask's logits lie {number(first, 2)} from those of the scaled "
            f"network, the mean of {self.masks} lies {number(last, 2)}; by chance alone it would be "
            f"{number(1 / np.sqrt(self.masks), 2)}."
        )
        left = float(np.nanmean(self.left))
        if left < 1.5 / np.sqrt(self.masks):  # no more than chance would leave
            words += " So the scaled network is their mean, as far as so many masks can tell."
        else:
            words += (
                f" {number(left, 2)} would be left with any number of masks: what follows the dropout is not linear, "
                "so the scaled network is near their mean, not equal to it."
            )
        return words

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawings, ready for JSON."""
        plain, masked = self.probabilities
        return {
            "masks": self.masks,
            "seed": self.seed,
            "dropout_layers": self.layers,
            "shares": list(self.shares),
            "counts": self.counts,
            "pictures": [
                {
                    "class": self.classes[self.tops[index]],
                    "class_index": int(self.tops[index]),
                    "probability_scaled": float(plain[index]),
                    "probability_mean": float(masked[index].mean()),
                    "probability_masks": masked[index].tolist(),
                    "spread": float(self.spread[index]),
                    "distances": self.distances[index].tolist(),
                    "left": float(self.left[index]),
                }
                for index in range(len(self))
            ],
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name."""
        return {
            "scaled": self.scaled.numpy(),
            "drawn": self.drawn.numpy(),
            "counts": np.array(self.counts),
            "distances": self.distances,
        }

    def drawings(self) -> list[Drawing]:
        """Return the curves of the distance, and the probabilities of each picture."""
        curves = blank(_CHART[0] + 0.9, _CHART[1] + 1.1)
        self._draw_curves(curves, 0.6, 0.45)
        rows = blank(_ROWS_WIDTH + 0.2, self._rows_height + 0.2)
        self._draw_rows(inch_axes(rows), 0.1, 0.1)
        plain, masked = self.probabilities
        says = "; ".join(
            f"{self.classes[self.tops[index]]} {probability(masked[index].mean())} against {probability(plain[index])}"
            for index in range(min(len(self), 4))
        )
        return [
            Drawing(
                "distance",
                "How far the mean over masks lies from the scaled network, by how many are averaged: each picture "
                "thin, their mean thick, and what chance alone would leave.",
                rasterised(curves),
            ),
            Drawing(
                "probabilities",
                f"Probability of each picture's class with each mask: mean over masks against scaled network: {says}.",
                rasterised(rows),
            ),
        ]

    def figure(self) -> Figure:
        """Draw both under the words."""
        width = 2 * _MARGIN + 0.5 + _CHART[0] + _GAP + _ROWS_WIDTH
        lines = textwrap.wrap(self.caption(), round((width - 2 * _MARGIN) * _LETTERS))
        head = 0.35 + len(lines) * 0.165 + 0.3
        made = blank(width, head + max(_CHART[1] + 0.8, self._rows_height) + 2 * _MARGIN)
        axes = inch_axes(made)
        write(axes, _MARGIN, _MARGIN, self.recipe.lens, size=13, weight="bold", above=False)
        for index, line in enumerate(lines):
            write(axes, _MARGIN, _MARGIN + 0.35 + index * 0.165, line, size=8.5, above=False)
        self._draw_curves(made, _MARGIN + 0.5, _MARGIN + head + 0.3)
        self._draw_rows(axes, _MARGIN + 0.5 + _CHART[0] + _GAP, _MARGIN + head)
        return made

    @property
    def _rows_height(self) -> float:
        return 0.3 + _ROW * min(len(self), _MOST) + 0.5

    def _draw_curves(self, made: Figure, left: float, down: float) -> None:
        width, height = made.get_size_inches()
        axes = made.add_axes(
            (left / width, 1 - (down + _CHART[1]) / height, _CHART[0] / width, _CHART[1] / height), facecolor="none"
        )
        counts = np.array(self.counts)
        for row in self.distances[:_MOST]:
            axes.plot(counts, row, color=drawing.PARTNER, lw=0.8, alpha=0.35)
        axes.plot(counts, np.nanmean(self.distances, 0), color=drawing.PARTNER, lw=2.2, marker="o", ms=3.5)
        axes.plot(counts, 1 / np.sqrt(counts), color=drawing.INK, lw=1, ls=(0, (4, 2)))
        at = len(counts) // 2
        place = (counts[at], 0.85 / np.sqrt(counts[at]))
        axes.text(*place, "by chance: 1 / √masks", ha="right", va="top", fontsize=7.5, color=GREY)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(counts, [str(one) for one in counts])
        axes.xaxis.set_minor_locator(NullLocator())
        _plain_ticks(axes)
        axes.grid(axis="y", color=GREY, alpha=0.25, linewidth=0.5)
        axes.tick_params(which="both", length=0, labelsize=7.5, labelcolor=GREY)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        axes.spines["bottom"].set_color(GREY)
        title = "Distance of the mean over masks from the scaled network, in spreads"
        text(made, left - 0.5, down - 0.3, title, size=8.5, weight="bold")
        axes.set_xlabel("masks averaged", fontsize=7.5, color=GREY, loc="right")

    def _draw_rows(self, axes: Axes, left: float, down: float) -> None:
        plain, masked = self.probabilities
        track = left + _SIDE + 0.1 + _NAME
        write(axes, left, down, "Probability of its class, mask by mask", size=8.5, weight="bold", above=False)
        bottom = down + 0.3 + _ROW * min(len(self), _MOST)
        for share in (0, 0.5, 1):
            place = track + share * _TRACK
            axes.plot([place] * 2, [down + 0.3, bottom], color=GREY, alpha=0.25, lw=0.5)
            write(axes, place, bottom + 0.05, number(share), size=7, colour=GREY, align="center", above=False)
        key = "Thin: all masks; thick: the inner 80 %; dot: the mean; stroke: the scaled network."
        key += f" The first {_MOST} of {len(self)}." if len(self) > _MOST else ""
        write(axes, left, bottom + 0.22, key, size=7, colour=GREY, above=False)
        for index in range(min(len(self), _MOST)):
            top = down + 0.3 + _ROW * index
            middle = top + _ROW / 2
            picture = self.pictures[index]
            height = _SIDE * min(1.0, picture.shape[0] / picture.shape[1])
            draw_image(axes, picture, left, middle - height / 2, height, smooth=max(picture.shape) > 64)
            name = self.classes[self.tops[index]]
            write(axes, left + _SIDE + 0.1, middle, name if len(name) < 24 else f"{name[:22]}…", size=7.5, centre=True)
            draw_spread(axes, masked[index], track, middle, _TRACK, dot=float(masked[index].mean()))
            place = track + plain[index] * _TRACK
            axes.plot([place] * 2, [middle - 0.12, middle + 0.12], color=drawing.ACCENT, lw=2, zorder=6)
            says = f"{probability(masked[index].mean())}, scaled {probability(plain[index])}"
            write(axes, track + _TRACK + 0.15, middle, says, size=7.5, colour=GREY, centre=True)


def _plain_ticks(axes: Axes) -> None:
    """Mark 1, 2 and 5 of each power of ten that is in view, in plain figures."""
    low, high = axes.get_ylim()
    ticks = [value * 10.0**power for power in range(-6, 4) for value in (1, 2, 5) if low <= value * 10.0**power <= high]
    axes.set_yticks(ticks, [number(one) for one in ticks])
    axes.yaxis.set_minor_locator(NullLocator())
