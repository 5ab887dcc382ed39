"""Learning curves of one training or several: loss and accuracy by epoch, and what they say. Draws; trains nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from striate import drawing
from striate.results._charts import draw_words, short_name, words_height
from striate.results._gallery import GREY, blank, text
from striate.results._inches import rasterised
from striate.results._placing import axes_at
from striate.results.base import Json, Result
from striate.results.course import Curve, Numbers, Verdict, percent, read_history
from striate.results.drawn import Drawing
from striate.results.words import count, number

__all__ = ["Curve", "LearningCurves", "Verdict", "read_history"]

_EDGE: Final = 0.3  # inches
_WIDTH: Final = 9.0
_TALL: Final = 2.7
_RATE: Final = 0.55
_LEGEND: Final = 0.19
_LOGARITHMIC: Final = 30.0  # ends of the losses further apart than this need a logarithmic axis
_OTHERS: Final = (*drawing.OKABE_ITO[5:], *drawing.OKABE_ITO[:4])  # of several runs; yellow is swallowed by paper


@dataclass(frozen=True, eq=False)
class LearningCurves(Result):
    """Loss and accuracy by epoch, of one training or of several to be compared.

    Args:
        curves: one for each training.
    """

    curves: tuple[Curve, ...]

    by_picture = False

    def __len__(self) -> int:
        return len(self.curves)

    def caption(self) -> str:
        """Say what the curves mean."""
        return " ".join(self.sentence(one) for one in self.curves)

    def sentence(self, one: Curve) -> str:
        """Say what one curve means; of several by its name."""
        words = f"{self._best(one)} {one.verdict().words}".strip()
        return words if len(self) == 1 else f"{one.name}: {words[:1].lower()}{words[1:]}"

    def _best(self, one: Curve) -> str:
        """Say which epoch was kept, and how good it is."""
        if one.best is None or not (place := np.flatnonzero(one.epochs == one.best)).size:
            return ""
        where = int(place[0])
        if math.isfinite(one.validation_accuracy[where]):
            good = f"validation accuracy {percent(one.validation_accuracy[where])}"
            good += f", loss {number(one.validation_loss[where])}"
        else:
            good = f"training loss {number(one.train_loss[where])}"
        return f"Best of {count(len(one), 'epoch')} is epoch {one.best}: {good}."

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawing, ready for JSON."""
        found: list[Json] = []
        for one in self.curves:
            verdict = one.verdict()
            found.append(
                {
                    "name": one.name,
                    "best": one.best,
                    "verdict": {"kind": verdict.kind, "words": verdict.words, "since": verdict.since},
                    **{key: values.tolist() for key, values in _columns(one).items()},
                }
            )
        return {"curves": found}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name; of several trainings with their number in front."""
        if len(self) == 1:
            return _columns(self.curves[0])
        return {
            f"{place}_{key}": values for place, one in enumerate(self.curves) for key, values in _columns(one).items()
        }

    def drawings(self) -> list[Drawing]:
        """Return the curves as one drawing."""
        figure = blank(_WIDTH, self._height + 0.2)
        self._draw(figure, 0.1)
        return [Drawing("learning curves", self.caption(), rasterised(figure))]

    def figure(self) -> Figure:
        """Draw loss and accuracy side by side, the learning rate below."""
        caption = self.caption()
        top = _EDGE + words_height(caption, _WIDTH - 2 * _EDGE) + 0.15
        figure = blank(_WIDTH, top + self._height + _EDGE)
        draw_words(figure, _EDGE, _EDGE, "learning curves", caption)
        self._draw(figure, top)
        return figure

    # --- drawing

    @property
    def _height(self) -> float:
        lines = 1 if len(self) == 1 else 1 + len(self)
        return lines * _LEGEND + 0.45 + _TALL + 0.35 + (0.3 + _RATE + 0.1 if self._rates else 0)

    @property
    def _rates(self) -> bool:
        """Whether the learning rate is worth drawing: it changes."""
        return any(len(one) > 1 and np.nanmax(one.rate) > np.nanmin(one.rate) for one in self.curves)

    def _colours(self, place: int) -> tuple[str, str]:
        """Return the colours of training and validation."""
        if len(self) == 1:
            return drawing.PARTNER, drawing.ACCENT
        colour = _OTHERS[place % len(_OTHERS)]
        return colour, colour

    def _draw(self, figure: Figure, top: float) -> None:
        down = self._legend(figure, top) + 0.45
        wide = (_WIDTH - 2 * _EDGE - 0.45 - 0.75) / 2
        lefts = (_EDGE + 0.45, _EDGE + 0.45 + wide + 0.75)
        for left, title, keys in (
            (lefts[0], "loss, nats", ("train_loss", "validation_loss")),
            (lefts[1], "accuracy", ("train_accuracy", "validation_accuracy")),
        ):
            axes = axes_at(figure, left, down, wide, _TALL)
            for place, one in enumerate(self.curves):
                self._lines(axes, one, place, keys)
            self._scale(axes, keys)
            _plain(axes, counted=max(int(one.epochs[-1]) for one in self.curves))
            text(figure, left, down - 0.24, title, size=8.5, weight="bold")
            if not self._rates:
                text(figure, left + wide, down + _TALL + 0.24, "epoch", size=7.5, colour=GREY, align="right")
        if self._rates:
            below = down + _TALL + 0.6
            for left in lefts[:1]:
                axes = axes_at(figure, left, below, wide, _RATE)
                for place, one in enumerate(self.curves):
                    axes.plot(one.epochs, one.rate, color=GREY if len(self) == 1 else self._colours(place)[0], lw=1.2)
                _plain(axes, counted=max(int(one.epochs[-1]) for one in self.curves))
                highest = max(float(np.nanmax(one.rate)) for one in self.curves)
                axes.set_ylim(0, 1.05 * highest)
                axes.set_yticks([0, highest], ["0", number(highest, 2)])
                text(figure, left, below - 0.2, "learning rate", size=7.5, colour=GREY)
                text(figure, left + wide, below + _RATE + 0.22, "epoch", size=7.5, colour=GREY, align="right")
            text(figure, lefts[1] + wide, down + _TALL + 0.24, "epoch", size=7.5, colour=GREY, align="right")

    def _lines(self, axes: Axes, one: Curve, place: int, keys: tuple[str, str]) -> None:
        """Draw training dashed, validation whole, and mark the best epoch."""
        for key, colour, dash in zip(keys, self._colours(place), ((0, (4, 2)), "solid"), strict=True):
            values: Numbers = getattr(one, key)
            there = np.flatnonzero(np.isfinite(values))
            marker = "o" if len(there) <= 12 else ""
            axes.plot(
                one.epochs[there], values[there], color=colour, linestyle=dash, linewidth=1.4, marker=marker, ms=3
            )
        if one.best is None:
            return
        where = np.flatnonzero(one.epochs == one.best)
        held: Numbers = getattr(one, keys[1])
        if not np.isfinite(held[where]).all():
            held = getattr(one, keys[0])
        if len(self) == 1:
            axes.axvline(one.best, color=GREY, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
        axes.plot(
            one.epochs[where],
            held[where],
            marker="o",
            ms=7,
            mfc="none",
            mec=self._colours(place)[1],
            mew=1.6,
            zorder=5,
            clip_on=False,
        )

    def _scale(self, axes: Axes, keys: tuple[str, str]) -> None:
        """Choose the ends of the vertical axis."""
        values = np.concatenate([getattr(one, key) for one in self.curves for key in keys])
        values = values[np.isfinite(values)]
        if not len(values):
            return
        low, high = float(values.min()), float(values.max())
        if keys[0] == "train_loss" and low > 0 and high / low > _LOGARITHMIC:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high / low < 1e4 else (1.0,)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
            axes.yaxis.set_minor_formatter(NullFormatter())
            return
        margin = 0.05 * (high - low) or 0.05
        least = low - margin if low < 0 else max(low - margin, 0)
        axes.set_ylim(least, high + margin if keys[0] == "train_loss" else min(high + margin, 1.005))

    def _legend(self, figure: Figure, top: float) -> float:
        """Say which line is which, and return where that ends."""
        rows: list[tuple[str, str, Any, str]] = []
        if len(self) == 1:
            colours = self._colours(0)
        else:
            colours = GREY, GREY
        rows.append(("training", colours[0], (0, (4, 2)), ""))
        if any(len(one.validated) for one in self.curves):
            rows.append(("validation", colours[1], "solid", ""))
        if any(one.best is not None for one in self.curves):
            rows.append(("best epoch, whose weights are kept", colours[1], "none", "o"))
        left = _EDGE
        for words, colour, dash, marker in rows:
            _swatch(figure, left, top, colour, dash, marker)
            text(figure, left + 0.36, top, words, size=7.5, colour=GREY)
            left += 0.36 + 0.062 * len(words) + 0.3
        if len(self) > 1:
            for place, one in enumerate(self.curves):
                down = top + (place + 1) * _LEGEND
                _swatch(figure, _EDGE, down, self._colours(place)[0], "solid", "")
                text(figure, _EDGE + 0.36, down, short_name(one.name, 100), size=7.5)
            return top + (1 + len(self)) * _LEGEND
        return top + _LEGEND


def _columns(one: Curve) -> dict[str, NDArray[Any]]:
    keys = ("epochs", "rate", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
    return {key: getattr(one, key) for key in keys}


def _plain(axes: Axes, *, counted: int) -> None:
    """Take away what a chart does not need; epochs are whole numbers."""
    axes.set_axis_on()
    axes.set_facecolor("none")
    axes.grid(axis="y", color=GREY, alpha=0.25, linewidth=0.5)
    axes.tick_params(length=0, which="both", labelsize=7.5, labelcolor=GREY)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True, min_n_ticks=1))
    axes.set_xlim(0.5 if counted < 12 else 0, counted + (0.5 if counted < 12 else 0.02 * counted))
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GREY)


def _swatch(figure: Figure, left: float, top: float, colour: str, dash: Any, marker: str) -> None:
    axes = axes_at(figure, left, top + 0.02, 0.28, 0.1)
    axes.plot([0, 1], [0, 0], color=colour, linestyle=dash, linewidth=1.6)
    if marker:
        axes.plot([0.5], [0], marker=marker, ms=6, mfc="none", mec=colour, mew=1.4, linestyle="none")
    axes.set_axis_off()
