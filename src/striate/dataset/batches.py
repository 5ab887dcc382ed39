"""Batches of pictures for a network, decoded ahead of it in threads. Runs no network.

Threads, not processes: Pillow decodes and resizes without Python's lock, and what a process would have to be sent back
(150 kB a picture) costs as much as the decoding that it would save.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate import progress
from striate.dataset.pictures import PictureSet
from striate.dataset.preparing import normalised, scaled
from striate.errors import ImageError, OptionError
from striate.spec import InputSpec

__all__ = ["Batch", "processors", "stream"]


@dataclass(frozen=True, eq=False)
class Batch:
    """Some pictures of a set, ready for the network.

    Attributes:
        indices: which ones, shape (n,), int64, in the order asked for.
        images: shape (n, C, H, W), float32, normalised, channels last in memory; n may be 0.
        broken: index and reason of those of this batch that cannot be read.
        asked: how many there should have been: n and the broken ones.
    """

    indices: NDArray[np.int64]
    images: Tensor
    broken: tuple[tuple[int, str], ...]

    @property
    def asked(self) -> int:
        """How many pictures were asked for: those here and the broken ones."""
        return len(self.indices) + len(self.broken)


def stream(
    pictures: PictureSet,
    spec: InputSpec,
    indices: Sequence[int] | NDArray[np.int64] | None = None,
    *,
    batch: int = 32,
    workers: int | None = None,
    ahead: int = 2,
    device: str | torch.device = "cpu",
) -> Generator[Batch, None, None]:
    """Yield pictures in order, batch by batch, while the next ones are decoded in threads.

    Batch k is of the indices from k * batch on, whatever is broken among them, so that the same pictures always
    meet. The numbers of `Batch.images` are those of `PictureSet.read`, bit for bit, on any device.

    Threads live as long as the generator. It closes when it is used up, and with the loop that holds it; whoever may
    leave early, or fail and keep the traceback, writes ``with contextlib.closing(stream(...)) as batches``.

    Args:
        pictures: the set.
        spec: what the network expects.
        indices: which pictures, in this order; all when None.
        batch: pictures in a batch.
        workers: decoding threads; as many as there are processors when None. 0 decodes in the caller's thread.
        ahead: batches that may be decoded before they are asked for: the bound of the memory that is taken.
        device: where the pictures go; bytes travel and are normalised there.

    Yields:
        Batches, each of `batch` pictures but the last.

    Raises:
        OptionError: `batch`, `workers` or `ahead` makes no sense.
        Stopped: the user asked to stop.
    """
    if batch < 1 or ahead < 1 or (workers is not None and workers < 0):
        raise OptionError(f"batch and ahead are at least 1, workers at least 0: got {batch}, {ahead} and {workers}.")
    order = np.arange(len(pictures), dtype=np.int64) if indices is None else np.asarray(indices, dtype=np.int64)
    pieces = [order[start : start + batch] for start in range(0, len(order), batch)]
    return _stream(pictures, spec, pieces, processors() if workers is None else workers, ahead, torch.device(device))


def processors() -> int:
    """Count the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _stream(
    pictures: PictureSet,
    spec: InputSpec,
    pieces: Sequence[NDArray[np.int64]],
    workers: int,
    ahead: int,
    device: torch.device,
) -> Generator[Batch, None, None]:
    if not workers:
        for piece in pieces:
            progress.check_stop("reading")
            yield _Pending(pictures, spec, piece, device).begin(None).batch()
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="striate-reading")
    waiting: deque[_Pending] = deque()
    left = deque(pieces)
    try:
        while True:
            # the batch that is yielded next does not count as ahead
            while left and len(waiting) <= ahead:
                waiting.append(_Pending(pictures, spec, left.popleft(), device).begin(pool, workers))
            if not waiting:
                return
            progress.check_stop("reading")
            yield waiting.popleft().batch()
    finally:
        for pending in waiting:
            pending.left.clear()
        pool.shutdown(wait=True, cancel_futures=True)


