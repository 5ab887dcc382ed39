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

from typing import Any

import numba
import numba.core.cgutils
import numba.extending
import numpy as np
from llvmlite import binding, ir  # type: ignore[import-untyped]
from numba import njit, prange, types

__all__ = [
    "CHANNELS",
    "can",
    "convolve",
    "convolve_in_parts",
    "lay",
    "lay_in_parts",
    "weight_gradient",
    "weight_gradient_in_parts",
]

CHANNELS = 16  # of maps, in and out, are a multiple of it

# Lavin and Gray 2016, section 4.1
_BEFORE = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))  # B'
_OF_KERNEL = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))  # G
_BEHIND = ((1, 1, 1, 0), (0, 1, -1, -1))  # A'
_TILE, _SEEN, _PRODUCTS = 2, 4, 16

cgutils: Any = numba.core.cgutils  # no types are known of it, nor of this
intrinsic: Any = numba.extending.intrinsic
_compile = njit(cache=True, nogil=True, error_model="numpy")
_compile_in_parts = njit(cache=True, nogil=True, error_model="numpy", parallel=True)


def _features() -> set[str]:
    """Return what the processor can do that numba compiles for."""
    config: Any = numba.config
    if config.DISABLE_JIT or not config.ENABLE_AVX or (config.CPU_NAME and config.CPU_FEATURES is None):
        return set()
    if config.CPU_FEATURES is not None:
        return {one[1:] for one in config.CPU_FEATURES.split(",") if one.startswith("+")}
    return {name for name, there in binding.get_host_cpu_features().items() if there}


_HAS = _features()
_WIDE = "avx512f" in _HAS
# numbers in a vector, vectors of outputs side by side, and sums that the registers hold beside what is multiplied
_LANES, _VECTORS, _SUMS = (16, 4, 24) if _WIDE else (8, 2, 12)
_COLUMNS = _LANES * _VECTORS
_ROWS = 24  # the sums are made for so many tiles or fewer at a time: memory behind the last is written over
_NUMBER, _LONG = ir.FloatType(), ir.IntType(64)
_VECTOR = ir.VectorType(_NUMBER, _LANES)
_CACHE = 800_000  # bytes of a processor's own cache that a block of tiles fills
_SHARED = 8_000_000  # and of what all processors share, where every product needs all tiles


def can() -> bool:
    """Return whether this processor has what is needed: vectors of eight numbers that are multiplied and added."""
    return _WIDE or {"avx2", "fma"} <= _HAS


def _long(number: int) -> Any:
    return ir.Constant(_LONG, number)


def _pointer(builder: Any, address: Any, kind: Any) -> Any:
    return builder.inttoptr(address, kind.as_pointer())


def _load(builder: Any, address: Any, kind: Any = _VECTOR) -> Any:
    found = builder.load(_pointer(builder, address, kind))
    found.align = 4
    return found


def _store(builder: Any, value: Any, address: Any) -> None:
    builder.store(value, _pointer(builder, address, _VECTOR)).align = 4


def _weighed(builder: Any, weights: tuple[float, ...], values: list[Any]) -> Any:
    """Add up vectors, each times a number."""
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
    multiply_add = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{_LANES}f32")
    found = None
    for weight, value in sorted(zip(weights, values, strict=True), key=lambda pair: -pair[0]):
        if weight == 0:
            continue
        if found is None:
            one = ir.Constant(_VECTOR, [float(weight)] * _LANES)
            found = value if weight == 1 else builder.fmul(value, one)
        elif weight in (1, -1):
            found = builder.fadd(found, value) if weight == 1 else builder.fsub(found, value)
        else:
            found = builder.call(multiply_add, [value, ir.Constant(_VECTOR, [float(weight)] * _LANES), found])
    return found


