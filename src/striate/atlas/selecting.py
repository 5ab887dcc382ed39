"""How far units answer to one class alone. Arithmetic only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["selectivity"]


def selectivity(class_mean: NDArray[Any]) -> NDArray[np.float64]:
    """Return the class selectivity index of units: (best - rest) / (best + rest).

    `best` is the mean answer to the class that is answered to most, `rest` the mean over all other classes. 0 says
    that all classes are answered to alike, 1 that one class alone is.

    Args:
        class_mean: (C, K), mean answers by class; NaN for classes without pictures.

    Returns:
        (C,), from 0 to 1; NaN where fewer than two classes are known, a mean is below 0, or all are 0.

    Source: Morcos et al. 2018, arXiv:1803.06959, section 2.3.
    """
    means = np.asarray(class_mean, dtype=np.float64)
    known = np.isfinite(means)
    count = known.sum(1)
    best = np.where(known, means, -np.inf).max(1, initial=-np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        rest = (np.where(known, means, 0).sum(1) - best) / (count - 1)
        index = (best - rest) / (best + rest)
    usable = (count >= 2) & (np.where(known, means, np.inf).min(1, initial=np.inf) >= 0) & (best + rest > 0)
    return np.where(usable, index, np.nan)
