"""Run a module without disturbing it. Knows nothing of what is looked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

__all__ = ["first_tensor", "undisturbed"]


def first_tensor(output: Any) -> Tensor | None:
    """Return the tensor of a module's output: itself, or the first in a tuple, list or dict; else None."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        output = list(output.values())
    if isinstance(output, tuple | list):
        return next((found for item in output if (found := first_tensor(item)) is not None), None)
    return None


@contextmanager
def undisturbed(module: nn.Module) -> Iterator[None]:
    """Hold a network in evaluation mode without weight gradients; put every flag back afterwards.

    Flags that stand right already are not touched, so a network that is always in evaluation mode
    with frozen weights can be looked at from several threads.
    """
    training = [part for part in module.modules() if part.training]
    learning = [weight for weight in module.parameters() if weight.requires_grad]
    try:
        for part in training:
            part.training = False  # not eval(): some networks override it
        for weight in learning:
            weight.requires_grad_(False)
        yield
    finally:
        for part in training:
            part.training = True
        for weight in learning:
            weight.requires_grad_(True)
