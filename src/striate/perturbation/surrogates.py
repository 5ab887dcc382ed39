"""Simple models of a network around one picture: what each superpixel adds to a score. Runs no network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.errors import OptionError

__all__ = ["Surrogate", "SurrogateFit", "closeness", "every_mask", "explained", "fit", "neighbourhood", "penalty"]

Surrogate = Literal["ridge", "lasso", "forest"]

_ALPHAS = {"ridge": 1.0, "lasso": 0.01, "forest": 0.0}
_TREES = 100
_ENOUGH = 20  # samples, from which on every one is left out by some of the trees


@dataclass(frozen=True)
class SurrogateFit:
    """A simple model of T scores.

    Attributes:
        weights: (T, S), float64: what each superpixel adds to each score, in its unit.
        explained: (T,), float64: weighted R^2, 1 at best; 0 where the score never changes.
    """

    weights: Tensor
    explained: Tensor


def every_mask(count: int) -> Tensor:
    """Return all ways to switch superpixels on and off, from none to all: (2 ** count, count), bool."""
    numbers = torch.arange(2**count)
    return (numbers[:, None] >> torch.arange(count)) & 1 == 1


def neighbourhood(count: int, samples: int, seed: int) -> Tensor:
    """Switch superpixels on and off at random, each on in half of the samples.

    The first sample is the picture itself. Where there are no more ways than samples, each is taken once.

    Args:
        count: of superpixels, S.
        samples: most masks to take.
        seed: of the draws.

    Returns:
        Shape (M, S), bool, M at most `samples`.
    """
    if 2**count <= samples:
        return every_mask(count)
    generator = torch.Generator().manual_seed(seed)
    design = torch.rand(samples, count, generator=generator, device="cpu") < 0.5
    design[0] = True
    return design


def closeness(design: Tensor, width: float) -> Tensor:
    """Weigh masks by how near they are to the whole picture.

    The distance is that of cosines in the binary space: of a mask that keeps k of S superpixels it is
    1 - sqrt(k / S). The weight is exp(-distance^2 / (2 width^2)).

    Args:
        design: (M, S), bool.
        width: of the kernel, above 0.

    Returns:
        Shape (M,), float64, in (0, 1].

    Source: Ribeiro, Singh and Guestrin 2016, arXiv:1602.04938, section 3.3.
    """
    distance = 1 - design.double().mean(1).sqrt()
    return torch.exp(-((distance / width) ** 2) / 2)


def penalty(kind: Surrogate, alpha: float | None) -> float:
    """Return the weight of a surrogate's penalty: as given, or 1 for ridge and 0.01 for lasso.

    Raises:
        OptionError: it is negative, or given for a forest.
    """
    if alpha is None:
        return _ALPHAS[kind]
    if kind == "forest":
        raise OptionError(f"alpha is the penalty of ridge and lasso; a forest has none, got {alpha}.")
    if not alpha >= 0:
        raise OptionError(f"alpha must be 0 or more, got {alpha}.")
    return alpha


def fit(design: Tensor, values: Tensor, weights: Tensor, kind: Surrogate, *, alpha: float, seed: int) -> SurrogateFit:
    """Fit one simple model for each score.

    Args:
        design: (M, S), bool.
        values: (M, T), the scores.
        weights: (M,), how much each sample counts.
        kind: ridge (squared penalty, in closed form), lasso (absolute penalty: most superpixels get exactly 0), or
            forest (trees: also what superpixels do together).
        alpha: weight of the penalty, 0 for none. Ridge minimises sum(w r^2) + alpha |b|^2, lasso
            sum(w r^2) / (2 sum(w)) + alpha |b|_1.
        seed: of the forest.
    """
    if kind == "forest":
        return _forest(design, values, weights, seed)
    inputs, answers, weights = design.double(), values.double(), weights.double()
    shares = weights / weights.sum()
    centred, change = inputs - shares @ inputs, answers - shares @ answers
    if kind == "ridge" or alpha == 0:
        slopes = _ridge(centred, change, weights, alpha)
    else:
        slopes = _lasso(centred, change, weights, alpha)
    return SurrogateFit(slopes.T, explained(change, centred @ slopes, weights))


def explained(values: Tensor, predicted: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted R^2 of T scores: 1 is perfect, 0 no better than their mean, or no score that changes.

    Args:
        values: (M, T).
        predicted: (M, T).
        weights: (M,).
    """
    shares = (weights / weights.sum()).double()
    values, predicted = values.double(), predicted.double()
    left = shares @ (values - predicted) ** 2
    there = shares @ (values - shares @ values) ** 2
    smallest = (1e-7 * values.abs().amax(0)) ** 2  # what rounding makes of a constant
    return torch.where(there > smallest, 1 - left / there.clamp(min=1e-300), torch.zeros_like(there))


def _ridge(inputs: Tensor, answers: Tensor, weights: Tensor, alpha: float) -> Tensor:
    """Solve the normal equations of all scores at once: (S, T)."""
    weighed = inputs.T * weights  # (S, M)
    square = weighed @ inputs
    if alpha == 0:  # there may be fewer samples than superpixels: the shortest solution
        inverse: Tensor = torch.linalg.pinv(square, hermitian=True)
        return inverse @ (weighed @ answers)
    ridge = square + alpha * torch.eye(len(square), dtype=square.dtype)
    slopes: Tensor = torch.linalg.solve(ridge, weighed @ answers)
    return slopes


def _lasso(inputs: Tensor, answers: Tensor, weights: Tensor, alpha: float) -> Tensor:
    """Fit score by score: (S, T)."""
    from sklearn.linear_model import Lasso

    model = Lasso(alpha=alpha, fit_intercept=False, max_iter=100_000, tol=1e-6)
    slopes = [model.fit(inputs.numpy(), one.numpy(), sample_weight=weights.numpy()).coef_.copy() for one in answers.T]
    return torch.from_numpy(np.stack(slopes, axis=1))


def _forest(design: Tensor, values: Tensor, weights: Tensor, seed: int) -> SurrogateFit:
    """Fit a forest score by score; a superpixel's weight is how much its answer changes when it is switched on."""
    inputs, counts = design.numpy().astype(np.float32), weights.double().numpy()
    found = [_one_forest(inputs, one, counts, seed) for one in values.double().numpy().T]
    predicted = torch.from_numpy(np.stack([one for _, one in found], axis=1))
    return SurrogateFit(
        torch.from_numpy(np.stack([effects for effects, _ in found])), explained(values, predicted, weights)
    )


def _one_forest(
    inputs: NDArray[np.float32], values: NDArray[np.float64], weights: NDArray[np.float64], seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return effects (S,) and predictions (M,), by the trees that have not seen a sample where there are enough."""
    from sklearn.ensemble import RandomForestRegressor

    honest = len(values) >= _ENOUGH
    forest: Any = RandomForestRegressor(
        n_estimators=_TREES, max_features=1 / 3, min_samples_leaf=2, oob_score=honest, random_state=seed % 2**32
    )
    forest.fit(inputs, values, sample_weight=weights)
    plain = forest.predict(inputs)
    shares, effects = weights / weights.sum(), np.zeros(inputs.shape[1])
    for index in range(inputs.shape[1]):
        turned = inputs.copy()
        turned[:, index] = 1 - turned[:, index]
        change = plain - forest.predict(turned)  # on minus off, or off minus on
        effects[index] = shares @ (change * np.where(inputs[:, index] > 0, 1, -1))
    return effects, forest.oob_prediction_ if honest else plain
