"""Bins as wide as an eighth of what they hold: those of a float with three bits after the point. Arithmetic only."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["BINS", "EDGES", "RELATIVE_ERROR", "SMALLEST", "bin_of", "quantiles"]

_LOWEST, _OCTAVES = -16, 32  # exponents of two of the finest bin that is told from 0, and how many octaves there are
_HALF = _OCTAVES * 8  # bins on each side of 0
_SHIFT = 20  # a float32 has 23 bits after the point; the first three are kept
_FIRST = (127 + _LOWEST) << 3  # bits of 2**-16, shifted

BINS = 2 * _HALF + 1
"""Bins of a histogram: negative values, one bin around 0, positive values."""

SMALLEST = 2.0**_LOWEST
"""Values nearer to 0 than this are counted as 0."""

RELATIVE_ERROR = 1 / 16
"""How far a quantile may be from the value it stands for, as a part of that value."""


def _edges() -> NDArray[np.float64]:
    steps = np.arange(_HALF + 1)
    positive = 2.0 ** (_LOWEST + steps // 8) * (1 + steps % 8 / 8)
    return np.concatenate([-positive[::-1], positive])


EDGES: NDArray[np.float64] = _edges()
"""Borders of the bins, ascending, one more than there are bins. The outermost bins hold what lies beyond as well."""
EDGES.setflags(write=False)


def bin_of(values: Tensor) -> Tensor:
    """Return the index of each value's bin, int64, by the leading bits of the float.

    Args:
        values: finite, of any shape; float32 or converted to it.
    """
    bits = values.float().view(torch.int32)
    size = (bits & 0x7FFFFFFF) >> _SHIFT
    steps = (size - (_FIRST - 1)).clamp_(0, _HALF)  # 0: around zero
    return torch.where(bits < 0, -steps, steps).add_(_HALF).long()


def quantiles(
    counts: NDArray[np.integer], q: float, smallest: NDArray[np.floating], largest: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Return a quantile of each row of counts: the middle of the bin that holds the value of that rank.

    The value of rank ``floor(q * (n - 1))`` from below is meant (numpy's method "lower"); what comes back is within
    1/16 of it, within 2**-17 where it is nearer to 0 than 2**-16, and never beyond the true extremes.

    Args:
        counts: (C, bins).
        q: from 0 to 1.
        smallest: (C,), exact.
        largest: (C,), exact.

    Returns:
        (C,), float32; NaN where nothing was counted.
    """
    total = counts.sum(1)
    below = counts.cumsum(1)
    rank = np.floor(q * (total - 1) + 1e-9)
    found = (below <= rank[:, None]).sum(1).clip(0, counts.shape[1] - 1)
    middle = (EDGES[:-1] + EDGES[1:])[found] / 2
    return np.where(total > 0, np.clip(middle, smallest, largest), np.nan).astype(np.float32)
