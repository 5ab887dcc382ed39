"""Which part of a picture stands for what a unit sees of it: boxes in pixels. Arithmetic only; not a lens."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from striate.geometry import Box, Field
from striate.results.fields import field_sentence
from striate.results.words import shape

__all__ = ["grown", "is_large", "seen", "smallest_square", "windows"]


def seen(where: Field) -> str:
    """Say what a unit sees of the picture."""
    text = field_sentence(where)
    if where.status == "exact" and where.size is not None:
        larger = all(side > length for side, length in zip(where.size, where.picture, strict=True))
        text += f" That is more than the whole picture of {shape(where.picture)}." if larger else ""
    return text


def smallest_square(energy: NDArray[np.floating], share: float) -> Box:
    """Return the smallest square, cut at the picture's sides, that holds a share of the energy: inclusive.

    Args:
        energy: (H, W), 0 or more. Of nothing at all the whole picture is returned.
        share: in (0, 1].
    """
    height, width = energy.shape
    sums = np.zeros((height + 1, width + 1))
    sums[1:, 1:] = energy.astype(np.float64).cumsum(0).cumsum(1)
    total = sums[-1, -1]
    if not total > 0:
        return 0, 0, height - 1, width - 1

    def best(side: int) -> tuple[float, int, int]:
        """Return the most energy in a square of this side, and its first row and column."""
        down, across = min(side, height), min(side, width)
        held = sums[down:, across:] - sums[:-down, across:] - sums[down:, :-across] + sums[:-down, :-across]
        row, column = np.unravel_index(held.argmax(), held.shape)
        return float(held[row, column]), int(row), int(column)

    low, high = 1, max(height, width)  # a larger square never holds less
    while low < high:
        middle = (low + high) // 2
        if best(middle)[0] >= share * total * (1 - 1e-9):
            high = middle
        else:
            low = middle + 1
    _, top, left = best(low)
    return top, left, top + min(low, height) - 1, left + min(low, width) - 1


def windows(where: Field, position: tuple[int, int] | None) -> tuple[Box, Box]:
    """Return what a unit sees, cut at the borders, and its window, which may reach beyond them.

    A unit that sees the whole picture only through a gate, past its own window, has its own window. Along an axis on
    which that is longer than the picture, it ends at the borders.
    """
    height, width = where.picture
    if position is None:
        return (0, 0, height - 1, width - 1), (0, 0, height - 1, width - 1)
    seen = where.box(*position, own=True)
    if where.status == "unknown":
        return seen, seen
    window = list(where.box(*position, clipped=False))
    for axis, length in enumerate(where.picture):
        if window[axis + 2] - window[axis] + 1 >= length:
            window[axis], window[axis + 2] = seen[axis], seen[axis + 2]
    return seen, (window[0], window[1], window[2], window[3])


def is_large(where: Field, window: Box) -> bool:
    """Tell whether a window is more than half as high or wide as the picture."""
    height, width = where.picture
    return 2 * (window[2] - window[0] + 1) > height or 2 * (window[3] - window[1] + 1) > width


def grown(window: Box, context: float, picture: tuple[int, int]) -> Box:
    """Widen a window on all sides; along an axis on which it would be longer than the picture, take the picture."""
    if context == 0:
        return window
    ends = []
    for first, last, length in ((window[0], window[2], picture[0]), (window[1], window[3], picture[1])):
        more = round(context * (last - first + 1))
        ends.append((0, length - 1) if last - first + 1 + 2 * more >= length else (first - more, last + more))
    (top, bottom), (left, right) = ends
    return top, left, bottom, right
