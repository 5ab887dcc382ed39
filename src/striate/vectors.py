"""Vectors of numbers, and what is done with them, as LLVM has them: where no array library has a way in.

Only what numba compiles imports this. Addresses are numbers of bytes, and nothing is checked.
"""

from __future__ import annotations

from typing import Any

import numba
import numba.core.cgutils
import numba.extending
from llvmlite import binding, ir  # type: ignore[import-untyped]

__all__ = ["INT", "LANES", "NUMBER", "VECTOR", "WIDE", "Code", "can", "cgutils", "dots", "intrinsic", "long", "squares"]

cgutils: Any = numba.core.cgutils  # no types are known of it, nor of this
intrinsic: Any = numba.extending.intrinsic


def _features() -> set[str]:
    """Return what the processor can do that numba compiles for."""
    config: Any = numba.config
    if config.DISABLE_JIT or not config.ENABLE_AVX or (config.CPU_NAME and config.CPU_FEATURES is None):
        return set()
    if config.CPU_FEATURES is not None:
        return {one[1:] for one in config.CPU_FEATURES.split(",") if one.startswith("+")}
    return {name for name, there in binding.get_host_cpu_features().items() if there}


_HAS = _features()
WIDE = "avx512f" in _HAS
LANES = 16 if WIDE else 8
"""Numbers in a vector."""
NUMBER, INT, _SHORT, _LONG = ir.FloatType(), ir.IntType(32), ir.IntType(16), ir.IntType(64)
VECTOR = ir.VectorType(NUMBER, LANES)
_INTS, _SHORTS, _MIXED = ir.VectorType(INT, LANES), ir.VectorType(_SHORT, LANES), ir.VectorType(_SHORT, 2 * LANES)


class _Halves(ir.Type):  # type: ignore[misc]
    """A vector of bfloat16: llvmlite has no name for it."""

    def __init__(self, count: int) -> None:
        self.count = count

    def _to_string(self) -> str:
        return f"<{self.count} x bfloat>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Halves) and other.count == self.count

    def __hash__(self) -> int:
        return hash((_Halves, self.count))


_HALF, _HALVES = _Halves(LANES), _Halves(2 * LANES)


def can() -> bool:
    """Tell whether this processor has what is needed: vectors of eight numbers that are multiplied and added."""
    return WIDE or {"avx2", "fma"} <= _HAS


def dots() -> bool:
    """Tell whether this processor multiplies pairs of bfloat16; otherwise that is done in more steps, slower."""
    return WIDE and "avx512bf16" in _HAS


def squares() -> bool:
    """Tell whether this processor multiplies whole matrices of bfloat16 (AMX), which nothing here does."""
    return "amx-bf16" in _HAS


def long(number: int) -> Any:
    """Return a number of bytes, or of times, that is known beforehand."""
    return ir.Constant(_LONG, number)


