"""Batch norm that stands still, on the way back of a gradient: one product, in place of two sums beside it.

Forward it is the very operation of the network, so that what follows (and which rectifiers open) stays bit by bit.
Knows no network.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import disable_saved_tensors_hooks
from torch.nn import functional
from torch.overrides import TorchFunctionMode

__all__ = ["still_norms"]


class still_norms(TorchFunctionMode):  # noqa: N801 - is used as a function
    """Take the short way back through batch norm in evaluation mode, in runs that are made inside this block.

    PyTorch works out the sums for the gradients of weight and bias as well and throws them away, for which it keeps
    and reads the input: a fifth of a pass of EfficientNet-Lite0 forward and back on two cores, and two to three times
    as long as the product takes. Only where batch norm is called as ``torch.nn.functional.batch_norm`` (all modules
    do), on a processor, and nothing but its input asks for a gradient; everything else goes its own way. So does a
    part that is run once more on the way back (checkpointing): it must keep the same then, outside this block.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = kwargs or {}
        if func is functional.batch_norm:
            return _batch_norm(*args, **given)
        return func(*args, **given)


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Take the arguments of ``torch.nn.functional.batch_norm``."""
    held = [tensor for tensor in (running_mean, running_var, weight, bias) if tensor is not None]
    still = not training and running_mean is not None and running_var is not None
    plain = input.device.type == "cpu" and input.dtype in (torch.float32, torch.float64)
    alike = all(tensor.dtype == input.dtype and not tensor.requires_grad for tensor in held)
    if still and plain and alike and input.requires_grad and torch.is_grad_enabled() and not _hooked():
        found: Tensor = _Still.apply(input, running_mean, running_var, weight, bias, eps)
        return found
    return functional.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def _hooked() -> bool:
    """Tell whether somebody watches what is kept for the way back, as checkpointing does."""
    try:
        with disable_saved_tensors_hooks(""):  # refused where there are any
            return False
    except RuntimeError:
        return True


class _Still(torch.autograd.Function):
    """Batch norm with statistics that do not change: each channel times a number, plus another."""

    generate_vmap_rule = True  # for networks that use torch.func themselves

    @staticmethod
    def forward(
        input: Tensor, mean: Tensor, variance: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> Tensor:
        return functional.batch_norm(input, mean, variance, weight, bias, eps=eps)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        input, _, variance, weight, _, eps = inputs
        scale = torch.rsqrt(variance + eps)
        if weight is not None:
            scale = scale * weight
        scale = scale.view(-1, *[1] * (input.dim() - 2))  # (C, 1, 1)
        ctx.save_for_backward(scale)
        ctx.save_for_forward(scale)

    @staticmethod
    def backward(ctx: Any, arriving: Tensor) -> tuple[Tensor | None, ...]:
        (scale,) = ctx.saved_tensors
        return (arriving * scale, None, None, None, None, None)  # in new memory: other branches hold what arrives

    @staticmethod
    def jvp(ctx: Any, moving: Tensor, *_: Any) -> Tensor:
        scale: Tensor = ctx.saved_tensors[0]
        return moving * scale  # for networks that take derivatives forward
