"""Patches freed of brightness and contrast, and whitened. Pure arithmetic: reads no pictures.

Source: Coates, Lee and Ng 2011, section 3.1; Hyvarinen and Oja 2000, "Independent component analysis: algorithms and
applications", for whitening by zero-phase components (ZCA).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Whitening", "normalise", "whiten"]

BLOCK = 20_000  # patches whose products are summed in double precision at a time


@dataclass(frozen=True, eq=False)
class Whitening:
    """What makes patches uncorrelated: n becomes P (n - M).

    Attributes:
        mean: M, shape (D,), float64.
        matrix: P, shape (D, D), symmetric, float64.
    """

    mean: NDArray[np.float64]
    matrix: NDArray[np.float64]

    def __call__(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """Whiten patches (M, D)."""
        white = patches @ self.matrix.astype(np.float32)
        white -= (self.mean @ self.matrix).astype(np.float32)
        return white


def normalise(patches: NDArray[np.float32], contrast: float = 10.0) -> tuple[NDArray[np.float32], float]:
    """Take the mean from each patch, and divide it by its standard deviation.

    Args:
        patches: shape (M, D), float32 in [0, 255].
        contrast: added to the variance (that of D - 1), so that a flat patch is not all noise.

    Returns:
        Normalised patches, shape (M, D), and the root mean square of what they were divided by.
    """
    free = patches - patches.mean(axis=1, keepdims=True)
    # the sum of each patch's squares over D - 1: its variance, as its mean is zero now
    variance = np.einsum("md,md->m", free, free, dtype=np.float64) / (free.shape[1] - 1) + contrast
    free /= np.sqrt(variance).astype(np.float32)[:, None]
    return free, float(np.sqrt(variance.mean()))


def whiten(patches: NDArray[np.float32], added: float = 0.1) -> Whitening:
    """Find the whitening of patches: V (L + added)^(-1/2) V', from their covariance V L V'.

    Args:
        patches: normalised, shape (M, D), at least two.
        added: to the variance along each direction: what hardly varies is not amplified without end. 0 leaves patches
            as they are.
    """
    many, size = patches.shape
    if not added:
        return Whitening(np.zeros(size), np.eye(size))
    mean = patches.mean(axis=0, dtype=np.float64)
    total = np.zeros((size, size))
    for start in range(0, many, BLOCK):
        block = patches[start : start + BLOCK] - mean
        total += block.T @ block
    values, vectors = np.linalg.eigh(total / max(many - 1, 1))
    return Whitening(mean, (vectors / np.sqrt(np.maximum(values, 0) + added)) @ vectors.T)
