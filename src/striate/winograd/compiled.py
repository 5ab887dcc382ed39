"""Winograd's convolution in machine code. Knows arrays; `convolution` loads it, and numba with it.

A tile of outputs, two by two, is made of sixteen products per channel in place of thirty-six:
``Y = A' [(G g G') * (B' d B)] A`` for a kernel g and the four by four inputs d, ' for transposed (Lavin and Gray 2016,
"Fast Algorithms for Convolutional Neural Networks", section 4.1, F(2x2, 3x3)). Over many channels and tiles each of the
sixteen is a product of two matrices.

Tiles are taken in blocks whose numbers stay in the cache from the inputs to the outputs. What decides the speed, the
product of matrices and the sums before and behind it, is given to LLVM as operations on vectors, for which no array
library has a way in. Sums are taken in one order whatever the number of threads or of tiles.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from striate.compiling import compiler
from striate.vectors import LANES, can
from striate.winograd.summing import bring_back, gather, group_of
from striate.winograd.tiles import (
    COLUMNS,
    PRODUCTS,
    ROWS,
    SEEN,
    TILE,
    gradient_before,
    kernel_before,
    multiply,
    place,
    tile_before,
    tile_behind,
)  # fmt: skip

__all__ = [
    "can",
    "convolve",
    "convolve_in_parts",
    "lay",
    "lay_in_parts",
    "weight_gradient",
]

_CACHE = 800_000  # bytes of a processor's own cache that a block of tiles fills
_SHARED = 8_000_000  # and of what all processors share, where every product needs all tiles

_compile = compiler(error_model="numpy")
_compile_in_parts = compiler(error_model="numpy", parallel=True)


@_compile
def _lay(kernels, turned, products, start, stop):  # type: ignore[no-untyped-def]
    """Do the inputs from `start` to `stop`; see `lay`."""
    inputs, _, _, outputs = kernels.shape
    row, column = 4 * 3 * outputs, 4 * outputs
    between = 4 * inputs * outputs
    for channel in range(start, stop):
        source = kernels.ctypes.data + 4 * channel * 9 * outputs
        if turned:
            source += 2 * (row + column)
        for begin in range(0, outputs, COLUMNS):
            width = min(COLUMNS, outputs - begin)
            target = products.ctypes.data + 4 * (begin * inputs + channel * width)
            for first in range(0, width, LANES):
                own, to = source + 4 * (begin + first), target + 4 * first
                if turned:
                    kernel_before(own, -row, -column, to, SEEN * between, between)
                else:
                    kernel_before(own, row, column, to, SEEN * between, between)


@_compile
def lay(kernels, turned, products):  # type: ignore[no-untyped-def]
    """Make kernels ready.

    Args:
        kernels: (C, 3, 3, K) float32, one behind the other in memory.
        turned: take each from its last number to its first.
        products: (16, C * K), written: of each, the matrices (C, up to `COLUMNS`) one behind the other.
    """
    _lay(kernels, turned, products, 0, len(kernels))


@_compile_in_parts
def lay_in_parts(kernels, turned, products, borders):  # type: ignore[no-untyped-def]
    """Do `lay` in several threads; each takes the inputs between two of the borders (int64, ascending)."""
    for part in prange(len(borders) - 1):
        _lay(kernels, turned, products, borders[part], borders[part + 1])


@_compile
def _enter(maps, picture, top, left, spare, target, product):  # type: ignore[no-untyped-def]
    """Write the sixteen vectors (C,) of a tile's inputs, `product` bytes from one to the next."""
    _, height, width, channels = maps.shape
    if top >= 0 and left >= 0 and top + SEEN <= height and left + SEEN <= width:
        source = maps.ctypes.data + 4 * ((picture * height + top) * width + left) * channels
        row = 4 * width * channels
    else:  # what lies beyond the border is zero
        for i in range(SEEN):
            for j in range(SEEN):
                y, x = top + i, left + j
                if 0 <= y < height and 0 <= x < width:
                    spare[i, j] = maps[picture, y, x]
                else:
                    spare[i, j] = 0
        source, row = spare.ctypes.data, 4 * SEEN * channels
    for channel in range(0, channels, LANES):
        own = source + 4 * channel
        tile_before(own, row, 4 * channels, target + 4 * channel, SEEN * product, product)


