"""Compare codes of 8 bits, and measure vectors, with compiled operations. Knows arrays; `sifting` loads it.

What decides the speed is one operation, which multiplies 64 pairs of 8 bits and adds them up in fours (AVX-512 VNNI).
No array library offers it with what has to stand behind it, a look at each sum while it is in a register: so it is put
into numba's code by its name in LLVM. A block of 64 codes is compared with `TOGETHER` queries at a time, whose sums
just fill the registers. Where the processor has no such operation nothing here may be called: see `can`.
"""

from __future__ import annotations

from typing import Any

import numba
import numba.core.cgutils
import numba.extending
import numpy as np
from llvmlite import binding, ir  # type: ignore[import-untyped]
from numba import prange, types
from numpy.typing import NDArray

from striate.compiling import compiler

__all__ = ["TOGETHER", "can", "measure_in_parts", "packed", "sift_in_parts"]

TOGETHER = 6  # queries: with 4 vectors of sums each, 4 of codes and one of a query, 29 of 32 registers
BLOCK = 64  # codes
_SAMPLED = 24  # one block of so many is a sample, from which each query learns where its candidates will begin
_NEEDED = ("avx512f", "avx512bw", "avx512vnni")
_LINE = 64  # bytes that memory gives at a time

_NUMBER, _LONG = ir.IntType(32), ir.IntType(64)
_SUMS = ir.VectorType(_NUMBER, 16)
_LEAST, _MOST = -(2**31), 2**31 - 1

# no types are known of these
cgutils: Any = numba.core.cgutils
intrinsic: Any = numba.extending.intrinsic
_compile = compiler(error_model="numpy")
# sums of float64 in any order: eight at a time
_compile_sums = compiler(error_model="numpy", fastmath={"contract", "nsz", "reassoc"})
_compile_in_parts = compiler(error_model="numpy", parallel=True)


def can() -> bool:
    """Return whether this processor has what is needed, and numba is to use it."""
    config: Any = numba.config
    if config.CPU_NAME or config.CPU_FEATURES is not None or not config.ENABLE_AVX or config.DISABLE_JIT:
        return False
    features = binding.get_host_cpu_features()
    return all(features.get(name, False) for name in _NEEDED)


