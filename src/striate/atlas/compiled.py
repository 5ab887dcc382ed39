"""Hands maps to the compiled reduction, in as many threads as PyTorch uses. Knows arrays; compiles nothing itself."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.atlas.ranking import Ranking
from striate.atlas.reducing import in_order
from striate.threads import borders, compiled, in_threads

__all__ = ["WORTH", "Compiled", "Onward", "compiled_for"]

WORTH = 2**30
"""Numbers of all maps together from which on it pays to load numba, which takes a second."""

_PIECE = 1 << 16  # numbers that are worth waking a thread for: some ten microseconds of work
_NO_MAPS = np.zeros((0, 0, 0, 0), np.float32)


def compiled_for(numbers: int, device: torch.device) -> ModuleType | None:
    """Return the compiled operations (`one_pass`) for maps of so many numbers; None where PyTorch is to be used.

    That depends on the whole job alone, never on what is left of it: so a build that goes on does it the same way.
    """
    return None if device.type != "cpu" or numbers < WORTH else compiled("striate.atlas.one_pass")


class Room(NamedTuple):
    """Where the numbers of a batch go, in the order that `one_pass.reduce` wants them."""

    above: NDArray[np.float32]
    below: NDArray[np.float32]
    wanted: NDArray[np.bool_]
    values: NDArray[np.float32]
    sums: NDArray[np.float32]
    squares: NDArray[np.float32]
    places: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Onward:
    """What a network goes on with behind a layer: ``clamp(scale * x + shift [+ another map], low, high)``.

    Attributes:
        scale: (C,) float32.
        shift: (C,) float32.
        adds: another map is added.
        low: the least that comes out.
        high: the largest.
    """

    scale: NDArray[np.float32]
    shift: NDArray[np.float32]
    adds: bool
    low: float
    high: float

    def __call__(self, output: Tensor, added: Tensor | None) -> Tensor:
        """Write over a float32 map (N, C, H, W), channels last in memory, and return it; see `one_pass.pass_on`."""
        from striate.atlas import one_pass  # loads numba

        maps = output.permute(0, 2, 3, 1).numpy()
        parts = _parts(maps)
        if parts < 2:
            one_pass.pass_on(maps, 0, len(maps), *self.given(added))
            return output
        with in_threads(parts):
            one_pass.pass_on_in_parts(maps, borders(len(maps), parts), *self.given(added))
        return output

    def given(self, added: Tensor | None) -> tuple[Any, ...]:
        """Return the last arguments of `one_pass.pass_on`."""
        others = _NO_MAPS if added is None else in_order(added).numpy()
        return self.scale, self.shift, others, np.float32(self.low), np.float32(self.high)


class Compiled:
    """The compiled operations, in threads."""

    def __init__(self, operations: ModuleType, *room: Tensor) -> None:
        """Take the memory that everything is written into: the tensors of `Room`, on the processor."""
        self._operations = operations
        self._room = Room(*(one.numpy() for one in room))
        self._threads = torch.get_num_threads()

    def reduce(self, arranged: Tensor, first: int) -> None:
        """Reduce the maps of a layer (N, C, H, W) whose first unit is `first`; see `one_pass.reduce`."""
        maps = in_order(arranged).numpy()
        parts = _parts(maps)
        if parts < 2:
            self._operations.reduce(maps, 0, len(maps), first, *self._room)
            return
        with in_threads(parts):
            self._operations.reduce_in_parts(maps, borders(len(maps), parts), first, *self._room)

    def reduce_and_pass_on(self, output: Tensor, first: int, onward: Onward, added: Tensor | None) -> None:
        """Do `reduce` and then write over the maps what the network goes on with; they are as `Onward` wants them."""
        maps = output.permute(0, 2, 3, 1).numpy()
        parts, given = _parts(maps), (first, *self._room, *onward.given(added))
        if parts < 2:
            self._operations.reduce_and_pass_on(maps, 0, len(maps), *given)
            return
        with in_threads(parts):
            self._operations.reduce_and_pass_on_in_parts(maps, borders(len(maps), parts), *given)

    def enter(self, ranking: Ranking, smallest: bool, pictures: NDArray[np.int64]) -> None:
        """Take the batch into a ranking; see `one_pass.enter`."""
        count, room = len(pictures), self._room
        given = smallest, pictures, room.places[:count], *ranking.arrays()
        units = room.values.shape[1]
        parts = min(self._threads, count * units // _PIECE)
        if parts < 2:
            self._operations.enter(room.values[:count], 0, units, *given)
            return
        with in_threads(parts):
            self._operations.enter_in_parts(room.values[:count], borders(units, parts), *given)


def _parts(maps: NDArray[np.float32]) -> int:
    """Return in how many parts maps (N, H, W, C) are worked on."""
    return min(torch.get_num_threads(), len(maps), maps.size // _PIECE)
