"""How each operation passes a change on: what of its output changes, and that worked out from windows alone.

A rule takes a step of a program, one of whose inputs has changed within windows, and gives the windows of its
output; None where it cannot, and the whole map has to be worked out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from striate.perturbation.parts import Part
from striate.perturbation.regions import Region
from striate.program import Ref, Step

__all__ = ["Changes", "follow"]


class Changes(Protocol):
    """What a rule may ask of the run that it belongs to."""

    count: int  # changed pictures

    def part(self, index: int) -> Part | None:
        """Return what has changed of a value; None where nothing has."""

    def clean(self, index: int) -> Tensor:
        """Return the unchanged value, (1, ...)."""

    def windows(
        self,
        index: int,
        part: Part,
        begin: tuple[Any, Any],
        size: tuple[int, int],
        padding: tuple[int, int, int, int] = (0, 0, 0, 0),
        value: float = 0.0,
    ) -> Tensor:
        """Return windows of a changed value, in its own order of dimensions, with the unchanged map around it."""

    def constant(self, tensor: Tensor, region: Region, dims: tuple[int, int]) -> Tensor:
        """Return windows of what is the same for all pictures, (1, ...), as (M, ...); itself where all places are."""

    def too_large(self, region: Region) -> bool:
        """Tell whether windows cover so much of the map that all of it is worked out sooner."""


Found = Part | list[Part | None] | Tensor | None
_NCHW = (-2, -1)


def follow(step: Step, changes: Changes) -> Found:
    """Work out what changes in the outputs of a step.

    Returns:
        A part for the first output, or for each; or a whole tensor (M, ...) where it is no map any more; or
        None where the step cannot be followed.
    """
    rule = _RULES.get(step.name)
    if rule is None and (step.name in _POINTWISE or torch.Tag.pointwise in getattr(step.op, "tags", ())):
        rule = _pointwise
    return rule(step, changes) if rule is not None else None


def _only(step: Step, changes: Changes) -> tuple[int, Part] | None:
    """Return the one changed value that a step reads first."""
    index = next(iter(step.inputs))
    part = changes.part(index)
    return None if part is None or part.merged else (index, part)


# --- element by element


def _pointwise(step: Step, changes: Changes) -> Found:
    parts = {index: part for index in step.inputs if (part := changes.part(index)) is not None}
    first = next(iter(parts.values()))
    if len({(part.dims, part.merged) for part in parts.values()}) > 1:
        return None
    region = first.region
    for part in parts.values():
        region = region.joined(part.region)
    if first.merged:
        if any(not part.region.same(region) for part in parts.values()) or set(step.inputs) - set(parts):
            return None
        return Part(_called(step, changes, lambda index: parts[index].tensor), region, first.dims, merged=True)
    assert step.outs[0] is not None
    whole = changes.clean(step.outs[0]).shape
    for index in parts:  # a map of another size, or of fewer dimensions, is broadcast: all of the result changes
        shape = changes.clean(index).shape
        if len(shape) != len(whole) or any(shape[dim] != whole[dim] for dim in first.dims):
            return None
    begin, size = (region.rows.starts, region.columns.starts), (region.rows.size, region.columns.size)

    def fixed(one: Tensor) -> Tensor:
        if any(one.dim() >= -dim and one.shape[dim] != 1 for dim in first.dims):  # else a number stays a number
            one = one[(None,) * (len(whole) - one.dim())]
        return changes.constant(one, region, first.dims)

    def value(index: int) -> Tensor:
        return changes.windows(index, parts[index], begin, size) if index in parts else fixed(changes.clean(index))

    return Part(_called(step, changes, value, fixed), region, first.dims)


def _called(
    step: Step,
    changes: Changes,
    value: Callable[[int], Tensor],
    fixed: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Run a step on windows in the place of maps."""
    changed = step if fixed is None else _with_constants(step, fixed)
    found = changed.run(value, changes.count)[0]
    assert found is not None
    return found


def _with_constants(step: Step, fixed: Callable[[Tensor], Tensor]) -> Step:
    args = tuple(fixed(item) if isinstance(item, Tensor) else item for item in step.args)
    kwargs = {name: fixed(item) if isinstance(item, Tensor) else item for name, item in step.kwargs.items()}
    return Step(step.name, step.op, args, kwargs, step.outs, step.single)


