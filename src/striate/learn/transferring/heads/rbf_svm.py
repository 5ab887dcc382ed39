"""Support vector machines with radial basis functions, each class against the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from striate import progress
from striate.learn.transferring.heads._linear import both
from striate.learn.transferring.heads._rule import Rows, Rule, Setting
from striate.learn.transferring.heads._scaling import Scaled, scaled
from striate.nets import heads
from striate.nets.heads import Head

__all__ = ["RULE", "RbfSvm"]

_MOST = 6000  # rows: the products of all pairs take 430 MB
_WIDTHS, _STRENGTHS = (0.25, 1.0), (1.0, 10.0)  # gamma times the number of features; C


@dataclass(frozen=True, eq=False)
class KernelMachine:
    """Fitted machines.

    Attributes:
        problem: what they were fitted on.
        rows: of the problem, those that are support vectors of any class.
        dual: (K, S), weights of the support vectors.
        bias: (K,).
        gamma: of the kernel.
        done: always.
    """

    problem: RbfSvm
    rows: Rows
    dual: NDArray[np.float64]
    bias: NDArray[np.float64]
    gamma: float
    done: bool = True

    def decide(self, rows: Rows) -> NDArray[np.int64]:
        """Return the class with the largest logit."""
        kernel = np.exp(-self.gamma * self.problem.apart[np.ix_(rows, self.rows)].astype(np.float64))
        found: NDArray[np.int64] = (kernel @ self.dual.T + self.bias).argmax(1)
        return found

    def head(self) -> Head:
        """Return it on plain features."""
        features = self.problem.features
        vectors = features.values[self.rows]
        state = {
            "shift": features.shift, "factor": features.factor, "support": vectors, "dual": self.dual,
            "bias": self.bias, "gamma": np.asarray(self.gamma),
        }  # fmt: skip
        return heads.filled(
            "kernel",
            {name: torch.from_numpy(np.ascontiguousarray(held)).float() for name, held in state.items()},
            features=vectors.shape[1],
            vectors=len(vectors),
            classes=len(self.bias),
        )


class RbfSvm:
    """Fits by scikit-learn's `SVC` (libsvm), one machine a class, on products of all pairs that are made once."""

    def __init__(self, X: NDArray[np.float32], y: NDArray[np.int64], classes: int, seed: int) -> None:
        self.features: Scaled = scaled(X)
        self.labels, self.classes = y, classes
        values = self.features.values
        lengths = np.square(values).sum(1)
        self.apart = lengths[:, None] + lengths - 2 * (values @ values.T)  # (N, N), squared distances
        np.maximum(self.apart, 0, out=self.apart)
        self.settings: tuple[Setting, ...] = tuple(
            {"gamma": width / self.features.varying, "C": strength} for width in _WIDTHS for strength in _STRENGTHS
        )

    def learn(self, rows: Rows, settings: Sequence[Setting]) -> Iterator[KernelMachine]:
        """Fit some rows."""
        gamma, kernel = None, np.empty((0, 0))
        for setting in settings:
            if setting["gamma"] != gamma:
                gamma = setting["gamma"]
                kernel = np.exp(-gamma * self.apart[np.ix_(rows, rows)].astype(np.float64))
            yield self._fitted(rows, kernel, gamma, setting["C"])

    def _fitted(self, rows: Rows, kernel: NDArray[np.float64], gamma: float, strength: float) -> KernelMachine:
        from sklearn.svm import SVC

        asked = range(1, 2) if self.classes == 2 else range(self.classes)
        dual, bias = np.zeros((len(asked), len(rows))), np.zeros(len(asked))
        for place, index in enumerate(asked):
            progress.check_stop("rbf-svm")
            # it draws nothing, but asks NumPy's own generator for a seed unless it is given one
            machine = SVC(C=strength, kernel="precomputed", random_state=0).fit(kernel, self.labels[rows] == index)
            dual[place, machine.support_] = machine.dual_coef_[0]
            bias[place] = machine.intercept_[0]
        used = np.flatnonzero(dual.any(0))
        dual, bias = both(dual[:, used], bias)
        return KernelMachine(self, rows[used], dual, bias, gamma)


RULE = Rule("rbf-svm", "support vector machines with radial basis functions, each class against the rest", 2, RbfSvm,
            most=_MOST)  # fmt: skip
