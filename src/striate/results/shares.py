"""Shares of pictures, and how far they can be believed. Arithmetic only."""

from __future__ import annotations

import math

__all__ = ["standard_error"]


def standard_error(share: float, pictures: int) -> float:
    """Return the standard error of a share of so many pictures, in the same unit.

    Of 0 and of 1 it is that of half a picture more or less, for none of either is no proof that there are none.

    Args:
        share: in [0, 1].
        pictures: that it is a share of, at least 1.
    """
    inner = min(max(share, 0.5 / pictures), 1 - 0.5 / pictures)
    return math.sqrt(inner * (1 - inner) / pictures)
