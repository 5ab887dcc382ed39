"""Products of vectors with the network's own matrices, done by oneDNN: steps of a program, in float32.

On a processor, where it is about twice as fast as what PyTorch asks for them, and needs nothing prepared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from striate.program import Program, Ref, Step

__all__ = ["NAME", "Product", "with_products"]

NAME = "product"
"""What the steps are called in which vectors are multiplied by a matrix of the network."""


@dataclass(frozen=True, eq=False)
class Product:
    """A product of vectors with a matrix, and a sum with a vector.

    Attributes:
        weight: (K, C).
        bias: (K,), or None.
    """

    weight: Tensor
    bias: Tensor | None

    def __call__(self, vectors: Tensor) -> Tensor:
        """Return (M, K) for vectors (M, C)."""
        operation: Callable[..., Any] = torch.ops.mkldnn._linear_pointwise
        found = operation(vectors, self.weight, self.bias, "none", [], "")
        assert isinstance(found, Tensor)
        return found


def with_products(program: Program) -> Program:
    """Return a program that gives the same values, up to rounding; itself where oneDNN would not do it.

    Its products can not be differentiated. Call it under ``torch.no_grad``.
    """
    known = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")  # type: ignore[no-untyped-call]
    if not known or torch.is_autocast_enabled("cpu"):
        return program
    return replace(program, steps=tuple(_taken(step) for step in program.steps))


def _taken(step: Step) -> Step:
    """Return a product of vectors with a matrix of the network as oneDNN does it; any other step as it is."""
    if step.name not in ("addmm", "mm"):
        return step
    given = step.arguments
    vectors, matrix, bias = given["mat1" if step.name == "addmm" else "self"], given["mat2"], None
    if not isinstance(vectors, Ref) or not _plain(matrix) or not matrix.t().is_contiguous() or not matrix.numel():
        return step
    if step.name == "addmm":
        bias = given["self"]
        if not _plain(bias) or tuple(bias.shape) != (matrix.shape[1],) or given["beta"] != 1 or given["alpha"] != 1:
            return step
        bias = bias.detach().contiguous()  # oneDNN reads one number behind the other
    return replace(step, name=NAME, op=Product(matrix.detach().t(), bias), args=(vectors,), kwargs={})


def _plain(tensor: object) -> bool:
    return isinstance(tensor, Tensor) and tensor.dtype == torch.float32 and tensor.device.type == "cpu"
