"""A linear classifier in closed form: least squares with a penalty, its strength chosen by leaving each picture out.

Numbers only: runs no network. For each strength a few lines of algebra give what every picture would be taken for by a
classifier that had not seen it; nothing is iterated, and nothing drawn by lot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import Tensor

from striate import progress
from striate.errors import DataError, OptionError
from striate.progress import Event

__all__ = ["STRENGTHS", "Ridge", "fit_ridge"]

STRENGTHS: Final = tuple(10.0**power for power in range(-6, 3))
"""Penalties that are tried, as multiples of the mean squared length of a picture's features."""

TASK = "fitting the last layer"
_USUAL: Final = 1.0  # the strength that is tried first: what random filters give mostly wants 0.1 to 10
_NOTHING: Final = 1e-5  # a feature whose deviation is below this share of the largest never changes


@dataclass(frozen=True, eq=False)
class Ridge:
    """A linear classifier of D features into K classes.

    Attributes:
        weight: (K, D), float32; logits are ``features @ weight.T + bias``.
        bias: (K,), float32.
        strength: of `STRENGTHS`, that was chosen.
        left_out: share of the pictures that are named rightly by a classifier that has not seen them.
    """

    weight: Tensor
    bias: Tensor
    strength: float
    left_out: float


def fit_ridge(
    features: Tensor,
    labels: Tensor,
    classes: int,
    *,
    intercept: bool = True,
    strengths: Sequence[float] = STRENGTHS,
    chunk: int = 4096,
) -> Ridge:
    """Fit a linear classifier to features by penalised least squares on the classes as 0 and 1.

    Every feature is centred and divided by its standard deviation first (folded into the weights); one that never
    changes gets the weight 0. The intercept is not penalised. Of the strengths that one is taken whose squared error on
    pictures left out, one at a time, is least. The scores are then stretched so that softmax of them fits the
    left-out pictures best: without that all probabilities would be about the same.

    Args:
        features: (N, D), float32, finite; overwritten where they are on the processor.
        labels: (N,), int64, of 0 to `classes` - 1.
        classes: K.
        intercept: False for a classifier whose bias is zero; then nothing is centred.
        strengths: to choose from.
        chunk: features in one piece of what is worked out in double precision.

    Returns:
        The classifier, on the CPU.

    Raises:
        DataError: fewer than two pictures or two classes among them, features that are no finite numbers, or none that
            differs from picture to picture.
        OptionError: a strength that is not above 0, or none.

    Source: Hastie, Tibshirani and Friedman 2009, "The elements of statistical learning", sections 3.4.1 and 7.10;
        Rifkin and Klautau 2004, "In defense of one-vs-all classification".
    """
    if not strengths or min(strengths) <= 0:
        raise OptionError(f"strengths of the penalty are above 0, at least one; got {list(strengths)}.")
    count = len(features)
    if count < 2 or int(labels.min()) == int(labels.max()):
        raise DataError(f"a classifier needs pictures of at least two classes; there are {count} of one.")
    mean, deviation = _standardise(features, intercept)
    targets = torch.nn.functional.one_hot(labels, classes).double()
    shares = targets.mean(0) if intercept else torch.zeros_like(targets[0])
    solver = _Solver(features, targets - shares, intercept, chunk)
    strength, tried = _lowest(sorted(strengths), solver)
    scores = tried.left_out + shares
    stretch = _stretch(scores.cpu().numpy(), labels.cpu().numpy())
    weight = solver.weights(tried).T * stretch / deviation  # (K, D)
    bias = shares.cpu() * stretch - (weight @ mean).cpu()
    right = float((scores.argmax(1) == labels).double().mean())
    return Ridge(weight.float().cpu(), bias.float(), strength, right)


def _lowest(strengths: Sequence[float], solver: _Solver) -> tuple[float, _Tried]:
    """Walk downhill from the usual one, and return the strength with the least error, with what it gave."""
    found: dict[int, _Tried] = {}
    progress.report(Event(TASK, 0, None))

    def tried(place: int) -> _Tried:
        if place not in found:
            progress.check_stop(TASK)
            found[place] = solver.solve(strengths[place])
            progress.report(Event(TASK, len(found), None))
        return found[place]

    at = min(range(len(strengths)), key=lambda place: abs(np.log(strengths[place] / _USUAL)))
    while True:
        around = [place for place in (at - 1, at + 1) if 0 <= place < len(strengths)]
        best = min([at, *around], key=lambda place: tried(place).error)
        if best == at:
            progress.report(Event(TASK, len(found), len(found)))
            return strengths[at], found[at]
        at = best


@dataclass(frozen=True, eq=False)
class _Tried:
    """What one strength gives: mean squared error left out, scores left out (N, K), and the solution."""

    error: float
    left_out: Tensor
    solution: Tensor  # (D, K) weights, or (N, K) shares of each picture in them