def _normalised(step: Step, changes: Changes) -> Found:
    """Batch normalisation with fixed statistics: each channel by itself."""
    found = _only(step, changes)
    if found is None or found[1].dims != _NCHW or step.arguments.get("training"):
        return None
    _, part = found
    if part.tensor.dim() < 4:  # what counts as channels are rows
        return None
    return Part(_called(step, changes, lambda _: part.tensor), part.region, part.dims)


def _layer_normalised(step: Step, changes: Changes) -> Found:
    found = _only(step, changes)
    if found is None or max(found[1].dims) >= -len(step.arguments["normalized_shape"]):
        return None
    _, part = found
    return Part(_called(step, changes, lambda _: part.tensor), part.region, part.dims)


def _along(step: Step, changes: Changes) -> Found:
    """Softmax and the like along a dimension that is no row and no column."""
    found = _only(step, changes)
    if found is None:
        return None
    index, part = found
    dim = step.arguments["dim"]
    clean = changes.clean(index)
    if not isinstance(dim, int) or _from_end(dim, clean) in (*part.dims, -clean.dim()):
        return None
    return Part(_called(step, changes, lambda _: part.tensor), part.region, part.dims)


# --- windows that slide


def _slid(step: Step, changes: Changes, window: tuple[Any, Any, Any, Any], padding_value: float) -> Any:
    """Return the region of the output and the windows of the input that it takes, without padding."""
    found = _only(step, changes)
    if found is None or found[1].dims != _NCHW:
        return None
    index, part = found
    if part.tensor.dim() != 4:  # pictures would count as channels
        return None
    kernel, stride, padding, dilation = (_pair(one) for one in window)
    assert step.outs[0] is not None
    shape = changes.clean(step.outs[0]).shape[-2:]
    axes = (part.region.rows, part.region.columns)
    out = [axis.slid(kernel[i], stride[i], padding[i], dilation[i], shape[i]) for i, axis in enumerate(axes)]
    region = Region(out[0], out[1])
    if changes.too_large(region):
        return None
    begin = tuple(axis.starts * stride[i] - padding[i] for i, axis in enumerate(out))
    size = tuple((axis.size - 1) * stride[i] + (kernel[i] - 1) * dilation[i] + 1 for i, axis in enumerate(out))
    # what the last window of the map sees beyond its end
    after = [
        max(0, (shape[i] - 1) * stride[i] - padding[i] + (kernel[i] - 1) * dilation[i] + 1 - axis.length)
        for i, axis in enumerate(axes)
    ]
    around = (padding[0], after[0], padding[1], after[1])
    return region, changes.windows(index, part, (begin[0], begin[1]), (size[0], size[1]), around, padding_value)


def _convolved(step: Step, changes: Changes) -> Found:
    given = step.arguments
    if given["transposed"] or any(isinstance(given[name], Ref) for name in ("weight", "bias")):
        return None
    if given["weight"].dim() != 4:
        return None
    kernel = given["weight"].shape[2:]
    found = _slid(step, changes, (kernel, given["stride"], given["padding"], given["dilation"]), 0.0)
    if found is None:
        return None
    region, windows = found
    result = step.op(
        windows,
        given["weight"],
        given["bias"],
        given["stride"],
        [0, 0],
        given["dilation"],
        False,
        [0, 0],
        given["groups"],
    )
    return Part(result, region, _NCHW)


def _max_pooled(step: Step, changes: Changes) -> Found:
    given = step.arguments
    stride = given["stride"] or given["kernel_size"]
    found = _slid(step, changes, (given["kernel_size"], stride, given["padding"], given["dilation"]), -float("inf"))
    if found is None:
        return None
    region, windows = found
    result = torch.ops.aten.max_pool2d_with_indices(windows, given["kernel_size"], stride, [0, 0], given["dilation"])
    return [Part(result[0], region, _NCHW), None]  # positions of the maxima would be those within windows


def _average_pooled(step: Step, changes: Changes) -> Found:
    given = step.arguments
    kernel = _pair(given["kernel_size"])
    stride = given["stride"] or given["kernel_size"]
    found = _slid(step, changes, (kernel, stride, given["padding"], 1), 0.0)
    if found is None:
        return None
    region, windows = found
    result = torch.ops.aten.avg_pool2d(windows, list(kernel), stride)
    area = given["divisor_override"]
    if area is not None:
        return Part(result * (kernel[0] * kernel[1] / area), region, _NCHW)
    # at the edges the network may divide by the number of pixels that are there
    source = changes.clean(step.inputs[0])
    ones = source.new_ones(1, 1, *source.shape[-2:])
    divided = step.run(lambda _: ones, 1)[0]
    assert divided is not None
    settings = (given["kernel_size"], stride, given["padding"], given["ceil_mode"])
    # with a divisor of one the pool counts the pixels
    present = torch.ops.aten.avg_pool2d(ones, *settings, True, 1)
    factor = kernel[0] * kernel[1] * divided / present
    if bool((factor != 1).any()):
        result = result * changes.constant(factor, region, _NCHW)
    return Part(result, region, _NCHW)


