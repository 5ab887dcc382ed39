"""Logistic regression: the linear classifier whose softmax is most likely, with a penalty on its weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from striate.learn.transferring.heads._linear import Linear, both
from striate.learn.transferring.heads._rule import Rows, Rule, Setting
from striate.learn.transferring.heads._scaling import scaled

__all__ = ["RULE", "Logistic"]

_ROUNDS = 500
_NEAR, _ENDED = 1e-3, 1e-4  # slope at which a search ends: where settings are compared, and for the one that is kept


class Logistic:
    """Fits by scikit-learn's `LogisticRegression` (L-BFGS); C is the weight of the loss beside the penalty."""

    def __init__(self, X: NDArray[np.float32], y: NDArray[np.int64], classes: int, seed: int) -> None:
        self.features, self.labels = scaled(X), y
        self.settings: tuple[Setting, ...] = tuple({"C": value} for value in (1e-4, 1e-3, 1e-2, 1e-1, 1.0))

    def learn(self, rows: Rows, settings: Sequence[Setting]) -> Iterator[Linear]:
        """Fit some rows."""
        from sklearn.linear_model import LogisticRegression

        near = _ENDED if len(settings) == 1 else _NEAR
        found = LogisticRegression(max_iter=_ROUNDS, tol=near, warm_start=True)
        values, labels = self.features.short[rows], self.labels[rows]
        for setting in settings:
            found.set_params(C=setting["C"])
            found.fit(values, labels)
            weight, bias = (np.asarray(part, dtype=np.float64).copy() for part in (found.coef_, found.intercept_))
            yield Linear(self.features, *both(weight, bias), done=int(np.max(found.n_iter_)) < _ROUNDS)


RULE = Rule("logistic", "logistic regression", 0, Logistic, threads=True)
