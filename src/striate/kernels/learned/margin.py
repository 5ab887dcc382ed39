"""A linear classifier by margins: squared hinge, each class against the rest. Takes features, knows no pictures.

Standardising is done within the products, so that features are read where they lie, in memory or mapped, and never
copied; 50,000 rows of 6,400 numbers take a minute or two on one core.

Source: Coates, Lee and Ng 2011, section 3.2 ("L2 SVM"); the loss as in Fan et al. 2008, "LIBLINEAR".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate import progress
from striate.errors import DataError, OptionError

__all__ = ["STRENGTHS", "Margin", "fit_margin", "pick_strength"]

TASK = "linear classifier"
STRENGTHS: Final = (1.0, 10.0, 100.0, 1000.0)
"""Weights of the loss that are tried where none is given."""
LEAST: Final = 0.01
"""Added to the variance of a feature, so that one that hardly varies is not blown up."""
ROWS: Final = 8192  # read at a time


@dataclass(frozen=True, eq=False)
class Margin:
    """A fitted classifier: the logits of features x are weight x + bias; the standardising is folded in.

    Attributes:
        weight: shape (K, D), float32.
        bias: shape (K,), float32.
        loss: what was minimised, at the end.
        rounds: of the search.
        strength: weight of the loss beside the weights' squares.
    """

    weight: Tensor
    bias: Tensor
    loss: float
    rounds: int
    strength: float

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the logits (M, K) of features (M, D)."""
        weight, bias = self.weight.numpy(), self.bias.numpy()
        starts = range(0, len(features), ROWS)
        return np.concatenate([features[start : start + ROWS] @ weight.T + bias for start in starts])