def _adaptively_pooled(step: Step, changes: Changes) -> Found:
    found = _only(step, changes)
    if found is None or found[1].dims != _NCHW:
        return None
    index, part = found
    given = step.arguments["output_size"]
    shape = changes.clean(index).shape[-2:]
    if tuple(given) == tuple(shape):
        return part
    return None


# --- the same elements in another order


def _kept(step: Step, changes: Changes) -> Found:
    """Copies, changes of type."""
    index = step.inputs[0]
    part = changes.part(index)
    if part is None:
        return None
    if step.name in ("_to_copy",):
        tensor = _called(step, changes, lambda _: part.tensor)
    else:
        tensor = part.tensor
    return Part(tensor, part.region, part.dims, part.merged)


def _viewed(step: Step, changes: Changes) -> Found:
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
    if part.dims != _NCHW or len(after) < 3 or after[-2:] != before[-2:] or after[0] != before[0]:
        return None
    shape = (changes.count, *after[1:-2], height.size, width.size)
    return Part(part.tensor.reshape(shape), part.region, _NCHW)


def _permuted(step: Step, changes: Changes) -> Found:
    found = _only(step, changes)
    if found is None:
        return None
    index, part = found
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


def _sliced(step: Step, changes: Changes) -> Found:
    found = _only(step, changes)
    if found is None:
        return None
    index, part = found
    clean = changes.clean(index)
    given = step.arguments
    dim = _from_end(given["dim"], clean)
    if dim not in part.dims:
        if dim == -clean.dim():
            return None if clean.shape != changes.clean(step.outs[0] or 0).shape else part
        return Part(_called(step, changes, lambda _: part.tensor), part.region, part.dims)
    start, stop, every = slice(given["start"], given["end"], given["step"]).indices(clean.shape[dim])
    which = part.dims.index(dim)
    axes = [part.region.rows, part.region.columns]
    length = len(range(start, stop, every))
    if not length:
        return None
    kept = axes[which].slid(1, every, -start, 1, length)
    begin = [axis.starts for axis in axes]
    size = [axis.size for axis in axes]
    begin[which], size[which] = kept.starts * every + start, (kept.size - 1) * every + 1
    windows = changes.windows(index, part, (begin[0], begin[1]), (size[0], size[1]))
    axes[which] = kept
    return Part(windows[_every(dim, every)], Region(axes[0], axes[1]), part.dims)


def _every(dim: int, step: int) -> tuple[Any, ...]:
    return (..., slice(None, None, step), *(slice(None),) * (-dim - 1))


def _selected(step: Step, changes: Changes) -> Found:
    """One element along a dimension, which is gone afterwards."""
    found = _only(step, changes)
    if found is None:
        return None
    index, part = found
    clean = changes.clean(index)
    dim = _from_end(step.arguments["dim"], clean)
    if dim in part.dims or dim == -clean.dim():
        return None
    rows, columns = (one + 1 if one < dim else one for one in part.dims)
    return Part(_called(step, changes, lambda _: part.tensor), part.region, (rows, columns))


def _unsqueezed(step: Step, changes: Changes) -> Found:
    found = _only(step, changes)
    if found is None:
        return None
    index, part = found
    rank = changes.clean(index).dim() + 1
    dim = step.arguments["dim"] % rank
    if dim == 0:
        return None
    rows, columns = (one - 1 if one + rank - 1 < dim else one for one in part.dims)
    return Part(part.tensor.unsqueeze(dim), part.region, (rows, columns))


def _split(step: Step, changes: Changes) -> Found:
    found = _only(step, changes)
    if found is None:
        return None
    index, part = found
    clean = changes.clean(index)
    dim = _from_end(step.arguments["dim"], clean)
    if dim in part.dims or dim == -clean.dim():
        return None
    dims = part.dims
    if step.name == "unbind":
        rows, columns = (one + 1 if one < dim else one for one in part.dims)
        dims = (rows, columns)
    found_parts = step.run(lambda _: part.tensor, changes.count)
    return [None if one is None else Part(one, part.region, dims) for one in found_parts]