def packed(codes: NDArray[np.int8], halves: NDArray[np.int32]) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Arrange codes as the operation reads them.

    Args:
        codes: (N, n), n a multiple of four.
        halves: (N,), what is taken from each product.

    Returns:
        (B, n / 4, 64, 4) uint8, 128 more than they were, which adds the same to all sums of a query; in whole lines of
        memory. And (64 B,), so large behind the last that none of these is ever found.
    """
    count, width = codes.shape
    blocks = -(-count // BLOCK)
    raw = np.empty(blocks * BLOCK * width + _LINE, np.uint8)
    start = -raw.ctypes.data % _LINE
    laid = raw[start : start + blocks * BLOCK * width].reshape(blocks, width // 4, BLOCK, 4)
    filled = np.zeros((blocks * BLOCK, width), np.uint8)
    filled[:count] = codes.view(np.uint8) ^ 128
    laid[:] = filled.reshape(blocks, BLOCK, width // 4, 4).transpose(0, 2, 1, 3)
    behind = np.full(blocks * BLOCK, 2**30, np.int32)
    behind[:count] = halves
    return laid, behind


def _splat(builder: Any, number: Any) -> Any:
    empty = ir.Constant(_SUMS, ir.Undefined)
    one = builder.insert_element(empty, number, ir.Constant(_NUMBER, 0))
    return builder.shuffle_vector(one, empty, ir.Constant(_SUMS, [0] * 16))


@intrinsic
def _compare(_context, codes, queries, width, halves, floors, sums, masks):  # type: ignore[no-untyped-def]
    """Multiply a block of codes with `TOGETHER` queries.

    All are addresses, but the width of a code. Written are the sums less the halves (TOGETHER, 64) int32, and for each
    query which of them are above its floor: a bit for each code.
    """

    def generate(_target, builder, _signature, given):  # type: ignore[no-untyped-def]
        codes, queries, width, halves, floors, sums, masks = given

        def at(address: Any, *steps: Any) -> Any:
            for step in steps:
                address = builder.add(address, ir.Constant(_LONG, step) if isinstance(step, int) else step)
            return address

        def load(address: Any, kind: Any, alignment: int) -> Any:
            found = builder.load(builder.inttoptr(address, kind.as_pointer()))
            found.align = alignment
            return found

        def store(value: Any, address: Any, alignment: int) -> None:
            builder.store(value, builder.inttoptr(address, value.type.as_pointer())).align = alignment

        kind = ir.FunctionType(_SUMS, [_SUMS] * 3)
        dot = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.vpdpbusd.512")
        held = [[cgutils.alloca_once(builder, _SUMS) for _ in range(4)] for _ in range(TOGETHER)]
        for quarter in range(4):
            less = builder.neg(load(at(halves, 64 * quarter), _SUMS, 4))
            for query in range(TOGETHER):
                builder.store(less, held[query][quarter])
        with cgutils.for_range(builder, builder.lshr(width, ir.Constant(_LONG, 2))) as loop:
            here = at(codes, builder.shl(loop.index, ir.Constant(_LONG, 8)))
            four = [load(at(here, 64 * quarter), _SUMS, _LINE) for quarter in range(4)]
            step = builder.shl(loop.index, ir.Constant(_LONG, 2))
            for query in range(TOGETHER):
                row = builder.mul(width, ir.Constant(_LONG, query))
                own = _splat(builder, load(at(queries, row, step), _NUMBER, 4))
                for quarter in range(4):
                    place = held[query][quarter]
                    builder.store(builder.call(dot, [builder.load(place), four[quarter], own]), place)
        for query in range(TOGETHER):
            floor = _splat(builder, load(at(floors, 4 * query), _NUMBER, 4))
            mask = ir.Constant(_LONG, 0)
            for quarter in range(4):
                sums_here = builder.load(held[query][quarter])
                store(sums_here, at(sums, 256 * query + 64 * quarter), 4)
                bits = builder.bitcast(builder.icmp_signed(">", sums_here, floor), ir.IntType(16))
                shift = ir.Constant(_LONG, 16 * quarter)
                mask = builder.or_(mask, builder.shl(builder.zext(bits, _LONG), shift))
            store(mask, at(masks, 8 * query), 8)
        return _target.get_dummy_value()

    return types.void(*[types.uintp] * 7), generate


@intrinsic
def _lowest(_context, mask):  # type: ignore[no-untyped-def]
    """Return the place of the lowest bit that is set."""

    def generate(_target, builder, _signature, given):  # type: ignore[no-untyped-def]
        return builder.cttz(given[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


@intrinsic
def _fetch(_context, address):  # type: ignore[no-untyped-def]
    """Let a line of memory come into the caches; one that is not there is no fault."""

    def generate(_target, builder, _signature, given):  # type: ignore[no-untyped-def]
        pointer = ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, _NUMBER, _NUMBER, _NUMBER])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        what = [ir.Constant(_NUMBER, number) for number in (0, 3, 1)]  # to read, soon again, data
        builder.call(function, [builder.inttoptr(given[0], pointer), *what])
        return _target.get_dummy_value()

    return types.void(types.uintp), generate


@intrinsic
def _single(_context, number):  # type: ignore[no-untyped-def]
    """Return a number as float32; 16 bits without a sign are those of a float16."""

    def generate(target, builder, _signature, given):  # type: ignore[no-untyped-def]
        if number == types.uint16:
            return builder.fpext(builder.bitcast(given[0], ir.HalfType()), ir.FloatType())
        return target.cast(builder, given[0], number, types.float32)

    return types.float32(number), generate


@_compile
def _keep_best(scores, places, count, wanted):  # type: ignore[no-untyped-def]
    """Bring the `wanted` largest scores, and their places, to the front (Hoare's quickselect)."""
    low, high = 0, count - 1
    while low < high:
        pivot = scores[(low + high) // 2]
        left, right = low, high
        while left <= right:
            while scores[left] > pivot:
                left += 1
            while scores[right] < pivot:
                right -= 1
            if left <= right:
                scores[left], scores[right] = scores[right], scores[left]
                places[left], places[right] = places[right], places[left]
                left += 1
                right -= 1
        if wanted - 1 <= right:
            high = right
        elif wanted - 1 >= left:
            low = left
        else:
            break


@_compile
def _pass(codes, halves, queries, floors, counts, scores, places, wanted, start, stop):  # type: ignore[no-untyped-def]
    """Collect for `TOGETHER` queries what is above their floors, which rise when there is no more room."""
    width = queries.shape[1]
    room = scores.shape[1]
    sums = np.empty((TOGETHER, BLOCK), np.int32)
    masks = np.empty(TOGETHER, np.uint64)
    code, half, query = codes.ctypes.data, halves.ctypes.data, queries.ctypes.data
    floor, total, mask = floors.ctypes.data, sums.ctypes.data, masks.ctypes.data
    for block in range(start, stop):
        _compare(code + block * BLOCK * width, query, width, half + block * BLOCK * 4, floor, total, mask)
        for one in range(TOGETHER):
            left = masks[one]
            if left == 0:
                continue
            count = counts[one]
            while left != 0:
                place = _lowest(left)
                left &= left - np.uint64(1)
                score = sums[one, place]
                if score <= floors[one]:  # it rose
                    continue
                scores[one, count] = score
                places[one, count] = block * BLOCK + place
                count += 1
                if count == room:
                    _keep_best(scores[one], places[one], count, wanted)
                    count = wanted
                    least = scores[one, 0]
                    for other in range(wanted):
                        least = min(least, scores[one, other])
                    floors[one] = least
            counts[one] = count


@_compile
def _learn(codes, halves, queries, floors, best):  # type: ignore[no-untyped-def]
    """Set the floors of `TOGETHER` queries just below the last of the best that blocks of a sample have, (6, rank)."""
    width, rank = queries.shape[1], best.shape[1]
    sampled = len(codes) // _SAMPLED
    if rank > sampled:
        floors[:] = _LEAST
        return
    sums = np.empty((TOGETHER, BLOCK), np.int32)
    masks = np.empty(TOGETHER, np.uint64)
    code, half, query = codes.ctypes.data, halves.ctypes.data, queries.ctypes.data
    floor, total, mask = floors.ctypes.data, sums.ctypes.data, masks.ctypes.data
    best[:] = _LEAST
    for block in range(sampled):
        _compare(code + block * BLOCK * width, query, width, half + block * BLOCK * 4, floor, total, mask)
        for one in range(TOGETHER):
            row, ranked = sums[one], best[one]
            most = row[0]
            for place in range(BLOCK):
                most = row[place] if row[place] > most else most
            place = rank - 1
            if most <= ranked[place]:
                continue
            while place > 0 and ranked[place - 1] < most:
                ranked[place] = ranked[place - 1]
                place -= 1
            ranked[place] = most
    for one in range(TOGETHER):
        floors[one] = best[one, rank - 1] - 1


@_compile
def _sift(codes, halves, queries, first, last, found):  # type: ignore[no-untyped-def]
    """Find the best codes for the queries from `first` to `last`, whose number is a multiple of `TOGETHER`."""
    blocks, wanted, count = len(codes), found.shape[1], last - first
    room = 8 * wanted + 128
    scores = np.empty((count, room), np.int32)
    places = np.empty((count, room), np.int32)
    floors, counts = np.empty(count, np.int32), np.zeros(count, np.int64)
    best = np.empty((TOGETHER, wanted * 2 // _SAMPLED + 4), np.int32)  # enough that some times as many will be above
    for start in range(0, count, TOGETHER):
        stop = start + TOGETHER
        _learn(codes, halves, queries[first + start : first + stop], floors[start:stop], best)
    step = max(1, (1 << 18) // (queries.shape[1] * BLOCK))  # codes that stay in the second cache for all queries
    for block in range(0, blocks, step):
        for start in range(0, count, TOGETHER):
            stop = start + TOGETHER
            _pass(
                codes, halves, queries[first + start : first + stop], floors[start:stop], counts[start:stop],
                scores[start:stop], places[start:stop], wanted, block, min(block + step, blocks),
            )  # fmt: skip
    for start in range(0, count, TOGETHER):
        stop = start + TOGETHER
        if counts[start:stop].min() < wanted:  # the sample held more of the best than can be expected: once more
            for one in range(start, stop):
                if counts[one] < wanted:
                    floors[one], counts[one] = _LEAST, 0
                else:
                    floors[one] = _MOST
            _pass(
                codes, halves, queries[first + start : first + stop], floors[start:stop], counts[start:stop],
                scores[start:stop], places[start:stop], wanted, 0, blocks,
            )  # fmt: skip
    for one in range(count):
        _keep_best(scores[one], places[one], counts[one], wanted)
        found[first + one] = places[one, :wanted]


@_compile_in_parts
def sift_in_parts(codes, halves, queries, borders, found):  # type: ignore[no-untyped-def]
    """Find the codes whose products, less their halves, are largest; part by part, in threads.

    Args:
        codes: of `packed`; their order is random.
        halves: likewise; 64 for each block.
        queries: (Q, n) int8, Q a multiple of `TOGETHER`.
        borders: (parts + 1,) int64, multiples of `TOGETHER`.
        found: (Q, m) int32, where their places go; m at most the number of codes.
    """
    for part in prange(len(borders) - 1):
        _sift(codes, halves, queries, borders[part], borders[part + 1], found)


@_compile_sums
def _apart(own, theirs):  # type: ignore[no-untyped-def]
    total = 0.0
    for place in range(len(own)):
        difference = np.float64(_single(theirs[place])) - np.float64(own[place])
        total += difference * difference
    return total


@_compile_sums
def _product(own, theirs):  # type: ignore[no-untyped-def]
    total, squares = 0.0, 0.0
    for place in range(len(own)):
        number = np.float64(_single(theirs[place]))
        total += number * np.float64(own[place])
        squares += number * number
    return total, squares


@_compile
def _fetch_row(address, size):  # type: ignore[no-untyped-def]
    for place in range(0, size, _LINE):
        _fetch(address + place)


@_compile
def _measure(queries, base, found, barred, cosine, start, stop, distances, indices):  # type: ignore[no-untyped-def]
    wanted, candidates = distances.shape[1], found.shape[1]
    size = base.strides[0]
    memory = base.ctypes.data
    for query in range(start, stop):
        own = queries[query]
        length = np.sqrt(_product(own, own)[1])
        count = 0
        for ahead in range(2):
            _fetch_row(memory + found[query, ahead] * size, size)
        for candidate in range(candidates):
            if candidate + 2 < candidates:  # memory is slow, but gives many rows at a time
                _fetch_row(memory + found[query, candidate + 2] * size, size)
            row = found[query, candidate]
            if row == barred[query]:
                continue
            if cosine:
                product, squares = _product(own, base[row])
                scale = length * np.sqrt(squares)
                far = 1 - product / scale if scale > 0 else 1.0
            else:
                far = _apart(own, base[row])
            last = wanted - 1
            if count == wanted and (far, row) >= (distances[query, last], indices[query, last]):
                continue
            place = min(count, last)
            while place > 0 and (far, row) < (distances[query, place - 1], indices[query, place - 1]):
                distances[query, place] = distances[query, place - 1]
                indices[query, place] = indices[query, place - 1]
                place -= 1
            distances[query, place], indices[query, place] = far, row
            count = min(count + 1, wanted)


@_compile_in_parts
def measure_in_parts(queries, base, found, barred, cosine, borders, distances, indices):  # type: ignore[no-untyped-def]
    """Measure candidates in float64, and keep the nearest; part by part, in threads.

    Args:
        queries: (Q, D) float32.
        base: (N, D), float32, float64, uint8, or the bits of float16 as uint16; its rows whole in memory.
        found: (Q, m) int64, rows of the base; two at least.
        barred: (Q,) int64, a row that does not count; -1 for none.
        cosine: whether 1 - cosine is wanted, not squares of distances.
        borders: (parts + 1,) int64.
        distances: (Q, k) float64, where they go, nearest first; k at most m, and less by one where a row is barred.
        indices: (Q, k) int64, likewise; of equals the smaller.
    """
    for part in prange(len(borders) - 1):
        _measure(queries, base, found, barred, cosine, borders[part], borders[part + 1], distances, indices)
