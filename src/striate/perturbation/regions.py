"""Where in a map something has changed: one window for each changed picture. Integer arithmetic, no tensors."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["Axis", "Region", "Starts"]

Starts = NDArray[np.int64]


@dataclass(frozen=True)
class Axis:
    """M windows of one size along one axis of a map, all of them within it.

    What changes is known exactly, though windows have one size: what the next operation changes grows from the
    first, not from the second.

    Attributes:
        firsts: (M,), first changed row (or column) of each.
        lasts: (M,), last changed row; before the first where nothing changes.
        length: of the map.
    """

    firsts: Starts
    lasts: Starts
    length: int

    @classmethod
    def of(cls, firsts: Starts, lasts: Starts, length: int) -> Axis:
        """Leave away what lies beyond the map.

        Args:
            firsts: (M,), first changed row of each.
            lasts: (M,), last changed row; before the first where nothing changes.
            length: of the map.
        """
        return cls(np.clip(firsts, 0, length - 1), np.clip(lasts, 0, length - 1), length)

    @cached_property
    def size(self) -> int:
        """The smallest size that holds what changes in each."""
        return max(1, int((self.lasts - self.firsts).max()) + 1)

    @cached_property
    def starts(self) -> Starts:
        """First row of each window, (M,), moved so that all of it lies within the map."""
        return np.minimum(self.firsts, self.length - self.size)

    @property
    def whole(self) -> bool:
        """Whether every window is the whole map."""
        return self.size == self.length

    def slid(self, kernel: int, stride: int, padding: int, dilation: int, length: int) -> Axis:
        """Return what changes in the output, `length` long, of an operation that slides a window."""
        reach = (kernel - 1) * dilation
        firsts = -((reach - padding - self.firsts) // stride)  # ceiling of (first + padding - reach) / stride
        return Axis.of(firsts, (self.lasts + padding) // stride, length)

    def joined(self, other: Axis) -> Axis:
        """Return windows that hold what changes in both."""
        return Axis(np.minimum(self.firsts, other.firsts), np.maximum(self.lasts, other.lasts), self.length)

    def all(self) -> Axis:
        """Return windows that are the whole map."""
        return Axis(np.zeros_like(self.firsts), np.full_like(self.lasts, self.length - 1), self.length)

    def shifted(self, by: int, length: int) -> Axis:
        """Return the same windows in a map that was padded (or cut, below zero) by so much before its start."""
        return Axis.of(self.firsts + by, self.lasts + by, length)

    def scaled(self, factor: int) -> Axis:
        """Return the windows in a map that is `factor` times as long, every element repeated."""
        lasts = np.maximum(self.firsts, self.lasts)  # a window has an element, though nothing may change
        return Axis(self.firsts * factor, lasts * factor + factor - 1, self.length * factor)


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
