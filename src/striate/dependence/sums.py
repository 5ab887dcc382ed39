"""Sums over dimensions: reductions, normalisations, matrix products, attention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import Tensor

from striate import geometry
from striate.dependence.joining import broadcast, pointwise
from striate.dependence.state import Axis, Call, Dependence, Rule, first_input, plain, unknown

__all__ = ["attention", "batch_norm", "factors", "mixed_along", "product", "reduced"]


def reduced(call: Call) -> Dependence | None:
    """Sum, average, take the largest: over some dimensions or all."""
    main = first_input(call)
    if main is None:
        return None
    tensor, known = main
    if "other" in call.arguments:  # max and min of two tensors
        return pointwise(call)
    given = call.arguments.get("dim")
    if given is None or given == []:
        dimensions = set(range(tensor.dim()))
    else:
        dimensions = {index % tensor.dim() for index in ([given] if isinstance(given, int) else given)}
    axes: list[Axis] = []
    for index, axis in enumerate(known.axes):
        if index not in dimensions:
            axes.append(axis)
            continue
        for label, length in axis:
            if label is not None:
                known = known.with_span(label, geometry.collapsed(known.spans[label], length))
        if call.arguments.get("keepdim", False):
            axes.append(())
    return replace(known, axes=tuple(axes))


def mixed_along(dimensions: Callable[[Call, Tensor], Sequence[int]]) -> Rule:
    """Softmax and normalisations: every unit sees all along some dimensions, and keeps its place."""

    def rule(call: Call) -> Dependence | list[Dependence] | None:
        main = first_input(call)
        if main is None:
            return None
        tensor, known = main
        for index in dimensions(call, tensor):
            for label, length in known.axes[index]:
                if label is not None:
                    known = known.with_span(label, geometry.spread(known.spans[label], length))
        return [known if output.shape == tensor.shape else unknown(output) for output in call.outputs]

    return rule


def batch_norm(call: Call) -> Dependence | list[Dependence] | None:
    """Batch normalisation: local with running statistics, over the whole map with those of the batch."""
    from_running_statistics = not call.arguments.get("training", False)
    rule = mixed_along(lambda _, tensor: () if from_running_statistics else range(2, tensor.dim()))
    found = rule(call)
    assert not isinstance(found, Dependence)
    return None if found is None else list(found)


def factors(call: Call) -> tuple[Tensor, Tensor]:
    """Return the left and the right factor of a matrix product, whatever the operation calls them."""
    names = {
        "mm": ("self", "mat2"),
        "bmm": ("self", "mat2"),
        "addmm": ("mat1", "mat2"),
        "baddbmm": ("batch1", "batch2"),
    }
    left, right = (call.arguments[name] for name in names[call.name])
    return left, right


def product(call: Call) -> Dependence | None:
    """Matrix products: (..., n, m) times (..., m, p)."""
    given = call.arguments
    left, right = factors(call)
    known = [call.seen(left), call.seen(right)]
    kept: list[set[int]] = [set(), set()]
    parts: list[Dependence | None] = []
    for side, one in enumerate(known):
        if one is None:
            parts.append(None)
            continue
        contracted = len(one.axes) - 1 if side == 0 else len(one.axes) - 2
        for label, length in one.axes[contracted]:
            if label is not None:
                one = one.with_span(label, geometry.collapsed(one.spans[label], length))
        axes = list(one.axes)
        axes[contracted] = ()
        kept[side] = {name for axis in axes[-2:] for name, _ in axis if name is not None}
        parts.append(replace(one, axes=tuple(axes)))
    first, second = parts
    if first is not None and second is not None:
        for label in kept[0] & kept[1]:  # all places against all places: the right one's become what all see
            axes = [tuple((None if name == label else name, size) for name, size in axis) for axis in second.axes]
            span = geometry.collapsed(second.spans[label], second.length(label))
            second = replace(second, axes=tuple(axes)).with_span(label, span)
    lengths = call.outputs[0].shape
    joined = broadcast([part for part in (first, second) if part is not None], len(lengths), lengths)
    offset = given.get("self") if call.name in ("addmm", "baddbmm") else None
    if joined is None or offset is None or (extra := call.seen(offset)) is None:
        return joined
    return broadcast([joined, extra], len(lengths), lengths)


def attention(call: Call) -> list[Dependence] | None:
    """Fused attention: a query keeps its place, keys and values are seen from everywhere."""
    query, key, value = (call.seen(call.arguments[name]) for name in ("query", "key", "value"))
    if query is None:
        return None
    result = query
    for label in (0, 1):
        for other in (key, value):
            if other is not None:
                seen = geometry.collapsed(other.spans[label], other.length(label))
                result = result.with_span(label, geometry.merged(result.spans[label], seen, result.length(label)))
    first = replace(result, axes=(*result.axes[:-1], plain(call.outputs[0].shape[-1])))
    return [first, *(unknown(output) for output in call.outputs[1:])]
