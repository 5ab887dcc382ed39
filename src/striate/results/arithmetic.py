"""One value of a layer by hand: the numbers of its window and how they add up. Runs no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from striate.geometry import Box
from striate.results import _sums
from striate.results.base import Json, Result, encode_array
from striate.results.drawn import Drawing, Pixels
from striate.results.words import count, number, shape

__all__ = ["Arithmetic", "Computed"]

Numbers = NDArray[np.float64]


class Reading(Protocol):
    """What one output value is made of; see `striate.operations.Reading`."""

    @property
    def values(self) -> Tensor: ...
    @property
    def kernel(self) -> Tensor | None: ...
    @property
    def padding(self) -> Tensor: ...
    @property
    def rows(self) -> tuple[int, ...]: ...
    @property
    def columns(self) -> tuple[int, ...]: ...
    @property
    def channels(self) -> tuple[int, ...]: ...
    @property
    def bias(self) -> float | None: ...
    @property
    def own(self) -> float: ...
    @property
    def total(self) -> float: ...


@dataclass(frozen=True, eq=False)
class Computed:
    """One output value, worked out.

    Attributes:
        values: what the window reads, (C, kh, kw), in double precision, padding included.
        kernel: what it is multiplied with, (C, kh, kw); None for a maximum.
        padding: (kh, kw), True where the window lies on padding.
        rows: kh rows of the window in the layer's input; outside it on padding.
        columns: kw columns.
        channels: C input channels that the window reads.
        bias: what is added in the end, or None.
        own: the network's own value.
        total: what the products and the bias add up to, or the largest value.
        shown: places in `channels` of those that are drawn, the one that counts for most first (in colour: in order).
        maps: the layer's input in the channels that are shown, (n, H, W), float32.
        given: channels, height and width of the layer's input.
        steps: what follows the sum, one after the other, with the value after it: ("ReLU6", 6.0).
    """

    values: Numbers
    kernel: Numbers | None
    padding: NDArray[np.bool_]
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    channels: tuple[int, ...]
    bias: float | None
    own: float
    total: float
    shown: tuple[int, ...]
    maps: NDArray[np.float32]
    given: tuple[int, int, int]
    steps: tuple[tuple[str, float], ...] = ()

    @classmethod
    def of(cls, reading: Reading, given: Tensor, *, shown: int, steps: tuple[tuple[str, float], ...] = ()) -> Computed:
        """Keep what is needed of a window.

        Args:
            reading: of the unit.
            given: the layer's input for this picture, (C, H, W).
            shown: channels to be drawn at most.
            steps: what follows the sum.
        """
        values = reading.values.numpy()
        kernel = None if reading.kernel is None else reading.kernel.numpy().copy()
        parts = np.abs(values.sum((1, 2)) if kernel is None else (values * kernel).sum((1, 2)))
        best = np.argsort(-parts, kind="stable")[:shown]
        if len(values) <= max(shown, 3):
            best = np.arange(len(values))
        chosen = [reading.channels[int(place)] for place in best]
        size = tuple(given.shape)
        return cls(
            values=values,
            kernel=kernel,
            padding=reading.padding.numpy(),
            rows=reading.rows,
            columns=reading.columns,
            channels=reading.channels,
            bias=reading.bias,
            own=reading.own,
            total=reading.total,
            shown=tuple(int(place) for place in best),
            maps=given[chosen].detach().float().cpu().numpy(),
            given=(size[0], size[1], size[2]),
            steps=steps,
        )

    @property
    def products(self) -> Numbers | None:
        """Values times kernel, (C, kh, kw); None for a maximum."""
        return None if self.kernel is None else self.values * self.kernel

    @property
    def dense(self) -> bool:
        """Whether it reads single values and no map: there is no window then."""
        return self.given[1:] == (1, 1) and self.values.shape[1:] == (1, 1)

    @property
    def error(self) -> float:
        """How far the sum is from the network's own value."""
        return abs(self.answer - self.own)

    @property
    def answer(self) -> float:
        """The value after all steps."""
        return self.steps[-1][1] if self.steps else self.total

    @property
    def sums(self) -> Numbers:
        """What each channel adds, (C,); of a maximum the largest value."""
        products = self.products
        if products is None:
            return np.asarray(np.where(self.padding, -np.inf, self.values).max((1, 2)))
        return np.asarray(products.sum((1, 2)))

    @property
    def rest(self) -> float:
        """What the channels add that are not shown."""
        left_out = np.delete(self.sums, list(self.shown))
        return float(left_out.sum())

    def sentence(self) -> str:
        """Say how the value comes about, and how near it is to the network's own."""
        apart = "the same" if self.error == 0 else f"{number(self.error, 1)} apart"
        end = f"the network says {number(self.own, 4)} ({apart})."
        if self.steps:
            end = "".join(f"{name} makes that {number(value, 4)}; " for name, value in self.steps) + end
        if self.kernel is None:
            places = int((~self.padding).sum())
            return f"The largest of {count(places, 'value')} is {number(self.total, 4)}; {end}"
        products = count(self.values.size, "product")
        also = "" if self.bias is None else " and the bias"
        verb = "add" if self.values.size > 1 or self.bias is not None else "adds"
        return f"{products}{also} {verb} up to {number(self.total, 4)}; {end}"


