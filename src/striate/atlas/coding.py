"""Write vectors as codes of 8 bits whose distances are nearly theirs. Arithmetic only; compares nothing.

Of a vector its first principal components are kept, so many that they hold 80 % of the variance. They are turned at
random among themselves, which changes no distance, and makes all about equally large: so one step of rounding fits all.
How long the rest of a vector is says how far it is from everything, as far as the rests of two have nothing to do with
each other; with features they often have, so how much of that is counted is tried out.

Source: the turning is that of Gong et al. 2013, "Iterative quantization", section 3.1 (their random rotation).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.atlas.nearest import Metric, lengths

__all__ = ["LEARNED", "WIDTHS", "Coding", "learn"]

WIDTHS, HELD = (32, 64, 128, 256), 0.8  # components that are kept: so many that they hold this much of all
LEARNED = 2048  # vectors from which they are
DEEP = 4  # standard deviations that a number of a code reaches
LARGEST = 127
WEIGHTS = (0.0, 0.5, 1.0)  # of which the one is taken that finds most; of equals the first
_TRIED, _NEAR = 256, 10  # vectors, and neighbours of each, by which that is decided
_FAR = 1 << 23  # half a square, at most: with the products less than 2^24, so that float32 holds all sums
_FOURS = 4  # numbers that a processor multiplies together


@dataclass(frozen=True, eq=False)
class Coding:
    """How vectors become codes.

    Attributes:
        metric: whose order the codes have.
        mean: (D,) float32, from where vectors count.
        directions: (n, D) float32, of which a code has the products, rounded; n is a multiple of four.
        weight: in [0, 1], how much of what the directions leave out of a vector is added to its square.
    """

    metric: Metric
    mean: NDArray[np.float32]
    directions: NDArray[np.float32]
    weight: float

    def codes(self, rows: Tensor) -> Tensor:
        """Return the codes of vectors (N, D) float32: (N, n) int8."""
        return _rounded(self._away(rows) @ torch.from_numpy(self.directions).T)

    def halves(self, rows: Tensor, codes: Tensor) -> Tensor:
        """Return half the square of each vector, in steps of its code: (N,) int32.

        The larger the product of two codes less this, the nearer is the vector to the query.
        """
        held = codes.double().square().sum(1)
        if self.weight:
            step = float(np.linalg.norm(self.directions.astype(np.float64), axis=1).max())
            whole = (self._away(rows).double() * step).square().sum(1)
            held = held + self.weight * (whole - held).clamp(min=0)
        return (held / 2).round().clamp(max=_FAR).int()

    def _away(self, rows: Tensor) -> Tensor:
        return _turned(rows, self.metric) - torch.from_numpy(self.mean)


def learn(rows: Tensor, metric: Metric, seed: int) -> Coding:
    """Learn a coding from some vectors (N, D) float32.

    Args:
        rows: at least two.
        metric: euclidean, or cosine.
        seed: of the turning.
    """
    turned = _turned(rows, metric).double()
    mean = turned.mean(0)
    away = turned - mean
    ways = _components(away)  # (D, n)
    count = ways.shape[1]
    drawn = torch.from_numpy(np.random.default_rng(seed).normal(size=(count, count)))
    ways = ways @ torch.linalg.qr(drawn)[0]
    deviation = float((away @ ways).square().mean().sqrt())
    directions = torch.zeros(-(-count // _FOURS) * _FOURS, ways.shape[0])
    directions[:count] = (ways.T * (LARGEST / (DEEP * deviation) if deviation > 0 else 1)).float()
    plain = Coding(metric, mean.float().numpy(), directions.numpy(), 0.0)
    return max((replace(plain, weight=weight) for weight in WEIGHTS), key=functools.partial(_share_found, rows=rows))


def _share_found(coding: Coding, rows: Tensor) -> float:
    """Return which share of the nearest among the vectors of a sample is among as many candidates and half of them."""
    few = rows[:_TRIED]
    near, wanted = min(_NEAR, len(rows) - 1), min(_NEAR * 3 // 2, len(rows) - 1)
    itself = torch.eye(len(few), len(rows), dtype=torch.bool)
    turned = _turned(rows, coding.metric).double()
    true = torch.cdist(turned[:_TRIED], turned).masked_fill_(itself, torch.inf).topk(near, largest=False).indices
    codes = coding.codes(rows)
    scores = codes[:_TRIED].float() @ codes.float().T - coding.halves(rows, codes)
    found = scores.masked_fill_(itself, -torch.inf).topk(wanted).indices
    return float((true[:, :, None] == found[:, None]).any(2).double().mean())


def _rounded(numbers: Tensor) -> Tensor:
    return numbers.round_().clamp_(-LARGEST, LARGEST).to(torch.int8)


def _turned(rows: Tensor, metric: Metric) -> Tensor:
    """Return vectors whose Euclidean distances have the order of the metric."""
    return rows if metric == "euclidean" else rows / lengths(rows)[:, None]


def _components(away: Tensor) -> Tensor:
    """Return the first principal components (D, n) of centred vectors, by way of the smaller matrix of products."""
    wide = len(away) < away.shape[1]
    variances, ways = torch.linalg.eigh(away @ away.T if wide else away.T @ away)  # ascending
    held = variances.clamp(min=0).flip(0).cumsum(0)
    most = next((width for width in WIDTHS if width >= len(held) or held[width - 1] >= HELD * held[-1]), WIDTHS[-1])
    ways = ways.flip(1)[:, :most]
    return torch.nn.functional.normalize(away.T @ ways, dim=0) if wide else ways
