"""Train for a while, and be as before: weights, buffers, gradients, flags, an optimiser, and what draws random numbers.

Nothing here knows what is done in between.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["undone"]


@contextmanager
def undone(module: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> Iterator[None]:
    """Undo everything that the block does to a module and an optimiser, bit for bit, after an exception too.

    What is put back: values of weights and buffers (in place, so that whoever holds them still does), their gradients,
    `requires_grad`, training flags, the optimiser's state and groups, and the state of the generators of torch (CPU and
    CUDA), NumPy and Python. Takes the memory of the weights once more.
    """
    with ExitStack() as stack:
        stack.callback(_restore_generators, _kept_generators())
        stack.callback(_restore_flags, [(part, part.training) for part in module.modules()])
        stack.callback(_restore_weights, _kept_weights(module))
        stack.callback(_restore_buffers, _kept_buffers(module))
        if optimizer is not None:
            stack.callback(_restore_optimizer, optimizer, *_kept_optimizer(optimizer))
        yield


_Weights = list[tuple[nn.Parameter, Tensor, bool, Tensor | None]]
_Buffers = list[tuple[nn.Module, str, Tensor, Tensor]]


def _kept_weights(module: nn.Module) -> _Weights:
    kept = [(weight, weight.detach().clone(), weight.requires_grad, weight.grad) for weight in module.parameters()]
    for weight, *_ in kept:
        weight.grad = None  # the gradients that are there are put aside, not written over
    return kept


def _restore_weights(kept: _Weights) -> None:
    with torch.no_grad():
        for weight, values, learns, gradient in kept:
            weight.copy_(values)
            weight.requires_grad_(learns)
            weight.grad = gradient


def _kept_buffers(module: nn.Module) -> _Buffers:
    return [
        (part, name, buffer, buffer.detach().clone())
        for part in module.modules()
        for name, buffer in part._buffers.items()
        if buffer is not None
    ]


def _restore_buffers(kept: _Buffers) -> None:
    with torch.no_grad():
        for part, name, buffer, values in kept:
            buffer.copy_(values)
            part._buffers[name] = buffer


def _restore_flags(kept: list[tuple[nn.Module, bool]]) -> None:
    for part, training in kept:
        part.training = training


def _kept_optimizer(optimizer: torch.optim.Optimizer) -> tuple[dict[Any, Any], list[dict[str, Any]]]:
    """Put the optimiser's own state aside, and let it work on a copy."""
    own = dict(optimizer.state)
    for weight, values in own.items():
        optimizer.state[weight] = {
            name: value.clone() if isinstance(value, Tensor) else copy.deepcopy(value) for name, value in values.items()
        }
    groups = [
        {name: _apart(value) for name, value in group.items() if name != "params"} for group in optimizer.param_groups
    ]
    return own, groups


def _restore_optimizer(optimizer: torch.optim.Optimizer, own: dict[Any, Any], groups: list[dict[str, Any]]) -> None:
    optimizer.state.clear()
    optimizer.state.update(own)
    for group, kept in zip(optimizer.param_groups, groups, strict=True):
        for name in [name for name in group if name != "params" and name not in kept]:
            del group[name]
        for name, value in kept.items():
            held = group.get(name)
            if isinstance(held, Tensor) and isinstance(value, Tensor):
                held.copy_(value)
            else:
                group[name] = value


def _apart(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


def _kept_generators() -> tuple[Any, Any, Tensor, list[Tensor]]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]  # torch leaves it so
    return random.getstate(), np.random.get_state(), torch.get_rng_state(), cuda


def _restore_generators(kept: tuple[Any, Any, Tensor, list[Tensor]]) -> None:
    python, numpy, processor, cuda = kept
    random.setstate(python)
    np.random.set_state(numpy)
    torch.set_rng_state(processor)
    if cuda:
        torch.cuda.set_rng_state_all(cuda)