class _Solver:
    """The sums that all strengths have in common: of features by features, or where they are fewer of pictures."""

    def __init__(self, features: Tensor, targets: Tensor, intercept: bool, chunk: int) -> None:
        self._features, self._targets, self._chunk = features, targets, chunk
        count, width = features.shape
        self._own = 1 / count if intercept else 0.0  # how much of the intercept is a picture's own doing
        self._few = count <= width
        side = min(count, width)
        self._square = torch.zeros(side, side, dtype=torch.float64, device=features.device)
        for start in range(0, max(count, width), chunk):  # the longer way in pieces, added up in double precision
            piece = features[:, start : start + chunk] if self._few else features[start : start + chunk].T
            self._square += (piece @ piece.T).double()
        self._unit = float(self._square.diagonal().sum()) / count  # mean squared length
        if self._few and intercept:
            # centred features say nothing of the mean of all pictures: left at 0, this direction alone would be seen
            # through a weak penalty. It is made strong, and taken out again in `solve`
            self._square += self._unit
        if not self._few:
            self._along = torch.zeros(width, targets.shape[1], dtype=torch.float64, device=features.device)
            for piece, those in zip(*self._pieces(), strict=True):
                self._along += piece.double().T @ those

    def solve(self, strength: float) -> _Tried:
        """Solve for one strength, and for every picture as if it had been left out."""
        count = len(self._targets)
        penalty = strength * self._unit
        square = self._square.clone()
        square.diagonal().add_(penalty)
        factor, failed = torch.linalg.cholesky_ex(square)
        if int(failed):  # smaller than what single precision leaves of the sums
            return _Tried(float("inf"), self._targets, self._targets)
        if self._few:
            inverse = torch.cholesky_inverse(factor).diagonal()  # half of what solving for each picture takes
            solution = torch.cholesky_solve(self._targets, factor)
            held = self._own * penalty / (count * self._unit + penalty)  # 1 / N less what the strong direction holds
            wrong, free = penalty * solution, penalty * inverse - held
        else:
            solution = torch.cholesky_solve(self._along, factor)
            missed, own = [], []
            for features, targets in zip(*self._pieces(), strict=True):
                piece = features.double()
                missed.append(targets - piece @ solution)
                own.append(torch.linalg.solve_triangular(factor, piece.T, upper=False).square().sum(0))
            wrong, free = torch.cat(missed), 1 - torch.cat(own) - self._own
        wrong = wrong / free.clamp(min=1e-9)[:, None]  # of each picture by a classifier that has not seen it
        return _Tried(float(wrong.square().mean()), self._targets - wrong, solution)

    def _pieces(self) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """Return features and targets in pieces that are worked out in double precision one by one."""
        return torch.split(self._features, self._chunk), torch.split(self._targets, self._chunk)

    def weights(self, tried: _Tried) -> Tensor:
        """Return the weights of the standardised features, (D, K), float64."""
        if not self._few:
            return tried.solution
        shares = tried.solution.to(self._features.dtype)
        return (self._features.T @ shares).double()


def _standardise(features: Tensor, centre: bool) -> tuple[Tensor, Tensor]:
    """Centre and scale features in place; return the means and what they were divided by, (D,), float64."""
    mean = features.mean(0, dtype=torch.float64) * centre
    features -= mean.to(features.dtype)
    mean = mean.to(features.dtype).double()  # what was really taken away
    deviation = features.square().mean(0, dtype=torch.float64).sqrt()
    largest = float(deviation.max())
    if not np.isfinite(largest):
        raise DataError("some features of the network are no finite numbers: its weights, or the pictures, are not.")
    if largest == 0:
        raise DataError("no feature of the network differs from picture to picture: there is nothing to tell them by.")
    deviation = torch.where(deviation > _NOTHING * largest, deviation, torch.inf)
    features /= deviation.to(features.dtype)
    return mean, deviation


def _stretch(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Return by how much scores are to be multiplied so that their softmax fits the labels best.

    One picture more is counted as wrong than is: where all are right, no certainty would be too much otherwise.

    Source: Platt 1999, "Probabilistic outputs for support vector machines", section 2.2 (the targets).
    """
    scores = scores - scores.max(1, keepdims=True)
    own = scores[np.arange(len(labels)), labels]
    others = (scores.sum(1) - own) / (scores.shape[1] - 1)
    wrong = 1 / (len(labels) + 2)
    aim = (1 - wrong) * own + wrong * others

    def loss(power: float) -> float:
        scale = float(np.exp(power))
        return float((np.log(np.exp(scale * scores).sum(1)) - scale * aim).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-3.0, 6.0), method="bounded").x))
