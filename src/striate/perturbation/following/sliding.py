"""Rules of operations that slide a window over the map: convolutions and pooling."""

from __future__ import annotations

from typing import Any

import torch

from striate.fusing import Fused
from striate.perturbation.following.changes import NCHW, Changes, Found, of_planes, only
from striate.perturbation.parts import Part
from striate.perturbation.regions import Region
from striate.program import Ref, Step
from striate.sizes import pair

__all__ = ["adaptively_pooled", "average_pooled", "convolved", "fused_convolved", "max_pooled"]


def _slid(
    step: Step,
    changes: Changes,
    window: tuple[Any, Any, Any, Any],
    padding_value: float,
    cover: Region | None = None,
) -> Any:
    """Return the region of the output and the windows of the input that it takes, without padding.

    Args:
        step: that slides a window.
        changes: of its input.
        window: kernel, stride, padding, dilation.
        padding_value: of what lies beyond the edges.
        cover: what the region has to hold besides.
    """
    found = only(step, changes)
    if found is None or found[1].dims != NCHW:
        return None
    index, part = found
    if part.tensor.dim() != 4:  # pictures would count as channels
        return None
    kernel, stride, padding, dilation = (pair(one) for one in window)
    assert step.outs[0] is not None
    shape = changes.clean(step.outs[0]).shape[-2:]
    axes = (part.region.rows, part.region.columns)
    out = [axis.slid(kernel[i], stride[i], padding[i], dilation[i], shape[i]) for i, axis in enumerate(axes)]
    region = Region(out[0], out[1])
    if cover is not None:
        region = region.joined(cover)
        out = [region.rows, region.columns]
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


def convolved(step: Step, changes: Changes) -> Found:
    """A convolution of the windows with what it needs around them."""
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
    return Part(result, region, NCHW)


def fused_convolved(step: Step, changes: Changes) -> Found:
    """A convolution with the sum and the activation that stand behind it."""
    convolution = step.op
    assert isinstance(convolution, Fused)
    added = step.inputs[1] if len(step.inputs) > 1 else None
    other = None if added is None else changes.part(added)
    if other is not None and (other.merged or other.dims != NCHW):
        return None
    kernel = convolution.weight.shape[2:]
    window = (kernel, convolution.stride, convolution.padding, convolution.dilation)
    found = _slid(step, changes, window, 0.0, None if other is None else other.region)
    if found is None:
        return None
    region, windows = found
    beside = None
    if added is not None and other is not None:
        beside = changes.windows(added, other, *region.place)
    elif added is not None:
        beside = changes.constant(changes.clean(added), region, NCHW)
    return Part(convolution(windows, beside, padding=(0, 0)), region, NCHW)


def max_pooled(step: Step, changes: Changes) -> Found:
    """Max pooling; padding is below every value."""
    given = step.arguments
    stride = given["stride"] or given["kernel_size"]
    found = _slid(step, changes, (given["kernel_size"], stride, given["padding"], given["dilation"]), -float("inf"))
    if found is None:
        return None
    region, windows = found
    result = torch.ops.aten.max_pool2d_with_indices(windows, given["kernel_size"], stride, [0, 0], given["dilation"])
    return [Part(result[0], region, NCHW), None]  # positions of the maxima would be those within windows


def average_pooled(step: Step, changes: Changes) -> Found:
    """Average pooling, by whatever each place divides by."""
    given = step.arguments
    kernel = pair(given["kernel_size"])
    stride = given["stride"] or given["kernel_size"]
    found = _slid(step, changes, (kernel, stride, given["padding"], 1), 0.0)
    if found is None:
        return None
    region, windows = found
    result = torch.ops.aten.avg_pool2d(windows, list(kernel), stride)
    area = given["divisor_override"]
    if area is not None:
        return Part(result * (kernel[0] * kernel[1] / area), region, NCHW)
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
        result = result * changes.constant(factor, region, NCHW)
    return Part(result, region, NCHW)


@of_planes
def adaptively_pooled(step: Step, changes: Changes, index: int, part: Part) -> Found:
    """Adaptive pooling, where it changes nothing."""
    same = tuple(step.arguments["output_size"]) == tuple(changes.clean(index).shape[-2:])
    return part if same else None
