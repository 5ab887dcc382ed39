"""A kernel machine: how near the features are to each of its support vectors, weighed and added up."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from striate.nets.heads._head import Head

__all__ = ["HEAD", "KernelHead"]


class KernelHead(Head):
    """Support vector machines with radial basis functions, one class against the rest.

    With features scaled to ``z = (x - shift) * factor``, the logit of a class is ``sum_s w_s exp(-gamma |z - v_s|^2)``
    plus a bias: a smooth function of the features, so that gradients go through it.

    Shape:
        input (N, D); output (N, K). `vectors` (S, D) scaled, `dual` (K, S) is 0 where a vector supports another class
        alone, `bias` (K,), `gamma` one number, `shift` and `factor` (D,).
    """

    kind: ClassVar[str] = "kernel"
    sizes: ClassVar[tuple[str, ...]] = ("features", "vectors", "classes")

    shift: Tensor
    factor: Tensor
    support: Tensor
    dual: Tensor
    bias: Tensor
    gamma: Tensor

    def __init__(self, features: int, vectors: int, classes: int) -> None:
        super().__init__()
        self.features, self.vectors, self.classes = features, vectors, classes
        self.register_buffer("shift", torch.empty(features))
        self.register_buffer("factor", torch.empty(features))
        self.register_buffer("support", torch.empty(vectors, features))
        self.register_buffer("dual", torch.empty(classes, vectors))
        self.register_buffer("bias", torch.empty(classes))
        self.register_buffer("gamma", torch.empty(()))

    def forward(self, values: Tensor) -> Tensor:
        """Return logits (N, K)."""
        scaled = (values - self.shift) * self.factor
        # |z - v|^2 by one product of matrices; a distance that rounding makes negative does no harm in exp
        apart = scaled.square().sum(1, keepdim=True) + self.support.square().sum(1) - 2 * scaled @ self.support.T
        return torch.exp(-self.gamma * apart) @ self.dual.T + self.bias


HEAD = KernelHead
