"""Hands maps to the compiled reduction, in as many threads as PyTorch uses. Knows arrays; compiles nothing itself."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.atlas.ranking import Ranking
from striate.atlas.reducing import in_order

__all__ = ["WORTH", "Compiled", "compiled_for"]

WORTH = 2**30
"""Numbers of all maps together from which on it pays to load numba, which takes a second."""

_PIECE = 1 << 16  # numbers that are worth waking a thread for: some ten microseconds of work
_one_at_a_time = threading.Lock()  # not all of the ways in which numba runs threads bear two callers


def compiled_for(numbers: int, device: torch.device) -> ModuleType | None:
    """Return the compiled operations (`one_pass`) for maps of so many numbers; None where PyTorch is to be used.

    That depends on the whole job alone, never on what is left of it: so a build that goes on does it the same way.
    """
    if device.type != "cpu" or numbers < WORTH or importlib.util.find_spec("numba") is None:
        return None
    try:
        from striate.atlas import one_pass
    except (ImportError, RuntimeError):  # numba does not go with this numpy, or has no place for its machine code
        return None
    return one_pass


class Room(NamedTuple):
    """Where the numbers of a batch go, in the order that `one_pass.reduce` wants them."""

    above: NDArray[np.float32]
    below: NDArray[np.float32]
    wanted: NDArray[np.bool_]
    values: NDArray[np.float32]
    sums: NDArray[np.float32]
    squares: NDArray[np.float32]
    places: NDArray[np.int32]


class Compiled:
    """The compiled operations, in threads."""

    def __init__(self, operations: ModuleType, *room: Tensor) -> None:
        """Take the memory that everything is written into: the tensors of `Room`, on the processor."""
        self._operations = operations
        self._room = Room(*(one.numpy() for one in room))
        self._threads = min(torch.get_num_threads(), operations.most_threads())

    def reduce(self, arranged: Tensor, first: int) -> None:
        """Reduce the maps of a layer (N, C, H, W) whose first unit is `first`; see `one_pass.reduce`."""
        maps = in_order(arranged).numpy()
        parts = min(self._threads, len(maps), maps.size // _PIECE)
        if parts < 2:
            self._operations.reduce(maps, 0, len(maps), first, *self._room)
            return
        with self._in_threads():
            self._operations.reduce_in_parts(maps, _borders(len(maps), parts), first, *self._room)

    def enter(self, ranking: Ranking, smallest: bool, pictures: NDArray[np.int64]) -> None:
        """Take the batch into a ranking; see `one_pass.enter`."""
        count, room = len(pictures), self._room
        given = smallest, pictures, room.places[:count], *ranking.arrays()
        units = room.values.shape[1]
        parts = min(self._threads, count * units // _PIECE)
        if parts < 2:
            self._operations.enter(room.values[:count], 0, units, *given)
            return
        with self._in_threads():
            self._operations.enter_in_parts(room.values[:count], _borders(units, parts), *given)

    @contextmanager
    def _in_threads(self) -> Iterator[None]:
        """Let numba take as many threads as PyTorch has, for this caller and as long as this lasts."""
        with _one_at_a_time:
            of_torch = torch.get_num_threads()
            before = self._operations.use_threads(self._threads)
            if torch.get_num_threads() != of_torch:  # numba began, which sets the threads of the OpenMP that both use
                torch.set_num_threads(of_torch)
            try:
                yield
            finally:
                self._operations.use_threads(before)


def _borders(count: int, parts: int) -> NDArray[np.int64]:
    """Cut `count` into parts as even as that goes."""
    return np.arange(parts + 1) * count // parts
