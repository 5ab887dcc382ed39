"""Rules of operations that put elements elsewhere: copies, views, slices, splits, joins, padding, enlarging."""

from __future__ import annotations

from typing import Any

import torch

from striate.perturbation.following.changes import (
    NCHW,
    Changes,
    Found,
    alike,
    called,
    from_end,
    of_one,
    of_planes,
    together,
)
from striate.perturbation.parts import Part
from striate.perturbation.regions import Region
from striate.perturbation.stacking import Stacked
from striate.program import Step

__all__ = [
    "concatenated",
    "enlarged",
    "kept",
    "padded",
    "permuted",
    "selected",
    "sliced",
    "split",
    "stacked",
    "unsqueezed",
    "viewed",
]


def kept(step: Step, changes: Changes) -> Found:
    """Copies, changes of type."""
    index = step.inputs[0]
    part = changes.part(index)
    if part is None:
        return None
    tensor = called(step, changes, lambda _: part.tensor) if step.name == "_to_copy" else part.tensor
    return Part(tensor, part.region, part.dims, part.merged)


def viewed(step: Step, changes: Changes) -> Found:
    """A view that leaves rows and columns alone, or merges them with the pictures, or takes them apart again."""
    index = step.inputs[0]
    part = changes.part(index)
    assert step.outs[0] is not None
    if part is None:
        return None
    before, after = changes.clean(index).shape, changes.clean(step.outs[0]).shape
    height, width = part.region.rows, part.region.columns
    if part.merged:
        if len(after) == 4 and tuple(after[:3]) == (1, height.length, width.length):
            return Part(part.tensor.reshape(changes.count, height.size, width.size, after[3]), part.region, (-3, -2))
        if len(after) == 2 and after == before:
            return part
        return None
    if part.dims == (-3, -2) and len(before) == 4 and tuple(after) == (height.length * width.length, before[3]):
        return Part(part.tensor.reshape(-1, before[3]), part.region, (-3, -2), merged=True)
    if part.dims != NCHW or len(after) < 3 or after[-2:] != before[-2:] or after[0] != before[0]:
        return None
    shape = (changes.count, *after[1:-2], height.size, width.size)
    return Part(part.tensor.reshape(shape), part.region, NCHW)


@of_one
def permuted(step: Step, changes: Changes, index: int, part: Part) -> Found:
    """Dimensions in another order, the pictures still first."""
    rank = changes.clean(index).dim()
    given = step.arguments
    if step.name == "transpose":
        order = list(range(rank))
        one, two = given["dim0"] % rank, given["dim1"] % rank
        order[one], order[two] = order[two], order[one]
    else:
        order = [dim % rank for dim in given["dims"]]
    if order[0] != 0:
        return None
    rows, columns = (order.index(dim % rank) - rank for dim in part.dims)
    return Part(part.tensor.permute(order), part.region, (rows, columns))


@of_one
def sliced(step: Step, changes: Changes, index: int, part: Part) -> Found:
    """A stretch of one dimension; of rows or columns, with a step."""
    clean = changes.clean(index)
    given = step.arguments
    dim = from_end(given["dim"], clean)
    if dim not in part.dims:
        if dim == -clean.dim():
            return None if clean.shape != changes.clean(step.outs[0] or 0).shape else part
        return alike(step, changes, part)
    start, stop, every = slice(given["start"], given["end"], given["step"]).indices(clean.shape[dim])
    which = part.dims.index(dim)
    axes = [part.region.rows, part.region.columns]
    length = len(range(start, stop, every))
    if not length:
        return None
    shown = axes[which].slid(1, every, -start, 1, length)
    begin = [axis.starts for axis in axes]
    size = [axis.size for axis in axes]
    begin[which], size[which] = shown.starts * every + start, (shown.size - 1) * every + 1
    windows = changes.windows(index, part, (begin[0], begin[1]), (size[0], size[1]))
    axes[which] = shown
    return Part(windows[_every(dim, every)], Region(axes[0], axes[1]), part.dims)


def _every(dim: int, step: int) -> tuple[Any, ...]:
    return (..., slice(None, None, step), *(slice(None),) * (-dim - 1))


@of_one
def selected(step: Step, changes: Changes, index: int, part: Part) -> Found:
    """One element along a dimension, which is gone afterwards."""
    clean = changes.clean(index)
    dim = from_end(step.arguments["dim"], clean)
    if dim in part.dims or dim == -clean.dim():
        return None
    rows, columns = (one + 1 if one < dim else one for one in part.dims)
    return Part(called(step, changes, lambda _: part.tensor), part.region, (rows, columns))


