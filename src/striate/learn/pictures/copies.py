"""Which pictures are the same, byte for byte. Reads as little of the files as tells them apart; decodes none."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from striate import progress
from striate.dataset import PictureSet
from striate.dataset.arrays import ArraySet
from striate.dataset.preparing import hashed

__all__ = ["first_alike", "same_file"]

_TAIL = 4096  # bytes at the end of a file: where pictures of one size differ, if they differ at all
_PIECE = 2**20
_SIDE = 6  # numbers each way of a picture in an array by which most are told apart
_HELD = 2**31  # bytes of arrays that are hashed; more would take longer than opening them should
TASK = "looking for copies"

Item = tuple[PictureSet, int]


def first_alike(items: Sequence[Item]) -> NDArray[np.int64]:
    """Find for each picture the first of the list that is the same.

    Files are the same when they have the same bytes: only those of one length are read, and of these only the end,
    until that too is the same. Pictures in arrays are the same when all their numbers are. Those of a PyTorch data
    set would have to be decoded, and are taken as all different.

    Args:
        items: pictures, each a set and its index there.

    Returns:
        Shape (N,), int64: place in the list, its own where nothing before is alike.
    """
    first = np.arange(len(items), dtype=np.int64)
    lengths: dict[int, list[int]] = defaultdict(list)
    held: dict[Hashable, list[int]] = defaultdict(list)
    arrays = {id(one): one for one, _ in items if isinstance(one, ArraySet)}
    hashing = sum(piece.nbytes for one in arrays.values() for piece in one.pieces) <= _HELD
    samples = {mark: _sampled(one) for mark, one in arrays.items()} if hashing else {}
    seldom = Counter(samples[id(one)][index] for one, index in items if id(one) in samples)
    for place, (pictures, index) in enumerate(items):
        path = pictures.path(index)
        if path is not None:
            lengths[_length(path)].append(place)
        elif id(pictures) in samples and seldom[samples[id(pictures)][index]] > 1:
            held[hashed(pictures.pixels(index))].append(place)
    # empty files and those that are not there are alike too, but no pictures
    alike = [places for length, places in lengths.items() if length > 0 and len(places) > 1]
    reading = (place for places in alike for place in places)
    ends: dict[Hashable, list[int]] = defaultdict(list)
    for place in progress.track(reading, TASK, sum(map(len, alike))) if alike else ():
        path = _path(items[place])
        if (end := _end(path)) is not None:
            ends[end].append(place)
    for places in ends.values():
        if len(places) > 1:
            for place in places:
                held[(_whole(_path(items[place])), "whole")].append(place)
    for key, places in held.items():
        if key != (None, "whole"):
            first[places] = min(places)
    return first


def same_file(one: Iterable[Item], other: Iterable[Item]) -> list[tuple[int, int]]:
    """Find the pictures that are one and the same file in both lists, links followed: places in either."""
    known = {mark: place for place, item in enumerate(one) if (mark := _place_on_disk(item)) is not None}
    found = [(known.get(mark), place) for place, item in enumerate(other) if (mark := _place_on_disk(item)) is not None]
    return [(first, second) for first, second in found if first is not None]


def _sampled(pictures: ArraySet) -> list[bytes]:
    """Return a few numbers of each picture: where they differ, the pictures do."""
    samples: list[bytes] = []
    for piece in pictures.pieces:
        few = piece[:, :: max(piece.shape[1] // _SIDE, 1), :: max(piece.shape[2] // _SIDE, 1)]
        flat = np.ascontiguousarray(few).reshape(len(piece), -1).view(np.uint8)
        samples += [row.tobytes() for row in flat]
    return samples


def _path(item: Item) -> Path:
    path = item[0].path(item[1])
    assert path is not None
    return path


def _length(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except (OSError, ValueError):
        return 0


def _place_on_disk(item: Item) -> tuple[int, int] | None:
    path = item[0].path(item[1])
    if path is None:
        return None
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def _end(path: Path) -> tuple[int, bytes] | None:
    """Return length and last bytes of a file, None where it cannot be read (which is said when it is decoded)."""
    try:
        with open(path, "rb") as stream:
            length = stream.seek(0, os.SEEK_END)
            stream.seek(max(length - _TAIL, 0))
            return length, hashlib.blake2b(stream.read(_TAIL), digest_size=16).digest()
    except OSError:
        return None


def _whole(path: Path) -> bytes | None:
    digest = hashlib.blake2b(digest_size=16)
    try:
        with open(path, "rb") as stream:
            while piece := stream.read(_PIECE):
                digest.update(piece)
    except OSError:
        return None
    return digest.digest()
