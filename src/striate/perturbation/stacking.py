"""A program that puts maps together, normalises and rectifies them in one step: each number is read and written once.

Networks that hand all earlier maps on to each layer spend much of their time on that.

Source: Huang et al. 2017 (DenseNet), arXiv:1608.06993, section 3.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from striate.folding import absorbed
from striate.perturbation.filling import AS_IT_IS, Norm, can_fill, fill
from striate.program import Program, Ref, Step

__all__ = ["NAME", "Stacked", "stacked"]

NAME = "stack"
"""What the steps are called that put maps together."""

_NORMS = ("native_batch_norm", "_native_batch_norm_legit_no_training", "_batch_norm_no_update")


@dataclass(frozen=True, eq=False)
class Stacked:
    """Maps put together by their channels, normalised and rectified.

    Attributes:
        norm: what is done to each number.
    """

    norm: Norm = AS_IT_IS

    def __call__(self, *pieces: Tensor) -> Tensor:
        """Return (M, C, h, w), channels last in memory, of maps (M, c, h, w) whose channels make C."""
        none = np.zeros(len(pieces[0]), np.int64)
        size = pieces[0].shape[2], pieces[0].shape[3]
        given = [(piece.permute(0, 2, 3, 1), none, none) for piece in pieces]
        return fill(None, (none, none), size, given, self.norm).permute(0, 3, 1, 2)


def stacked(program: Program, ends: Collection[int]) -> Program:
    """Return a program that gives the same values, up to rounding; itself without numba, or not on a processor.

    It can not be differentiated. Call it under ``torch.no_grad``.

    Args:
        program: batch norm that can be folded into convolutions is best folded before (`folding`).
        ends: values that will be asked for.
    """
    if torch.is_autocast_enabled("cpu") or not can_fill(program.values[0]):
        return program
    readers: Counter[int | None] = Counter(index for step in program.steps for index in step.inputs)
    steps: list[Step] = []
    gives: dict[int | None, int] = {}  # value -> its step, by place in the new list
    for step in program.steps:
        source = step.inputs[0] if len(step.inputs) == 1 else None
        before = steps[gives[source]] if source in gives and source not in ends and readers[source] == 1 else None
        if before is not None and isinstance(before.op, Stacked) and (norm := _with(before.op.norm, step)) is not None:
            gives[step.outs[0]] = gives[source]
            steps[gives[source]] = replace(before, op=Stacked(norm), outs=step.outs[:1])
            continue
        gives |= {out: len(steps) for out in step.outs}
        steps.append(_started(step, program) or step)
    return replace(program, steps=tuple(steps))


def _started(step: Step, program: Program) -> Step | None:
    """Return what puts maps together, or normalises one, as a step of its own kind; None for any other."""
    values = [program.values[index] for index in step.inputs]
    if not set(step.inputs) <= program.batched or any(one.dim() != 4 or one.dtype != torch.float32 for one in values):
        return None
    if step.name == "cat" and len(values) == len(step.arguments["tensors"]) and step.arguments["dim"] in (1, -3):
        return replace(step, name=NAME, op=Stacked(), args=tuple(map(Ref, step.inputs)), kwargs={})
    if step.name in _NORMS and len(values) == 1 and (norm := _with(AS_IT_IS, step)) is not None:
        return replace(
            step, name=NAME, op=Stacked(norm), args=(Ref(step.inputs[0]),), kwargs={}, outs=step.outs[:1], single=True
        )
    return None


def _with(norm: Norm, step: Step) -> Norm | None:
    """Return what is done when a step comes behind; None where it is none of these, or more than one."""
    limited = (norm.low, norm.high) != (-math.inf, math.inf)
    given = step.arguments if step.name in (*_NORMS, "relu", "hardtanh") else {}
    if step.name in _NORMS and not len(norm.scale) and not limited and not given.get("training"):
        mean, variance = given["running_mean"], given["running_var"]
        fixed = [one for one in (mean, variance, given["weight"], given["bias"]) if one is not None]
        if not isinstance(mean, Tensor) or not all(isinstance(one, Tensor) for one in fixed):
            return None
        ones = torch.ones(len(mean))
        scale, shift = absorbed(ones, None, mean, variance, given["eps"], given["weight"], given["bias"])
        return Norm(scale, shift)
    if step.name in ("relu", "hardtanh") and len(norm.scale) and not limited:
        low, high = (0.0, math.inf) if step.name == "relu" else (float(given["min_val"]), float(given["max_val"]))
        return replace(norm, low=low, high=high)
    return None
