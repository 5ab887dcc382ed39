"""Modules that do their work in another way for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["followed", "lent"]


def followed() -> bool:
    """Tell whether somebody follows each of PyTorch's operations: compiles, writes down, counts or transforms them."""
    return (
        torch.compiler.is_compiling()
        or torch._C._len_torch_dispatch_stack() > 0
        or torch._C._functorch.peek_interpreter_stack() is not None
    )


@contextmanager
def lent(modules: Sequence[nn.Module], forward: Callable[[Any, Tensor], Tensor]) -> Iterator[None]:
    """Let modules use another `forward` while this lasts; their classes, weights and hooks stay as they are.

    Args:
        modules: none of which has a `forward` of its own, besides that of its class.
        forward: gets the module and what it is called with.
    """
    for one in modules:
        vars(one)["forward"] = MethodType(forward, one)  # a method: a copy of the module gets its own
    try:
        yield
    finally:
        for one in modules:
            vars(one).pop("forward", None)