def fit_margin(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    classes: int,
    *,
    strength: float = 100.0,
    rounds: int = 500,
    rows: NDArray[np.int64] | None = None,
) -> Margin:
    """Fit K one-against-the-rest classifiers at a time.

    Minimises |W|^2 / 2 + strength * mean_i sum_k max(0, 1 - y_ik f_k(x_i))^2 over standardised features, with y = 1 for
    the class of a row and -1 for the others; the bias is free. scikit-learn's LinearSVC with C = strength / M is the
    same, but for a penalty on its bias. Searched by L-BFGS.

    Args:
        features: shape (M, D), float32.
        labels: shape (M,), from 0 to `classes` - 1.
        classes: K.
        strength: of the loss beside the weights' squares, above 0.
        rounds: at most so many.
        rows: only these are learned from; all unless given.

    Raises:
        DataError: fewer than two classes have rows, or features are not finite.
        OptionError: the strength is not above 0.
        Stopped: the user asked to stop.
    """
    from scipy.optimize import minimize

    if not strength > 0:
        raise OptionError(f"strength must be above 0, got {strength}.")
    pieces = _Pieces(features, rows)
    known = torch.from_numpy(np.asarray(labels if rows is None else labels[rows], dtype=np.int64))
    if len(np.unique(known.numpy())) < 2:
        raise DataError(
            f"all {len(known):,} rows are of one class: there is nothing to tell apart. Give pictures of two or more."
        )
    mean, deviation = pieces.statistics()
    if not bool(torch.isfinite(deviation).all()):
        raise DataError("there are NaN or infinite values in the features.")
    size = features.shape[1]

    def value(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Return the loss and its gradient at weights of standardised features (K, D) and biases (K,), in a row."""
        progress.check_stop(TASK)
        held = torch.from_numpy(point)
        weight, bias = held[: classes * size].view(classes, size), held[classes * size :]
        plain = weight / deviation
        offset = (bias - plain @ mean).float()
        plain = plain.float()
        loss, slope, flat = 0.0, torch.zeros(classes, size, dtype=torch.float64), torch.zeros(classes).double()
        for start, block in pieces:
            signs = torch.full((len(block), classes), -1.0)
            signs[torch.arange(len(block)), known[start : start + len(block)]] = 1
            short = (1 - signs * torch.addmm(offset, block, plain.T)).clamp_min_(0)
            loss += float(short.square().sum(dtype=torch.float64))
            pull = short.mul_(signs)  # minus half the slope, by row and class
            slope += pull.T @ block
            flat += pull.sum(0, dtype=torch.float64)
        factor = strength / len(known)
        gradient = weight - 2 * factor * (slope - flat[:, None] * mean) / deviation
        total = 0.5 * float(weight.square().sum()) + factor * loss
        return total, torch.cat([gradient.flatten(), -2 * factor * flat]).numpy()

    done = 0

    def step(_: NDArray[np.float64]) -> None:
        nonlocal done
        done += 1
        progress.report(progress.Event(TASK, min(done, rounds), rounds))

    start = np.zeros(classes * (size + 1))
    options = {"maxiter": rounds, "maxfun": 2 * rounds, "maxcor": 20, "ftol": 1e-8, "gtol": 1e-5}
    found = minimize(value, start, jac=True, method="L-BFGS-B", callback=step, options=options)
    progress.report(progress.Event(TASK, rounds, rounds))
    weight = torch.from_numpy(found.x[: classes * size]).view(classes, size) / deviation
    bias = torch.from_numpy(found.x[classes * size :]) - weight @ mean
    return Margin(weight.float(), bias.float(), float(found.fun), int(found.nit), float(strength))


def pick_strength(
    features: NDArray[np.float32], labels: NDArray[np.int64], classes: int, *, seed: int = 0, share: float = 0.2
) -> tuple[float, dict[float, float]]:
    """Choose the strength by what is right on rows that were held back.

    Args:
        features: as of `fit_margin`.
        labels: likewise.
        classes: likewise.
        seed: of the rows that are held back.
        share: of the rows, held back; of each class one row at least is kept.

    Returns:
        The strength, and the share that is right for each that was tried; the weakest of those that are equally right.

    Raises:
        DataError: no class has a second row, so that none can be held back; and as `fit_margin`.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    _, last = np.unique(labels[order][::-1], return_index=True)
    spare = np.delete(order, len(order) - 1 - last)  # all but the last of each class in this order
    back = np.sort(spare[: max(1, round(share * len(labels)))])
    if not len(back):
        raise DataError(
            f"{len(labels):,} pictures of as many classes: none can be held back to choose the strength of the "
            "classifier by. Give more pictures, or the strength (strength=100)."
        )
    kept = np.setdiff1d(order, back)
    right: dict[float, float] = {}
    for strength in STRENGTHS:
        fitted = fit_margin(features, labels, classes, strength=strength, rows=kept)
        right[strength] = float((fitted(features[back]).argmax(axis=1) == labels[back]).mean())
    return max(right, key=lambda one: (right[one], -one)), right


class _Pieces:
    """Rows of features, some thousand at a time, as tensors."""

    def __init__(self, features: NDArray[np.float32], rows: NDArray[np.int64] | None) -> None:
        self.features = features
        self.rows = rows
        self.count = len(features) if rows is None else len(rows)

    def __iter__(self) -> Iterator[tuple[int, Tensor]]:
        for start in range(0, self.count, ROWS):
            stop = start + ROWS
            if self.rows is None:
                block = self.features[start:stop]
            else:
                block = self.features[self.rows[start:stop]]
            yield start, torch.from_numpy(np.ascontiguousarray(block, dtype=np.float32))

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Return the mean and the standard deviation (with `LEAST` added to the variance) of each feature, float64."""
        size = self.features.shape[1]
        total, squares = torch.zeros(size, dtype=torch.float64), torch.zeros(size, dtype=torch.float64)
        for _, block in self:
            total += block.sum(0, dtype=torch.float64)
        mean = total / self.count
        for _, block in self:
            squares += (block - mean.float()).square_().sum(0, dtype=torch.float64)
        return mean, (squares / max(self.count - 1, 1) + LEAST).sqrt()
