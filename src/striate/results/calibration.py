"""How far a network's probabilities can be taken at their word. Draws it; runs no network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from striate import drawing
from striate.results._charts import draw_words, words_height
from striate.results._gallery import GREY, blank
from striate.results._inches import inch_axes, rasterised, write
from striate.results.base import Json, Result
from striate.results.drawn import Drawing
from striate.results.words import count, number

__all__ = ["BINS", "FEW", "Bin", "Calibration", "interval"]

BINS: Final = 15  # as in the paper
_EDGE: Final = 0.3  # inches
_WIDTH: Final = 9.0
_SIDE: Final = 4.2
_LOW: Final = 0.9  # height of the histogram
_SPREAD: Final = 1.96  # standard errors: what chance leaves in 95 of 100 cases
_LEVEL: Final = 0.95
FEW: Final = 20  # pictures in a bin that say little


class Bin(NamedTuple):
    """Pictures whose confidence lies between two values.

    Args:
        low: confidence of the bin's lower end, left out of it.
        high: of its upper end, in it.
        pictures: how many; the rest is not a number where there are none.
        confidence: their mean confidence.
        right: share of them that the network is right about.
    """

    low: float
    high: float
    pictures: int
    confidence: float
    right: float


@dataclass(frozen=True, eq=False)
class Calibration(Result):
    """Confidences of M pictures, and how often the network is right.

    Of the pictures that it is 70 % sure of, a calibrated network is right about 70 %. The expected calibration error
    is the mean distance from that, over bins of confidence. It is never 0, because of chance; so what a calibrated
    network with the same confidences would show is given beside it.

    Args:
        confidences: (M,): probability of the class that the network says.
        right: (M,), bool.
        loss: mean cross-entropy, nats.
        brier: mean squared distance of the probabilities from what is so, from 0 to 2.

    Source: Guo et al. 2017, arXiv:1706.04599, section 2 (equations 2 to 5); adaptive bins: Nguyen and O'Connor 2015,
    arXiv:1508.05154, section 3.1.
    """

    confidences: NDArray[np.float32]
    right: NDArray[np.bool_]
    loss: float = float("nan")
    brier: float = float("nan")

    by_picture = False

    def __len__(self) -> int:
        return len(self.confidences)

    # --- figures

    @property
    def confidence(self) -> float:
        """Mean confidence; not a number without pictures."""
        return float(self.confidences.mean(dtype=np.float64)) if len(self) else math.nan

    @property
    def accuracy(self) -> float:
        """Share of pictures that the network is right about; not a number without pictures."""
        return float(self.right.mean()) if len(self) else math.nan

    def bins(self, many: int = BINS) -> list[Bin]:
        """Return bins of equal width from 0 to 1, the empty ones too.

        Args:
            many: how many bins.
        """
        # the upper end belongs to the bin, as in the paper; ends in float64, for 0.2 as float32 lies above 0.2
        places = np.ceil(self.confidences.astype(np.float64) * many - 1e-6).astype(np.int64) - 1
        places = np.clip(places, 0, many - 1)
        return [self._bin(np.flatnonzero(places == one), one / many, (one + 1) / many) for one in range(many)]

    def adaptive_bins(self, many: int = BINS) -> list[Bin]:
        """Return bins with equally many pictures, as far as that goes; fewer where there are fewer pictures.

        Args:
            many: how many bins.
        """
        order = np.argsort(self.confidences, kind="stable")
        pieces = [one for one in np.array_split(order, min(many, len(order))) if len(one)] if len(order) else []
        ends = [0.0, *(float(self.confidences[one[-1]]) for one in pieces[:-1]), 1.0]
        return [self._bin(one, ends[place], ends[place + 1]) for place, one in enumerate(pieces)]

    def _bin(self, rows: NDArray[np.int64], low: float, high: float) -> Bin:
        if not len(rows):
            return Bin(low, high, 0, math.nan, math.nan)
        confidence = float(self.confidences[rows].mean(dtype=np.float64))
        return Bin(low, high, len(rows), confidence, float(self.right[rows].mean()))

    @property
    def ece(self) -> float:
        """Expected calibration error over 15 bins of equal width, from 0 to 1."""
        return self._error(self.bins())

    @property
    def adaptive_ece(self) -> float:
        """The same over 15 bins of equally many pictures."""
        return self._error(self.adaptive_bins())

    @property
    def largest_error(self) -> float:
        """The largest distance between confidence and share of right answers in a bin of equal width."""
        there = [abs(one.confidence - one.right) for one in self.bins() if one.pictures]
        return max(there, default=math.nan)

    def _error(self, bins: list[Bin]) -> float:
        if not len(self):
            return math.nan
        return sum(one.pictures * abs(one.confidence - one.right) for one in bins if one.pictures) / len(self)

    @property
    def chance_ece(self) -> float:
        """What `ece` would be about if the network were perfectly calibrated, with the same confidences.

        In each bin the number of right answers would then be a sum of coin tosses with those confidences. Its
        distance from what is expected is nearly that of a normal variable: sqrt(2 v / pi), v being its variance.
        """
        if not len(self):
            return math.nan
        sure = self.confidences.astype(np.float64)
        places = np.clip(np.ceil(sure * BINS - 1e-6).astype(np.int64) - 1, 0, BINS - 1)
        variances = np.bincount(places, weights=sure * (1 - sure), minlength=BINS)
        return float(np.sqrt(2 / math.pi * np.maximum(variances, 0)).sum() / len(self))

    @property
    def surplus(self) -> float:
        """Mean confidence less share of right answers, in standard errors of a calibrated network; 0 without any."""
        sure = self.confidences.astype(np.float64)
        variance = float((sure * (1 - sure)).sum())
        difference = float(sure.sum() - self.right.sum())
        if variance <= 0:
            return math.copysign(math.inf, difference) if abs(difference) > 0.5 else 0.0
        return difference / math.sqrt(variance)

    # --- as a result

    def sentence(self) -> str:
        """Say how far the network is as sure as it is right: "It is too sure of itself: ..."."""
        if not len(self):
            return "No picture's class is known, so nothing is to be said of how sure it is."
        sure, right = f"{100 * self.confidence:.1f} %", f"{100 * self.accuracy:.1f} %"
        facts = f"it is {sure} sure on average and right about {right}"
        if self.surplus > _SPREAD:
            verdict = f"It is surer than it is right: {facts}."
        elif self.surplus < -_SPREAD:
            verdict = f"It is less sure than it is right: {facts}."
        else:
            verdict = f"On average it is as sure as it is right, within chance: {facts}."
        chance = f"{self.chance_ece:.3f}"
        return f"{verdict} Expected calibration error {self.ece:.3f}; chance alone gives about {chance}."

    def caption(self) -> str:
        """Say what is shown."""
        text = self.sentence()
        if len(self):
            text += f" With bins of equally many pictures it is {self.adaptive_ece:.3f}."
            text += f" Brier score {number(self.brier)}, cross-entropy {number(self.loss)} nats."
        return text

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawing, ready for JSON."""
        return {
            "pictures": len(self),
            "confidence": self.confidence,
            "accuracy": self.accuracy,
            "ece": self.ece,
            "adaptive_ece": self.adaptive_ece,
            "chance_ece": self.chance_ece,
            "largest_error": self.largest_error,
            "surplus": self.surplus,
            "brier": self.brier,
            "loss": self.loss,
            "bins": [one._asdict() for one in self.bins()],
            "adaptive_bins": [one._asdict() for one in self.adaptive_bins()],
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name."""
        return {"confidences": self.confidences, "right": self.right}

    def drawings(self) -> list[Drawing]:
        """Return the reliability diagram as one drawing."""
        figure = blank(_WIDTH, self._height + 0.2)
        self._draw(inch_axes(figure), 0.1)
        return [Drawing("calibration", self.caption(), rasterised(figure))]

    def figure(self) -> Figure:
        """Draw the reliability diagram, and below it how many pictures are in each bin."""
        caption = self.caption()
        top = _EDGE + words_height(caption, _WIDTH - 2 * _EDGE) + 0.3
        figure = blank(_WIDTH, top + self._height + _EDGE)
        draw_words(figure, _EDGE, _EDGE, "calibration", caption)
        self._draw(inch_axes(figure), top)
        return figure

    @property
    def _height(self) -> float:
        return _SIDE + 0.35 + _LOW + 0.45

    def _draw(self, axes: Axes, top: float) -> None:
        left, bottom = _EDGE + 0.5, top + _SIDE
        bins = [one for one in self.bins() if one.pictures]
        _frame(axes, left, top, _SIDE, _SIDE)
        axes.plot([left, left + _SIDE], [bottom, top], color=GREY, linewidth=0.8, linestyle=(0, (4, 3)), zorder=3)
        for one in bins:
            self._draw_bin(axes, one, left, bottom)
        for value in (0, 0.25, 0.5, 0.75, 1):
            words = f"{value:g}"
            write(axes, left - 0.08, bottom - value * _SIDE, words, size=7.5, colour=GREY, align="right", centre=True)
        write(axes, left, top - 0.1, "share that is right", size=8, weight="bold")
        low = bottom + 0.3
        _frame(axes, left, low, _SIDE, _LOW)
        most = max((one.pictures for one in bins), default=1)
        for one in bins:
            height = _LOW * math.sqrt(one.pictures / most)  # so that a few beside thousands are seen
            width = (one.high - one.low) * _SIDE
            axes.add_patch(
                Rectangle(
                    (left + one.low * _SIDE + 0.01, low + _LOW - height),
                    width - 0.02,
                    height,
                    facecolor="#b9b9bd",
                    zorder=2,
                )
            )
        write(axes, left - 0.08, low, f"{most:,}", size=7.5, colour=GREY, align="right", centre=True)
        write(axes, left - 0.08, low + _LOW, "0", size=7.5, colour=GREY, align="right", centre=True)
        for value in (0, 0.25, 0.5, 0.75, 1):
            down = low + _LOW + 0.05
            write(axes, left + value * _SIDE, down, f"{value:g}", size=7.5, colour=GREY, align="center", above=False)
        write(axes, left + _SIDE + 0.12, low + _LOW + 0.05, "confidence", size=7.5, colour=GREY, above=False)
        self._explain(axes, left + _SIDE + 0.35, top, low)

    def _draw_bin(self, axes: Axes, one: Bin, left: float, bottom: float) -> None:
        """Draw how often it is right as a bar, how far that is from its confidence, and what chance leaves open."""
        across, width = left + one.low * _SIDE + 0.01, (one.high - one.low) * _SIDE - 0.02
        faint = 0.35 if one.pictures < FEW else 1.0
        axes.add_patch(
            Rectangle(
                (across, bottom - one.right * _SIDE),
                width,
                one.right * _SIDE,
                facecolor=drawing.PARTNER,
                alpha=0.85 * faint,
                zorder=2,
            )
        )
        middle = left + one.confidence * _SIDE
        ends = [bottom - share * _SIDE for share in interval(one)]
        axes.plot([middle, middle], ends, color=drawing.INK, linewidth=1.0, alpha=max(faint, 0.5), zorder=4)
        inside = ends[1] - 1e-9 <= bottom - one.right * _SIDE <= ends[0] + 1e-9
        colour = drawing.INK if inside else drawing.ACCENT
        axes.plot(
            [middle], [bottom - one.right * _SIDE], marker="o", ms=4.5, color=colour, alpha=max(faint, 0.5), zorder=5
        )

    def _explain(self, axes: Axes, left: float, top: float, low: float) -> None:
        lines = (
            f"{count(len(self), 'picture')} in {BINS} bins of confidence:",
            "the probability of the class that is said.",
            "",
            "Bar and dot: share of a bin that is right.",
            "Dashed: where it would be as sure as right.",
            "Thin line: where the dot of a calibrated network",
            "would lie in 95 of 100 cases.",
            "Dots outside of it are orange.",
            f"Pale: fewer than {FEW} pictures.",
        )
        for place, words in enumerate(lines):
            write(axes, left, top + 0.17 * place, words, size=7.5, colour=GREY, above=False)
        write(axes, left, low + 0.02, "pictures in each bin,", size=7.5, colour=GREY, above=False)
        write(axes, left, low + 0.19, "height by the square root", size=7.5, colour=GREY, above=False)


def interval(one: Bin) -> tuple[float, float]:
    """Return between which shares of right answers a calibrated network would lie in 95 of 100 cases or more."""
    from scipy.stats import binom

    low, high = binom.interval(_LEVEL, one.pictures, min(one.confidence, 1.0))
    # of probability 0 or 1 scipy gives an empty interval
    return max(float(low), 0.0) / one.pictures, max(float(high), float(low)) / one.pictures


def _frame(axes: Axes, left: float, top: float, width: float, height: float) -> None:
    """Draw the ground of a chart: its base line, and faint lines at the quarters of its width."""
    axes.plot([left, left + width], [top + height, top + height], color=GREY, linewidth=0.7, zorder=3)
    for share in (0, 0.25, 0.5, 0.75, 1):
        across = left + share * width
        axes.plot([across, across], [top, top + height], color=GREY, alpha=0.2, linewidth=0.5, zorder=1)
