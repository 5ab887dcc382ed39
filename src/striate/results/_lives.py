"""What charts of how often units fire have in common. Draws only."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from striate import drawing
from striate.results.words import number

__all__ = ["draw_spread", "percent", "short"]


def draw_spread(
    axes: Axes, shares: NDArray[np.float64], left: float, middle: float, width: float, *, dot: float | None = None
) -> None:
    """Draw from the least to the most that units fire: all of them thin, the inner 80 % thick, the median a dot.

    Args:
        axes: whose unit is the inch.
        shares: of the pictures, in [0, 1]; NaN where one is not known.
        left: where 0 is.
        middle: how far down.
        width: from 0 to 1.
        dot: what is marked instead of the median.
    """
    if np.isnan(shares).all():
        return
    quantiles = np.nanquantile(shares, [0, 0.1, 0.5, 0.9, 1])
    least, low, median, high, most = (left + share * width for share in quantiles)
    axes.plot([least, most], [middle] * 2, color=drawing.PARTNER, lw=0.8, alpha=0.6)
    axes.plot([low, high], [middle] * 2, color=drawing.PARTNER, lw=3, alpha=0.6, solid_capstyle="butt")
    median = median if dot is None else left + dot * width
    axes.plot([median], [middle], "o", color=drawing.INK, ms=3)


def short(words: str, letters: int) -> str:
    """Keep both ends of a long address."""
    if len(words) <= letters:
        return words
    half = (letters - 1) // 2
    return f"{words[:half]}…{words[-half:]}"


def percent(share: float) -> str:
    """Write a share, in [0, 1], as a person reads it."""
    return f"{number(100 * share, 2)} %"
