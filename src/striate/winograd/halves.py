"""Winograd's convolution in bfloat16, in machine code. Knows arrays; `convolution` loads it, and numba with it.

As in `compiled`, but that what is multiplied is rounded to bfloat16, of which processors multiply two pairs in the time
of one float32. The pairs are of what is summed up over: channels, and tiles for the gradient of the weights. All sums
are float32. Maps (uint16) are as bfloat16 is in memory.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from striate.compiling import compiler
from striate.vectors import LANES, dots, squares
from striate.winograd.summing import bring_back, gather, group_of
from striate.winograd.tiles import (
    COLUMNS,
    PRODUCTS,
    ROWS,
    SEEN,
    TILE,
    half_tile_before,
    half_tile_behind,
    multiply_pairs,
    pair_of_gradients_before,
    pair_of_kernels_before,
    pair_of_tiles_before,
    place,
)  # fmt: skip

__all__ = ["can", "convolve", "lay", "weight_gradient"]

_CACHE = 600_000  # bytes of a processor's own cache that a block of tiles fills
_SHARED = 6_000_000  # and of what all processors share, where every product needs all tiles

_compile = compiler(error_model="numpy")
_compile_in_parts = compiler(error_model="numpy", parallel=True)


def can() -> bool:
    """Tell whether anything is gained: the processor multiplies pairs of bfloat16, but not whole matrices."""
    return dots() and not squares()


@_compile
def _window(maps, picture, top, left, side, spare):  # type: ignore[no-untyped-def]
    """Return where a square of maps begins, and its bytes from row to row; one over the border lies in `spare`."""
    _, height, width, channels = maps.shape
    if top >= 0 and left >= 0 and top + side <= height and left + side <= width:
        return np.uintp(
            maps.ctypes.data + 2 * ((picture * height + top) * width + left) * channels
        ), 2 * width * channels
    for i in range(side):
        for j in range(side):
            y, x = top + i, left + j
            if 0 <= y < height and 0 <= x < width:
                spare[i, j] = maps[picture, y, x]
            else:
                spare[i, j] = 0
    return np.uintp(spare.ctypes.data), 2 * side * channels


@_compile
def _lay(weight, turned, products, start, stop):  # type: ignore[no-untyped-def]
    """Do the vectors of outputs from `start` to `stop`; see `lay`."""
    last, _, _, first = weight.shape
    outputs, pairs = (first, last // 2) if turned else (last, first // 2)
    between = 4 * pairs * outputs
    gathered = np.empty((0 if turned else 9 * first, LANES), np.float32)
    for vector in range(start, stop):
        begin = vector * LANES
        columns = begin // COLUMNS * COLUMNS
        width = min(COLUMNS, outputs - columns)
        target = products.ctypes.data + 4 * (columns * pairs + begin - columns)
        if turned:  # from the last number of each kernel to its first
            row, column, other = -4 * 3 * first, -4 * first, 4 * 9 * first
            own = weight.ctypes.data - 2 * (row + column) + 4 * begin
        else:
            row, column, other = 4 * 3 * first * LANES, 4 * first * LANES, 4 * LANES
            own = gathered.ctypes.data + 0
            for k in range(LANES):
                numbers = weight[begin + k].reshape(-1)
                for i in range(len(numbers)):
                    gathered[i, k] = numbers[i]
        for pair in range(pairs):
            source, to = own + 2 * pair * other, target + 4 * pair * width
            pair_of_kernels_before(source, source + other, row, column, to, SEEN * between, between)


@_compile_in_parts
def lay(weight, turned, products, parts):  # type: ignore[no-untyped-def]
    """Make kernels ready.

    Args:
        weight: (K, 3, 3, C) float32, one behind the other in memory.
        turned: for the way from K channels to C: each from its last number to its first.
        products: (16, C / 2 * K) int32, written: of each, the matrices (C / 2, up to `COLUMNS`) of pairs, one behind
            the other; C and K in turn where it is turned.
        parts: threads.
    """
    vectors = (weight.shape[3] if turned else weight.shape[0]) // LANES
    for part in prange(parts):
        _lay(weight, turned, products, part * vectors // parts, (part + 1) * vectors // parts)


@_compile
def _convolve(maps, products, bias, above, before, found, start, stop):  # type: ignore[no-untyped-def]
    """Do the tiles from `start` to `stop`; see `convolve`."""
    inputs, outputs = maps.shape[3], found.shape[3]
    height, width = found.shape[1:3]
    down, across = (height + 1) // TILE, (width + 1) // TILE
    most = max(ROWS, _CACHE // (PRODUCTS * (2 * inputs + 4 * outputs)))
    blocks = max(1, -(-(stop - start) // most))
    room = ((stop - start) // blocks + ROWS) // ROWS * ROWS
    entered = np.zeros((PRODUCTS, room, inputs), np.uint16)
    left_over = np.empty((PRODUCTS, room, outputs), np.float32)
    seen, made = np.zeros((SEEN, SEEN, inputs), np.uint16), np.zeros((TILE, TILE, outputs), np.uint16)
    to, out = 2 * room * inputs, 4 * room * outputs
    for block in range(blocks):
        first, last = start + block * (stop - start) // blocks, start + (block + 1) * (stop - start) // blocks
        for tile in range(first, last):
            picture, top, left = place(tile, down, across)
            own, row = _window(maps, picture, top - above, left - before, SEEN, seen)
            target = entered.ctypes.data + 2 * (tile - first) * inputs
            for c in range(0, inputs, LANES):
                half_tile_before(own + 2 * c, row, 2 * inputs, target + 2 * c, SEEN * to, to)
        for product in range(PRODUCTS):
            for column in range(0, outputs, COLUMNS):
                wide = min(COLUMNS, outputs - column)
                kernels = products.ctypes.data + 4 * (product * (inputs // 2) * outputs + column * (inputs // 2))
                multiply_pairs(
                    entered.ctypes.data + product * to, 2 * inputs, 4, last - first, inputs // 2, kernels, 4 * wide,
                    left_over.ctypes.data + product * out + 4 * column, 4 * outputs, wide, 0,
                )  # fmt: skip
        for tile in range(first, last):
            picture, top, left = place(tile, down, across)
            source = left_over.ctypes.data + 4 * (tile - first) * outputs
            whole = top + TILE <= height and left + TILE <= width
            target = found.ctypes.data + 2 * ((picture * height + top) * width + left) * outputs
            target = np.uintp(target) if whole else np.uintp(made.ctypes.data)
            row = 2 * (width if whole else TILE) * outputs
            for c in range(0, outputs, LANES):
                shift = bias.ctypes.data + 4 * c
                half_tile_behind(source + 4 * c, SEEN * out, out, shift, target + 2 * c, row, 2 * outputs)
            if not whole:
                for i in range(min(TILE, height - top)):
                    for j in range(min(TILE, width - left)):
                        found[picture, top + i, left + j] = made[i, j]


@_compile_in_parts
def convolve(maps, products, bias, above, before, found, parts):  # type: ignore[no-untyped-def]
    """Convolve maps with kernels of three by three, in several threads; each takes some of the tiles.

    Args:
        maps: (N, H, W, C) uint16.
        products: what `lay` wrote.
        bias: (K,) float32.
        above: rows of zeros above each map (and below, as the height of `found` has it).
        before: columns likewise.
        found: (N, h, w, K) uint16, written.
        parts: threads.
    """
    tiles = found.shape[0] * ((found.shape[1] + 1) // TILE) * ((found.shape[2] + 1) // TILE)
    for part in prange(parts):
        _convolve(maps, products, bias, above, before, found, part * tiles // parts, (part + 1) * tiles // parts)


@_compile
def _take_in(maps, gradient, above, before, entered, turned, first, start, stop):  # type: ignore[no-untyped-def]
    """Write what is multiplied for the pairs of tiles from `start` to `stop`, of a block that begins with `first`."""
    inputs, outputs = maps.shape[3], gradient.shape[3]
    down, across = (gradient.shape[1] + 1) // TILE, (gradient.shape[2] + 1) // TILE
    tiles = len(gradient) * down * across
    seen = np.zeros((2, SEEN, SEEN, inputs), np.uint16)
    made = np.zeros((2, TILE, TILE, outputs), np.uint16)
    to, out = 4 * entered.shape[1] * inputs, 4 * turned.shape[1] * outputs
    for pair in range(start, stop):
        tile = 2 * pair
        picture, top, left = place(tile, down, across)
        own, row = _window(maps, picture, top - above, left - before, SEEN, seen[0])
        slopes, line = _window(gradient, picture, top, left, TILE, made[0])
        if tile + 1 < tiles:
            picture, top, left = place(tile + 1, down, across)
            other, other_row = _window(maps, picture, top - above, left - before, SEEN, seen[1])
            others, other_line = _window(gradient, picture, top, left, TILE, made[1])
        else:  # an odd one has nothing beside it
            seen[1] = 0
            made[1] = 0
            other, other_row = np.uintp(seen[1].ctypes.data), 2 * SEEN * inputs
            others, other_line = np.uintp(made[1].ctypes.data), 2 * TILE * outputs
        target = entered.ctypes.data + 4 * (pair - first) * inputs
        for c in range(0, inputs, LANES):
            step = 2 * c
            pair_of_tiles_before(
                own + step, row, other + step, other_row, 2 * inputs, target + 4 * c, SEEN * to, to
            )  # fmt: skip
        target = turned.ctypes.data + 4 * (pair - first) * outputs
        for c in range(0, outputs, LANES):
            step = 2 * c
            pair_of_gradients_before(
                slopes + step, line, others + step, other_line, 2 * outputs, target + 4 * c, SEEN * out, out
            )  # fmt: skip


@_compile_in_parts
def weight_gradient(maps, gradient, above, before, kernels, parts):  # type: ignore[no-untyped-def]
    """Work out the gradient of the kernels of `convolve`, in several threads: of the tiles, and then of the products.

    Args:
        maps: (N, H, W, C) uint16, what was convolved.
        gradient: (N, h, w, K), likewise, of what came out.
        above: rows of zeros above each map.
        before: columns likewise.
        kernels: (K, 3, 3, C) float32, written.
        parts: threads.
    """
    inputs, outputs = maps.shape[3], gradient.shape[3]
    pairs = (len(gradient) * ((gradient.shape[1] + 1) // TILE) * ((gradient.shape[2] + 1) // TILE) + 1) // 2
    together = min(pairs, max(48, _SHARED // (4 * PRODUCTS * (inputs + outputs))))
    group = group_of(outputs)
    entered = np.empty((PRODUCTS, together, inputs), np.uint32)
    turned = np.zeros((PRODUCTS, together + 2, outputs), np.uint32)  # two rows behind, which are read and not used
    items = PRODUCTS * outputs // group
    sums = np.empty((items, group + ROWS, inputs), np.float32)
    for first in range(0, pairs, together):
        last = min(pairs, first + together)
        for part in prange(parts):
            start, stop = first + part * (last - first) // parts, first + (part + 1) * (last - first) // parts
            _take_in(maps, gradient, above, before, entered, turned, first, start, stop)
        for part in prange(parts):
            start, stop = part * items // parts, (part + 1) * items // parts
            gather(turned, entered, last - first, group, sums, start, stop, first > 0)
    for part in prange(parts):
        bring_back(sums, kernels, part * outputs // parts, (part + 1) * outputs // parts)
