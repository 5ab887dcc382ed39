"""A linear classifier: one weight for each feature and class, and a bias. Logistic regression and linear SVMs."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from striate.nets.heads._head import Head

__all__ = ["HEAD", "LinearHead"]


class LinearHead(Head):
    """``x W^T + b``; what features are scaled by is folded into both.

    Shape:
        input (N, D); output (N, K). `layer` is a plain dense layer with weight (K, D) and bias (K,).
    """

    kind: ClassVar[str] = "linear"
    sizes: ClassVar[tuple[str, ...]] = ("features", "classes")

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.features, self.classes = features, classes
        self.layer = nn.Linear(features, classes)

    def forward(self, values: Tensor) -> Tensor:
        """Return logits (N, K)."""
        logits: Tensor = self.layer(values)
        return logits


HEAD = LinearHead
