"""How values and gradients are distributed in each layer, before and after batch norm, as ridges. Runs no network."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from torch import Tensor

from striate import drawing
from striate.results._gallery import GREY, MONOSPACE, blank
from striate.results._inches import inch_axes, rasterised, under_words, write
from striate.results._lives import percent, short
from striate.results.base import Json, Result
from striate.results.drawn import Drawing
from striate.results.words import count, number

__all__ = ["LayerSignals", "Signals", "Spread"]

_ROW: Final = 0.36
_RIDGE: Final = 0.46  # height of a ridge: it may reach into the row above
_NAME: Final = 2.3  # width of the columns, inches
_CHART: Final = 3.0
_SAYS: Final = 1.5
_GAP: Final = 0.2
_WIDTH: Final = _NAME + 2 * (_CHART + _SAYS) + 4 * _GAP
_BINS: Final = 90
_CUT: Final = 0.002  # share of the values that may lie beyond either end of the chart

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Spread:
    """How some numbers are distributed.

    Args:
        count: how many there are.
        mean: of all.
        std: of all.
        zeros: share of them that is exactly 0.
        largest: the largest size.
        sample: some of them, ascending, (S,).
    """

    count: int
    mean: float
    std: float
    zeros: float
    largest: float
    sample: Tensor

    @property
    def size(self) -> float:
        """Typical size: root mean square."""
        return math.hypot(self.mean, self.std)

    def to_dict(self) -> dict[str, Json]:
        """Return the numbers as JSON-able values, the sample as its percentiles."""
        points = (0.1, 1, 5, 25, 50, 75, 95, 99, 99.9)
        values = np.percentile(self.sample.double().numpy(), points)
        return {
            "count": self.count,
            "mean": self.mean,
            "std": self.std,
            "zeros": self.zeros,
            "largest": self.largest,
            "percentiles": {f"{point:g}": float(value) for point, value in zip(points, values, strict=True)},
        }


@dataclass(frozen=True, eq=False)
class LayerSignals:
    """What one layer with weights gives, and its batch norm after it.

    Args:
        address: of the layer.
        norm: whether a batch norm follows it.
        before: values that the layer gives.
        after: values after the batch norm; None where there is none.
        gradient_before: gradients at the same places.
        gradient_after: likewise.
    """

    address: str
    norm: bool
    before: Spread
    after: Spread | None
    gradient_before: Spread
    gradient_after: Spread | None

    @property
    def last(self) -> Spread:
        """Values that go on: after the batch norm, where there is one."""
        return self.before if self.after is None else self.after


@dataclass(frozen=True, eq=False)
class Signals(Result):
    """Values and gradients of the layers of a network, over N pictures.

    Args:
        layers: those with weights, in the order of the run.
        of: what the gradients are of: "score" or "loss".
        target: address of the class of each picture.
        by_batch: batch norm divided by what these pictures give, as in training.
    """

    layers: tuple[LayerSignals, ...]
    of: str
    target: tuple[str, ...]
    by_batch: bool
    by_picture: ClassVar[bool] = False

    def __len__(self) -> int:
        return len(self.layers)

    def caption(self) -> str:
        """Say how values and gradients change over the depth."""
        first, last = self.layers[0], self.layers[-1]
        text = f"{count(len(self), 'layer')} with weights, {count(len(self.target), 'picture')}."
        normed = [layer for layer in self.layers if layer.norm and layer.after is not None]
        sizes = [layer.before.std for layer in self.layers]
        text += (
            f" The values of a layer spread by {number(min(sizes), 2)} to {number(max(sizes), 2)} (standard deviation)"
        )
        if normed:
            after = [layer.last.std for layer in normed]
            how = "with the statistics of these pictures" if self.by_batch else "with the statistics that it kept"
            text += f"; after batch norm ({len(normed)} of them, {how}) by {number(min(after), 2)} to "
            text += number(max(after), 2)
        text += "."
        begin, end = first.gradient_before.size, last.gradient_before.size
        what = "score" if self.of == "score" else "loss"
        text += (
            f" Gradients of the {what}: typical size {number(end, 2)} in {last.address} (last), {number(begin, 2)} in "
        )
        text += f"{first.address} (first)"
        if begin > 0 and end > 0:
            times = max(begin / end, end / begin)
            if times < 1.5:
                text += ": about as large."
            else:
                text += f": they {'grow' if begin > end else 'shrink'} {number(times, 2)}-fold on the way back."
        else:
            text += ": nothing arrives."
        if worst := [layer for layer in self.layers if layer.gradient_before.zeros > 0.9]:
            text += f" More than 90 % of the gradients are exactly 0 in {count(len(worst), 'layer')}."
        return text

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawings, ready for JSON."""
        return {
            "of": self.of,
            "batch_statistics": self.by_batch,
            "layers": [
                {
                    "address": layer.address,
                    "before": layer.before.to_dict(),
                    "after": None if layer.after is None else layer.after.to_dict(),
                    "gradient_before": layer.gradient_before.to_dict(),
                    "gradient_after": None if layer.gradient_after is None else layer.gradient_after.to_dict(),
                }
                for layer in self.layers
            ],
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name: the samples of each layer."""
        arrays: dict[str, NDArray[Any]] = {"addresses": np.array([layer.address for layer in self.layers])}
        for index, layer in enumerate(self.layers):
            for name in ("before", "after", "gradient_before", "gradient_after"):
                spread: Spread | None = getattr(layer, name)
                if spread is not None:
                    arrays[f"{index}_{name}"] = spread.sample.numpy()
        return arrays

    def drawings(self) -> list[Drawing]:
        """Return the ridges."""
        made = blank(_WIDTH + 0.2, self._height + 0.2)
        self._draw(inch_axes(made), 0.1, 0.1)
        words = "Values (left) and sizes of gradients (right) of each layer"
        return [Drawing("signals", f"{words}{', before and after batch norm' * self._normed}.", rasterised(made))]

    def figure(self) -> Figure:
        """Draw the ridges under the words."""
        return under_words(self.recipe.lens, self.caption(), (_WIDTH, self._height), self._draw, gap=0.25)

    # --- drawing

    @property
    def _normed(self) -> bool:
        return any(layer.norm for layer in self.layers)

    @property
    def _height(self) -> float:
        return 0.5 + _ROW * len(self.layers) + 0.6

    def _draw(self, axes: Axes, left: float, down: float) -> None:
        values = left + _NAME + _GAP
        slopes = values + _CHART + _SAYS + 2 * _GAP
        heads = (
            (left, "layer, from first to last", GREY, "normal"),
            (values, "values", drawing.INK, "bold"),
            (values + _CHART + _GAP, "standard deviation", GREY, "normal"),
            (slopes, "sizes of gradients, without zeros", drawing.INK, "bold"),
            (slopes + _CHART + _GAP, "typical; exactly 0", GREY, "normal"),
        )
        for place, words, ink, weight in heads:
            write(axes, place, down, words, size=7.5, colour=ink, weight=weight, above=False)
        top = down + 0.5
        bottom = top + _ROW * len(self.layers)
        value_scale = _values_scale([spread for layer in self.layers for spread in (layer.before, layer.last)])
        pairs = [(layer.gradient_before, layer.gradient_after or layer.gradient_before) for layer in self.layers]
        slope_scale = _sizes_scale([spread for pair in pairs for spread in pair])
        for place, scale in ((values, value_scale), (slopes, slope_scale)):
            for tick, words in scale.ticks:
                across = place + scale.place(np.array([tick]))[0] * _CHART
                axes.plot([across] * 2, [top - 0.15, bottom + 0.03], color=GREY, alpha=0.25, lw=0.5, zorder=1)
                write(axes, across, bottom + 0.07, words, size=7, colour=GREY, align="center", above=False)
        for index, layer in enumerate(self.layers):
            base = top + _ROW * (index + 1) - 0.04
            write(axes, left, base - 0.03, short(layer.address, 31), size=7.5, family=MONOSPACE)
            self._draw_pair(axes, values, base, layer.before, layer.after, value_scale, index)
            self._draw_pair(axes, slopes, base, layer.gradient_before, layer.gradient_after, slope_scale, index)
            said = number(layer.before.std, 2) + (f", after {number(layer.after.std, 2)}" if layer.after else "")
            write(axes, values + _CHART + _GAP, base - 0.03, said, size=7.5, colour=GREY)
            zeros = layer.gradient_before.zeros
            said = number(layer.gradient_before.size, 2) + (f"; {percent(zeros)}" if zeros else "")
            write(axes, slopes + _CHART + _GAP, base - 0.03, said, size=7.5, colour=GREY)
        key = [(drawing.PARTNER, "what the layer gives" if self._normed else "each layer")]
        key += [(drawing.ACCENT, "after its batch norm")] if self._normed else []
        place = left
        for colour, words in key:
            axes.add_patch(Rectangle((place, bottom + 0.32), 0.16, 0.08, facecolor=colour, alpha=0.6, lw=0))
            write(axes, place + 0.22, bottom + 0.36, words, size=7, colour=GREY, centre=True)
            place += 0.4 + 0.065 * len(words)
        note = "" if value_scale.even else "Values: even near 0, by powers further out. "
        note += "Each ridge is as high as the others; its area says nothing."
        write(axes, left, bottom + 0.48, note, size=7, colour=GREY, above=False)

    def _draw_pair(
        self, axes: Axes, left: float, base: float, before: Spread, after: Spread | None, scale: _Scale, index: int
    ) -> None:
        axes.plot([left, left + _CHART], [base] * 2, color=GREY, alpha=0.3, lw=0.5, zorder=1)
        for spread, colour in ((before, drawing.PARTNER), (after, drawing.ACCENT)):
            if spread is None:
                continue
            edges, heights = scale.ridge(spread)
            if not heights.any():
                continue
            across = left + edges * _CHART
            up = base - heights / heights.max() * _RIDGE
            axes.fill_between(across, base, up, color=colour, alpha=0.3, lw=0, zorder=2 + index * 0.01)
            axes.plot(across, up, color=colour, lw=1.0, zorder=2.005 + index * 0.01)


@dataclass(frozen=True)
class _Scale:
    """An axis from 0 to 1: how numbers come to a place on it, what is marked, and which numbers are drawn."""

    place: Callable[[Numbers], Numbers]
    ticks: Sequence[tuple[float, str]]
    drawn: Callable[[Numbers], Numbers]
    even: bool = True

    def ridge(self, spread: Spread) -> tuple[Numbers, Numbers]:
        """Return places and heights of a smoothed histogram, (B,) each."""
        places = self.place(self.drawn(spread.sample.double().numpy()))
        counts, edges = np.histogram(places, bins=_BINS, range=(0.0, 1.0))
        kernel = np.array([1.0, 2.0, 3.0, 2.0, 1.0]) / 9
        return (edges[:-1] + edges[1:]) / 2, np.convolve(counts, kernel, mode="same")


def _values_scale(spreads: Sequence[Spread]) -> _Scale:
    """Choose an axis for values: even where all layers are alike, else even near 0 and by powers further out."""
    ends = [np.quantile(spread.sample.double().numpy(), (_CUT, 1 - _CUT)) for spread in spreads]
    most = max(float(np.abs(end).max()) for end in ends) or 1.0
    least = min((spread.std for spread in spreads if spread.std > 0), default=most)
    even = most / least < 40

    def bend(values: Numbers) -> Numbers:
        return values if even else np.asarray(np.arcsinh(values / least))

    end = bend(np.array([most]))[0] * 1.02

    def place(values: Numbers) -> Numbers:
        return np.asarray((bend(values) / end + 1) / 2)

    if even:
        step = 10 ** math.floor(math.log10(most))
        step *= next(times for times in (1, 2, 5, 10) if most / (step * times) <= 3)
        marks = [index * step for index in range(-3, 4) if abs(index * step) <= most]
    else:
        powers = range(math.ceil(math.log10(least)), math.floor(math.log10(most)) + 1)
        chosen = [10.0**power for power in list(powers)[:: max(1, -(-len(powers) // 3))]]
        marks = [0.0, *chosen, *(-mark for mark in chosen)]
    return _Scale(place, [(mark, number(mark).replace("-", "−")) for mark in marks], lambda values: values, even)


def _sizes_scale(spreads: Sequence[Spread]) -> _Scale:
    """Choose an axis by powers of ten for sizes."""
    sizes = [np.abs(spread.sample.double().numpy()) for spread in spreads]
    ends = [np.quantile(some[some > 0], (0.01, 1 - _CUT)) for some in sizes if (some > 0).any()]
    low = math.log10(min((end[0] for end in ends), default=0.1)) - 0.1
    high = math.log10(max((end[1] for end in ends), default=10.0)) + 0.1
    powers = range(math.ceil(low), math.floor(high) + 1)
    marks = [10.0**power for power in list(powers)[:: max(1, -(-len(powers) // 6))]]

    def place(values: Numbers) -> Numbers:
        return np.asarray((np.log10(values) - low) / (high - low))

    def drawn(values: Numbers) -> Numbers:
        return np.asarray(np.abs(values)[values != 0])

    return _Scale(place, [(mark, number(mark)) for mark in marks], drawn)
