"""What linear classifiers have in common: weights and biases on scaled features, as a head on plain ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from striate.learn.transferring.heads._rule import Rows
from striate.learn.transferring.heads._scaling import Scaled, folded
from striate.nets import heads
from striate.nets.heads import Head

__all__ = ["Linear", "both"]


def both(weight: NDArray[np.float64], bias: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return rows for two classes from the one that tells them apart: half of it for each, with opposite signs.

    So the softmax of both is the sigmoid of the one, and both depend on the features.
    """
    return (weight, bias) if len(weight) > 1 else (np.concatenate([-weight, weight]) / 2, np.r_[-bias, bias] / 2)


@dataclass(frozen=True, eq=False)
class Linear:
    """A fitted linear classifier.

    Attributes:
        features: what it was fitted on.
        weight: (K, r), on `Scaled.short`.
        bias: (K,).
        done: the search came to its end.
    """

    features: Scaled
    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    done: bool

    def decide(self, rows: Rows) -> NDArray[np.int64]:
        """Return the class with the largest logit."""
        found: NDArray[np.int64] = (self.features.short[rows] @ self.weight.T + self.bias).argmax(1)
        return found

    def head(self) -> Head:
        """Return it on plain features."""
        weight, bias = folded(self.features, self.weight, self.bias)
        return heads.filled(
            "linear",
            {"layer.weight": weight, "layer.bias": bias},
            features=weight.shape[1],
            classes=weight.shape[0],
        )
