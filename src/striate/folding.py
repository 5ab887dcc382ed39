"""A program with fewer steps and the same answers: batch norm folded into convolutions, rectifiers in place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from striate.program import Program, Step

__all__ = ["absorbed", "folded"]

_NORMS = frozenset(
    "native_batch_norm cudnn_batch_norm _native_batch_norm_legit_no_training _batch_norm_no_update".split()
)
_RECTIFIERS = frozenset("relu hardtanh clamp clamp_min leaky_relu silu hardswish".split())
_FRESH = frozenset({"convolution", *_NORMS})  # give memory of their own


def folded(program: Program, ends: Collection[int]) -> Program:
    """Return a program that gives the same values with less to do.

    A batch normalisation with fixed statistics scales and shifts each channel; so does a convolution whose weights
    are scaled and whose bias is shifted. A rectifier may write into what only it reads.

    Args:
        program: is left as it is.
        ends: values that will be asked for.
    """
    readers: Counter[int | None] = Counter(index for step in program.steps for index in step.inputs)
    steps: list[Step] = []
    gives: dict[int | None, int] = {}  # value -> its step, by place in the new list
    for step in program.steps:
        source = _only_input(step)
        before = steps[gives[source]] if source in gives and source not in ends and readers[source] == 1 else None
        if before is not None and before.name == "convolution" and step.name in _NORMS:
            merged = _scaled(before, step)
            if merged is not None:
                steps[gives[source]] = merged
                gives[step.outs[0]] = gives[source]
                continue
        if before is not None and before.name in _FRESH and step.name in _RECTIFIERS:
            step = _in_place(step)
        gives |= {out: len(steps) for out in step.outs}
        steps.append(step)
    return replace(program, steps=tuple(steps))


def _only_input(step: Step) -> int | None:
    found = step.inputs
    return found[0] if len(found) == 1 else None


def _scaled(convolution: Step, norm: Step) -> Step | None:
    """Return a convolution that does what a convolution and the normalisation after it do."""
    given, fixed = convolution.arguments, norm.arguments
    weight, bias = given["weight"], given["bias"]
    mean, variance = fixed["running_mean"], fixed["running_var"]
    constants = [weight, mean, variance, *(one for one in (bias, fixed["weight"], fixed["bias"]) if one is not None)]
    if fixed.get("training") or given["transposed"] or not all(isinstance(one, Tensor) for one in constants):
        return None
    new_weight, new_bias = absorbed(
        weight, bias, mean, variance, fixed.get("eps", fixed.get("epsilon")), fixed["weight"], fixed["bias"]
    )
    new = {**given, "weight": new_weight, "bias": new_bias}
    names = [argument.name for argument in convolution.op._schema.arguments]  # type: ignore[attr-defined]
    args: tuple[Any, ...] = tuple(new[name] for name in names)
    return replace(convolution, args=args, kwargs={}, outs=(norm.outs[0],))


def absorbed(
    weight: Tensor,
    bias: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    epsilon: float,
    factor: Tensor | None,
    added: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Return weights and bias of a convolution that does what it and a batch normalisation behind it do.

    Args:
        weight: of the convolution, (O, ...).
        bias: (O,); None for none.
        mean: of each channel, (O,).
        variance: likewise.
        epsilon: added to the variance.
        factor: by which the normalisation multiplies, (O,); None for one.
        added: what it adds, (O,); None for nothing.

    Returns:
        Of the type of `weight`, worked out in double precision; maps' kernels lie channels last.
    """
    scale = (_exact(variance) + epsilon).rsqrt()
    if factor is not None:
        scale = scale * _exact(factor)
    shift = -_exact(mean) * scale
    if bias is not None:
        shift = shift + _exact(bias) * scale
    if added is not None:
        shift = shift + _exact(added)
    shape = (-1, *(1,) * (weight.dim() - 1))
    return (_exact(weight) * scale.view(shape)).to(weight, memory_format=_order(weight)), shift.to(weight)


def _exact(weight: Tensor) -> Tensor:
    """Return a weight in double precision, which not every device has."""
    return (weight.cpu() if weight.device.type == "mps" else weight).double()


def _order(weight: Tensor) -> torch.memory_format:
    return torch.channels_last if weight.dim() == 4 else torch.contiguous_format


def _in_place(step: Step) -> Step:
    """Return a step that writes over what it reads, where there is one."""
    packet = getattr(torch.ops.aten, f"{step.name}_", None)
    op = getattr(packet, step.op._overloadname, None) if packet is not None else None  # type: ignore[attr-defined]
    return step if op is None else replace(step, op=op)