class Code:
    """Writes operations on vectors of float32 and of pairs of bfloat16, which are as wide."""

    def __init__(self, builder: Any) -> None:
        """Write with a builder of llvmlite."""
        self.builder = builder

    # --- memory

    def at(self, address: Any, *steps: Any) -> Any:
        """Return an address some steps on."""
        for step in steps:
            address = self.builder.add(address, step)
        return address

    def load(self, address: Any, kind: Any = VECTOR) -> Any:
        """Read a vector, or what `kind` says."""
        found = self.builder.load(self.builder.inttoptr(address, kind.as_pointer()))
        found.align = 2 if kind == _SHORTS else 4
        return found

    def load_halves(self, address: Any) -> Any:
        """Read a vector of bfloat16 as float32."""
        longer = self.builder.zext(self.load(address, _SHORTS), _INTS)
        return self.builder.bitcast(self.builder.shl(longer, self.every(16, INT)), VECTOR)

    def store(self, value: Any, address: Any) -> None:
        """Write a vector."""
        self.builder.store(value, self.builder.inttoptr(address, value.type.as_pointer())).align = 4

    # --- numbers

    def every(self, value: Any, kind: Any = NUMBER) -> Any:
        """Return a vector of one number that is known beforehand."""
        return ir.Constant(ir.VectorType(kind, LANES), [value] * LANES)

    def spread(self, value: Any) -> Any:
        """Return a vector of one number."""
        empty = ir.Constant(ir.VectorType(value.type, LANES), ir.Undefined)
        one = self.builder.insert_element(empty, value, ir.Constant(INT, 0))
        return self.builder.shuffle_vector(one, empty, self.every(0, INT))

    def multiply_add(self, one: Any, other: Any, added: Any) -> Any:
        """Return one times other, plus what is added, rounded once."""
        return self._call(f"llvm.fma.v{LANES}f32", VECTOR, one, other, added)

    def weighed(self, weights: tuple[float, ...], values: list[Any]) -> Any:
        """Add up vectors, each times a number."""
        found = None
        for weight, value in sorted(zip(weights, values, strict=True), key=lambda pair: -pair[0]):
            if weight == 0:
                continue
            if found is None:
                found = value if weight == 1 else self.builder.fmul(value, self.every(float(weight)))
            elif weight in (1, -1):
                found = self.builder.fadd(found, value) if weight == 1 else self.builder.fsub(found, value)
            else:
                found = self.multiply_add(value, self.every(float(weight)), found)
        return found

    def store_halves(self, value: Any, address: Any) -> None:
        """Write a vector rounded to bfloat16."""
        if dots():
            shorts = self.builder.bitcast(self._call("llvm.x86.avx512bf16.cvtneps2bf16.512", _HALF, value), _SHORTS)
        else:
            shorts = self.builder.trunc(self.builder.lshr(self._rounded(value), self.every(16, INT)), _SHORTS)
        self.builder.store(shorts, self.builder.inttoptr(address, _SHORTS.as_pointer())).align = 2

    # --- pairs of bfloat16, each in the place of a float32

    def pairs(self, first: Any, second: Any) -> Any:
        """Return the numbers of two vectors as pairs, rounded to bfloat16."""
        if dots():
            both = self._call("llvm.x86.avx512bf16.cvtne2ps2bf16.512", _HALVES, second, first)
            order = [place // 2 + LANES * (place % 2) for place in range(2 * LANES)]
            shorts = self.builder.bitcast(both, _MIXED)
            empty = ir.Constant(_MIXED, ir.Undefined)
            mixed = self.builder.shuffle_vector(shorts, empty, ir.Constant(ir.VectorType(INT, 2 * LANES), order))
            return self.builder.bitcast(mixed, _INTS)
        low, high = self._rounded(first), self._rounded(second)
        return self.builder.or_(self.builder.lshr(low, self.every(16, INT)), high)

    def _rounded(self, value: Any) -> Any:
        """Return integers whose upper halves are the nearest bfloat16, of two the even one, and the lower zero."""
        builder = self.builder
        bits = builder.bitcast(value, _INTS)
        last = builder.and_(builder.lshr(bits, self.every(16, INT)), self.every(1, INT))
        up = builder.add(builder.add(bits, self.every(0x7FFF, INT)), last)
        strange = builder.fcmp_unordered("uno", value, value)
        return builder.and_(builder.select(strange, self.every(0x7FC00000, INT), up), self.every(0xFFFF0000, INT))

    def multiply_add_pairs(self, one: Any, other: Any, added: Any) -> Any:
        """Return the products of both numbers of each pair, added to a vector of float32."""
        if dots():
            given = [self.builder.bitcast(pair, _HALVES) for pair in (one, other)]
            return self._call("llvm.x86.avx512bf16.dpbf16ps.512", VECTOR, added, *given)
        for half in (self._low, self._high):
            added = self.multiply_add(half(one), half(other), added)
        return added

    def _low(self, pairs: Any) -> Any:
        return self.builder.bitcast(self.builder.shl(pairs, self.every(16, INT)), VECTOR)

    def _high(self, pairs: Any) -> Any:
        return self.builder.bitcast(self.builder.and_(pairs, self.every(0xFFFF0000, INT)), VECTOR)

    def _call(self, name: str, returned: Any, *given: Any) -> Any:
        kind = ir.FunctionType(returned, [one.type for one in given])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), given)
