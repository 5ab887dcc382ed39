"""Winograd's sums on tiles, and products of matrices of any kind of number, as operations of machine code.

The matrices are those of Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks", section 4.1,
F(2x2, 3x3): ``Y = A' [(G g G') * (B' d B)] A`` for a kernel g and the four by four inputs d, ' for transposed.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types

from striate.compiling import compiler
from striate.vectors import INT, LANES, VECTOR, WIDE, Code, cgutils, intrinsic, long

__all__ = [
    "COLUMNS", "PRODUCTS", "ROWS", "SEEN", "TILE",
    "gradient_before", "gradient_behind", "half_tile_before", "half_tile_behind", "kernel_before", "multiply",
    "multiply_pairs", "pair_of_gradients_before", "pair_of_kernels_before",
    "pair_of_tiles_before", "place", "tile_before", "tile_behind",
]  # fmt: skip

_BEFORE = ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1))  # B'
_OF_KERNEL = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))  # G
_BEHIND = ((1, 1, 1, 0), (0, 1, -1, -1))  # A'
TILE, SEEN, PRODUCTS = 2, 4, 16
"""Outputs of a tile along a side, the inputs that they see, and what is multiplied for a tile."""

# vectors of outputs side by side, and sums that the registers hold beside what is multiplied
_VECTORS, _SUMS = (4, 24) if WIDE else (2, 12)
COLUMNS = LANES * _VECTORS
"""Columns of a product of matrices, at most."""
ROWS = 24
"""The sums are made for so many rows or fewer at a time: memory behind the last is written over."""

_compile = compiler(error_model="numpy")


def _turned(matrix: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
    return tuple(zip(*matrix, strict=True))


def _square(code: Code, start: Any, down: Any, across: Any, side: int, load: Any) -> list[list[Any]]:
    """Read a square of vectors, column by column."""
    builder = code.builder

    def step(i: int, j: int) -> Any:
        return builder.add(builder.mul(down, long(i)), builder.mul(across, long(j)))

    return [[load(code.at(start, step(i, j))) for i in range(side)] for j in range(side)]


def _changed(code: Code, matrix: tuple[tuple[float, ...], ...], columns: list[list[Any]]) -> list[list[Any]]:
    """Return ``M X M'``, row by row, of a square X of vectors."""
    halfway = [[code.weighed(weights, values) for weights in matrix] for values in columns]
    return [[code.weighed(weights, [one[i] for one in halfway]) for weights in matrix] for i in range(len(matrix))]


def _write(code: Code, rows: list[list[Any]], target: Any, down: Any, across: Any, store: Any) -> None:
    """Write a square of vectors."""
    builder = code.builder
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            step = builder.add(builder.mul(down, long(i)), builder.mul(across, long(j)))
            store(value, code.at(target, step))


def _between(matrix: tuple[tuple[float, ...], ...], *, halves: bool = False) -> Any:
    """Return an operation that takes a square of vectors X to ``M X M'``.

    All its arguments are numbers of bytes: where X begins, from row to row, from column to column; and the same of what
    is written.

    Args:
        matrix: M.
        halves: whether X and what is written are bfloat16.
    """

    @intrinsic
    def change(_context, source, row, column, target, to_row, to_column):  # type: ignore[no-untyped-def]
        def generate(_target, builder, _signature, given):  # type: ignore[no-untyped-def]
            source, row, column, target, to_row, to_column = given
            code = Code(builder)
            square = _square(code, source, row, column, len(matrix[0]), code.load_halves if halves else code.load)
            store = code.store_halves if halves else code.store
            _write(code, _changed(code, matrix, square), target, to_row, to_column, store)
            return _target.get_dummy_value()

        return types.void(*[types.uintp] * 6), generate

    return change


def _between_pairs(matrix: tuple[tuple[float, ...], ...]) -> Any:
    """Return an operation that takes two squares of bfloat16 to pairs of it: of the first and of the second.

    All its arguments are numbers of bytes: where the first begins, from row to row; the same of the second; from column
    to column; and where the pairs are written, from row to row, from column to column.
    """

    @intrinsic
    def change(_context, first, row, second, other_row, column, target, to_row, to_column):  # type: ignore[no-untyped-def]
        def generate(_target, builder, _signature, given):  # type: ignore[no-untyped-def]
            first, row, second, other_row, column, target, to_row, to_column = given
            code = Code(builder)
            both = []
            for source, down in ((first, row), (second, other_row)):
                square = _square(code, source, down, column, len(matrix[0]), code.load_halves)
                both.append(_changed(code, matrix, square))
            _write(code, _paired(code, *both), target, to_row, to_column, code.store)
            return _target.get_dummy_value()

        return types.void(*[types.uintp] * 8), generate

    return change


def _paired(code: Code, first: list[list[Any]], second: list[list[Any]]) -> list[list[Any]]:
    return [[code.pairs(*pair) for pair in zip(*rows, strict=True)] for rows in zip(first, second, strict=True)]


@intrinsic
def pair_of_kernels_before(_context, first, second, row, column, target, to_row, to_column):  # type: ignore[no-untyped-def]
    """Take two kernels (float32) to pairs of bfloat16: of the first and of the second.

    All arguments are numbers of bytes: where the first begins, and the second; from row to row, from column to column;
    and where the pairs are written, likewise.
    """

    def generate(_target, builder, _signature, given):  # type: ignore[no-untyped-def]
        first, second, row, column, target, to_row, to_column = given
        code = Code(builder)
        both = [_changed(code, _OF_KERNEL, _square(code, one, row, column, 3, code.load)) for one in (first, second)]
        _write(code, _paired(code, *both), target, to_row, to_column, code.store)
        return _target.get_dummy_value()

    return types.void(*[types.uintp] * 7), generate


