"""A small dense network: one hidden layer of rectifiers, with a penalty on its weights."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from striate import progress
from striate.learn.seeds import number
from striate.learn.transferring.heads._linear import both
from striate.learn.transferring.heads._rule import Rows, Rule, Setting
from striate.learn.transferring.heads._scaling import Scaled, folded, scaled
from striate.nets import heads
from striate.nets.heads import Head

__all__ = ["RULE", "Dense"]

_UNITS, _BATCH = 128, 128
_EPOCHS, _STEPS = 20, 400  # at least so many of each


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network.

    Attributes:
        features: what it was trained on.
        weights: of the hidden layer (U, r), on `Scaled.short`, and of the last (K, U).
        biases: likewise.
        done: always; how long it is trained is fixed.
    """

    features: Scaled
    weights: tuple[NDArray[np.float64], NDArray[np.float64]]
    biases: tuple[NDArray[np.float64], NDArray[np.float64]]
    done: bool = True

    def decide(self, rows: Rows) -> NDArray[np.int64]:
        """Return the class with the largest logit."""
        hidden = np.maximum(self.features.short[rows] @ self.weights[0].T + self.biases[0], 0)
        found: NDArray[np.int64] = (hidden @ self.weights[1].T + self.biases[1]).argmax(1)
        return found

    def head(self) -> Head:
        """Return it on plain features."""
        weight, bias = folded(self.features, self.weights[0], self.biases[0])
        last = [torch.from_numpy(part).float() for part in (self.weights[1], self.biases[1])]
        return heads.filled(
            "dense",
            {"hidden.weight": weight, "hidden.bias": bias, "output.weight": last[0], "output.bias": last[1]},
            features=weight.shape[1],
            units=len(weight),
            classes=len(last[1]),
        )


class Dense:
    """Trains scikit-learn's `MLPClassifier` (Adam); alpha is the weight of the penalty."""

    def __init__(self, X: NDArray[np.float32], y: NDArray[np.int64], classes: int, seed: int) -> None:
        self.features, self.labels, self.seed = scaled(X), y, seed
        self.settings: tuple[Setting, ...] = tuple({"alpha": value, "units": _UNITS} for value in (10.0, 1.0, 0.1))

    def learn(self, rows: Rows, settings: Sequence[Setting]) -> Iterator[Trained]:
        """Train on some rows."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPClassifier

        batch = min(_BATCH, max(1, len(rows) // 4))
        epochs = max(_EPOCHS, math.ceil(_STEPS * batch / len(rows)))
        values, labels = self.features.short[rows], self.labels[rows]
        for setting in settings:
            progress.check_stop("dense")
            found = MLPClassifier(
                (int(setting["units"]),), alpha=setting["alpha"], batch_size=batch, max_iter=epochs,
                random_state=number(self.seed, "dense") % 2**32,
            )  # fmt: skip
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # it is stopped on purpose
                found.fit(values, labels)
            first, last = (np.asarray(part.T, dtype=np.float64) for part in found.coefs_)
            bias, end = (np.asarray(part, dtype=np.float64) for part in found.intercepts_)
            last, end = both(last, end)
            yield Trained(self.features, (first, last), (bias, end))


RULE = Rule("dense", f"a dense network with {_UNITS} hidden units", 4, Dense)
