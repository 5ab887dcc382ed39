"""Tensors that meet: element by element, side by side, stacked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from torch import Tensor

from striate import geometry
from striate.dependence.state import Axis, Call, Dependence, plain, unknown

__all__ = ["broadcast", "concatenated", "merge", "pointwise", "stacked", "written_into"]


def merge(parts: Sequence[Dependence], axes: tuple[Axis, ...]) -> Dependence:
    """Join the spans of tensors that meet in a tensor of the given axes."""
    joined = Dependence(axes, parts[0].spans)
    for label in (0, 1):
        here = any(name == label for axis in axes for name, _ in axis)
        length = joined.length(label) if here else 1
        spans = []
        for part in parts:
            span = part.spans[label]
            if here and part.length(label) != length:  # broadcast along this axis: seen by every unit
                span = geometry.collapsed(span, part.length(label))
            spans.append(span)
        total = spans[0]
        for span in spans[1:]:
            total = geometry.merged(total, span, length)
        joined = joined.with_span(label, total)
    return joined


def broadcast(parts: Sequence[Dependence], dimensions: int, lengths: Sequence[int]) -> Dependence | None:
    """Join tensors that are broadcast against one another."""
    axes: list[Axis] = []
    for back in range(dimensions, 0, -1):
        length = lengths[-back]
        chosen: Axis = plain(length)
        for part in parts:
            axis = part.axes[-back] if back <= len(part.axes) else ()
            if prod(size for _, size in axis) != length or all(name is None for name, _ in axis):
                continue
            if any(name is not None for name, _ in chosen) and chosen != axis:
                return None  # rows meet columns
            chosen = axis
        axes.append(chosen)
    return merge(parts, tuple(axes))


def written_into(other: Tensor, known: Dependence | None, part: Tensor, seen: Dependence) -> Dependence:
    """Return what a tensor depends on after `part`, which shares its memory, was written.

    Which elements were written is not followed, so all may have been: a bound.
    """
    runs = [any(label is not None for label, _ in axis) for axis in seen.axes]
    sizes = list(zip(other.shape, part.shape, runs, strict=False))
    if other.dim() != part.dim() or any(along and ours != theirs for ours, theirs, along in sizes):
        return unknown(other)
    axes = tuple(axis if along else plain(size) for axis, along, size in zip(seen.axes, runs, other.shape, strict=True))
    joined = merge([replace(seen, axes=axes), *([known] if known is not None else [])], axes)
    first, second = (replace(span, exact=False) for span in joined.spans)
    return replace(joined, spans=(first, second))


def pointwise(call: Call) -> Dependence | None:
    """Element by element, with broadcasting."""
    parts = [known for tensor in call.tensors() if (known := call.seen(tensor)) is not None]
    return broadcast(parts, call.outputs[0].dim(), call.outputs[0].shape)


def concatenated(call: Call) -> Dependence | None:
    """Concatenate along a dimension."""
    tensors: list[Tensor] = call.arguments["tensors"]
    tensors = [tensor for tensor in tensors if tensor.numel() or tensor.dim() > 1]
    dimension = call.arguments["dim"] % call.outputs[0].dim()
    parts = [known for tensor in tensors if (known := call.seen(tensor)) is not None]
    labels = {name for part in parts for name, _ in part.axes[dimension] if name is not None}
    for label in labels:  # side by side along the picture's own axis: no common numbering, so all see all
        parts = [
            part.with_span(label, replace(geometry.collapsed(part.spans[label], part.length(label)), exact=False))
            for part in parts
        ]
    lengths = list(call.outputs[0].shape)
    shortened = [replace(part, axes=(*part.axes[:dimension], (), *part.axes[dimension + 1 :])) for part in parts]
    joined = broadcast(shortened, len(lengths), [*lengths[:dimension], 1, *lengths[dimension + 1 :]])
    if joined is None:
        return None
    return replace(joined, axes=(*joined.axes[:dimension], plain(lengths[dimension]), *joined.axes[dimension + 1 :]))


def stacked(call: Call) -> Dependence | None:
    """Stack along a new dimension."""
    tensors: list[Tensor] = call.arguments["tensors"]
    parts = [known for tensor in tensors if (known := call.seen(tensor)) is not None]
    joined = broadcast(parts, tensors[0].dim(), tensors[0].shape)
    if joined is None:
        return None
    at = call.arguments.get("dim", 0) % call.outputs[0].dim()
    return replace(joined, axes=(*joined.axes[:at], plain(len(tensors)), *joined.axes[at:]))
