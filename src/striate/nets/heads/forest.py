"""A random forest: trees of questions about single features, as tensors of indices. Gradients cannot go through it."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from striate.errors import NetworkError
from striate.nets.heads._head import Head

__all__ = ["FLOOR", "HEAD", "ForestHead"]

FLOOR = 1e-6  # share of a class that no leaf has seen, so that its logarithm is finite


class ForestHead(Head):
    """All trees at once: the logit of a class is the logarithm of its mean share in the leaves that are reached.

    So softmax gives the shares themselves. Where a feature is at most the threshold of a node, the way goes on to its
    first of its two `ways`; those of a leaf lead to itself.

    Shape:
        input (N, D); output (N, K). Of T trees with M nodes and L leaves in all: `roots` (T,), `feature`,
        `threshold`, `leaf` (M,), `ways` (M, 2), `shares` (L, K).
    """

    kind: ClassVar[str] = "forest"
    sizes: ClassVar[tuple[str, ...]] = ("features", "trees", "nodes", "leaves", "depth", "classes")
    differentiable: ClassVar[bool] = False

    roots: Tensor
    feature: Tensor
    threshold: Tensor
    ways: Tensor
    leaf: Tensor
    shares: Tensor

    def __init__(self, features: int, trees: int, nodes: int, leaves: int, depth: int, classes: int) -> None:
        super().__init__()
        self.features, self.trees, self.nodes, self.leaves = features, trees, nodes, leaves
        self.depth, self.classes = depth, classes
        if depth > nodes:
            raise NetworkError(f"a forest of {nodes:,} nodes cannot be {depth:,} questions deep.")
        self.register_buffer("roots", torch.empty(trees, dtype=torch.int64))
        self.register_buffer("feature", torch.empty(nodes, dtype=torch.int64))
        self.register_buffer("threshold", torch.empty(nodes))
        self.register_buffer("ways", torch.empty((nodes, 2), dtype=torch.int64))
        self.register_buffer("leaf", torch.empty(nodes, dtype=torch.int64))
        self.register_buffer("shares", torch.empty(leaves, classes))

    def forward(self, values: Tensor) -> Tensor:
        """Return logits (N, K)."""
        # the first question apart from the others: nothing here is as long as the batch but what comes from it. And no
        # indexing by tensors: whoever writes the operations down takes it for one whose shape depends on the values
        above = values.index_select(1, self.feature.take(self.roots)) > self.threshold.take(self.roots)  # (N, T)
        node = self.ways.take(self.roots * 2 + above)
        for _ in range(self.depth - 1):
            above = values.gather(1, self.feature.take(node)) > self.threshold.take(node)
            node = self.ways.take(node * 2 + above)
        return F.embedding(self.leaf.take(node), self.shares).mean(1).clamp(min=FLOOR).log()  # (N, T, K) to (N, K)


HEAD = ForestHead
