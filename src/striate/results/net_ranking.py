"""Architectures ranked by what they do with random weights, beside what they reach trained. Draws; runs no network."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from striate.results._charts import draw_words, short_name, words_height
from striate.results._gallery import GREY, blank, text
from striate.results._inches import rasterised
from striate.results._ranking_chart import CHART, LETTERS, draw_ranking
from striate.results.base import Json, Result
from striate.results.drawn import Drawing
from striate.results.shares import standard_error
from striate.results.words import count, seconds

__all__ = ["NetRanking", "RankedNet", "rank_correlation"]

_WIDTH: Final = 9.0  # inches
_EDGE: Final = 0.3
_ROW: Final = 0.19
_EXACT: Final = 8  # networks up to which all orders are gone through
_DRAWN: Final = 20_000  # orders that are drawn for more
_LEAST: Final = 4  # networks for which an interval can be given


@dataclass(frozen=True)
class RankedNet:
    """One architecture.

    Args:
        name: what it is called.
        net: what makes it.
        weights: numbers that it would learn.
        features: numbers that its last layer reads.
        random: accuracy with random weights and a trained last layer, in [0, 1], for each seed.
        random_seconds: that took, all seeds together.
        trained: accuracy with all weights trained; not a number where it was not.
        trained_seconds: that took.
        note: what went wrong in training; empty where nothing did.
    """

    name: str
    net: str
    weights: int
    features: int
    random: tuple[float, ...]
    random_seconds: float
    trained: float = math.nan
    trained_seconds: float = math.nan
    note: str = ""

    @property
    def mean(self) -> float:
        """Mean accuracy with random weights."""
        return float(np.mean(self.random))

    @property
    def spread(self) -> float:
        """Standard deviation of it from seed to seed; not a number with one seed."""
        return float(np.std(self.random, ddof=1)) if len(self.random) > 1 else math.nan


@dataclass(frozen=True, eq=False)
class NetRanking(Result):
    """Architectures by their accuracy with random weights, the best first.

    Args:
        nets: the architectures, in this order.
        seeds: by which random weights were drawn.
        classes: that there are.
        pictures: that were trained on.
        judged: pictures that accuracies are of, the same for all.
        epochs: of a training.

    Source: Saxe et al. 2011, "On random weights and unsupervised feature learning", ICML.
    """

    nets: tuple[RankedNet, ...]
    seeds: tuple[int, ...]
    classes: int
    pictures: int
    judged: int
    epochs: int

    by_picture = False

    def __len__(self) -> int:
        return len(self.nets)

    @property
    def trained(self) -> tuple[RankedNet, ...]:
        """Those that were trained as well, in the order of the ranking."""
        return tuple(one for one in self.nets if math.isfinite(one.trained))

    @cached_property
    def correlation(self) -> float:
        """Spearman's rank correlation of random and trained accuracy; not a number for fewer than two."""
        return rank_correlation([one.mean for one in self.trained], [one.trained for one in self.trained])

    @cached_property
    def interval(self) -> tuple[float, float]:
        """Where the correlation of many such architectures lies, with 95 % confidence; not numbers for fewer than 4.

        By Fisher's transformation. A correlation of exactly 1 would leave no doubt at all; it is counted as if one pair
        of neighbours stood the other way round.

        Source: Bonett and Wright 2000, "Sample size requirements for estimating Pearson, Kendall and Spearman
            correlations", Psychometrika 65, equation 3.
        """
        many = len(self.trained)
        if many < _LEAST or not math.isfinite(self.correlation):
            return math.nan, math.nan
        most = 1 - 12 / (many * (many**2 - 1))
        value = min(max(self.correlation, -most), most)
        error = math.sqrt((1 + value**2 / 2) / (many - 3))
        return math.tanh(math.atanh(value) - 1.96 * error), math.tanh(math.atanh(value) + 1.96 * error)

    @cached_property
    def chance(self) -> float:
        """How often a correlation at least as large (in size) comes about where the order says nothing.

        All orders are gone through for up to 8 networks, 20,000 are drawn for more.
        """
        many = len(self.trained)
        if many < 2 or not math.isfinite(self.correlation):
            return math.nan
        first, second = (_centred(values) for values in ([one.mean for one in self.trained],
                                                         [one.trained for one in self.trained]))  # fmt: skip
        if many <= _EXACT:
            orders = np.array(list(itertools.permutations(range(many))))
            extra = 0
        else:
            draw = np.random.default_rng(0)
            orders = np.stack([draw.permutation(many) for _ in range(_DRAWN)])
            extra = 1  # the order that was found is one of them
        sizes = np.abs(second[orders] @ first)
        return float(((sizes >= abs(second @ first) - 1e-9).sum() + extra) / (len(orders) + extra))

    def error(self, accuracy: float) -> float:
        """Return the standard error of an accuracy, not 0 where all are right or none."""
        return standard_error(accuracy, self.judged)

    def caption(self) -> str:
        """Say which is best, how well the order of the random ones foretells that of the trained ones, and the cost."""
        best = self.nets[0]
        said = [
            f"{count(len(self), 'architecture')} with random weights and a trained last layer, on "
            f"{count(self.pictures, 'picture')} of {count(self.classes, 'class', 'classes')}: best is {best.name}, "
            f"right in {_percent(best.mean)} of {self.judged:,} validation pictures (guessing: "
            f"{_percent(1 / self.classes)}; mean of {count(len(self.seeds), 'seed')}).",
            *self._verdict(),
        ]
        return " ".join(said)

    def _verdict(self) -> list[str]:
        many = len(self.trained)
        if not many:
            took = sum(one.random_seconds for one in self.nets)
            return [f"It took {seconds(took)}; none was trained."]
        failed = any(one.note for one in self.nets)
        which = (
            "All"
            if many == len(self)
            else f"{many} of {len(self)}"
            if failed
            else f"The best {many if many > 1 else 'one'}"
        )
        said = [f"{which} trained for {count(self.epochs, 'epoch')}:"]
        if not math.isfinite(self.correlation):
            said.append("too few, or all alike, for a rank correlation.")
        else:
            low, high = self.interval
            sure = f"95 % interval {low:.2f} to {high:.2f}; " if math.isfinite(low) else ""
            said.append(
                f"Spearman's rank correlation of random and trained accuracy is {self.correlation:.2f} over {many} "
                f"({sure}as large by chance in {_percent(self.chance)} of orders)."
            )
            if not all(one.note or math.isfinite(one.trained) for one in self.nets):
                said.append("It is that of the best alone, which are more alike than all would be.")
        first, top = self.trained[0], max(self.trained, key=lambda one: one.trained)
        if many > 1:
            lost = top.trained - first.trained
            error = math.hypot(self.error(top.trained), self.error(first.trained))
            within = " That is within the error of these pictures." if lost < 2 * error else ""
            put = "put first" if first is self.nets[0] else "put first of those"
            said.append(
                f"Trained, {first.name} is the best as well."
                if lost == 0
                else f"The best trained is {top.name} ({_percent(top.trained)}), {100 * lost:.1f} points above "
                f"{first.name}, which random weights {put}.{within}"
            )
        behind = sum(one.trained < one.mean for one in self.trained)
        if 2 * behind > many:
            verb = "is" if behind == 1 else "are"
            said.append(
                f"{behind} of {many} {verb} worse trained than with random weights: so short a training says little; "
                "take more epochs or smaller batches."
            )
        random, trained = (sum(getattr(one, name) for one in self.trained) for name in _SECONDS)
        said.append(f"Random weights took {seconds(random)} for these, training {seconds(trained)}.")
        return said

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawing, ready for JSON."""
        low, high = self.interval
        return {
            "classes": self.classes,
            "pictures": self.pictures,
            "judged": self.judged,
            "seeds": list(self.seeds),
            "epochs": self.epochs,
            "correlation": self.correlation,
            "correlation_of": len(self.trained),
            "correlation_low": low,
            "correlation_high": high,
            "chance": self.chance,
            "nets": [
                {
                    "name": one.name,
                    "net": one.net,
                    "weights": one.weights,
                    "features": one.features,
                    "random": list(one.random),
                    "random_mean": one.mean,
                    "random_spread": one.spread,
                    "random_seconds": one.random_seconds,
                    "trained": one.trained,
                    "trained_seconds": one.trained_seconds,
                    "note": one.note,
                }
                for one in self.nets
            ],
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name."""
        return {
            "names": np.array([one.name for one in self.nets]),
            "random": np.array([one.random for one in self.nets]),
            "trained": np.array([one.trained for one in self.nets]),
            "weights": np.array([one.weights for one in self.nets]),
        }

    def table(self) -> list[tuple[str, ...]]:
        """Return headings and a row of words for each architecture, the best first; training only if some trained."""
        rows: list[tuple[str, ...]] = [
            ("", "architecture", "weights", "features", "random", "± seeds", "seconds", "trained", "± error", "seconds")
        ]
        for place, one in enumerate(self.nets, 1):
            known = math.isfinite(one.trained)
            spread = f"{100 * one.spread:.1f}" if math.isfinite(one.spread) else ""
            rows.append(
                (
                    str(place),
                    one.name,
                    f"{one.weights:,}",
                    f"{one.features:,}",
                    _percent(one.mean),
                    spread,
                    f"{one.random_seconds:,.1f}",
                    _percent(one.trained) if known else ("failed" if one.note else ""),
                    f"{100 * self.error(one.trained):.1f}" if known else "",
                    f"{one.trained_seconds:,.1f}" if known else "",
                )
            )
        return rows if self.trained or any(one.note for one in self.nets) else [row[:7] for row in rows]

    def drawings(self) -> list[Drawing]:
        """Return the chart."""
        made = blank(_WIDTH, CHART + 0.95)
        draw_ranking(self, made, 0.3)
        return [Drawing("random and trained", self.caption(), rasterised(made))]

    def figure(self) -> Figure:
        """Draw the chart under the words, and the table below."""
        caption = self.caption()
        top = _EDGE + words_height(caption, _WIDTH - 2 * _EDGE) + 0.25
        table = top + CHART + 0.75
        made = blank(_WIDTH, table + _ROW * (len(self) + 1) + _EDGE)
        draw_words(made, _EDGE, _EDGE, "architectures with random weights", caption)
        draw_ranking(self, made, top)
        self._draw_table(made, table)
        return made

    def _draw_table(self, figure: Figure, down: float) -> None:
        rights = (0.5, None, 4.0, 4.75, 5.4, 6.0, 6.65, 7.35, 7.95, 8.65)
        for number, row in enumerate(self.table()):
            for cell, right in zip(row, rights[: len(row)], strict=True):
                ink = None if number else GREY
                where = down + _ROW * number
                if right is None:
                    text(figure, 0.65, where, short_name(cell, LETTERS), size=7.5, colour=ink)
                elif cell:
                    text(figure, right, where, cell, size=7.5, colour=ink, align="right")


_SECONDS: Final = ("random_seconds", "trained_seconds")


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Return Spearman's rank correlation; those that are alike share the mean of their ranks.

    Args:
        first: finite numbers.
        second: as many.

    Returns:
        In [-1, 1]; not a number for fewer than two, or where all of one side are alike.
    """
    if len(first) < 2:
        return math.nan
    one, other = _centred(first), _centred(second)
    size = math.sqrt(float((one**2).sum() * (other**2).sum()))
    return float(np.clip(one @ other / size, -1, 1)) if size > 0 else math.nan


def _centred(values: Sequence[float]) -> NDArray[np.float64]:
    """Return ranks, those of ties their mean, less the mean of all."""
    given = np.asarray(values, dtype=np.float64)
    below = (given[None] < given[:, None]).sum(1)
    alike = (given[None] == given[:, None]).sum(1)
    ranks = below + (alike + 1) / 2
    return np.asarray(ranks - ranks.mean())


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
