"""Rules of operations that work on each place by itself: activations, sums, normalisations."""

from __future__ import annotations

from torch import Tensor

from striate.perturbation.following.changes import Changes, Found, alike, called, from_end, of_one, of_planes, together
from striate.perturbation.parts import Part
from striate.program import Step

__all__ = ["along", "layer_normalised", "normalised", "pointwise"]


def pointwise(step: Step, changes: Changes) -> Found:
    """Activations, sums and products: the windows of all that changes, joined."""
    parts = {index: part for index in step.inputs if (part := changes.part(index)) is not None}
    first = next(iter(parts.values()))
    if len({(part.dims, part.merged) for part in parts.values()}) > 1:
        return None
    region = together(parts.values())
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
    begin, size = region.place

    def fixed(one: Tensor) -> Tensor:
        if any(one.dim() >= -dim and one.shape[dim] != 1 for dim in first.dims):  # else a number stays a number
            one = one[(None,) * (len(whole) - one.dim())]
        return changes.constant(one, region, first.dims)

    def value(index: int) -> Tensor:
        return changes.windows(index, parts[index], begin, size) if index in parts else fixed(changes.clean(index))

    return Part(called(step, changes, value, fixed), region, first.dims)


@of_planes
def normalised(step: Step, changes: Changes, _index: int, part: Part) -> Found:
    """Batch normalisation with fixed statistics: each channel by itself."""
    if step.arguments.get("training") or part.tensor.dim() < 4:  # with fewer dimensions, rows count as channels
        return None
    return alike(step, changes, part)


@of_one
def layer_normalised(step: Step, changes: Changes, _index: int, part: Part) -> Found:
    """Layer normalisation over channels: each place by itself."""
    if max(part.dims) >= -len(step.arguments["normalized_shape"]):
        return None
    return alike(step, changes, part)


@of_one
def along(step: Step, changes: Changes, index: int, part: Part) -> Found:
    """Softmax and the like along a dimension that is no row and no column."""
    dim = step.arguments["dim"]
    clean = changes.clean(index)
    if not isinstance(dim, int) or from_end(dim, clean) in (*part.dims, -clean.dim()):
        return None
    return alike(step, changes, part)