@of_one
def unsqueezed(step: Step, changes: Changes, index: int, part: Part) -> Found:
    """A new dimension of one."""
    rank = changes.clean(index).dim() + 1
    dim = step.arguments["dim"] % rank
    if dim == 0:
        return None
    rows, columns = (one - 1 if one + rank - 1 < dim else one for one in part.dims)
    return Part(part.tensor.unsqueeze(dim), part.region, (rows, columns))


@of_one
def split(step: Step, changes: Changes, index: int, part: Part) -> Found:
    """Pieces along a dimension that is no row and no column."""
    clean = changes.clean(index)
    dim = from_end(step.arguments["dim"], clean)
    if dim in part.dims or dim == -clean.dim():
        return None
    dims = part.dims
    if step.name == "unbind":
        rows, columns = (one + 1 if one < dim else one for one in part.dims)
        dims = (rows, columns)
    found_parts = step.run(lambda _: part.tensor, changes.count)
    return [None if one is None else Part(one, part.region, dims) for one in found_parts]


def concatenated(step: Step, changes: Changes) -> Found:
    """Maps put together by their channels: the windows of all that changes, joined."""
    tensors = step.arguments["tensors"]
    indices = step.inputs
    if len(indices) != len(tensors):
        return None
    parts = {index: part for index in indices if (part := changes.part(index)) is not None}
    first = next(iter(parts.values()))
    rank = changes.clean(indices[0]).dim()
    dim = step.arguments["dim"] % rank - rank
    if any(part.dims != first.dims or part.merged for part in parts.values()) or dim in first.dims or dim == -rank:
        return None
    region = together(parts.values())
    begin, size = region.place
    pieces = [
        changes.windows(index, parts[index], begin, size)
        if index in parts
        else changes.constant(changes.clean(index), region, first.dims).expand(changes.count, *(-1,) * (rank - 1))
        for index in indices
    ]
    return Part(torch.cat(pieces, dim), region, first.dims)


def stacked(step: Step, changes: Changes) -> Found:
    """Maps put together, normalised and rectified in one go: the windows of all that changes, joined."""
    parts = [part for index in step.inputs if (part := changes.part(index)) is not None]
    if any(part.dims != NCHW or part.merged or part.tensor.dim() != 4 for part in parts):
        return None
    assert isinstance(step.op, Stacked)
    assert step.outs[0] is not None
    region = together(parts)
    return Part(changes.filled(step.outs[0], region, step.inputs, step.op.norm), region, NCHW)


@of_planes
def padded(step: Step, changes: Changes, index: int, part: Part) -> Found:
    """Constant padding, or cutting, around the map."""
    given = step.arguments
    pad = [*given["pad"], 0, 0, 0, 0, 0, 0][:8]
    assert step.outs[0] is not None
    shape = changes.clean(step.outs[0]).shape
    region = Region(
        part.region.rows.shifted(pad[2], shape[-2]),
        part.region.columns.shifted(pad[0], shape[-1]),
    )
    if any(pad[6:]):
        return None
    around = (max(pad[2], 0), max(pad[3], 0), max(pad[0], 0), max(pad[1], 0))
    begin = (region.rows.starts - pad[2], region.columns.starts - pad[0])
    size = (region.rows.size, region.columns.size)
    windows = changes.windows(index, part, begin, size, around, given["value"])
    if any(pad[4:6]):
        windows = torch.ops.aten.constant_pad_nd(windows, [0, 0, 0, 0, *pad[4:6]], given["value"])
    return Part(windows, region, NCHW)


@of_planes
def enlarged(step: Step, changes: Changes, index: int, part: Part) -> Found:
    """Nearest-neighbour enlarging by a whole factor."""
    assert step.outs[0] is not None
    small, large = changes.clean(index).shape[-2:], changes.clean(step.outs[0]).shape[-2:]
    factors = [big // little for big, little in zip(large, small, strict=True)]
    if any(factor * little != big for factor, little, big in zip(factors, small, large, strict=True)):
        return None
    given = step.arguments  # with a scale of 2.05 a map is twice as large, but not every element stands there twice
    scales = given.get("scale_factors") or [given.get("scales_h"), given.get("scales_w")]
    if any(scale not in (None, factor) for scale, factor in zip(scales, factors, strict=True)):
        return None
    region = Region(part.region.rows.scaled(factors[0]), part.region.columns.scaled(factors[1]))
    tensor = part.tensor.repeat_interleave(factors[0], -2).repeat_interleave(factors[1], -1)
    return Part(tensor, region, NCHW)
