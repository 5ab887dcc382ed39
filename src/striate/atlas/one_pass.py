"""The same reduction and the same ranks as in `reducing` and `ranking`, compiled: each map is read once.

PyTorch has no operation that takes maximum, sum and sum of squares together, so that it reads a map four times. numba
compiles one that does, and that leaves in the map's place what the network goes on with (the extra `fast`). It is
loaded by `compiled` only; where it is missing PyTorch does the same. Values, positions and ranks are the same bits,
sums agree to a few 1e-7.
The machine code is compiled once and kept beside Python's own (`__pycache__`, or the user's folder of caches).
"""

from __future__ import annotations

import numpy as np
from numba import prange

from striate.compiling import compiler

__all__ = [
    "enter",
    "enter_in_parts",
    "pass_on",
    "pass_on_in_parts",
    "reduce",
    "reduce_and_pass_on",
    "reduce_and_pass_on_in_parts",
    "reduce_in_parts",
]

_NOBODY, _LATEST = -(2**63), 2**32 - 1  # of `ranking`, whose keys these are
_ROWS = 4  # read together: the sums are fetched and put back once for all of them

# sums may use multiply-add of one rounding; nothing else is reordered, so that the numbers depend on the picture alone
_compile = compiler(fastmath={"contract", "nsz"})
# numba's own threads, which with GNU's OpenMP are PyTorch's: others would find the processors taken by those waiting
_compile_in_parts = compiler(parallel=True)


@_compile
def reduce(maps, start, stop, first, above, below, wanted, values, sums, squares, places):  # type: ignore[no-untyped-def]
    """Take maxima, sums, sums of squares and the positions that are wanted of the maps of one layer.

    Sums are float32 over four rows and float64 beyond. Of equal maxima the one in the leftmost column counts, and in
    it the topmost.

    Args:
        maps: (N, H, W, C) float32, one row of channels behind the other in memory.
        start: the first picture that is done.
        stop: behind the last.
        first: number of the layer's first unit among all units, U.
        above: (U,), a position is worked out where the maximum is larger,
        below: (U,), or smaller than minus this,
        wanted: (N,), or in these pictures.
        values: (N, U) float32, where the maxima go.
        sums: (N, U) float32, likewise.
        squares: (N, U) float32, likewise.
        places: (N, U) int32, where ``row * W + column`` goes; left as it is where it is not worked out.
    """
    _, height, width, channels = maps.shape
    line = width * channels
    columns = np.empty(line, np.float32)
    best = np.empty(channels, np.float32)
    few, few_squared = np.empty(channels, np.float32), np.empty(channels, np.float32)
    total, total_squared = np.empty(channels), np.empty(channels)
    for picture in range(stop - 1, start - 1, -1):  # the last was written last, and lies in the caches still
        rows = maps[picture].reshape(height, line)
        total[:], total_squared[:] = 0, 0
        columns[:] = -np.inf
        for top in range(0, height, _ROWS):
            few[:], few_squared[:] = 0, 0
            if top + _ROWS <= height:
                one, two, three, four = rows[top], rows[top + 1], rows[top + 2], rows[top + 3]
                for column in range(width):
                    offset = column * channels
                    for channel in range(channels):
                        at = offset + channel
                        a, b, c, d = one[at], two[at], three[at], four[at]
                        few[channel] += (a + b) + (c + d)
                        few_squared[channel] += (a * a + b * b) + (c * c + d * d)
                        columns[at] = max(columns[at], max(max(a, b), max(c, d)))
            else:
                for row in range(top, height):
                    one = rows[row]
                    for column in range(width):
                        offset = column * channels
                        for channel in range(channels):
                            at = offset + channel
                            a = one[at]
                            few[channel] += a
                            few_squared[channel] += a * a
                            columns[at] = max(columns[at], a)
            for channel in range(channels):
                total[channel] += few[channel]
                total_squared[channel] += few_squared[channel]
        best[:] = columns[:channels]
        for column in range(1, width):
            offset = column * channels
            for channel in range(channels):
                best[channel] = max(best[channel], columns[offset + channel])
        for channel in range(channels):
            unit = first + channel
            value = best[channel]
            values[picture, unit] = value
            sums[picture, unit] = total[channel]
            squares[picture, unit] = total_squared[channel]
            if wanted[picture] or value > above[unit] or value < -below[unit]:
                places[picture, unit] = _place(maps, columns, picture, channel, value)


@_compile_in_parts
def reduce_in_parts(maps, borders, first, above, below, wanted, values, sums, squares, places):  # type: ignore[no-untyped-def]
    """Do `reduce` in several threads; each takes the pictures between two of the borders (int64, ascending)."""
    for part in prange(len(borders) - 1):
        reduce(maps, borders[part], borders[part + 1], first, above, below, wanted, values, sums, squares, places)


@_compile
def _place(maps, columns, picture, channel, value):  # type: ignore[no-untyped-def]
    """Return where a value stands in a map; 0 where it does not, being NaN."""
    _, height, width, channels = maps.shape
    for column in range(width):
        if columns[column * channels + channel] == value:
            for row in range(height):
                if maps[picture, row, column, channel] == value:
                    return row * width + column
    return 0


