"""Decode pictures in threads, in the order in which they are asked for. Keeps none."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate import progress
from striate.dataset import PictureSet
from striate.dataset.preparing import scaled
from striate.errors import ImageError
from striate.spec import InputSpec

__all__ = ["Piece", "Reader", "Waiting"]

_PIECE = 2**24  # bytes of pictures decoded before they are put away
_FEWEST, _MOST = 32, 8192  # pictures, likewise
_AHEAD = 3  # pieces on their way


class Piece(NamedTuple):
    """Some pictures.

    Args:
        values: shape (g, H, W, C), uint8 or float32, those that can be read.
        good: which of those that were asked for these are, (b,); None when all are.
        reasons: why not, by their place among those asked for.
    """

    values: Tensor
    good: NDArray[np.bool_] | None = None
    reasons: tuple[tuple[int, str], ...] = ()


Waiting = Callable[[], Piece]


class Reader:
    """Decodes pictures in threads, in the order in which they were asked for.

    Attributes:
        pictures: the set.
        spec: the size they are read at.
        indices: which of them are used; places are counted among these.
        kind: what all pictures are made: uint8 or float32; None leaves them as they come.
    """

    def __init__(self, pictures: PictureSet, indices: NDArray[np.int64], spec: InputSpec, workers: int) -> None:
        """Start no thread before something is asked for; with 0 workers none at all."""
        self.pictures = pictures
        self.spec = spec
        self.indices = indices
        self.kind: np.dtype[Any] | None = None
        self._at_once = pictures.at_once(spec)
        self._workers = workers
        self._pool: ThreadPoolExecutor | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of a picture."""
        return self.spec.height, self.spec.width, self.spec.channels

    def begin(self, places: NDArray[np.int64]) -> Waiting:
        """Begin to read the pictures of some places."""
        wanted = self.indices[places]
        if not self._workers:
            return lambda: (
                self._piece([self._one(int(index)) for index in wanted])
                if not self._at_once
                else Piece(torch.from_numpy(self.pictures.fitted_many(wanted, self.spec)))
            )
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="striate-decoding")
        if self._at_once:
            whole = self._pool.submit(self.pictures.fitted_many, wanted, self.spec)
            return lambda: Piece(torch.from_numpy(whole.result()))
        work: list[Future[NDArray[Any] | str]] = [self._pool.submit(self._one, int(index)) for index in wanted]
        return lambda: self._piece([future.result() for future in work])

    def _one(self, index: int) -> NDArray[Any] | str:
        try:
            values = self.pictures.fitted(index, self.spec)
        except ImageError as error:
            return str(error)
        if self.kind is None or values.dtype == self.kind:
            return values
        return scaled(values) if self.kind == np.float32 else np.rint(values * 255).clip(0, 255).astype(np.uint8)

    def _piece(self, slots: list[NDArray[Any] | str]) -> Piece:
        there = [slot for slot in slots if not isinstance(slot, str)]
        if len({one.dtype for one in there}) > 1:
            there = [scaled(one) for one in there]
        values = np.stack(there) if there else np.empty((0, *self.shape), dtype=np.uint8)
        if len(there) == len(slots):
            return Piece(torch.from_numpy(values))
        reasons = tuple((place, slot) for place, slot in enumerate(slots) if isinstance(slot, str))
        good = np.ones(len(slots), dtype=bool)
        good[[place for place, _ in reasons]] = False
        return Piece(torch.from_numpy(values), good, reasons)

    def all(self) -> Iterator[tuple[int, Piece]]:
        """Yield all pictures in order, in pieces, each with the place of its first; a few are read ahead.

        Raises:
            Stopped: the user asked to stop.
        """
        many = min(max(_PIECE // int(np.prod(self.shape)), _FEWEST), _MOST)
        count = len(self.indices)
        left = deque(np.arange(start, min(start + many, count)) for start in range(0, count, many))
        waiting: deque[tuple[int, int, Waiting]] = deque()
        task = "reading the pictures"
        progress.report(progress.Event(task, 0, count))
        while True:
            while left and len(waiting) < _AHEAD:
                places = left.popleft()
                waiting.append((int(places[0]), int(places[-1]) + 1, self.begin(places)))
            if not waiting:
                return
            progress.check_stop(task)
            start, stop, one = waiting.popleft()
            yield start, one()
            progress.report(progress.Event(task, stop, count))

    def close(self) -> None:
        """End the threads; what they have not begun is left."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
