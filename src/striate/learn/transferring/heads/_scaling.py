"""Features on one scale, and in fewer dimensions where there are fewer rows than features. Arithmetic only.

Mean and deviation are taken over all rows, without their classes, also over those that a fold holds back.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Scaled", "folded", "scaled"]

_STILL = 1e-4  # of the usual deviation: a feature that varies less than that is noise of rounding
_BLOCK = 4096  # columns at a time


@dataclass(frozen=True, eq=False)
class Scaled:
    """Features as classifiers take them.

    Attributes:
        values: (N, D), float32, ``(X - shift) * factor``: mean 0, deviation 1.
        shift: (D,), float64.
        factor: (D,), float64; 0 for features that do not vary.
    """

    values: NDArray[np.float32]
    shift: NDArray[np.float64]
    factor: NDArray[np.float64]

    @property
    def varying(self) -> int:
        """Number of features that vary."""
        return int((self.factor > 0).sum())

    @cached_property
    def _turned(self) -> tuple[NDArray[np.float32], NDArray[np.float64] | None]:
        count, size = self.values.shape
        if size <= 2 * count:
            return self.values, None
        # rows span at most N directions: in those the products of rows are the same, and so is what is linear in them
        products = (self.values @ self.values.T).astype(np.float64)
        lengths, axes = np.linalg.eigh(products)
        kept = lengths > max(lengths[-1], 0) * 1e-7
        sides = np.sqrt(lengths[kept])
        return (axes[:, kept] * sides).astype(np.float32), axes[:, kept] / sides

    @property
    def short(self) -> NDArray[np.float32]:
        """The values, (N, r), in no more coordinates than rows where those are few; products of rows are the same."""
        return self._turned[0]

    def long(self, weight: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return weights (K, D) on `values` that answer as weights (K, r) on `short` do."""
        back = self._turned[1]
        return weight if back is None else (weight @ back.T) @ self.values


def scaled(X: NDArray[np.float32]) -> Scaled:
    """Bring features (N, D) to mean 0 and deviation 1; those that do not vary become 0."""
    shift = X.mean(0, dtype=np.float64)
    parts = [X[:, start : start + _BLOCK].std(0, dtype=np.float64) for start in range(0, X.shape[1], _BLOCK)]
    deviation = np.concatenate(parts)
    varying = deviation > 0
    least = _STILL * float(np.median(deviation[varying])) if varying.any() else 0.0
    factor = np.divide(1, deviation, out=np.zeros_like(deviation), where=varying & (deviation > least))
    values = (X - shift.astype(np.float32)) * factor.astype(np.float32)
    return Scaled(values.astype(np.float32, copy=False), shift, factor)


def folded(features: Scaled, weight: NDArray[np.float64], bias: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
    """Return a linear layer (K, D), (K,) on plain features that answers as one on `Scaled.short` does."""
    plain = features.long(weight) * features.factor
    return torch.from_numpy(plain).float(), torch.from_numpy(bias - plain @ features.shift).float()
