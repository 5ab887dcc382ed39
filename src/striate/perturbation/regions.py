"""Where in a map something has changed: one window for each changed picture. Integer arithmetic, no tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Axis", "Region", "Starts"]

Starts = NDArray[np.int64]


@dataclass(frozen=True)
class Axis:
    """M windows of one size along one axis of a map, all of them within it.

    Attributes:
        starts: (M,), first row (or column) of each.
        size: of all of them.
        length: of the map.
    """

    starts: Starts
    size: int
    length: int

    @classmethod
    def of(cls, starts: Starts, ends: Starts, length: int) -> Axis:
        """Take the smallest common size that covers all windows, moved so that each lies within the map.

        Args:
            starts: (M,), first changed row of each.
            ends: (M,), last changed row; before the first where nothing changes.
            length: of the map.
        """
        first = np.clip(starts, 0, length - 1)
        size = max(1, int((np.clip(ends, 0, length - 1) - first).max()) + 1)
        return cls(np.minimum(first, length - size), size, length)

    @property
    def whole(self) -> bool:
        """Whether every window is the whole map."""
        return self.size == self.length

    def slid(self, kernel: int, stride: int, padding: int, dilation: int, length: int) -> Axis:
        """Return what changes in the output, `length` long, of an operation that slides a window."""
        reach = (kernel - 1) * dilation
        first = -((reach - padding - self.starts) // stride)  # ceiling of (start + padding - reach) / stride
        last = (self.starts + self.size - 1 + padding) // stride
        return Axis.of(first, last, length)

    def joined(self, other: Axis) -> Axis:
        """Return windows that hold those of both."""
        first = np.minimum(self.starts, other.starts)
        last = np.maximum(self.starts + self.size, other.starts + other.size) - 1
        return Axis.of(first, last, self.length)

    def all(self) -> Axis:
        """Return windows that are the whole map."""
        return Axis(np.zeros_like(self.starts), self.length, self.length)

    def shifted(self, by: int, length: int) -> Axis:
        """Return the same windows in a map that was padded (or cut, below zero) by so much before its start."""
        return Axis.of(self.starts + by, self.starts + self.size - 1 + by, length)

    def scaled(self, factor: int) -> Axis:
        """Return the windows in a map that is `factor` times as long, every element repeated."""
        return Axis(self.starts * factor, self.size * factor, self.length * factor)


@dataclass(frozen=True)
class Region:
    """M windows of a map.

    Attributes:
        rows: along its height.
        columns: along its width.
    """

    rows: Axis
    columns: Axis

    @property
    def share(self) -> float:
        """Part of the map that a window covers, 0 to 1."""
        return self.rows.size * self.columns.size / (self.rows.length * self.columns.length)

    @property
    def place(self) -> tuple[tuple[Starts, Starts], tuple[int, int]]:
        """First rows and columns of the windows, and their height and width."""
        return (self.rows.starts, self.columns.starts), (self.rows.size, self.columns.size)

    def joined(self, other: Region) -> Region:
        """Return windows that hold those of both."""
        return Region(self.rows.joined(other.rows), self.columns.joined(other.columns))

    def all(self) -> Region:
        """Return windows that are the whole map."""
        return Region(self.rows.all(), self.columns.all())

    def same(self, other: Region) -> bool:
        """Tell whether all windows are the same."""
        pairs = ((self.rows, other.rows), (self.columns, other.columns))
        return all(one.size == two.size and np.array_equal(one.starts, two.starts) for one, two in pairs)