@_compile
def pass_on(maps, start, stop, scale, shift, added, low, high):  # type: ignore[no-untyped-def]
    """Write over the maps of a layer what its network goes on with: batch norm, a sum, a rectifier.

    Args:
        maps: (N, H, W, C) float32, one row of channels behind the other in memory; changed.
        start: the first picture that is done.
        stop: behind the last.
        scale: (C,) float32, what each channel is multiplied by.
        shift: (C,) float32, what is added then.
        added: maps of the same shape that are added then; (0, 0, 0, 0) for none.
        low: float32, what is smaller becomes this at last; NaN stays.
        high: float32, likewise what is larger.
    """
    _, height, width, channels = maps.shape
    for picture in range(stop - 1, start - 1, -1):
        rows = maps[picture].reshape(height * width, channels)
        if len(added):
            others = added[picture].reshape(height * width, channels)
            for row in range(height * width):
                for channel in range(channels):
                    value = rows[row, channel] * scale[channel] + shift[channel] + others[row, channel]
                    value = low if value < low else value
                    rows[row, channel] = high if value > high else value
        else:
            for row in range(height * width):
                for channel in range(channels):
                    value = rows[row, channel] * scale[channel] + shift[channel]
                    value = low if value < low else value
                    rows[row, channel] = high if value > high else value


@_compile_in_parts
def pass_on_in_parts(maps, borders, scale, shift, added, low, high):  # type: ignore[no-untyped-def]
    """Do `pass_on` in several threads; each takes the pictures between two of the borders (int64, ascending)."""
    for part in prange(len(borders) - 1):
        pass_on(maps, borders[part], borders[part + 1], scale, shift, added, low, high)


@_compile
def reduce_and_pass_on(  # type: ignore[no-untyped-def]
    maps, start, stop, first, above, below, wanted, values, sums, squares, places, scale, shift, added, low, high
):
    """Do `reduce` and then `pass_on`, picture by picture: the second finds the map in the caches."""
    for picture in range(stop - 1, start - 1, -1):
        reduce(maps, picture, picture + 1, first, above, below, wanted, values, sums, squares, places)
        pass_on(maps, picture, picture + 1, scale, shift, added, low, high)


@_compile_in_parts
def reduce_and_pass_on_in_parts(  # type: ignore[no-untyped-def]
    maps, borders, first, above, below, wanted, values, sums, squares, places, scale, shift, added, low, high
):
    """Do `reduce_and_pass_on` in several threads; each takes the pictures between two of the borders."""
    for part in prange(len(borders) - 1):
        start, stop = borders[part], borders[part + 1]
        reduce_and_pass_on(
            maps,
            start,
            stop,
            first,
            above,
            below,
            wanted,
            values,
            sums,
            squares,
            places,
            scale,
            shift,
            added,
            low,
            high,
        )


@_compile
def enter(values, start, stop, smallest, pictures, places, keys, kept, least):  # type: ignore[no-untyped-def]
    """Take a batch into a ranking: what `Ranking.enter` does, value by value.

    Args:
        values: (n, U) float32, without NaN.
        start: the first unit that is done.
        stop: behind the last.
        smallest: the smallest are ranked, not the largest.
        pictures: (n,) int64, later ones than all that came before.
        places: (n, U) int32.
        keys: (U, k) int64, of each unit from the largest on; changed, as are those below.
        kept: (U, k) int32, the places that belong to them.
        least: (U,) float32, what a value must exceed.
    """
    count = len(values)
    last = keys.shape[1] - 1
    bits, least_bits = values.view(np.int32), least.view(np.int32)
    for unit in range(start, stop):
        for row in range(count):
            value = -values[row, unit] if smallest else values[row, unit]
            if not value > least[unit]:
                continue
            word = np.int64(bits[row, unit])
            if value == 0:
                word = np.int64(0)  # of -0 too
            elif smallest:
                word = word + 2**31 if word < 0 else word - 2**31  # the sign alone
            ordered = word ^ 0x7FFFFFFF if word < 0 else word
            key = (ordered << 32) | (_LATEST - pictures[row])
            place = last
            while place > 0 and keys[unit, place - 1] < key:
                keys[unit, place], kept[unit, place] = keys[unit, place - 1], kept[unit, place - 1]
                place -= 1
            keys[unit, place], kept[unit, place] = key, places[row, unit]
            if keys[unit, last] != _NOBODY:
                ordered = keys[unit, last] >> 32
                least_bits[unit] = ordered ^ 0x7FFFFFFF if ordered < 0 else ordered


@_compile_in_parts
def enter_in_parts(values, borders, smallest, pictures, places, keys, kept, least):  # type: ignore[no-untyped-def]
    """Do `enter` in several threads; each takes the units between two of the borders (int64, ascending)."""
    for part in prange(len(borders) - 1):
        enter(values, borders[part], borders[part + 1], smallest, pictures, places, keys, kept, least)
