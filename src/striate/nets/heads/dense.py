"""A small dense network: one hidden layer with rectifiers."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from striate.nets.heads._head import Head

__all__ = ["HEAD", "DenseHead"]


class DenseHead(Head):
    """``relu(x V^T + c) W^T + b``; what features are scaled by is folded into the hidden layer.

    Shape:
        input (N, D); output (N, K).
    """

    kind: ClassVar[str] = "dense"
    sizes: ClassVar[tuple[str, ...]] = ("features", "units", "classes")

    def __init__(self, features: int, units: int, classes: int) -> None:
        super().__init__()
        self.features, self.units, self.classes = features, units, classes
        self.hidden = nn.Linear(features, units)
        self.relu = nn.ReLU()  # a module, so that it has an address
        self.output = nn.Linear(units, classes)

    def forward(self, values: Tensor) -> Tensor:
        """Return logits (N, K)."""
        logits: Tensor = self.output(self.relu(self.hidden(values)))
        return logits


HEAD = DenseHead
