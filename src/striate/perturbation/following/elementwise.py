"""Rules of operations that work on each place by itself: activations, sums, normalisations."""

from __future__ import annotations

from torch import Tensor

from striate.perturbation.following.changes import NCHW, Changes, Found, called, from_end, only
from striate.perturbation.parts import Part
from striate.program import Step

__all__ = ["along", "layer_normalised", "normalised", "pointwise"]


def pointwise(step: Step, changes: Changes) -> Found:
    """Activations, sums and products: the windows of all that changes, joined."""
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
        return Part(called(step, changes, lambda index: parts[index].tensor), region, first.dims, merged=True)
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

    return Part(called(step, changes, value, fixed), region, first.dims)


def normalised(step: Step, changes: Changes) -> Found:
    """Batch normalisation with fixed statistics: each channel by itself."""
    found = only(step, changes)
    if found is None or found[1].dims != NCHW or step.arguments.get("training"):
        return None
    _, part = found
    if part.tensor.dim() < 4:  # what counts as channels are rows
        return None
    return Part(called(step, changes, lambda _: part.tensor), part.region, part.dims)


def layer_normalised(step: Step, changes: Changes) -> Found:
    """Layer normalisation over channels: each place by itself."""
    found = only(step, changes)
    if found is None or max(found[1].dims) >= -len(step.arguments["normalized_shape"]):
        return None
    _, part = found
    return Part(called(step, changes, lambda _: part.tensor), part.region, part.dims)


def along(step: Step, changes: Changes) -> Found:
    """Softmax and the like along a dimension that is no row and no column."""
    found = only(step, changes)
    if found is None:
        return None
    index, part = found
    dim = step.arguments["dim"]
    clean = changes.clean(index)
    if not isinstance(dim, int) or from_end(dim, clean) in (*part.dims, -clean.dim()):
        return None
    return Part(called(step, changes, lambda _: part.tensor), part.region, part.dims)