@dataclass(frozen=True, eq=False)
class Arithmetic(Result):
    """One value of a layer for each of N pictures, worked out by hand.

    Args:
        addresses: the unit in each picture, such as "layer3.0.conv1:17@6,6".
        computed: its numbers, for each picture.
        boxes: what the unit sees of the picture, (top, left, bottom, right), inclusive; None of a vector.
        pictures: uint8, shape (N, H, W, 3), as the network saw them.
        kind: of the layer, such as "Conv2d".
        colour: the layer reads the picture itself, in red, green and blue.
        folded: the convolution into whose kernel a batch normalisation is folded; None where there is none.
    """

    addresses: tuple[str, ...]
    computed: tuple[Computed, ...]
    boxes: tuple[Box | None, ...]
    pictures: Pixels
    kind: str
    colour: bool = False
    folded: str | None = None

    def __len__(self) -> int:
        return len(self.addresses)

    @property
    def target(self) -> tuple[str, ...]:
        """The units, as they go into the recipe."""
        return self.addresses

    def caption(self) -> str:
        """Say what is shown, and how far the sums are from the network's own values at most."""
        one = self.computed[0]
        if one.dense:
            window = count(len(one.channels), "input")
        else:
            window = f"a window of {shape(one.values.shape[1:])}"
            if len(one.channels) > 1:
                window += f" over {count(len(one.channels), 'channel')}"
        article = "an" if self.kind[:1] in "AEIOU" else "a"
        text = f"One value of {article} {self.kind} by hand: {window}"
        factor = "each times its weight" if one.dense else "times the kernel"
        text += ", the largest of its values" if one.kernel is None else f", {factor}, added up"
        if self.folded is not None:
            text += f"; the batch normalisation is folded into the kernel of {self.folded}"
        worst = max(one.error for one in self.computed)
        off = "the same" if worst == 0 else f"{number(worst, 1)} off"
        text += f". In double precision; the network's own value is {off}."
        if any(one.padding.any() for one in self.computed):
            text += " Hatched: padding."
        return text

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawings, ready for JSON."""
        return {
            "kind": self.kind,
            "folded": self.folded,
            "pictures": [
                {
                    "address": address,
                    "box": None if box is None else list(box),
                    "value": one.own,
                    "sum": one.total,
                    "steps": [list(step) for step in one.steps],
                    "error": one.error,
                    "bias": one.bias,
                    "input": list(one.given),
                    "rows": list(one.rows),
                    "columns": list(one.columns),
                    "padding": one.padding.tolist(),
                    "channels": list(one.channels),
                    "channel_sums": one.sums.tolist(),
                    "values": encode_array(one.values),
                    "kernel": None if one.kernel is None else encode_array(one.kernel),
                }
                for address, box, one in zip(self.addresses, self.boxes, self.computed, strict=True)
            ],
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name; windows may differ in size, so each picture has its own."""
        arrays: dict[str, NDArray[Any]] = {
            "addresses": np.array(self.addresses),
            "own": np.array([one.own for one in self.computed]),
            "sums": np.array([one.total for one in self.computed]),
            "pictures": self.pictures,
        }
        for index, one in enumerate(self.computed):
            arrays[f"values_{index}"], arrays[f"padding_{index}"] = one.values, one.padding
            if one.kernel is not None:
                arrays[f"kernel_{index}"] = one.kernel
        return arrays

    def drawings(self) -> list[Drawing]:
        """Return the sum of each picture as it would stand on paper."""
        return [
            Drawing(address, one.sentence(), _sums.pixels(self._sheet(index)))
            for index, (address, one) in enumerate(zip(self.addresses, self.computed, strict=True))
        ]

    def figure(self) -> Figure:
        """Draw the sums of all pictures below each other, in letters that stay crisp."""
        sheets: Sequence[_sums.Sheet] = [self._sheet(index) for index in range(len(self))]
        return _sums.figure(sheets, heading=self.recipe.lens, caption=self.caption())

    def _sheet(self, index: int) -> _sums.Sheet:
        return _sums.Sheet(
            title=self.addresses[index],
            sentence=self.computed[index].sentence(),
            computed=self.computed[index],
            picture=self.pictures[index],
            box=self.boxes[index],
            colour=self.colour,
        )
