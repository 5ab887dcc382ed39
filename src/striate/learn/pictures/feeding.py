"""Pictures on their way into training: decoded once, kept, shuffled, augmented, normalised. Trains nothing.

Bytes are kept and travel to the device; what is done to them there is done to a whole batch at once. So 60,000 digits
cost a fraction of a second in an epoch, and photographs are decoded once, not in every epoch.
"""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.dataset import PictureSet
from striate.dataset.batches import processors
from striate.dataset.preparing import statistics_in_rows
from striate.dataset.wrapped import WrappedSet
from striate.errors import DataError, ImageError, OptionError
from striate.files import byte_count
from striate.learn.pictures.augment import Augment
from striate.learn.pictures.canvas import Canvas, canvas
from striate.learn.pictures.decoding import Piece, Reader, Waiting
from striate.learn.pictures.draws import Moves, draw
from striate.learn.pictures.on_disk import OnDisk, key_of
from striate.learn.pictures.room import Choice, Storage, choose
from striate.learn.pictures.storage import InMemory, Store, Streamed, shares
from striate.learn.pictures.warping import brighten, copied, cover, mixed, resized, sampled
from striate.learn.seeds import generator
from striate.spec import InputSpec

__all__ = ["Fed", "Feed", "Storage", "feed"]

_AHEAD = 2  # pieces on their way besides the one that is asked for
_AT_ONCE = 2**20  # numbers in a piece; a batch of more is one by itself
_ITEMS = 8  # of a data set that may draw by lot itself: how many are read twice


@dataclass(frozen=True, eq=False)
class Fed:
    """A batch as the network takes it.

    Attributes:
        images: shape (b, C, H, W), float32, normalised, channels last in memory, on the device of the feed.
        labels: shape (b,), int64, on that device.
        indices: which pictures of the set, shape (b,), int64, on the CPU.
        second: with mixup the label of what was mixed in, shape (b,); else None.
        weight: with mixup the share of the first label, shape (b,), float32, in [0.5, 1]; else None.
    """

    images: Tensor
    labels: Tensor
    indices: Tensor
    second: Tensor | None = None
    weight: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)


