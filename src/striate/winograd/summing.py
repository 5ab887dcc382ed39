"""The gradient of a convolution's weights: sums over all tiles, of numbers or pairs of bfloat16, in machine code."""

from __future__ import annotations

from typing import Any

import numba.extending
from numba import types

from striate.compiling import compiler
from striate.vectors import LANES
from striate.winograd.tiles import COLUMNS, ROWS, SEEN, gradient_behind, multiply, multiply_pairs

__all__ = ["CHANNELS", "bring_back", "gather", "group_of"]

CHANNELS = 16
"""Channels of maps, in and out, are a multiple of it."""

_compile = compiler(error_model="numpy")


@_compile
def group_of(channels):  # type: ignore[no-untyped-def]
    """Return how many channels are multiplied together: a divisor, of which few rows are left over."""
    for group in range(128, 0, -CHANNELS):
        if channels % group == 0:
            return group
    return CHANNELS


_overload: Any = numba.extending.overload  # no types are known of it


def _multiply_numbers(array: Any, *given: Any) -> None:
    """Multiply matrices of the numbers that an array holds."""
    raise NotImplementedError


@_overload(_multiply_numbers)
def _chosen(array, *given):  # type: ignore[no-untyped-def]
    """Choose before it is compiled, so that nobody compiles what he has no numbers for."""
    if array.dtype == types.uint32:
        return lambda array, *given: multiply_pairs(*given)
    return lambda array, *given: multiply(*given)


@_compile
def gather(turned, entered, count, group, sums, start, stop, again):  # type: ignore[no-untyped-def]
    """Add up products over the tiles of a block, or over the pairs of tiles.

    Args:
        turned: (16, T + 2, K), of the gradients: numbers (float32), or pairs of bfloat16 (uint32); two rows behind are
            read.
        entered: (16, T, C), of what was convolved.
        count: tiles, or pairs.
        group: of channels that are multiplied together.
        sums: (16 * K / group, group + `ROWS`, C) float32, written.
        start: the first of them that is done.
        stop: the first that is not.
        again: whether the block is not the first, and is added.
    """
    outputs, inputs = turned.shape[2], entered.shape[2]
    groups = outputs // group
    for item in range(start, stop):
        product, which = divmod(item, groups)
        own = turned[product].ctypes.data + 4 * which * group
        to = sums.ctypes.data + 4 * item * (group + ROWS) * inputs
        for column in range(0, inputs, COLUMNS):
            width = min(COLUMNS, inputs - column)
            other = entered[product].ctypes.data + 4 * column
            _multiply_numbers(
                turned, own, 4, 4 * outputs, group, count, other, 4 * inputs, to + 4 * column, 4 * inputs, width, again
            )


@_compile
def bring_back(sums, kernels, start, stop):  # type: ignore[no-untyped-def]
    """Write the kernels from `start` to `stop`, (K, 3, 3, C), from the sums over all tiles."""
    outputs, inputs, room = len(kernels), kernels.shape[3], sums.shape[1]
    group = room - ROWS
    product = 4 * (outputs // group) * room * inputs
    for kernel in range(start, stop):
        which, row = divmod(kernel, group)
        for column in range(0, inputs, LANES):
            own = sums.ctypes.data + 4 * ((which * room + row) * inputs + column)
            to = kernels.ctypes.data + 4 * (kernel * 9 * inputs + column)
            gradient_behind(own, SEEN * product, product, to, 4 * 3 * inputs, 4 * inputs)
