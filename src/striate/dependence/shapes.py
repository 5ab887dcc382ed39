"""The same elements under other dimensions: views, permutations, slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from striate import geometry
from striate.dependence.joining import broadcast
from striate.dependence.state import Atom, Axis, Call, Dependence, along, first_input, plain

__all__ = ["expanded", "permuted", "repeated", "reshaped", "restrided", "selected", "sliced", "split"]


def reshaped(call: Call) -> Dependence | None:
    """View, flatten, squeeze: the same elements in the same order under other dimensions."""
    main = first_input(call)
    return None if main is None else _regrouped(main[1], call.outputs[0].shape)


def _regrouped(known: Dependence, shape: Sequence[int]) -> Dependence | None:
    atoms = [atom for axis in known.axes for atom in axis if atom[1] != 1][::-1]  # a stack, first on top
    axes: list[Axis] = []
    for length in shape:
        axis: list[Atom] = []
        held = 1
        while held < length:
            if not atoms:
                return None
            label, size = atoms.pop()
            if length % (held * size) == 0:
                axis.append((label, size))
                held *= size
                continue
            outer = length // held
            if length % held or size % outer:
                return None
            inner = size // outer  # the dimension is cut: `outer` steps of `inner` elements
            axis.append((label, outer))
            atoms.append((None, inner))
            held = length
            if label is not None:
                span = known.spans[label]
                known = known.with_span(label, replace(geometry.convolved(span, inner, inner), exact=False))
        if len(axis) == 2 and axis[0][0] is not None and axis[1][0] is None:  # depth to space
            (label, size), (_, factor) = axis
            assert label is not None
            known = known.with_span(label, geometry.dilated_to(known.spans[label], factor))
            axis = [(label, size * factor)]
        axes.append(tuple(axis))
    return replace(known, axes=tuple(axes)) if not atoms else None


def permuted(call: Call) -> Dependence | None:
    """Permute, transpose, t."""
    main = first_input(call)
    if main is None:
        return None
    tensor, known = main
    order = list(range(tensor.dim()))
    given = call.arguments
    if call.name == "permute":
        order = [index % tensor.dim() for index in given["dims"]]
    elif call.name == "t":
        order.reverse()
    else:
        first, second = given["dim0"] % tensor.dim(), given["dim1"] % tensor.dim()
        order[first], order[second] = order[second], order[first]
    return replace(known, axes=tuple(known.axes[index] for index in order))


def expanded(call: Call) -> Dependence | None:
    """Repeat along dimensions of length one."""
    main = first_input(call)
    return None if main is None else broadcast([main[1]], call.outputs[0].dim(), call.outputs[0].shape)


def repeated(call: Call) -> Dependence | None:
    """Repeat dimensions that run along no axis of the picture."""
    main = first_input(call)
    if main is None:
        return None
    new = len(call.outputs[0].shape) - len(main[1].axes)
    axes: list[Axis] = [()] * new + list(main[1].axes)
    for index, (axis, length) in enumerate(zip(axes, call.outputs[0].shape, strict=True)):
        if call.arguments["repeats"][index] != 1:
            if any(label is not None for label, _ in axis):
                return None
            axes[index] = plain(length)
    return replace(main[1], axes=tuple(axes))


def _moved(known: Dependence, dimension: int, start: int, length: int, step: int = 1) -> Dependence | None:
    """Take every `step`-th element of a dimension from `start` on."""
    axis = known.axes[dimension]
    labels = [label for label, _ in axis if label is not None]
    new = plain(length)
    if labels:
        if len(axis) > 1:
            return None
        span = geometry.strided(geometry.shifted(known.spans[labels[0]], start), step)
        known = known.with_span(labels[0], span)
        new = along(labels[0], length)
    return replace(known, axes=(*known.axes[:dimension], new, *known.axes[dimension + 1 :]))


def sliced(call: Call) -> Dependence | None:
    """Take a range of a dimension, perhaps in steps."""
    main = first_input(call)
    if main is None:
        return None
    tensor, known = main
    dimension = call.arguments.get("dim", 0) % tensor.dim()
    start = call.arguments.get("start") or 0
    start = max(0, start + tensor.shape[dimension] if start < 0 else start)
    return _moved(known, dimension, start, call.outputs[0].shape[dimension], call.arguments.get("step") or 1)


def _without(known: Dependence, dimension: int) -> Dependence:
    """Drop a dimension of length one."""
    for label, _ in known.axes[dimension]:
        if label is not None:
            known = known.with_span(label, geometry.collapsed(known.spans[label], 1))
    return replace(known, axes=(*known.axes[:dimension], *known.axes[dimension + 1 :]))


def selected(call: Call) -> Dependence | None:
    """Take one element of a dimension, which goes."""
    main = first_input(call)
    if main is None:
        return None
    tensor, known = main
    dimension = call.arguments["dim"] % tensor.dim()
    moved = _moved(known, dimension, call.arguments["index"] % tensor.shape[dimension], 1)
    return None if moved is None else _without(moved, dimension)


def split(call: Call) -> list[Dependence] | None:
    """Cut a dimension into pieces."""
    main = first_input(call)
    if main is None:
        return None
    tensor, known = main
    dimension = call.arguments.get("dim", 0) % tensor.dim()
    parts: list[Dependence] = []
    start = 0
    for output in call.outputs:
        length = 1 if call.name == "unbind" else output.shape[dimension]
        moved = _moved(known, dimension, start, length)
        if moved is None:
            return None
        parts.append(_without(moved, dimension) if call.name == "unbind" else moved)
        start += length
    return parts


def restrided(call: Call) -> Dependence | None:
    """as_strided that only rewrites the strides of dimensions of length one."""
    main = first_input(call)
    return None if main is None or main[0].shape != call.outputs[0].shape else main[1]
