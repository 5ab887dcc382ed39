"""How the loss goes while the learning rate grows, with the rate that it suggests. Draws; trains nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from striate.drawing import ACCENT, INK, PAPER, PARTNER
from striate.results._charts import draw_words, words_height
from striate.results._gallery import GREY, blank
from striate.results._inches import rasterised
from striate.results.base import Json, Result
from striate.results.drawn import Drawing
from striate.results.words import count, number, span

__all__ = ["RateCurve"]

_WIDTH: Final = 7.4  # inches
_HEIGHT: Final = 3.4
_MARGIN: Final = 0.3
_LEFT: Final = 0.75
_WIDEST: Final = 0.025  # of the smoothing, as a share of all steps
_FALL: Final = 0.02  # share of the loss by which it has to fall for a slope to be one


@dataclass(frozen=True, eq=False)
class RateCurve(Result):
    """A learning-rate range test.

    Args:
        rates: learning rate of each step, (T,), growing.
        losses: training loss of each step, before it was taken, (T,); the last may be no number.
        ended: "rates" (all were tried), "diverged" (the loss grew to several times its least) or "not finite".
        optimizer: its name.
        planned: steps that there would have been.

    Source: Smith 2015, arXiv:1506.01186, section 3.3.
    """

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    ended: Literal["rates", "diverged", "not finite"]
    optimizer: str
    planned: int

    by_picture = False

    def __len__(self) -> int:
        return len(self.rates)

    @cached_property
    def smoothed(self) -> NDArray[np.float64]:
        """The losses, averaged over neighbouring steps on both sides, so that no place moves: (T,)."""
        width = max(1.0, _WIDEST * self.planned)
        steps = np.arange(len(self))
        weights = np.exp(-0.5 * ((steps[:, None] - steps[None]) / width) ** 2)  # (T, T)
        finite = np.isfinite(self.losses)
        weights = weights * finite
        return np.asarray(weights @ np.where(finite, self.losses, 0.0) / np.maximum(weights.sum(1), 1e-300))

    @cached_property
    def lowest(self) -> int:
        """The step at which the smoothed loss is least."""
        return int(np.argmin(self.smoothed))

    @cached_property
    def steepest(self) -> int | None:
        """The step before the lowest at which the smoothed loss falls fastest; None where it never falls."""
        curve = self.smoothed[: self.lowest + 1]
        if len(curve) < 3 or not float(curve.max() - curve[-1]) > _FALL * abs(float(curve[0])):
            return None
        return int(np.argmin(np.gradient(curve, np.log(self.rates[: self.lowest + 1]))))

    @property
    def suggestion(self) -> float | None:
        """The rate at which the loss falls fastest; None where it never falls."""
        return None if self.steepest is None else float(self.rates[self.steepest])

    @property
    def careful(self) -> float | None:
        """Another rule: a tenth of the rate at which the loss is least; None where it never falls."""
        return None if self.steepest is None else float(self.rates[self.lowest] / 10)

    def caption(self) -> str:
        """Say what the test says, and how to read the curve."""
        tried = f"{count(len(self), 'step')} of {self.optimizer} with rates from {span(*self._ends())}"
        last = number(self._ends()[1], 2)
        end = {
            "rates": "",
            "diverged": f" At {last} it has diverged: the test ends there.",
            "not finite": f" At {last} the loss is no number any more: the test ends there.",
        }[self.ended]
        if self.suggestion is None or self.careful is None:
            return (
                f"{tried}: the loss never falls, so no rate is suggested.{end} Look for labels that do not belong to "
                "the pictures, weights that are trained already, or a range of rates that is too low."
            )
        return (
            f"{tried}. The loss falls fastest at a rate of {number(self.suggestion, 2)}: a good rate to start with. "
            f"Another rule, a tenth of where it is least, says {number(self.careful, 2)}.{end}"
        )

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawing, ready for JSON."""
        return {
            "optimizer": self.optimizer,
            "suggestion": self.suggestion,
            "careful": self.careful,
            "ended": self.ended,
            "planned": self.planned,
            "rates": self.rates.tolist(),
            "losses": self.losses.tolist(),
            "smoothed": self.smoothed.tolist(),
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name."""
        return {"rates": self.rates, "losses": self.losses, "smoothed": self.smoothed}

    def drawings(self) -> list[Drawing]:
        """Return the curve."""
        made = blank(_WIDTH, _HEIGHT + 0.75)
        self._draw(made, 0.35)
        return [Drawing("loss over rate", self.caption(), rasterised(made))]

    def figure(self) -> Figure:
        """Draw the curve with the suggestion marked."""
        head = _MARGIN + words_height(self.caption(), _WIDTH - 2 * _MARGIN) + 0.2
        made = blank(_WIDTH, head + _HEIGHT + 0.6)
        draw_words(made, _MARGIN, _MARGIN, "learning rate", self.caption())
        self._draw(made, head)
        return made

    def _ends(self) -> tuple[float, float]:
        return float(self.rates[0]), float(self.rates[-1])

    def _draw(self, figure: Figure, down: float) -> None:
        """Draw the chart, its frame beginning so many inches from the top."""
        width, height = figure.get_size_inches()
        at = (_LEFT / width, 1 - (down + _HEIGHT) / height, (width - _LEFT - _MARGIN) / width, _HEIGHT / height)
        axes = figure.add_axes(at, facecolor=PAPER)
        axes.set_xscale("log")
        axes.plot(self.rates, self.losses, color=GREY, lw=0.8, alpha=0.55)
        axes.plot(self.rates, self.smoothed, color=INK, lw=1.6)
        low, high = self._heights()
        axes.set_ylim(low, high)
        axes.set_xlim(*(self._ends() if len(self) > 1 else (self.rates[0] / 2, self.rates[0] * 2)))
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
        for side in ("left", "bottom"):
            axes.spines[side].set_color("#c4c4c2")
        axes.tick_params(which="both", labelsize=7.5, colors=GREY, length=2.5, width=0.6)
        axes.minorticks_off()
        axes.grid(visible=True, color="#e6e6e3", lw=0.6)
        axes.set_axisbelow(True)
        axes.set_xlabel("learning rate", fontsize=7.5, color=GREY)
        axes.set_ylabel("training loss", fontsize=7.5, color=GREY)
        if self.steepest is not None and self.careful is not None:
            first = float(self.rates[self.steepest]) <= self.careful
            words = f"falls fastest: {number(float(self.rates[self.steepest]), 2)}"
            self._mark(axes, self.steepest, ACCENT, words, left=first)
            nearest = int(np.argmin(np.abs(np.log(self.rates / self.careful))))
            if self.rates[0] <= self.careful <= self.rates[-1]:
                words = f"a tenth of the least: {number(self.careful, 2)}"
                self._mark(axes, nearest, PARTNER, words, left=not first, below=True)

    def _heights(self) -> tuple[float, float]:
        """Return what of the losses is shown: from the least to a little above where they start."""
        finite = self.losses[np.isfinite(self.losses)]
        if not finite.size:
            return 0.0, 1.0
        low = float(min(finite.min(), self.smoothed.min()))
        start = float(np.max(finite[: max(1, len(finite) // 4)]))
        high = min(float(finite.max()), start + 0.6 * max(start - low, 0.1 * abs(start)))
        room = 0.06 * max(high - low, 1e-9 + 1e-3 * abs(high))
        return low - room, high + room

    def _mark(self, axes: Axes, step: int, colour: str, words: str, *, left: bool, below: bool = False) -> None:
        """Mark a step on the curve, and say beside it what it is: to the left of it, where there is room, or right."""
        rate, loss = float(self.rates[step]), float(self.smoothed[step])
        axes.axvline(rate, color=colour, lw=1.0, ls=(0, (4, 2)), zorder=1)
        axes.plot([rate], [loss], marker="o", ms=7, color=colour, mec=PAPER, mew=1.2, zorder=5)
        share = math.log(rate / self.rates[0]) / math.log(self.rates[-1] / self.rates[0])
        right = share > 0.3 if left else share > 0.7
        axes.annotate(
            words,
            (rate, 0.03 if below else 0.97),
            xycoords=("data", "axes fraction"),
            xytext=(-6 if right else 6, 0),
            textcoords="offset points",
            ha="right" if right else "left",
            va="bottom" if below else "top",
            fontsize=8,
            color=colour,
            parse_math=False,
            bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 1.5},
        )
