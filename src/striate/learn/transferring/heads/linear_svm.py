"""Linear support vector machines, each class against the rest, with the squared hinge as loss.

What scikit-learn's LinearSVC finds, all classes at a time and each setting from where the one before ended, which is
ten times as fast here. `kernels.learned.margin` looks alike and is another problem: its bias is free, and its features
are read from the disk piece by piece and scaled on the way. In its place here it took eight times as long.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from striate.learn.transferring.heads._linear import Linear, both
from striate.learn.transferring.heads._rule import Rows, Rule, Setting
from striate.learn.transferring.heads._scaling import scaled

__all__ = ["RULE", "LinearSvm"]

_ROUNDS = 500
_ENOUGH = 1e-3  # of the slope at the start


class LinearSvm:
    """Minimises ``|W|^2 / 2 + C sum_ik max(0, 1 - y_ik f_k(x_i))^2`` by L-BFGS; the bias goes with the weights.

    Source: Fan et al. 2008, "LIBLINEAR: A library for large linear classification", equation (4) with L2 loss.
    """

    def __init__(self, X: NDArray[np.float32], y: NDArray[np.int64], classes: int, seed: int) -> None:
        self.features, self.classes = scaled(X), classes
        self.labels = y
        self.settings: tuple[Setting, ...] = tuple({"C": value} for value in (1e-5, 1e-4, 1e-3, 1e-2, 1e-1))

    def learn(self, rows: Rows, settings: Sequence[Setting]) -> Iterator[Linear]:
        """Fit some rows."""
        short = self.features.short[rows]
        values = np.concatenate([short, np.ones((len(rows), 1), np.float32)], 1)  # the last weight is the bias
        signs = np.where(self.labels[rows, None] == np.arange(self.classes), np.float32(1), np.float32(-1))
        if self.classes == 2:
            signs = signs[:, 1:]
        point = np.zeros(signs.shape[1] * values.shape[1])
        for setting in settings:
            point, done = _least(values, signs, setting["C"], point)
            weight = point.reshape(signs.shape[1], -1)
            yield Linear(self.features, *both(weight[:, :-1], weight[:, -1]), done=done)


def _least(
    values: NDArray[np.float32], signs: NDArray[np.float32], strength: float, start: NDArray[np.float64]
) -> tuple[NDArray[np.float64], bool]:
    """Search the minimum from a starting point; and tell whether it was reached."""
    from scipy.optimize import minimize

    def loss(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        weight = point.reshape(signs.shape[1], -1)
        short = np.maximum(0, 1 - signs * (values @ weight.T.astype(np.float32)))
        total = 0.5 * float(point @ point) + strength * float(np.square(short).sum(dtype=np.float64))
        slope = weight - 2 * strength * ((signs * short).T @ values).astype(np.float64)
        return total, slope.ravel()

    largest = float(np.abs(loss(np.zeros_like(start))[1]).max())
    options = {"maxiter": _ROUNDS, "ftol": 1e-9, "gtol": _ENOUGH * largest}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options)
    return np.asarray(found.x), int(found.nit) < _ROUNDS


RULE = Rule("linear-svm", "linear support vector machines, each class against the rest", 1, LinearSvm, threads=True)