@intrinsic
def half_tile_behind(_context, source, row, column, bias, target, to_row, to_column):  # type: ignore[no-untyped-def]
    """Do `tile_behind`, add a vector that begins at `bias`, and write bfloat16."""

    def generate(_target, builder, _signature, given):  # type: ignore[no-untyped-def]
        source, row, column, bias, target, to_row, to_column = given
        code = Code(builder)
        shift = code.load(bias)
        made = _changed(code, _BEHIND, _square(code, source, row, column, SEEN, code.load))
        shifted = [[builder.fadd(value, shift) for value in values] for values in made]
        _write(code, shifted, target, to_row, to_column, code.store_halves)
        return _target.get_dummy_value()

    return types.void(*[types.uintp] * 7), generate


tile_before = _between(_BEFORE)
kernel_before = _between(_OF_KERNEL)
tile_behind = _between(_BEHIND)
gradient_before = _between(_turned(_BEHIND))
gradient_behind = _between(_turned(_OF_KERNEL))
half_tile_before = _between(_BEFORE, halves=True)
pair_of_tiles_before = _between_pairs(_BEFORE)
pair_of_gradients_before = _between_pairs(_turned(_BEHIND))


def _multiplying(vectors: int, *, pairs: bool) -> Any:
    """Return an operation that adds to some rows of C, so many vectors wide, the product of A and B.

    Its arguments are numbers of bytes, where no other is named: A, from row to row, from one to the next in a row; B,
    from row to row; C, from row to row; the numbers in a row of A; and whether C is added to (1) or written (0).

    Args:
        vectors: in a row of B and C.
        pairs: whether A and B hold pairs of bfloat16 in place of each number.
    """
    rows = _SUMS // vectors
    kind = ir.VectorType(INT, LANES) if pairs else VECTOR

    @intrinsic
    def multiply(_context, a, a_row, a_step, b, b_row, c, c_row, depth, again):  # type: ignore[no-untyped-def]
        def generate(_target, builder, _signature, given):  # type: ignore[no-untyped-def]
            a, a_row, a_step, b, b_row, c, c_row, depth, again = given
            code = Code(builder)
            multiply_add = code.multiply_add_pairs if pairs else code.multiply_add
            held = [[cgutils.alloca_once(builder, VECTOR) for _ in range(vectors)] for _ in range(rows)]
            steps = [long(4 * LANES * vector) for vector in range(vectors)]
            places = [[code.at(c, builder.mul(c_row, long(row)), step) for step in steps] for row in range(rows)]
            for row in range(rows):
                for vector in range(vectors):
                    builder.store(code.every(0.0), held[row][vector])
            starts = [code.at(a, builder.mul(a_row, long(row))) for row in range(rows)]
            with cgutils.for_range(builder, depth) as loop:
                here = code.at(b, builder.mul(b_row, loop.index))
                own = [code.load(code.at(here, step), kind) for step in steps]
                step = builder.mul(a_step, loop.index)
                for row in range(rows):
                    one = code.spread(code.load(code.at(starts[row], step), kind.element))
                    for vector in range(vectors):
                        place = held[row][vector]
                        builder.store(multiply_add(one, own[vector], builder.load(place)), place)
            with builder.if_then(builder.icmp_unsigned("!=", again, long(0))):  # short sums are added: less rounding
                for row in range(rows):
                    for vector in range(vectors):
                        place = held[row][vector]
                        builder.store(builder.fadd(builder.load(place), code.load(places[row][vector])), place)
            for row in range(rows):
                for vector in range(vectors):
                    code.store(builder.load(held[row][vector]), places[row][vector])
            return _target.get_dummy_value()

        return types.void(*[types.uintp] * 9), generate

    return multiply


_multiply_1, _multiply_2, _multiply_3, _multiply_4 = (_multiplying(vectors, pairs=False) for vectors in range(1, 5))
_pairs_1, _pairs_2, _pairs_3, _pairs_4 = (_multiplying(vectors, pairs=True) for vectors in range(1, 5))


@_compile
def multiply(a, a_row, a_step, rows, depth, b, b_row, c, c_row, columns, again):  # type: ignore[no-untyped-def]
    """Multiply matrices, of which B and C are at most `COLUMNS` wide; up to `ROWS` more rows of C are written."""
    vectors = columns // LANES
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
def multiply_pairs(a, a_row, a_step, rows, depth, b, b_row, c, c_row, columns, again):  # type: ignore[no-untyped-def]
    """Do `multiply` with pairs of bfloat16 in A and B, which lie one behind the other in what is added up."""
    vectors = columns // LANES
    for row in range(0, rows, _SUMS // vectors):
        own, to = a + row * a_row, c + row * c_row
        if vectors == 4:
            _pairs_4(own, a_row, a_step, b, b_row, to, c_row, depth, again)
        elif vectors == 3:
            _pairs_3(own, a_row, a_step, b, b_row, to, c_row, depth, again)
        elif vectors == 2:
            _pairs_2(own, a_row, a_step, b, b_row, to, c_row, depth, again)
        else:
            _pairs_1(own, a_row, a_step, b, b_row, to, c_row, depth, again)


@_compile
def place(tile, down, across):  # type: ignore[no-untyped-def]
    """Return the picture of a tile, and the row and the column where its outputs begin."""
    picture, rest = divmod(tile, down * across)
    row, column = divmod(rest, across)
    return picture, row * TILE, column * TILE
