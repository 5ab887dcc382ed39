"""Which steps of a network's run can be done in the place of a map: batch norm, sums, rectifiers, one after another.

Knows a program, and what one compiled pass does (`compiled.Onward`); runs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from striate.atlas.compiled import Onward
from striate.fusing import NAME
from striate.program import Program, Step

__all__ = ["Chain", "chain_at"]

_NORMS = frozenset("native_batch_norm _native_batch_norm_legit_no_training _batch_norm_no_update".split())
_FRESH = frozenset({NAME, "add", *_NORMS})  # give memory of their own, which nothing else looks into


@dataclass
class Chain:
    """Steps of a program that can be done in the place of the first one's map.

    Attributes:
        end: number of the value that comes out.
        stages: what is done, and the number of the value that it is done with.
        added: numbers of the values that are added, in order.
        steps: which steps these are, without the first.
    """

    end: int
    stages: list[tuple[int, Onward]]
    added: list[int]
    steps: set[int]


def chain_at(
    program: Program, at: int, asked: Collection[int], kept: Collection[int], known: Collection[int]
) -> Chain | None:
    """Return what can be done in the place of the map that a step gives; None for nothing.

    Args:
        program: has the step,
        at: in this place.
        asked: values that are looked at on the way.
        kept: values that are wanted at the end.
        known: values that can be added: they are there already.
    """
    first = program.steps[at]
    value = first.outs[0]
    if first.name not in _FRESH or value is None or not _is_map(program, value) or not _gives_one(program, first):
        return None
    chain = Chain(value, [], [], set())
    while (found := _next(program, chain.end, kept)) is not None:
        step = program.steps[found]
        onward = _onward(step, program, chain.end, known)
        if onward is None or step.outs[0] is None or not _gives_one(program, step):
            break
        before = chain.stages[-1][1] if chain.stages and chain.end not in asked else None
        together = None if before is None else _together(before, onward)
        if together is None:
            chain.stages.append((chain.end, onward))
        else:
            chain.stages[-1] = (chain.stages[-1][0], together)
        if onward.adds:
            chain.added += [index for index in step.inputs if index != chain.end]
        chain.end = step.outs[0]
        chain.steps.add(found)
    return chain if chain.stages else None


def _next(program: Program, value: int, kept: Collection[int]) -> int | None:
    """Return the only step that reads a value, if there is one, and nobody wants the value at the end."""
    readers = [at for at, step in enumerate(program.steps) for index in step.inputs if index == value]
    return readers[0] if len(readers) == 1 and value not in kept else None


def _gives_one(program: Program, step: Step) -> bool:
    """Tell whether nobody reads but the first thing that a step gives."""
    return not any(out in step_after.inputs for out in step.outs[1:] for step_after in program.steps)


def _is_map(program: Program, value: int) -> bool:
    tensor = program.values[value]
    return tensor.dim() == 4 and tensor.dtype == torch.float32 and value in program.batched


def _together(before: Onward, after: Onward) -> Onward | None:
    """Return in one what is done first and then; None where it cannot be written so."""
    if math.isfinite(before.low) or math.isfinite(before.high):
        return None
    plain = bool((after.scale == 1).all() and (after.shift == 0).all())
    if not plain or (before.adds and after.adds):
        return None
    return replace(before, adds=before.adds or after.adds, low=after.low, high=after.high)


def _onward(step: Step, program: Program, value: int, known: Collection[int]) -> Onward | None:
    """Return what a step does with a map; None for other things."""
    channels = program.values[value].shape[1]
    same = Onward(torch.ones(channels).numpy(), torch.zeros(channels).numpy(), False, -math.inf, math.inf)
    if step.name == "add":
        others = [index for index in step.inputs if index != value]
        if len(others) != 1 or others[0] not in known or step.arguments.get("alpha", 1) != 1:
            return None
        fits = _is_map(program, others[0]) and program.values[others[0]].shape == program.values[value].shape
        return replace(same, adds=True) if fits else None
    if step.inputs != (value,):
        return None
    if step.name in _NORMS:
        return _norm(step, same)
    bounds = _bounds(step)
    return None if bounds is None else replace(same, low=bounds[0], high=bounds[1])


def _norm(step: Step, same: Onward) -> Onward | None:
    """Return what batch norm does where its statistics are fixed, with the roundings of PyTorch's own."""
    given = step.arguments
    mean, variance, weight, bias = (given[name] for name in ("running_mean", "running_var", "weight", "bias"))
    constants = [mean, variance, *(one for one in (weight, bias) if one is not None)]
    if given.get("training") or not all(isinstance(one, Tensor) and one.dtype == torch.float32 for one in constants):
        return None
    scale = torch.rsqrt(variance.detach() + given["eps"])
    scale = scale if weight is None else scale * weight.detach()
    shift = -mean.detach().double() * scale.double()  # then rounded once, as by multiply-add
    shift = (shift if bias is None else shift + bias.detach().double()).float()
    return replace(same, scale=scale.numpy(), shift=shift.numpy())


def _bounds(step: Step) -> tuple[float, float] | None:
    """Return between which numbers a rectifier keeps what it gets; None for what is none, or of another form."""
    if step.name == "relu":
        return 0.0, math.inf
    names = {"hardtanh": ("min_val", "max_val"), "clamp": ("min", "max"), "clamp_min": ("min", "max")}
    if step.name not in names:
        return None
    low, high = (step.arguments.get(name) for name in names[step.name])
    if not all(one is None or isinstance(one, int | float) for one in (low, high)):
        return None
    return -math.inf if low is None else float(low), math.inf if high is None else float(high)
