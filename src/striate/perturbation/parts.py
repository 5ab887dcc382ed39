"""Pieces of feature maps that have changed, and how they are set into the unchanged map around them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from striate.perturbation.regions import Region, Starts

__all__ = ["Around", "Part", "gathered", "pasted"]


@dataclass(frozen=True)
class Part:
    """What has changed of one value, for M changed pictures.

    Attributes:
        tensor: (M, ..., h, w, ...), the values within the windows.
        region: where the windows lie.
        dims: dimensions of rows and columns, counted from the end (negative).
        merged: rows and columns are merged into the first dimension: (M * h * w, C).
    """

    tensor: Tensor
    region: Region
    dims: tuple[int, int]
    merged: bool = False

    def rows_first(self) -> Tensor:
        """Return the tensor as (M, h, w, ...)."""
        return self.tensor.movedim(self.dims, (1, 2))


@dataclass(frozen=True)
class Around:
    """An unchanged map, padded, as rows in memory.

    Attributes:
        rows: (H, W, rest), contiguous.
        top, left: how many rows and columns of padding stand before the map.
        rest: the dimensions that are neither row nor column, in order.
        dims: where rows and columns belong, counted from the end.
    """

    rows: Tensor
    top: int
    left: int
    rest: tuple[int, ...]
    dims: tuple[int, int]

    @classmethod
    def of(cls, clean: Tensor, dims: tuple[int, int], padding: tuple[int, int, int, int], value: float) -> Around:
        """Pad a map.

        Args:
            clean: (1, ...).
            dims: of rows and columns, counted from the end.
            padding: above, below, left, right.
            value: of the padding.
        """
        rows = clean.movedim(dims, (1, 2))[0]
        rest = tuple(rows.shape[2:])
        rows = rows.reshape(*rows.shape[:2], -1)
        above, below, left, right = padding
        if any(padding):
            rows = functional.pad(rows, (0, 0, left, right, above, below), value=value)
        return cls(rows.contiguous(), above, left, rest, dims)


def gathered(around: Around, tops: Starts, lefts: Starts, height: int, width: int) -> Tensor:
    """Copy M windows out of an unchanged map.

    A row of a window lies in one piece in memory, and is copied as one.

    Args:
        around: the map.
        tops, lefts: (M,), in the map, below zero in the padding.
        height, width: of the windows.

    Returns:
        Shape (M, height, width, rest), contiguous.
    """
    deep, wide, channels = around.rows.shape
    starts = torch.from_numpy(
        ((tops + around.top)[:, None] + np.arange(height)) * wide + (lefts + around.left)[:, None]
    )
    runs = around.rows.view(-1).as_strided((deep * wide - width + 1, width * channels), (channels, 1))
    found = runs.index_select(0, starts.flatten().to(around.rows.device))
    return found.view(len(tops), height, width, channels)


def pasted(target: Tensor, tops: Starts, lefts: Starts, part: Part) -> None:
    """Write what has changed into windows (M, height, width, rest), which begin at `tops` and `lefts`, in place."""
    source = part.rows_first()
    source = source.reshape(*source.shape[:3], -1)
    down = part.region.rows.starts - tops
    right = part.region.columns.starts - lefts
    for begin, end in _runs(down, right):
        y, x = int(down[begin]), int(right[begin])
        rows = slice(max(y, 0), min(y + source.shape[1], target.shape[1]))
        columns = slice(max(x, 0), min(x + source.shape[2], target.shape[2]))
        if rows.start < rows.stop and columns.start < columns.stop:
            target[begin:end, rows, columns] = source[
                begin:end, rows.start - y : rows.stop - y, columns.start - x : columns.stop - x
            ]


def _runs(down: Starts, right: Starts) -> Iterator[tuple[int, int]]:
    """Yield stretches of windows with one and the same offset."""
    breaks = np.flatnonzero((np.diff(down) != 0) | (np.diff(right) != 0)) + 1
    edges = [0, *breaks.tolist(), len(down)]
    yield from pairwise(edges)
