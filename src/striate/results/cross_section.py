"""A cross-section through a few layers of a network: which units hang on which. Arithmetic and drawing only.

Sparse connectivity can be read from both sides: from the output's, as what one unit sees, and from the input's, as
what one pixel reaches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from striate.results import _levels
from striate.results.base import Json, Result
from striate.results.drawn import Drawing
from striate.results.words import count, number

__all__ = ["CrossSection", "Level"]


@dataclass(frozen=True)
class Level:
    """One map along one axis, and how its units hang on those of the map below.

    Attributes:
        name: address of the layer, "picture" for the lowest.
        words: what it does, such as "Conv2d 3 /2".
        length: units along the axis.
        first: where unit 0 looks, in pixels.
        jump: pixels between neighbouring units.
        kernel: units below that one unit reads.
        stride: units below between two windows.
        padding: elements that stand before the first.
        dilation: units below between two taps.
    """

    name: str
    words: str
    length: int
    first: float
    jump: float
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    dilation: int = 1

    def reads(self, unit: int, below: int) -> list[int]:
        """Return the units below that one unit reads; those on padding are none.

        Args:
            unit: of this level.
            below: units that the level below has.
        """
        first = unit * self.stride - self.padding
        taps = (first + self.dilation * tap for tap in range(self.kernel))
        return [tap for tap in taps if 0 <= tap < below]

    def place(self, unit: int) -> float:
        """Return where a unit looks, in pixels."""
        return self.first + self.jump * unit


@dataclass(frozen=True, eq=False)
class CrossSection(Result):
    """A cross-section through the picture and some layers above it.

    Args:
        levels: from the picture up.
        unit: of the last level, whose pixels are sought.
        pixel: whose units are sought.
        axis: "across" or "down".
        shortcuts: merges on the way, of which the way with the widest view is drawn.
    """

    levels: tuple[Level, ...]
    unit: int
    pixel: int
    axis: str
    shortcuts: int = 0

    def seen(self) -> list[list[int]]:
        """Return, from the picture up, the units that reach the unit: sparse connectivity from the output's side."""
        found = [[self.unit]]
        for level, below in zip(self.levels[:0:-1], self.levels[-2::-1], strict=True):
            found.append(sorted({read for unit in found[-1] for read in level.reads(unit, below.length)}))
        return found[::-1]

    def reached(self) -> list[list[int]]:
        """Return, from the picture up, the units that the pixel reaches: sparse connectivity from the input's side."""
        found = [[self.pixel]]
        for level, below in zip(self.levels[1:], self.levels, strict=False):
            before = set(found[-1])
            found.append([unit for unit in range(level.length) if before & set(level.reads(unit, below.length))])
        return found

    def connections(self) -> list[int]:
        """Return, for each level above the picture, how many pairs of units are connected in the cross-section."""
        pairs = zip(self.levels[1:], self.levels, strict=False)
        return [sum(len(level.reads(unit, below.length)) for unit in range(level.length)) for level, below in pairs]

    def caption(self) -> str:
        """Say what one unit sees and what one pixel reaches."""
        pixels, units = len(self.seen()[0]), len(self.reached()[-1])
        sparse = sum(self.connections())
        dense = sum(level.length * below.length for level, below in zip(self.levels[1:], self.levels, strict=False))
        line = "A row" if self.axis == "across" else "A column"
        text = (
            f"{line} of the picture and {count(len(self.levels) - 1, 'layer')} above it. Unit {self.unit} of "
            f"{self.levels[-1].name} sees {count(pixels, 'pixel')}; pixel {self.pixel} reaches "
            f"{count(units, 'unit')} of it. {sparse:,} of {dense:,} possible connections are there, "
            f"{number(100 * sparse / dense, 2)} %."
        )
        if self.shortcuts:
            several = f"{self.shortcuts} times" if self.shortcuts > 1 else "once"
            text += f" Ways meet {several}; the one with the widest view is drawn."
        return text

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawings, ready for JSON."""
        return {
            "axis": self.axis,
            "unit": self.unit,
            "pixel": self.pixel,
            "shortcuts": self.shortcuts,
            "connections": self.connections(),
            "levels": [
                {
                    "name": level.name,
                    "words": level.words,
                    "length": level.length,
                    "first": level.first,
                    "jump": level.jump,
                    "kernel": level.kernel,
                    "stride": level.stride,
                    "padding": level.padding,
                    "dilation": level.dilation,
                    "seen": seen,
                    "reached": reached,
                }
                for level, seen, reached in zip(self.levels, self.seen(), self.reached(), strict=True)
            ],
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name."""
        arrays: dict[str, NDArray[Any]] = {"names": np.array([level.name for level in self.levels])}
        for index, (seen, reached) in enumerate(zip(self.seen(), self.reached(), strict=True)):
            arrays[f"seen_{index}"], arrays[f"reached_{index}"] = np.array(seen), np.array(reached)
        return arrays

    def drawings(self) -> list[Drawing]:
        """Return the cross-section from the output's side and from the input's."""
        seen, reached = self.seen(), self.reached()
        top = self.levels[-1].name
        from_top = ", ".join(f"{len(units)}" for units in reversed(seen))
        from_below = ", ".join(f"{len(units)}" for units in reached)
        words = (
            f"From the output's side: one unit of {top} hangs on this many, from it down to the picture: {from_top}.",
            f"From the input's side: one pixel reaches this many, from it up to {top}: {from_below}.",
        )
        return [
            Drawing(f"{top}, unit {self.unit}", words[0], _levels.pixels([self._section(seen, "output")])),
            Drawing(f"{top}, pixel {self.pixel}", words[1], _levels.pixels([self._section(reached, "input")])),
        ]

    def figure(self) -> Figure:
        """Draw both sides, one below the other."""
        sections = [self._section(self.seen(), "output"), self._section(self.reached(), "input")]
        return _levels.figure(sections, heading=self.recipe.lens, caption=self.caption())

    def _section(self, marked: list[list[int]], side: str) -> _levels.Section:
        """Prepare one drawing: the units in view, the edges between them, and those that are marked."""
        sides = zip(self.levels, self.seen(), self.reached(), strict=True)
        places = [level.place(unit) for level, seen, reached in sides for unit in (*seen, *reached)]
        margin = 1.5 * max(level.jump for level in self.levels)
        low, high = min(places) - margin, max(places) + margin
        shown = [[unit for unit in range(level.length) if low <= level.place(unit) <= high] for level in self.levels]
        rows = []
        for index, (level, units, chosen) in enumerate(zip(self.levels, shown, marked, strict=True)):
            edges: list[tuple[float, float, bool]] = []
            if index:
                below, hit = self.levels[index - 1], set(marked[index - 1])
                edges = [
                    (below.place(read), level.place(unit), unit in chosen and read in hit)
                    for unit in units
                    for read in level.reads(unit, below.length)
                    if low <= below.place(read) <= high
                ]
            rows.append(
                _levels.Row(
                    name=level.name,
                    words=level.words,
                    count=len(chosen),
                    nodes=tuple((level.place(unit), unit in chosen) for unit in units),
                    edges=tuple(edges),
                )
            )
        title = (
            f"What unit {self.unit} of {self.levels[-1].name} sees"
            if side == "output"
            else f"What pixel {self.pixel} of the picture reaches"
        )
        return _levels.Section(title=title, rows=tuple(rows), low=low, high=high)
