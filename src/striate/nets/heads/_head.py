"""What every head knows of itself: what it is made of, and what it holds."""

from __future__ import annotations

from itertools import chain
from typing import Any, ClassVar

from torch import nn

__all__ = ["Head"]


class Head(nn.Module):
    """A classifier on features, (N, D) to logits (N, K).

    Attributes:
        kind: its name.
        sizes: names of the whole numbers that it is made of; attributes of these names hold them.
        differentiable: gradients go through it.
        features: D.
        classes: K.
    """

    kind: ClassVar[str]
    sizes: ClassVar[tuple[str, ...]]
    differentiable: ClassVar[bool] = True
    features: int
    classes: int

    def plain(self) -> dict[str, Any]:
        """Return the plain numbers that `heads.blank` makes it from."""
        return {"kind": self.kind, **{name: getattr(self, name) for name in self.sizes}}

    @property
    def numbers(self) -> int:
        """How many numbers it holds: weights, support vectors, thresholds."""
        return sum(held.numel() for held in chain(self.parameters(), self.buffers()))

    def extra_repr(self) -> str:
        """Say what it is made of."""
        return ", ".join(f"{name}={getattr(self, name)}" for name in self.sizes)
