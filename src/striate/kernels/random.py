"""Filters whose weights are drawn by lot. Numbers only: looks at no picture, trains nothing.

Behind a rectifier or a square, and pooled, even such filters tell pictures apart: what a pooled layer answers to most
is decided by how it is built, not by its weights (`striate.learn.untrained.ranking` makes use of that).

Source: Saxe et al. 2011, "On random weights and unsupervised feature learning", ICML.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from striate.errors import OptionError

__all__ = ["RULES", "random_filters"]

RULES: Final = ("gaussian", "uniform", "signs")
"""How weights may be drawn: from the normal distribution, evenly from a range around 0, or as plus and minus one."""

_DRAWS: Final[dict[str, Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.float64]]]] = {
    "gaussian": lambda draw, shape: np.asarray(draw.standard_normal(shape)),
    "uniform": lambda draw, shape: draw.uniform(-1, 1, shape),
    "signs": lambda draw, shape: np.asarray(2.0 * draw.integers(0, 2, shape) - 1, dtype=np.float64),
}


def random_filters(
    count: int,
    channels: int,
    size: int | Sequence[int],
    *,
    rule: str = "gaussian",
    flat: bool = True,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Draw filters by lot, each of length 1.

    A filter of length 1 gives answers of variance 1 where its inputs are independent and have variance 1. The first
    filters are the same however many are drawn.

    Args:
        count: filters.
        channels: that each sees.
        size: side in pixels, or height and width.
        rule: one of `RULES`.
        flat: whether a filter may answer to even light. Else its weights sum to 0 in each channel: an even area gives
            0, whatever its colour.
        seed: of the weights.

    Returns:
        Shape (count, channels, height, width), float32.

    Raises:
        OptionError: a number below 1, no such rule, or filters of one pixel that are not to answer to even light.
    """
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or min(count, channels, *sides) < 1:
        raise OptionError(
            f"filters need a count, channels, and a side or height and width, each at least 1; got {count} filters of "
            f"{channels} x {size}."
        )
    if rule not in RULES:
        raise OptionError(f"no rule {rule!r} for random filters; there are {', '.join(RULES)}.")
    if not flat and sides == (1, 1):
        raise OptionError("filters of one pixel answer to nothing but even light: take larger ones, or flat=True.")
    draw = np.random.default_rng(seed)
    values = np.stack([_filter(draw, (channels, *sides), rule, flat) for _ in range(count)])
    return values.astype(np.float32)


def _filter(draw: np.random.Generator, shape: tuple[int, ...], rule: str, flat: bool) -> NDArray[np.float64]:
    while True:
        values = _DRAWS[rule](draw, shape)
        if not flat:
            values = values - values.mean((1, 2), keepdims=True)
        length = float(np.sqrt((values**2).sum()))
        if length > 1e-9:  # a few signs may all be alike, and nothing is left of them
            return np.asarray(values / length)
