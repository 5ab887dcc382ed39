"""Windows of maps put together in machine code. Knows arrays; `filling` loads it, and numba with it."""

from __future__ import annotations

from typing import Any

import numba
import numba.extending
from numba import prange, types

from striate.compiling import compiler

__all__ = ["fill", "fill_in_parts"]

_compile = compiler(error_model="numpy")
_compile_in_parts = compiler(error_model="numpy", parallel=True)
# no types are known of these
carray: Any = numba.carray  # type: ignore[attr-defined]
intrinsic: Any = numba.extending.intrinsic
_NUMBERS: Any = types.CPointer(types.float32)  # type: ignore[no-untyped-call]


@intrinsic
def _pointer(_context, address):  # type: ignore[no-untyped-def]
    """Take a number for the place in memory where float32 numbers begin."""

    def generate(context, builder, signature, given):  # type: ignore[no-untyped-def]
        return builder.inttoptr(given[0], context.get_value_type(signature.return_type))

    return _NUMBERS(address), generate


@_compile
def _copy(target, to, source, start, pixels, channels, step, between):  # type: ignore[no-untyped-def]
    """Copy some channels of pixels that lie side by side; `step` numbers apart there and `between` here."""
    if channels == step == between:
        pixels, channels = 1, pixels * channels
    for pixel in range(pixels):
        written, read = target[to + pixel * step :], source[start + pixel * between :]
        for i in range(channels):  # counted from 0: LLVM makes vectors of it
            written[i] = read[i]


@_compile
def _scale(target, to, source, start, pixels, channels, step, scale, shift, low, high):  # type: ignore[no-untyped-def]
    """Write ``clamp(scale * source + shift, low, high)``; what is not a number stays so."""
    for pixel in range(pixels):
        written, read = target[to + pixel * step :], source[start + pixel * channels :]
        for i in range(channels):
            value = scale[i] * read[i] + shift[i]
            value = low if value < low else value
            written[i] = high if value > high else value


@_compile
def _fill(target, clean, tops, lefts, pieces, downs, rights, scale, shift, low, high, start, stop):  # type: ignore[no-untyped-def]
    """Do the windows from `start` to `stop`; see `fill`."""
    count, height, width, step = target.shape
    across = clean.shape[1]
    flat, before = target.reshape(-1), clean.reshape(-1)
    for window in range(start, stop):
        for row in range(height):
            line = (window * height + row) * width * step
            source = ((tops[window] + row) * across + lefts[window]) * step
            first = 0
            for piece in range(len(pieces)):
                channels, tall, wide = pieces[piece, 1], pieces[piece, 2], pieces[piece, 3]
                to, here = line + first, source + first
                first += channels
                down = row - downs[piece, window]
                if down < 0 or down >= tall:
                    _copy(flat, to, before, here, width, channels, step, step)
                    continue
                right = rights[piece, window]
                begin, end = min(max(right, 0), width), min(max(right + wide, 0), width)
                _copy(flat, to, before, here, begin, channels, step, step)
                _copy(flat, to + end * step, before, here + end * step, width - end, channels, step, step)
                changed = carray(_pointer(pieces[piece, 0]), count * tall * wide * channels)
                own = ((window * tall + down) * wide + begin - right) * channels
                to += begin * step
                if len(scale):
                    some, more = scale[first - channels :], shift[first - channels :]
                    _scale(flat, to, changed, own, end - begin, channels, step, some, more, low, high)
                else:
                    _copy(flat, to, changed, own, end - begin, channels, step, channels)


@_compile
def fill(target, clean, tops, lefts, pieces, downs, rights, scale, shift, low, high):  # type: ignore[no-untyped-def]
    """Write windows: what has changed, and the unchanged map around it.

    All maps are float32, one number behind the other in memory.

    Args:
        target: (M, h, w, C), written.
        clean: (H, W, C), the unchanged map.
        tops, lefts: (M,) int64, where the windows begin in it.
        pieces: (n, 4) int64, what has changed: where it lies in memory, and the channels c, the rows p and the columns
            q of (M, p, q, c). All channels together are C.
        downs, rights: (n, M) int64, where it lies in the windows, or beyond them.
        scale, shift: (C,) by which what has changed is multiplied, and what is added; empty to leave it as it is.
        low, high: between which it is held then.
    """
    _fill(target, clean, tops, lefts, pieces, downs, rights, scale, shift, low, high, 0, len(target))


@_compile_in_parts
def fill_in_parts(  # type: ignore[no-untyped-def]
    target, clean, tops, lefts, pieces, downs, rights, scale, shift, low, high, borders
):
    """Do `fill` in several threads; each takes the windows between two of the borders (int64, ascending)."""
    for one in prange(len(borders) - 1):
        start, stop = borders[one], borders[one + 1]
        _fill(target, clean, tops, lefts, pieces, downs, rights, scale, shift, low, high, start, stop)