def _concatenated(step: Step, changes: Changes) -> Found:
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
    region = first.region
    for part in parts.values():
        region = region.joined(part.region)
    begin, size = (region.rows.starts, region.columns.starts), (region.rows.size, region.columns.size)
    pieces = [
        changes.windows(index, parts[index], begin, size)
        if index in parts
        else changes.constant(changes.clean(index), region, first.dims).expand(changes.count, *(-1,) * (rank - 1))
        for index in indices
    ]
    return Part(torch.cat(pieces, dim), region, first.dims)


def _padded(step: Step, changes: Changes) -> Found:
    found = _only(step, changes)
    if found is None or found[1].dims != _NCHW:
        return None
    index, part = found
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
    return Part(windows, region, _NCHW)


def _enlarged(step: Step, changes: Changes) -> Found:
    """Nearest-neighbour enlarging by a whole factor."""
    found = _only(step, changes)
    if found is None or found[1].dims != _NCHW:
        return None
    index, part = found
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
    return Part(tensor, region, _NCHW)


# --- what makes a vector of a map, or works on channels alone


def _averaged(step: Step, changes: Changes) -> Found:
    """Mean or sum over all rows and columns: that of the unchanged map and the difference."""
    found = _only(step, changes)
    if found is None:
        return None
    index, part = found
    clean = changes.clean(index)
    given = step.arguments
    dims = given.get("dim")  # without: over everything, pictures too
    dims = [dims] if isinstance(dims, int) else list(dims or range(clean.dim()))
    from_end = {_from_end(dim, clean) for dim in dims}
    assert step.outs[0] is not None
    if from_end & set(part.dims) and from_end != set(part.dims):
        return None
    if from_end != set(part.dims):
        if not given["keepdim"] or -clean.dim() in from_end:
            return None
        return Part(_called(step, changes, lambda _: part.tensor), part.region, part.dims)
    before = changes.constant(clean, part.region, part.dims)
    difference = (part.tensor - before).sum(part.dims, keepdim=bool(given["keepdim"]))
    if step.name == "mean":
        difference = difference / (part.region.rows.length * part.region.columns.length)
    return changes.clean(step.outs[0]) + difference


def _multiplied(step: Step, changes: Changes) -> Found:
    """A matrix product of vectors of channels, one for each place."""
    given = step.arguments
    left = given["mat1" if step.name == "addmm" else "self"]
    if not isinstance(left, Ref) or step.inputs != (left.index,):  # weights, or what is added, change as well
        return None
    part = changes.part(left.index)
    if part is None or not part.merged:
        return None
    return Part(_called(step, changes, lambda _: part.tensor), part.region, part.dims, merged=True)


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    return (value[0], value[0]) if len(value) == 1 else (value[0], value[1])


def _from_end(dim: int, tensor: Tensor) -> int:
    return dim if dim < 0 else dim - tensor.dim()


_RULES: dict[str, Callable[[Step, Changes], Found]] = {
    "convolution": _convolved,
    "max_pool2d_with_indices": _max_pooled,
    "avg_pool2d": _average_pooled,
    "_adaptive_avg_pool2d": _adaptively_pooled,
    "native_batch_norm": _normalised,
    "cudnn_batch_norm": _normalised,
    "_native_batch_norm_legit_no_training": _normalised,
    "_batch_norm_no_update": _normalised,
    "native_layer_norm": _layer_normalised,
    "_softmax": _along,
    "_log_softmax": _along,
    "mean": _averaged,
    "sum": _averaged,
    "cat": _concatenated,
    "constant_pad_nd": _padded,
    "upsample_nearest2d": _enlarged,
    "view": _viewed,
    "_unsafe_view": _viewed,
    "reshape": _viewed,
    "permute": _permuted,
    "transpose": _permuted,
    "slice": _sliced,
    "select": _selected,
    "unsqueeze": _unsqueezed,
    "split": _split,
    "split_with_sizes": _split,
    "unbind": _split,
    "clone": _kept,
    "contiguous": _kept,
    "alias": _kept,
    "detach": _kept,
    "_to_copy": _kept,
    "lift_fresh": _kept,
    "addmm": _multiplied,
    "mm": _multiplied,
}
# element by element, though PyTorch does not tag them so
_POINTWISE = frozenset("hardswish hardsigmoid hardtanh threshold _prelu_kernel log_sigmoid_forward".split())
