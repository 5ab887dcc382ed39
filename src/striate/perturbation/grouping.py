"""Which patches are worked through together: those whose windows are of one size in every layer. Runs no network.

All windows of a group get the size of the largest. How large one grows depends on how near the edge its patch lies
and on how the patch lies to the strides of the network; so patches far apart may be alike, and neighbours not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from striate.fusing import Fused
from striate.perturbation.regions import Axis, Starts
from striate.program import Program, Step
from striate.sizes import pair

__all__ = ["alike"]

_CALL = 4e7  # multiply-adds that could be done in the time that one more group takes at each convolution
_DISTINCT = 256  # different places along an axis; more are put together before the best cut is looked for

_Numbers = NDArray[np.float64]
_POOLS = ("max_pool2d_with_indices", "avg_pool2d")


def alike(program: Program, end: int, boxes: Tensor, at_most: int) -> list[Starts]:
    """Cut patches into groups, so that about as little as possible is worked out in vain.

    Args:
        program: of the network.
        end: number of the value that is asked for.
        boxes: (M, 4), top, left, bottom, right in pixels, the last two exclusive.
        at_most: patches in a group.

    Returns:
        Indices of the patches of each group; every patch is in one.
    """
    corners = boxes.cpu().numpy()
    rows, row_of = np.unique(corners[:, [0, 2]], axis=0, return_inverse=True)
    columns, column_of = np.unique(corners[:, [1, 3]], axis=0, return_inverse=True)
    row_of, column_of = row_of.reshape(-1), column_of.reshape(-1)
    work, heights, widths = _sizes(program, end, rows, columns)
    strips = max(1.0, float(np.sqrt(len(corners) / at_most)))  # about as many as bands
    call = _CALL * max(1, len(work))
    counts = np.bincount(row_of, minlength=len(rows))
    groups: list[Starts] = []
    for band in _cut(heights, work * (widths[column_of].mean(0)), counts, call * strips):
        members = np.flatnonzero(np.isin(row_of, band))
        counts = np.bincount(column_of[members], minlength=len(columns))
        found = np.flatnonzero(counts)
        for strip in _cut(widths[found], work * heights[band].max(0), counts[found], call, at_most):
            chosen = members[np.isin(column_of[members], found[strip])]
            groups += np.array_split(chosen, -(-len(chosen) // at_most))
    return groups


def _cut(sizes: _Numbers, work: _Numbers, counts: Starts, call: float, at_most: int | None = None) -> list[Starts]:
    """Cut places into groups of about the same sizes.

    In the order of what they take, every group is a stretch; which stretches take the least is found by trying all
    last ones for all beginnings.

    Args:
        sizes: (n, L), of each place's window in each layer.
        work: (L,), of a window of size 1.
        counts: (n,), patches at each place.
        call: work that a group takes besides.
        at_most: patches that are called together; any number without.

    Returns:
        Indices of the places of each group.
    """
    order = np.argsort(sizes @ work, kind="stable")
    stretches = np.array_split(order, min(len(order), _DISTINCT))
    sizes = np.array([sizes[stretch].max(0) for stretch in stretches])
    counts = np.array([counts[stretch].sum() for stretch in stretches])
    best, begins = [0.0], [0]
    for end in range(1, len(stretches) + 1):
        largest = np.maximum.accumulate(sizes[:end][::-1])[::-1] @ work  # by the beginning
        together = np.cumsum(counts[:end][::-1])[::-1]
        calls = 1 if at_most is None else -(-together // at_most)
        costs = np.array(best) + largest * together + call * calls
        begins.append(int(costs.argmin()))
        best.append(float(costs.min()))
    groups: list[Starts] = []
    end = len(stretches)
    while end:
        groups.append(np.concatenate(stretches[begins[end] : end]))
        end = begins[end]
    return groups[::-1]


# --- how large a window becomes


def _sizes(program: Program, end: int, rows: Starts, columns: Starts) -> tuple[_Numbers, _Numbers, _Numbers]:
    """Return what each convolution takes at one place of its output, and how large windows are there.

    A change is followed through what slides a window; whatever else keeps the size of a map is taken to leave
    each change where it is, and behind all other operations nothing is known.

    Args:
        program: of the network.
        end: number of the value that is asked for.
        rows: (n, 2), first and last (exclusive) row of patches.
        columns: (m, 2), likewise.

    Returns:
        Multiply-adds (L,), heights (n, L) and widths (m, L).
    """
    size = program.values[0].shape[-2:]
    axes = {0: [Axis.of(one[:, 0], one[:, 1] - 1, length) for one, length in zip((rows, columns), size, strict=True)]}
    work, heights, widths = [0.0], [np.ones(len(rows))], [np.ones(len(columns))]  # one, that there be any
    for at in program.needed(0, end):
        step = program.steps[at]
        known = [index for index in step.inputs if index in axes]
        outs = [out for out in step.outs if out is not None and program.values[out].dim() >= 2]
        if not known or not outs:
            continue
        lengths = program.values[outs[0]].shape[-2:]
        slides = _slides(step)
        found = axes[known[0]]
        if slides is not None:
            found = [axis.slid(*slide, length) for axis, slide, length in zip(found, slides, lengths, strict=True)]
        for index in known[1:]:
            found = [one.joined(other) for one, other in zip(found, axes[index], strict=True)]
        if any(axis.length != length for axis, length in zip(found, lengths, strict=True)):
            continue
        axes |= dict.fromkeys(outs, found)
        if (weight := _weight(step)) is not None:
            work.append(float(weight.numel()))
            for sizes, axis in zip((heights, widths), found, strict=True):
                sizes.append(_tiled(step, np.maximum(axis.lasts - axis.firsts + 1.0, 1.0)))
    return np.array(work), np.stack(heights, 1), np.stack(widths, 1)


def _tiled(step: Step, sizes: _Numbers) -> _Numbers:
    """Round sizes up to whole tiles, where a convolution makes them two by two (`winograd`)."""
    return sizes + sizes % 2 if isinstance(step.op, Fused) and step.op.sparing else sizes


def _slides(step: Step) -> list[tuple[int, int, int, int]] | None:
    """Return kernel, stride, padding and dilation of what slides a window, down and across; None for all else."""
    if isinstance(step.op, Fused):
        geometry = step.op.weight.shape[2:], step.op.stride, step.op.padding, step.op.dilation
    elif step.name == "convolution" and _weight(step) is not None and not step.arguments["transposed"]:
        given = step.arguments
        geometry = given["weight"].shape[2:], given["stride"], given["padding"], given["dilation"]
    elif step.name in _POOLS:
        given = step.arguments
        kernel = given["kernel_size"]
        geometry = kernel, given["stride"] or kernel, given["padding"], given.get("dilation", 1)
    else:
        return None
    down, across = zip(*(pair(one) for one in geometry), strict=True)
    return [down, across]


def _weight(step: Step) -> Tensor | None:
    """Return the weights of a convolution; None for all else."""
    if isinstance(step.op, Fused):
        return step.op.weight
    weight = step.arguments["weight"] if step.name == "convolution" else None
    return weight if isinstance(weight, Tensor) and weight.dim() == 4 else None
