"""First layers beside each other: their filters, and how good the network behind each became. Draws; trains nothing."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from striate.results._charts import Line, draw_legend, draw_lines, draw_words, words_height
from striate.results._gallery import GREY, MONOSPACE, blank, draw_picture, text
from striate.results.base import Json, Result, encode_array
from striate.results.drawn import Drawing
from striate.results.filters import FilterBank
from striate.results.shares import standard_error
from striate.results.words import count, shape

__all__ = ["FirstLayer", "FirstLayers"]

_WIDTH: Final = 9.0  # inches
_EDGE: Final = 0.3
_GAP: Final = 0.25
_WIDEST: Final = 2.4  # of a sheet of filters
_TALL: Final = 2.2  # of the chart
_LINE: Final = 0.15
_LEGEND: Final = 0.2
_SHOWN: Final = 64  # filters of one layer
_IN_ROWS: Final = 8  # of those that have a row each, of their channels
_TALLEST: Final = 2.0  # times its width that a sheet is high at most; one that is higher is made narrower
_TOLD: Final = 2.0  # standard errors from which on a difference is told from chance


@dataclass(frozen=True, eq=False)
class FirstLayer:
    """One way to come by a first layer, in S trainings of E epochs.

    Args:
        way: "by-hand", "random", "k-means" or "trained".
        words: what that is.
        filters: of the first training, as they are in the end, shape (F, C, h, w), float32.
        courses: accuracy on the validation pictures after each epoch, in [0, 1], shape (S, E).
        seconds: that each training took, shape (S,).
        making: seconds that making the kernels took, of all trainings together.
        weights: numbers that were learned.
    """

    way: str
    words: str
    filters: NDArray[np.float32]
    courses: NDArray[np.float64]
    seconds: NDArray[np.float64]
    making: float
    weights: int

    @property
    def accuracies(self) -> NDArray[np.float64]:
        """After the last epoch of each training, shape (S,)."""
        return np.asarray(self.courses[:, -1])

    @property
    def accuracy(self) -> float:
        """The mean of them."""
        return float(self.accuracies.mean())

    @property
    def took(self) -> float:
        """Seconds for one training, the making of its kernels included; the mean of all."""
        return float(self.seconds.mean()) + self.making / len(self.seconds)

    @property
    def spread(self) -> float | None:
        """Standard deviation of them from training to training; None of a single one."""
        return float(self.accuracies.std(ddof=1)) if len(self.accuracies) > 1 else None


@dataclass(frozen=True, eq=False)
class FirstLayers(Result):
    """The same network behind first layers that come from different places.

    Args:
        ways: in the order in which they were asked for.
        layer: address of the first layer.
        colour: its input channels are red, green and blue.
        validated: how many pictures the accuracies are of.
        classes: of the pictures.
        setting: what is the same for all, in words.
    """

    ways: tuple[FirstLayer, ...]
    layer: str
    colour: bool
    validated: int
    classes: int
    setting: str

    by_picture = False

    def __len__(self) -> int:
        return len(self.ways)

    def way(self, name: str) -> FirstLayer:
        """Return one of them by its name."""
        return next(one for one in self.ways if one.way == name)

    def error(self, one: FirstLayer) -> float:
        """Return the standard error of an accuracy, by how few pictures it is of (`results.shares`)."""
        return standard_error(one.accuracy, self.validated)

    def caption(self) -> str:
        """Say what was compared, and what came out."""
        reached = ", ".join(f"{one.way} {_points(one.accuracy)} %" for one in self.ways)
        largest = max(self.error(one) for one in self.ways)
        words = (
            f"{self.setting} Right of {count(self.validated, 'picture')} that were not trained on: {reached}; guessing "
            f"would be {_points(1 / self.classes)} %. The standard error of each is up to {_points(largest)} points."
        )
        return f"{words} {self._moral()}".rstrip()

    def _moral(self) -> str:
        """Say how far the layer that learns is ahead of the best that does not, or else the best of the next."""
        ranked = sorted(self.ways, key=lambda one: -one.accuracy)
        learned = next((one for one in ranked if one.way == "trained"), None)
        fixed = [one for one in ranked if one is not learned]
        if not fixed or len(ranked) < 2:
            return ""
        ahead, behind = ranked[:2] if learned is None else sorted((learned, fixed[0]), key=ranked.index)
        gap = ahead.accuracy - behind.accuracy
        error = math.hypot(self.error(ahead), self.error(behind))
        best = "" if learned is None or len(fixed) < 2 else f" ({fixed[0].way} is the best of those that do not learn)"
        if gap < _TOLD * error:
            return f"{ahead.way} and {behind.way} are {_points(gap)} points apart, which may be chance{best}."
        return f"{ahead.way} is {_points(gap)} points ahead of {behind.way}{best}."

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawings, ready for JSON."""
        ways = [
            {
                "way": one.way,
                "words": one.words,
                "accuracy": one.accuracy,
                "standard_error": self.error(one),
                "spread": one.spread,
                "accuracies": one.accuracies.tolist(),
                "courses": one.courses.tolist(),
                "seconds": one.seconds.tolist(),
                "seconds_of_making": one.making,
                "weights_learned": one.weights,
                "filters": encode_array(one.filters),
            }
            for one in self.ways
        ]
        return {
            "layer": self.layer,
            "colour": self.colour,
            "validated": self.validated,
            "classes": self.classes,
            "setting": self.setting,
            "ways": ways,
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name."""
        found: dict[str, NDArray[Any]] = {}
        for one in self.ways:
            name = one.way.replace("-", "_")
            found |= {f"{name}_filters": one.filters, f"{name}_courses": one.courses, f"{name}_seconds": one.seconds}
        return found

    def drawings(self) -> list[Drawing]:
        """Return the filters of each way."""
        return [self._drawn(one) for one in self.ways]

    def figure(self) -> Figure:
        """Draw the filters side by side, and below them how the accuracies went."""
        caption = self.caption()
        columns = min(len(self), 4)
        cell = min(_WIDEST, (_WIDTH - 2 * _EDGE - (columns - 1) * _GAP) / columns)
        sheets = [self._drawn(one) for one in self.ways]
        tall = cell * max(min(one.pixels.shape[0] / one.pixels.shape[1], _TALLEST) for one in sheets)
        notes = [_wrapped(f"{one.words} {self._chosen(one)}", cell) for one in self.ways]
        row = 1.5 * _LINE + tall + 0.08 + max(map(len, notes)) * _LINE + _GAP
        rows = -(-len(self) // columns)
        top = _EDGE + words_height(caption, _WIDTH - 2 * _EDGE) + 0.15
        table = (1 + len(self)) * _LEGEND
        figure = blank(_WIDTH, top + rows * row + table + 0.5 + _TALL + 0.45 + _EDGE)
        draw_words(figure, _EDGE, _EDGE, f"first layers of {self.recipe.network or 'a network'}", caption)
        for place, (one, sheet, lines) in enumerate(zip(self.ways, sheets, notes, strict=True)):
            left, down = _EDGE + place % columns * (cell + _GAP), top + place // columns * row
            text(figure, left, down, one.way, size=8, family=MONOSPACE)
            draw_picture(figure, sheet, left, down + 1.5 * _LINE, cell)
            for index, line in enumerate(lines):
                text(figure, left, down + 1.5 * _LINE + tall + 0.08 + index * _LINE, line, size=7.5, colour=GREY)
        down = top + rows * row
        table_rows = self._table()
        draw_legend(figure, _EDGE, down, table_rows, (1.9, *(1.3 for _ in table_rows[0][1:])))
        self._draw_courses(figure, down + table + 0.5)
        return figure

    def _draw_courses(self, figure: Figure, down: float) -> None:
        epochs = np.arange(1, self.ways[0].courses.shape[1] + 1)
        lines = [Line(one.way, 100 * one.courses.mean(0)) for one in self.ways]
        low = min(99, math.floor(min(float(line.values.min()) for line in lines)))
        high = math.ceil(max(float(line.values.max()) for line in lines))
        draw_lines(
            figure,
            (_EDGE + 0.3, down, _WIDTH - 2 * _EDGE - 0.3, _TALL),
            epochs,
            lines,
            title="validation pictures that are right, %"
            + (f", mean of {len(self.ways[0].accuracies)} trainings" if len(self.ways[0].accuracies) > 1 else ""),
            across="epoch",
            ends=(low, max(high, low + 1)),  # all may be the same whole number
            ticks=[(float(epoch), str(epoch)) for epoch in _marked(len(epochs))],
            dots=len(epochs) <= 40,
        )

    def _table(self) -> list[list[str]]:
        """Return the headings and a row for each way; how seeds differ only where there are several."""
        rows = [["first layer", "right, %", "standard error", "weights learned", "seconds"]]
        rows += [
            [one.way, _points(one.accuracy), _points(self.error(one)), f"{one.weights:,}", f"{one.took:,.1f}"]
            for one in self.ways
        ]
        if self.ways[0].spread is not None:
            spreads = [_points(one.spread or 0.0) for one in self.ways]
            for row, words in zip(rows, ["from seed to seed", *spreads], strict=True):
                row.insert(3, words)
        return rows

    def _drawn(self, one: FirstLayer) -> Drawing:
        """Draw filters, each on a scale of its own: how large their weights are follows from the pictures."""
        shaded = self._shaded(one)
        filters = one.filters[: self._most(one)]
        ends = np.abs(filters).max(axis=(1, 2, 3), keepdims=True)
        scaled = filters / np.where(ends > 0, ends, 1)
        if scaled.shape[1] == 1:  # over grey pictures they are grey themselves
            scaled = np.repeat(scaled, 3, axis=1)
        bank = FilterBank(torch.from_numpy(scaled), self.layer, shaded)
        zero = "mid-grey is zero" if shaded else "a row for each, its channels side by side; paper is zero"
        number = f"{count(len(one.filters), 'filter')} of {shape(one.filters.shape[2:])}"
        words = f"{one.words} {number}, each on a scale of its own; {zero}. {self._chosen(one)}"
        columns = math.ceil(math.sqrt(len(filters)))
        return Drawing(f"{one.way} {self.layer}", words.rstrip(), bank.sheet(columns=columns), sharp=True)

    def _shaded(self, one: FirstLayer) -> bool:
        """Tell whether a filter is one small picture, in colour or grey."""
        return self.colour or one.filters.shape[1] == 1

    def _most(self, one: FirstLayer) -> int:
        return _SHOWN if self._shaded(one) else _IN_ROWS

    def _chosen(self, one: FirstLayer) -> str:
        """Say that not all filters are drawn; nothing where they are."""
        most = self._most(one)
        return f"The first {most} of {len(one.filters)} are drawn." if len(one.filters) > most else ""


def _points(share: float) -> str:
    return f"{100 * share:.1f}"


def _marked(epochs: int) -> Sequence[int]:
    """Return the epochs that are written at the axis: at most about ten."""
    step = max(1, math.ceil(epochs / 10))
    return [1, *range(step if step > 1 else 2, epochs + 1, step)]


def _wrapped(words: str, width: float) -> list[str]:
    return textwrap.wrap(words, round(width * 17))
