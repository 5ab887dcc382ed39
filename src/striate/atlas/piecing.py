"""How much of a network's run is done with a few pictures at a time: where maps are too large to stay in the caches.

The first maps of a network are its largest. Written for a whole batch, each has left the processor's caches before
the next step reads it; written for a few pictures, it is still there. Knows a program; runs nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from striate.program import Program, Step

__all__ = ["Cut", "cut_of", "parted"]

_WHOLE = 2**24  # bytes of a map that may be of the whole batch
_LARGEST = 20 * 2**20  # bytes of the largest map of a piece
_CONVOLUTION = "convolution"


@dataclass(frozen=True)
class Cut:
    """Where a run is cut.

    Attributes:
        value: number of the map that all that comes after it is worked out from.
        piece: how many pictures are run at a time as far as there.
    """

    value: int
    piece: int


def cut_of(program: Program, count: int, threads: int) -> Cut | None:
    """Return where to cut a run; None where that does not pay.

    It does not depend on what is asked for, so that the numbers do not either.

    Args:
        program: a network's run as it was written down, nothing folded or fused.
        count: pictures in a batch.
        threads: that work on it. Each takes a picture, so that more than a piece has would have nothing to do.
    """
    sizes = [_bytes(program, step.outs) for step in program.steps]
    for at in _waists(program):
        behind = max(sizes[at + 1 :], default=0)
        if count * behind > _WHOLE:
            continue
        piece = 2
        while 2 * piece * max(sizes[: at + 1]) <= _LARGEST:
            piece *= 2
        if count * max(sizes[: at + 1]) <= _WHOLE or not threads <= piece < count:
            return None
        value = program.steps[at].outs[0]
        assert value is not None
        return Cut(value, piece)
    return None


def _bytes(program: Program, outs: Collection[int | None]) -> int:
    """Return the bytes of the largest thing that a step gives for a picture."""
    found = [program.values[out] for out in outs if out is not None and out in program.batched]
    return max((value.numel() * value.element_size() for value in found), default=0)


def _waists(program: Program) -> list[int]:
    """Return the steps, in order, that give the only map from which a convolution and all the rest is worked out."""
    last = {index: at for at, step in enumerate(program.steps) for index in step.inputs}
    last[program.output] = len(program.steps)
    found, alive = [], {0}
    for at, step in enumerate(program.steps[:-1]):
        alive |= {out for out in step.outs if out is not None}
        alive = {index for index in alive if last.get(index, -1) > at}
        value = step.outs[0]
        # convolutions take in what stands behind them, not before
        if alive == {value} and value in program.batched and program.steps[at + 1].name == _CONVOLUTION:
            found.append(at)
    return found


def parted(program: Program, value: int) -> tuple[Program, Program] | None:
    """Return the steps as far as a value, and those behind it; None where they cannot be told apart.

    Args:
        program: made of the one that was cut, with fewer steps; either part may have none.
        value: see `Cut`. What a run gives is numbered in its order.
    """
    first: list[Step] = []
    then: list[Step] = []
    for step in program.steps:
        outs = [out for out in step.outs if out is not None]
        (first if min(outs, default=value) <= value else then).append(step)
    if any(index < value for step in then for index in step.inputs):
        return None
    return replace(program, steps=tuple(first)), replace(program, steps=tuple(then))