@_compile
def _leave(source, product, bias, low, high, added, found, picture, top, left, spare):  # type: ignore[no-untyped-def]
    """Write a tile's outputs from its sixteen vectors (K,)."""
    _, height, width, channels = found.shape
    to = spare.ctypes.data
    for channel in range(0, channels, LANES):
        own = source + 4 * channel
        tile_behind(own, SEEN * product, product, to + 4 * channel, 4 * TILE * channels, 4 * channels)
    adds = added.size > 0
    for i in range(min(TILE, height - top)):
        for j in range(min(TILE, width - left)):
            values, out = spare[i, j], found[picture, top + i, left + j]
            for channel in range(channels):
                values[channel] += bias[channel]
            if adds:  # in this order, as if it was done afterwards
                other = added[picture, top + i, left + j]
                for channel in range(channels):
                    values[channel] += other[channel]
            for channel in range(channels):
                value = values[channel]
                value = low if value < low else value
                out[channel] = high if value > high else value


@_compile
def _convolve(maps, products, bias, low, high, added, above, before, found, start, stop):  # type: ignore[no-untyped-def]
    """Do the tiles from `start` to `stop`; see `convolve`."""
    inputs, outputs = maps.shape[3], found.shape[3]
    down, across = (found.shape[1] + 1) // TILE, (found.shape[2] + 1) // TILE
    most = max(ROWS, _CACHE // (4 * PRODUCTS * (inputs + outputs)))
    blocks = max(1, -(-(stop - start) // most))
    room = ((stop - start) // blocks + ROWS) // ROWS * ROWS
    entered = np.zeros((PRODUCTS, room, inputs), np.float32)
    left_over = np.empty((PRODUCTS, room, outputs), np.float32)
    spare, spare_out = np.empty((SEEN, SEEN, inputs), np.float32), np.empty((TILE, TILE, outputs), np.float32)
    to, out = 4 * room * inputs, 4 * room * outputs
    for block in range(blocks):
        first, last = start + block * (stop - start) // blocks, start + (block + 1) * (stop - start) // blocks
        for tile in range(first, last):
            picture, top, left = place(tile, down, across)
            own = entered.ctypes.data + 4 * (tile - first) * inputs
            _enter(maps, picture, top - above, left - before, spare, own, to)
        for product in range(PRODUCTS):
            for column in range(0, outputs, COLUMNS):
                width = min(COLUMNS, outputs - column)
                kernels = products.ctypes.data + 4 * (product * inputs * outputs + column * inputs)
                multiply(
                    entered.ctypes.data + product * to, 4 * inputs, 4, last - first, inputs, kernels, 4 * width,
                    left_over.ctypes.data + product * out + 4 * column, 4 * outputs, width, 0,
                )  # fmt: skip
        for tile in range(first, last):
            picture, top, left = place(tile, down, across)
            own = left_over.ctypes.data + 4 * (tile - first) * outputs
            _leave(own, out, bias, low, high, added, found, picture, top, left, spare_out)


@_compile
def convolve(maps, products, bias, low, high, added, above, before, found):  # type: ignore[no-untyped-def]
    """Convolve maps with kernels of three by three, add up and clamp.

    Args:
        maps: (N, H, W, C) float32, as all others: C and K multiples of 16, one number behind the other.
        products: (16, C * K), what `lay` wrote.
        bias: (K,).
        low: smallest number that comes out,
        high: and the largest.
        added: (N, h, w, K), what is added before that; of size zero for nothing.
        above: rows of zeros above each map (and below, as the height of `found` has it).
        before: columns likewise.
        found: (N, h, w, K), written.
    """
    tiles = found.shape[0] * ((found.shape[1] + 1) // TILE) * ((found.shape[2] + 1) // TILE)
    _convolve(maps, products, bias, low, high, added, above, before, found, 0, tiles)


@_compile_in_parts
def convolve_in_parts(maps, products, bias, low, high, added, above, before, found, borders):  # type: ignore[no-untyped-def]
    """Do `convolve` in several threads; each takes the tiles between two of the borders (int64, ascending)."""
    for part in prange(len(borders) - 1):
        start, stop = borders[part], borders[part + 1]
        _convolve(maps, products, bias, low, high, added, above, before, found, start, stop)


@_compile
def _take_in(maps, gradient, above, before, entered, turned, first, start, stop):  # type: ignore[no-untyped-def]
    """Write what is multiplied for the tiles from `start` to `stop`, of a block that begins with `first`."""
    inputs, outputs, room = maps.shape[3], gradient.shape[3], turned.shape[1]
    height, width = gradient.shape[1:3]
    down, across = (height + 1) // TILE, (width + 1) // TILE
    spare, spare_out = np.empty((SEEN, SEEN, inputs), np.float32), np.empty((TILE, TILE, outputs), np.float32)
    to, out = 4 * entered.shape[1] * inputs, 4 * room * outputs
    for tile in range(start, stop):
        picture, top, left = place(tile, down, across)
        own = entered.ctypes.data + 4 * (tile - first) * inputs
        _enter(maps, picture, top - above, left - before, spare, own, to)
        if top + TILE <= height and left + TILE <= width:
            source = gradient.ctypes.data + 4 * ((picture * height + top) * width + left) * outputs
            row = 4 * width * outputs
        else:
            for i in range(TILE):
                for j in range(TILE):
                    if top + i < height and left + j < width:
                        spare_out[i, j] = gradient[picture, top + i, left + j]
                    else:
                        spare_out[i, j] = 0
            source, row = spare_out.ctypes.data, 4 * TILE * outputs
        for channel in range(0, outputs, LANES):
            behind = turned.ctypes.data + 4 * ((tile - first) * outputs + channel)
            gradient_before(source + 4 * channel, row, 4 * outputs, behind, SEEN * out, out)


@_compile_in_parts
def weight_gradient(maps, gradient, above, before, kernels, parts):  # type: ignore[no-untyped-def]
    """Work out the gradient of the kernels of `convolve`, in several threads: of the tiles, and then of the products.

    Args:
        maps: (N, H, W, C), what was convolved.
        gradient: (N, h, w, K), of what came out.
        above: rows of zeros above each map.
        before: columns likewise.
        kernels: (K, 3, 3, C), written.
        parts: threads.
    """
    count, height, width, outputs = gradient.shape
    inputs = maps.shape[3]
    tiles = count * ((height + 1) // TILE) * ((width + 1) // TILE)
    together = min(tiles, max(96, _SHARED // (4 * PRODUCTS * (inputs + outputs))))
    group = group_of(outputs)
    entered = np.empty((PRODUCTS, together, inputs), np.float32)
    turned = np.zeros((PRODUCTS, together + 2, outputs), np.float32)  # two rows behind, which are read and not used
    items = PRODUCTS * outputs // group
    sums = np.empty((items, group + ROWS, inputs), np.float32)
    for first in range(0, tiles, together):
        last = min(tiles, first + together)
        for part in prange(parts):
            start = first + part * (last - first) // parts
            stop = first + (part + 1) * (last - first) // parts
            _take_in(maps, gradient, above, before, entered, turned, first, start, stop)
        for part in prange(parts):
            start, stop = part * items // parts, (part + 1) * items // parts
            gather(turned, entered, last - first, group, sums, start, stop, first > 0)
    for part in prange(parts):
        bring_back(sums, kernels, part * outputs // parts, (part + 1) * outputs // parts)
