"""Modules that do their work in another way for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import MethodType
from typing import Any

from torch import Tensor, nn

__all__ = ["lent"]


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