class Feed:
    """Batches of pictures, epoch after epoch; made by `feed`, closed by `with` or `close`.

    Attributes:
        count: pictures in all, over all ranks, those included that cannot be read.
        batches: batches in an epoch, the same number on every rank.
        storage: where pictures are kept, and why, in words.
        canvas: how large they are kept.
    """

    def __init__(
        self,
        store: Store,
        indices: NDArray[np.int64],
        labels: NDArray[np.int64],
        spec: InputSpec,
        *,
        batch: int,
        device: torch.device,
        seed: int,
        augment: Augment,
        training: bool,
        canvas: Canvas,
        storage: str,
        prepared: bool,
        rank: int,
        ranks: int,
        drop_last: bool,
    ) -> None:
        """Keep what `feed` has chosen."""
        self.count = len(indices)
        self.storage = storage
        self.canvas = canvas
        full = self.count // batch
        # a set smaller than a batch is a batch, whatever is dropped
        self.batches = max(full, 1) if drop_last or full * batch == self.count else full + 1
        self._store = store
        self._indices = indices
        self._labels = torch.from_numpy(np.ascontiguousarray(labels, dtype=np.int64)).to(device)
        self._spec = spec
        self._statistics: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
        self._batch = batch
        self._device = device
        self._seed = seed
        self._augment = augment
        self._training = training
        self._prepared = prepared
        self._rank, self._ranks = rank, ranks

    @property
    def broken(self) -> dict[int, str]:
        """Why a picture cannot be read, by its index in the set; of those found so far."""
        return {int(self._indices[place]): reason for place, reason in sorted(self._store.reasons.items())}

    def order(self, epoch: int) -> NDArray[np.int64]:
        """Return the places of the pictures in the order of an epoch, over all ranks: shuffled where it trains."""
        if not self._training:
            return np.arange(self.count, dtype=np.int64)
        return torch.randperm(self.count, generator=generator(self._seed, "order", epoch)).numpy()

    def epoch(self, number: int = 1) -> Iterator[Fed]:
        """Yield the batches of an epoch.

        What comes depends on the seed and this number only, not on what was asked for before. Pictures that cannot be
        read are missing from their batch; a batch without any is left out, or with several ranks is empty, so that all
        ranks take as many steps.

        Args:
            number: of the epoch, from 1.

        Raises:
            DataError: no picture at all can be read.
        """
        order = self.order(number)
        moves = None
        if self._training and not self._augment.nothing:
            drawn = draw(self._augment, self.count, self._seed, frame=self.canvas.frame, epoch=number)
            moves = drawn.moves.to(self._device)
        on_device = torch.from_numpy(order).to(self._device)
        left = deque(self._pieces())
        waiting: deque[tuple[list[slice], Waiting]] = deque()
        came = 0
        while left or waiting:
            while left and len(waiting) <= _AHEAD:
                batches = left.popleft()
                whole = slice(batches[0].start, batches[-1].stop)
                waiting.append((batches, self._store.begin(order[whole], on_device[whole])))
            batches, one = waiting.popleft()
            found = one()
            if not len(found.values) and self._ranks == 1:
                continue
            came += len(found.values)
            ready = self._fed(found, batches, order, on_device, moves)
            del found, one  # while a step is taken nothing is kept but what comes next
            while ready:
                yield ready.popleft()
        if not came and self.count and self._ranks == 1:
            first = next(iter(self.broken.values()), "")
            raise DataError(f"None of {self.count:,} pictures can be read. The first: {first}")

    def _pieces(self) -> Iterator[list[slice]]:
        """Yield what is fetched and varied in one go: batches, as places in the order; small ones several at a time.

        Of several ranks each has its own share of every batch: these do not lie side by side.
        """
        batches = [
            slice(start + many * self._rank // self._ranks, start + many * (self._rank + 1) // self._ranks)
            for start in range(0, self.batches * self._batch, self._batch)
            for many in (min(self._batch, self.count - start),)
        ]
        numbers = self._batch * math.prod(self._spec.size) * self._spec.channels
        together = max(_AT_ONCE // numbers, 1) if self._store.at_once and self._ranks == 1 else 1
        for first in range(0, len(batches), together):
            yield batches[first : first + together]

    def _fed(
        self, piece: Piece, batches: list[slice], order: NDArray[np.int64], on_device: Tensor, moves: Moves | None
    ) -> deque[Fed]:
        """Return the batches of a piece; each has its own memory."""
        whole = slice(batches[0].start, batches[-1].stop)
        places, rows = order[whole], on_device[whole]
        ends = [batch.stop - whole.start for batch in batches]
        if piece.good is not None:
            ends = np.concatenate(([0], np.cumsum(piece.good)))[ends].tolist()
            places = places[piece.good]
            rows = torch.from_numpy(places).to(self._device)
        indices = torch.from_numpy(self._indices[places])
        labels = self._labels[rows]
        values = piece.values
        if values.device != self._device:
            if self._device.type == "cuda":
                values = values.pin_memory()
            values = values.to(self._device, non_blocking=True)
        if not len(values):  # another rank has some
            nothing = torch.empty(0, self._spec.channels, *self._spec.size, device=self._device)
            return deque([Fed(nothing, labels, indices)])
        moves = None if moves is None else moves.rows(rows)
        images = self._numbers(values) if moves is None else self._varied(values, moves)
        if moves is not None and moves.cut is not None:
            images = cover(images, moves.cut, moves.side)  # 0 is the mean, once it is normalised
        weight = None if moves is None else moves.weight
        if len(batches) == 1:
            return deque([_fed(images, labels, indices, weight)])
        ready: deque[Fed] = deque()
        for part in (slice(start, end) for start, end in pairwise((0, *ends)) if start < end):
            own_weight = None if weight is None else weight[part].clone()
            ready.append(_fed(images[part].clone(), labels[part].clone(), indices[part].clone(), own_weight))
        return ready

    def _varied(self, values: Tensor, moves: Moves) -> Tensor:
        """Move and brighten kept pictures (b, H, W, C), and normalise them: (b, C, h, w)."""
        size, border = self.canvas.frame.size, self._augment.border
        quick = values.device.type == "cpu" and values.dtype == torch.uint8
        if moves.theta is None:
            values = copied(values, moves, size, border, scale=255.0 if values.dtype == torch.uint8 else 1.0)
        elif moves.box is not None and quick:
            values = resized(values, moves, size)
        else:
            values = sampled(shares(values).permute(0, 3, 1, 2), moves.theta, size, border).permute(0, 2, 3, 1)
        if moves.brightness is None:
            return self._numbers(values)
        if values.device.type == "cpu" and values.dtype == torch.uint8:
            return self._brightened(values, moves.brightness)
        return self._numbers(brighten(shares(values), moves.brightness))

    def _brightened(self, values: Tensor, factors: Tensor) -> Tensor:
        """Brighten and normalise bytes (b, h, w, C) one by one: a picture stays in the processor's cache."""
        mean, std = (one.numpy() for one in self._rows(*values.shape[1:3]))
        out = np.empty(values.shape, dtype=np.float32)
        pictures = values.numpy().reshape(len(values), -1, len(mean))
        scales = factors.numpy() / np.float32(255)
        for picture, scale, rows in zip(pictures, scales, out.reshape(pictures.shape), strict=True):
            np.multiply(picture, scale, out=rows, dtype=np.float32)
            np.minimum(rows, 1, out=rows)
            rows -= mean
            rows /= std
        return torch.from_numpy(out).permute(0, 3, 1, 2)

    def _numbers(self, values: Tensor) -> Tensor:
        """Return pictures (b, h, w, C) normalised, (b, C, h, w): the numbers of `PictureSet.read`, bit for bit."""
        if self._prepared:
            return values.permute(0, 3, 1, 2)
        if values.device.type == "cpu":
            mean, std = self._rows(*values.shape[1:3])
            numbers = shares(values.contiguous()).view(-1, len(mean))
            numbers = numbers.sub_(mean) if values.dtype == torch.uint8 else numbers - mean
            return numbers.div_(std).view(values.shape).permute(0, 3, 1, 2)
        return _channels_last(self._spec.normalise(shares(values).permute(0, 3, 1, 2)))

    def _rows(self, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Return mean and std as `statistics_in_rows` does, and keep them."""
        if (height, width) not in self._statistics:
            mean, std = statistics_in_rows(self._spec, height, width)
            self._statistics[height, width] = torch.tensor(mean), torch.tensor(std)
        return self._statistics[height, width]

    def close(self) -> None:
        """Let go of memory, threads and files."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _fed(images: Tensor, labels: Tensor, indices: Tensor, weight: Tensor | None) -> Fed:
    """Mix the pictures of a batch where they have shares, and put their channels last."""
    if weight is None:
        return Fed(_channels_last(images), labels, indices)
    images, partners = mixed(images, weight)
    return Fed(_channels_last(images), labels, indices, labels[partners], weight)


def feed(
    pictures: PictureSet,
    indices: NDArray[np.int64],
    labels: NDArray[np.int64],
    spec: InputSpec,
    *,
    batch: int,
    device: str | torch.device = "cpu",
    seed: int = 0,
    augment: Augment | None = None,
    training: bool,
    storage: Storage = "auto",
    cache: Path | None = None,
    workers: int | None = None,
    rank: int = 0,
    ranks: int = 1,
    drop_last: bool | None = None,
) -> Feed:
    """Make batches of pictures, epoch after epoch.

    For training they are shuffled and augmented, anew in every epoch; for validation they come in their order, and
    are what the network will be shown later (`PictureSet.read`), bit for bit. What comes depends on pictures, spec,
    batch, seed, augmentation and ranks; never on storage, workers, or what was asked for before.

    Args:
        pictures: the set.
        indices: which of its pictures, shape (n,), int64.
        labels: their classes, shape (n,), int64.
        spec: what the network expects; its mean and std normalise.
        batch: pictures in a batch, over all ranks.
        device: where batches go.
        seed: of the order and the augmentation.
        augment: how training pictures are varied; nothing when None.
        training: shuffled and augmented, else in order and as they are.
        storage: where decoded pictures are kept. "memory", on the device where they fit; "disk", in a file; "stream"
            keeps none and decodes in every epoch; "auto" takes the first of these that has room.
        cache: folder in which that file stays for later runs; without one it is temporary.
        workers: decoding threads; one for each processor when None.
        rank: number of this process, from 0; it gets its share of every batch.
        ranks: processes.
        drop_last: leave out the last batch where it is smaller; where it trains, when None.

    Raises:
        DataError: indices and labels are not as many, or there are none.
        OptionError: an option makes no sense.
        OutputError: the file cannot be written.
        Stopped: the user asked to stop while pictures were decoded.
    """
    indices = np.asarray(indices, dtype=np.int64)
    labels = np.asarray(labels, dtype=np.int64)
    if indices.shape != labels.shape or indices.ndim != 1:
        raise DataError(f"{len(indices):,} pictures and {len(labels):,} labels: give one label for each picture.")
    if not len(indices):
        raise DataError(f"No picture of {pictures.description} was chosen: there is nothing to feed.")
    if batch < ranks or not 0 <= rank < ranks or (workers is not None and workers < 0):
        raise OptionError(
            f"batch {batch}, rank {rank} of {ranks} and workers {workers} do not fit: a batch holds at least one "
            "picture for each rank, and workers are 0 or more."
        )
    device = torch.empty(0, device=device).device  # with its number, as the tensors there call it
    augment = augment if augment is not None and training else Augment()
    if pictures.prepared and augment.brightness:
        raise OptionError(
            "brightness needs pictures with values from 0 to 1, and these come prepared (normalised). Leave it out, or "
            "let the data set give them unprepared."
        )
    kept = canvas(pictures, indices, spec, augment)
    local = int(os.environ.get("LOCAL_WORLD_SIZE", ranks))  # set by torchrun
    threads = max(processors() // local, 1) if workers is None else workers
    reader = Reader(pictures, indices, kept.spec, threads)
    mapped = pictures.at_once(kept.spec)
    kind = _kind(reader, training)
    if training:
        reader.kind = kind  # else numbers come as they are: what is validated is what is read later, to the last bit
    size = len(indices) * int(np.prod(reader.shape)) * kind.itemsize
    given = isinstance(pictures, WrappedSet)  # by code of the user's: to know its pictures is to read them all
    varies = storage == "auto" and given and _varies(reader)
    choice = choose(storage, size, device, cache=cache, processes=local, mapped=mapped, varies=varies)
    store, words = _opened(reader, choice, device, None if mapped or given else cache)
    return Feed(
        store,
        indices,
        labels,
        spec,
        batch=batch,
        device=device,
        seed=seed,
        augment=augment,
        training=training,
        canvas=kept,
        storage=words,
        prepared=pictures.prepared,
        rank=rank,
        ranks=ranks,
        drop_last=training if drop_last is None else drop_last,
    )


def _opened(reader: Reader, choice: Choice, device: torch.device, cache: Path | None) -> tuple[Store, str]:
    """Decode the pictures into what was chosen, or take what an earlier run left."""
    where = device if choice.resident else torch.device("cpu")
    key = None if cache is None or choice.kind == "stream" else key_of(reader)
    there = OnDisk.found(cache, key)
    if choice.kind == "memory":
        if there is not None:
            return OnDisk(there).in_memory(where), f"{choice.words} (found decoded in {there.parent.name})"
        return InMemory.read(reader, where), choice.words
    if choice.kind == "stream":
        return Streamed(reader), choice.words
    store = OnDisk.read(reader, cache, key)
    size = byte_count(store.path.stat().st_size)
    return store, f"{choice.words} ({'found' if there is not None else 'written'}: {size})"


def _kind(reader: Reader, training: bool) -> np.dtype[Any]:
    """Return what pictures are kept as: bytes, or float32.

    Resized arrays are numbers, also where they were bytes before. To train they are rounded to bytes again, as pictures
    from files are: a quarter of the room.
    """
    pictures = reader.pictures
    if pictures.at_once(reader.spec):
        return np.dtype(np.uint8)
    for index in reader.indices[:_ITEMS].tolist():
        try:
            if training and not pictures.prepared and pictures.pixels(index).dtype == np.uint8:
                return np.dtype(np.uint8)
            return pictures.fitted(index, reader.spec).dtype
        except ImageError:
            continue
    return np.dtype(np.uint8)


def _varies(reader: Reader) -> bool:
    """Whether a picture that is read twice is not the same, as in a PyTorch data set that augments by itself."""
    for index in reader.indices[:_ITEMS].tolist():
        try:
            first, second = (reader.pictures.fitted(index, reader.spec) for _ in range(2))
        except ImageError:
            continue
        if not np.array_equal(first, second):
            return True
    return False


def _channels_last(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)