def _between(matrix: tuple[tuple[float, ...], ...]) -> Any:
    """Return an operation that takes a square of vectors X to ``M X M'``.

    All its arguments are numbers of bytes: where X begins, from row to row, from column to column; and the same of what
    is written.
    """
    after, before = len(matrix), len(matrix[0])

    @intrinsic
    def change(_context, source, row, column, target, to_row, to_column):  # type: ignore[no-untyped-def]
        def generate(_target, builder, _signature, given):  # type: ignore[no-untyped-def]
            source, row, column, target, to_row, to_column = given

            def at(start: Any, down: Any, i: int, across: Any, j: int) -> Any:
                steps = builder.add(builder.mul(down, _long(i)), builder.mul(across, _long(j)))
                return builder.add(start, steps)

            halfway = []
            for j in range(before):
                values = [_load(builder, at(source, row, i, column, j)) for i in range(before)]
                halfway.append([_weighed(builder, weights, values) for weights in matrix])
            for i in range(after):
                values = [one[i] for one in halfway]
                for j, weights in enumerate(matrix):
                    _store(builder, _weighed(builder, weights, values), at(target, to_row, i, to_column, j))
            return _target.get_dummy_value()

        return types.void(*[types.uintp] * 6), generate

    return change


def _turned(matrix: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
    return tuple(zip(*matrix, strict=True))


_tile_before = _between(_BEFORE)
_kernel_before = _between(_OF_KERNEL)
_tile_behind = _between(_BEHIND)
_gradient_before = _between(_turned(_BEHIND))
_gradient_behind = _between(_turned(_OF_KERNEL))


def _multiplying(vectors: int) -> Any:
    """Return an operation that adds to some rows of C, so many vectors wide, the product of A and B.

    Its arguments are numbers of bytes, where no other is named: A, from row to row, from one to the next in a row; B,
    from row to row; C, from row to row; the numbers in a row of A; and whether C is added to (1) or written (0).
    """
    rows = _SUMS // vectors

    @intrinsic
    def multiply(_context, a, a_row, a_step, b, b_row, c, c_row, depth, again):  # type: ignore[no-untyped-def]
        def generate(_target, builder, _signature, given):  # type: ignore[no-untyped-def]
            a, a_row, a_step, b, b_row, c, c_row, depth, again = given
            kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
            multiply_add = cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{_LANES}f32")
            held = [[cgutils.alloca_once(builder, _VECTOR) for _ in range(vectors)] for _ in range(rows)]
            places = [
                [
                    builder.add(builder.add(c, builder.mul(c_row, _long(row))), _long(4 * _LANES * vector))
                    for vector in range(vectors)
                ]
                for row in range(rows)
            ]
            empty = ir.Constant(_VECTOR, ir.Undefined)
            none = ir.Constant(_VECTOR, [0.0] * _LANES)
            first = ir.Constant(ir.VectorType(ir.IntType(32), _LANES), [0] * _LANES)
            for row in range(rows):
                for vector in range(vectors):
                    builder.store(none, held[row][vector])
            starts = [builder.add(a, builder.mul(a_row, _long(row))) for row in range(rows)]
            with cgutils.for_range(builder, depth) as loop:
                here = builder.add(b, builder.mul(b_row, loop.index))
                own = [_load(builder, builder.add(here, _long(4 * _LANES * vector))) for vector in range(vectors)]
                step = builder.mul(a_step, loop.index)
                for row in range(rows):
                    number = _load(builder, builder.add(starts[row], step), _NUMBER)
                    one = builder.insert_element(empty, number, ir.Constant(ir.IntType(32), 0))
                    spread = builder.shuffle_vector(one, empty, first)
                    for vector in range(vectors):
                        place = held[row][vector]
                        builder.store(builder.call(multiply_add, [spread, own[vector], builder.load(place)]), place)
            with builder.if_then(builder.icmp_unsigned("!=", again, _long(0))):  # short sums are added: less rounding
                for row in range(rows):
                    for vector in range(vectors):
                        place = held[row][vector]
                        builder.store(builder.fadd(builder.load(place), _load(builder, places[row][vector])), place)
            for row in range(rows):
                for vector in range(vectors):
                    _store(builder, builder.load(held[row][vector]), places[row][vector])
            return _target.get_dummy_value()

        return types.void(*[types.uintp] * 9), generate

    return multiply


_multiply_1, _multiply_2, _multiply_3, _multiply_4 = (_multiplying(vectors) for vectors in range(1, 5))


@_compile
def _multiply(a, a_row, a_step, rows, depth, b, b_row, c, c_row, columns, again):  # type: ignore[no-untyped-def]
    """Multiply matrices, of which B and C are at most `_COLUMNS` wide; up to `_ROWS` more rows of C are written."""
    vectors = columns // _LANES
    for row in range(0, rows, _SUMS // vectors):
        own, to = a + row * a_row, c + row * c_row
        if vectors == 4:
            _multiply_4(own, a_row, a_step, b, b_row, to, c_row, depth, again)
        elif vectors == 3:
            _multiply_3(own, a_row, a_step, b, b_row, to, c_row, depth, again)
        elif vectors == 2:
            _multiply_2(own, a_row, a_step, b, b_row, to, c_row, depth, again)
        else:
            _multiply_1(own, a_row, a_step, b, b_row, to, c_row, depth, again)


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
        for begin in range(0, outputs, _COLUMNS):
            width = min(_COLUMNS, outputs - begin)
            target = products.ctypes.data + 4 * (begin * inputs + channel * width)
            for place in range(0, width, _LANES):
                own, to = source + 4 * (begin + place), target + 4 * place
                if turned:
                    _kernel_before(own, -row, -column, to, _SEEN * between, between)
                else:
                    _kernel_before(own, row, column, to, _SEEN * between, between)


@_compile
def lay(kernels, turned, products):  # type: ignore[no-untyped-def]
    """Make kernels ready.

    Args:
        kernels: (C, 3, 3, K) float32, one behind the other in memory.
        turned: take each from its last number to its first.
        products: (16, C * K), written: of each, the matrices (C, up to `_COLUMNS`) one behind the other.
    """
    _lay(kernels, turned, products, 0, len(kernels))


@_compile_in_parts
def lay_in_parts(kernels, turned, products, borders):  # type: ignore[no-untyped-def]
    """Do `lay` in several threads; each takes the inputs between two of the borders (int64, ascending)."""
    for part in prange(len(borders) - 1):
        _lay(kernels, turned, products, borders[part], borders[part + 1])


@_compile
def _place(tile, down, across):  # type: ignore[no-untyped-def]
    """Return the picture of a tile, and the row and the column where its outputs begin."""
    picture, rest = divmod(tile, down * across)
    row, column = divmod(rest, across)
    return picture, row * _TILE, column * _TILE


@_compile
def _enter(maps, picture, top, left, spare, target, product):  # type: ignore[no-untyped-def]
    """Write the sixteen vectors (C,) of a tile's inputs, `product` bytes from one to the next."""
    _, height, width, channels = maps.shape
    if top >= 0 and left >= 0 and top + _SEEN <= height and left + _SEEN <= width:
        source = maps.ctypes.data + 4 * ((picture * height + top) * width + left) * channels
        row = 4 * width * channels
    else:  # what lies beyond the border is zero
        for i in range(_SEEN):
            for j in range(_SEEN):
                y, x = top + i, left + j
                if 0 <= y < height and 0 <= x < width:
                    spare[i, j] = maps[picture, y, x]
                else:
                    spare[i, j] = 0
        source, row = spare.ctypes.data, 4 * _SEEN * channels
    for channel in range(0, channels, _LANES):
        own = source + 4 * channel
        _tile_before(own, row, 4 * channels, target + 4 * channel, _SEEN * product, product)


@_compile
def _leave(source, product, bias, low, high, added, found, picture, top, left, spare):  # type: ignore[no-untyped-def]
    """Write a tile's outputs from its sixteen vectors (K,)."""
    _, height, width, channels = found.shape
    to = spare.ctypes.data
    for channel in range(0, channels, _LANES):
        own = source + 4 * channel
        _tile_behind(own, _SEEN * product, product, to + 4 * channel, 4 * _TILE * channels, 4 * channels)
    adds = added.size > 0
    for i in range(min(_TILE, height - top)):
        for j in range(min(_TILE, width - left)):
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
    down, across = (found.shape[1] + 1) // _TILE, (found.shape[2] + 1) // _TILE
    most = max(_ROWS, _CACHE // (4 * _PRODUCTS * (inputs + outputs)))
    blocks = max(1, -(-(stop - start) // most))
    room = ((stop - start) // blocks + _ROWS) // _ROWS * _ROWS
    entered = np.zeros((_PRODUCTS, room, inputs), np.float32)
    left_over = np.empty((_PRODUCTS, room, outputs), np.float32)
    spare, spare_out = np.empty((_SEEN, _SEEN, inputs), np.float32), np.empty((_TILE, _TILE, outputs), np.float32)
    to, out = 4 * room * inputs, 4 * room * outputs
    for block in range(blocks):
        first, last = start + block * (stop - start) // blocks, start + (block + 1) * (stop - start) // blocks
        for tile in range(first, last):
            picture, top, left = _place(tile, down, across)
            own = entered.ctypes.data + 4 * (tile - first) * inputs
            _enter(maps, picture, top - above, left - before, spare, own, to)
        for product in range(_PRODUCTS):
            for column in range(0, outputs, _COLUMNS):
                width = min(_COLUMNS, outputs - column)
                kernels = products.ctypes.data + 4 * (product * inputs * outputs + column * inputs)
                _multiply(
                    entered.ctypes.data + product * to, 4 * inputs, 4, last - first, inputs, kernels, 4 * width,
                    left_over.ctypes.data + product * out + 4 * column, 4 * outputs, width, 0,
                )  # fmt: skip
        for tile in range(first, last):
            picture, top, left = _place(tile, down, across)
            own = left_over.ctypes.data + 4 * (tile - first) * outputs
            _leave(own, out, bias, low, high, added, found, picture, top, left, spare_out)


@_compile
def convolve(maps, products, bias, low, high, added, above, before, found):  # type: ignore[no-untyped-def]
    """Convolve maps with kernels of three by three, add up and clamp.

    Args:
        maps: (N, H, W, C) float32, as all others: C and K multiples of `CHANNELS`, one number behind the other.
        products: (16, C * K), what `lay` wrote.
        bias: (K,).
        low: smallest number that comes out,
        high: and the largest.
        added: (N, h, w, K), what is added before that; of size zero for nothing.
        above: rows of zeros above each map (and below, as the height of `found` has it).
        before: columns likewise.
        found: (N, h, w, K), written.
    """
    tiles = found.shape[0] * ((found.shape[1] + 1) // _TILE) * ((found.shape[2] + 1) // _TILE)
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
    down, across = (height + 1) // _TILE, (width + 1) // _TILE
    spare, spare_out = np.empty((_SEEN, _SEEN, inputs), np.float32), np.empty((_TILE, _TILE, outputs), np.float32)
    to, out = 4 * entered.shape[1] * inputs, 4 * room * outputs
    for tile in range(start, stop):
        picture, top, left = _place(tile, down, across)
        own = entered.ctypes.data + 4 * (tile - first) * inputs
        _enter(maps, picture, top - above, left - before, spare, own, to)
        if top + _TILE <= height and left + _TILE <= width:
            source = gradient.ctypes.data + 4 * ((picture * height + top) * width + left) * outputs
            row = 4 * width * outputs
        else:
            for i in range(_TILE):
                for j in range(_TILE):
                    if top + i < height and left + j < width:
                        spare_out[i, j] = gradient[picture, top + i, left + j]
                    else:
                        spare_out[i, j] = 0
            source, row = spare_out.ctypes.data, 4 * _TILE * outputs
        for channel in range(0, outputs, _LANES):
            behind = turned.ctypes.data + 4 * ((tile - first) * outputs + channel)
            _gradient_before(source + 4 * channel, row, 4 * outputs, behind, _SEEN * out, out)


@_compile
def _group(channels):  # type: ignore[no-untyped-def]
    """Return how many channels are multiplied together: a divisor, of which few rows are left over."""
    for group in range(128, 0, -CHANNELS):
        if channels % group == 0:
            return group
    return CHANNELS


@_compile
def _gather(entered, turned, count, group, sums, start, stop, again):  # type: ignore[no-untyped-def]
    """Add up the products from `start` to `stop` (of 16 times the groups of channels) over the tiles of a block."""
    inputs, outputs = entered.shape[2], turned.shape[2]
    groups = inputs // group
    for item in range(start, stop):
        product, which = divmod(item, groups)
        own = entered[product].ctypes.data + 4 * which * group
        to = sums.ctypes.data + 4 * item * (group + _ROWS) * outputs
        for column in range(0, outputs, _COLUMNS):
            width = min(_COLUMNS, outputs - column)
            other = turned[product].ctypes.data + 4 * column
            _multiply(own, 4, 4 * inputs, group, count, other, 4 * outputs, to + 4 * column, 4 * outputs, width, again)


@_compile
def _bring_back(sums, kernels, start, stop):  # type: ignore[no-untyped-def]
    """Write the kernels of the channels from `start` to `stop`."""
    inputs, outputs, room = kernels.shape[2], kernels.shape[3], sums.shape[1]
    group = room - _ROWS
    product = 4 * (inputs // group) * room * outputs
    across = 4 * inputs * outputs
    for channel in range(start, stop):
        which, row = divmod(channel, group)
        for column in range(0, outputs, _LANES):
            own = sums.ctypes.data + 4 * ((which * room + row) * outputs + column)
            to = kernels.ctypes.data + 4 * (channel * outputs + column)
            _gradient_behind(own, _SEEN * product, product, to, 3 * across, across)


@_compile
def _tiles_together(inputs, outputs, tiles):  # type: ignore[no-untyped-def]
    return min(tiles, max(96, _SHARED // (4 * _PRODUCTS * (inputs + outputs))))


@_compile
def weight_gradient(maps, gradient, above, before, kernels):  # type: ignore[no-untyped-def]
    """Work out the gradient of the kernels of `convolve`.

    Args:
        maps: (N, H, W, C), what was convolved.
        gradient: (N, h, w, K), of what came out.
        above: rows of zeros above each map.
        before: columns likewise.
        kernels: (3, 3, C, K), written.
    """
    count, height, width, outputs = gradient.shape
    inputs = maps.shape[3]
    tiles = count * ((height + 1) // _TILE) * ((width + 1) // _TILE)
    together, group = _tiles_together(inputs, outputs, tiles), _group(inputs)
    entered = np.zeros((_PRODUCTS, together + 2, inputs), np.float32)  # two rows behind, which are read and not used
    turned = np.empty((_PRODUCTS, together, outputs), np.float32)
    items = _PRODUCTS * inputs // group
    sums = np.empty((items, group + _ROWS, outputs), np.float32)
    for first in range(0, tiles, together):
        last = min(tiles, first + together)
        _take_in(maps, gradient, above, before, entered, turned, first, first, last)
        _gather(entered, turned, last - first, group, sums, 0, items, min(first, 1))
    _bring_back(sums, kernels, 0, inputs)


@_compile_in_parts
def weight_gradient_in_parts(maps, gradient, above, before, kernels, parts):  # type: ignore[no-untyped-def]
    """Do `weight_gradient` in several threads: of the tiles, and then of the products."""
    count, height, width, outputs = gradient.shape
    inputs = maps.shape[3]
    tiles = count * ((height + 1) // _TILE) * ((width + 1) // _TILE)
    together, group = _tiles_together(inputs, outputs, tiles), _group(inputs)
    entered = np.zeros((_PRODUCTS, together + 2, inputs), np.float32)
    turned = np.empty((_PRODUCTS, together, outputs), np.float32)
    items = _PRODUCTS * inputs // group
    sums = np.empty((items, group + _ROWS, outputs), np.float32)
    for first in range(0, tiles, together):
        last = min(tiles, first + together)
        for part in prange(parts):
            start = first + part * (last - first) // parts
            stop = first + (part + 1) * (last - first) // parts
            _take_in(maps, gradient, above, before, entered, turned, first, start, stop)
        for part in prange(parts):
            start, stop = part * items // parts, (part + 1) * items // parts
            _gather(entered, turned, last - first, group, sums, start, stop, min(first, 1))
    for part in prange(parts):
        _bring_back(sums, kernels, part * inputs // parts, (part + 1) * inputs // parts)