class _Pending:
    """A batch on its way: slots that threads fill, each its own."""

    def __init__(
        self,
        pictures: PictureSet,
        spec: InputSpec,
        indices: NDArray[np.int64],
        device: torch.device,
    ) -> None:
        self.pictures = pictures
        self.spec = spec
        self.indices = indices
        self.device = device
        self.slots: list[NDArray[Any] | str] = [""] * len(indices)
        self.values: NDArray[np.float32] | None = None  # (n, H, W, C) normalised here, where the device is the CPU
        self.together: NDArray[Any] | None = None
        self.left: deque[int] = deque()  # slots that no thread has taken yet
        self.work: list[Future[None]] = []

    def begin(self, pool: ThreadPoolExecutor | None, workers: int = 0) -> _Pending:
        """Start the work, in the threads of a pool or at once."""
        if pool is None:
            self._all()
        elif self.pictures.at_once(self.spec):
            self.work = [pool.submit(self._all)]
        else:
            self._room()
            self.left.extend(range(len(self.indices)))
            # not one task for each picture: every one that is handed over stops the caller, who runs the network
            self.work = [pool.submit(self._some) for _ in range(min(workers, len(self.left)))]
        return self

    def _some(self) -> None:
        """Fill slots until none is left."""
        while True:
            try:
                slot = self.left.popleft()  # safe in any number of threads
            except IndexError:
                return
            self._one(slot)

    def _room(self) -> None:
        if self.device.type == "cpu":
            self.values = np.empty((len(self.indices), *self.spec.size, self.spec.channels), dtype=np.float32)

    def _all(self) -> None:
        """Do what can be done in one go, else one by one."""
        if self.pictures.at_once(self.spec):
            together = self.pictures.fitted_many(self.indices, self.spec)
            self.together = normalised(together, self.spec) if self.device.type == "cpu" else together
            return
        self._room()
        for slot in range(len(self.indices)):
            self._one(slot)

    def _one(self, slot: int) -> None:
        try:
            fitted = self.pictures.fitted(int(self.indices[slot]), self.spec)
        except ImageError as error:
            self.slots[slot] = str(error)
            return
        if self.values is None:
            self.slots[slot] = fitted
        else:
            if self.pictures.prepared:
                self.values[slot] = fitted
            else:
                normalised(fitted[None], self.spec, self.values[slot : slot + 1])
            self.slots[slot] = fitted

    def batch(self) -> Batch:
        """Wait for the work, and put it together.

        Raises:
            Exception: what a thread raised, unless it says that a picture is broken.
        """
        try:
            for future in self.work:
                future.result()
        except BaseException:
            self.left.clear()  # the other threads need not go on
            raise
        if self.together is not None:
            return Batch(self.indices, self._sent(self.together), ())
        good = np.array([not isinstance(slot, str) for slot in self.slots], dtype=bool)
        broken = tuple(
            (int(index), slot)
            for index, slot in zip(self.indices.tolist(), self.slots, strict=True)
            if isinstance(slot, str)
        )
        if self.values is not None:
            values: NDArray[Any] = self.values if good.all() else self.values[good]
        else:
            values = self._stacked([slot for slot in self.slots if not isinstance(slot, str)])
        return Batch(self.indices[good], self._sent(values), broken)

    def _stacked(self, fitted: list[NDArray[Any]]) -> NDArray[Any]:
        if not fitted:
            return np.empty((0, *self.spec.size, self.spec.channels), dtype=np.uint8)
        if len({one.dtype for one in fitted}) > 1:
            fitted = [scaled(one) for one in fitted]
        return np.stack(fitted)

    def _sent(self, values: NDArray[Any]) -> Tensor:
        """Move pictures (n, H, W, C) to the device, and normalise them there unless it is the CPU, where they are."""
        images = torch.from_numpy(np.ascontiguousarray(values))
        if self.device.type == "cpu":
            return images.permute(0, 3, 1, 2)
        if self.device.type == "cuda":
            images = images.pin_memory()
        images = images.to(self.device, non_blocking=True).permute(0, 3, 1, 2)
        if images.dtype == torch.uint8:
            # by a tensor: by a plain number CUDA would multiply with 1/255, which rounds otherwise
            images = images.float() / torch.full((), 255.0, device=self.device)
        return images if self.pictures.prepared else self.spec.normalise(images)
