"""Shares of the pictures: how they are cut, what each leaves on disk, and who is drawn by lot. Runs no network.

A share is tallied from nothing and written whole or not at all; the atlas is the merge of all shares in their order.
So it does not matter who did which share, or how often the work was interrupted.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from striate.errors import AtlasError, OutputError
from striate.files import one_line, shown

__all__ = [
    "HEAVIEST",
    "LARGEST",
    "SMALLEST",
    "Share",
    "cut",
    "drawn",
    "is_finished",
    "lots",
    "read_share",
    "write_share",
]

SMALLEST = 128
"""Pictures that make a share worth its file."""
LARGEST = 64
"""How many shares there are at most, unless they would be too heavy."""
HEAVIEST = 64 * 2**20
"""Bytes of features that a share holds at most, for it lies in memory until it is written."""


class Share(NamedTuple):
    """Consecutive pictures of a job.

    Args:
        number: from 0.
        start: of the first picture.
        stop: behind the last.
    """

    number: int
    start: int
    stop: int


def cut(count: int, batch: int, weight: int = 0) -> list[Share]:
    """Cut pictures into shares of whole batches, as even as that allows.

    Args:
        count: pictures, at least 1.
        batch: pictures in a batch.
        weight: bytes that are kept of each picture.
    """
    wanted = max(min(max(-(-count // SMALLEST), 1), LARGEST), -(-count * weight // HEAVIEST))
    size = -(-count // wanted)
    size = -(-size // batch) * batch
    return [Share(number, start, min(start + size, count)) for number, start in enumerate(range(0, count, size))]


def lots(names: Iterable[str], seed: int, purpose: str) -> NDArray[np.uint64]:
    """Return a number for each name that looks random and depends on nothing else: (N,) uint64.

    Args:
        names: of pictures.
        seed: other seeds give other numbers.
        purpose: likewise other purposes.
    """
    key = f"{seed} {purpose}".encode()[:64]
    drawn = (
        hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=8, key=key).digest() for name in names
    )
    return np.frombuffer(b"".join(drawn), dtype="<u8").astype(np.uint64)


def drawn(numbers: NDArray[np.uint64], limit: int) -> NDArray[np.bool_]:
    """Tell which have the `limit` smallest lots; of equals the earlier."""
    found = np.zeros(len(numbers), np.bool_)
    found[np.argsort(numbers, kind="stable")[:limit]] = True
    return found


def is_finished(work: Path, share: Share) -> bool:
    """Tell whether a share is on disk."""
    return _file(work, share).exists()


def write_share(work: Path, share: Share, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write what a share gave, whole or not at all.

    Raises:
        OutputError: it cannot be written; nothing is left behind.
    """
    file = _file(work, share)
    part = file.with_suffix(f".{os.getpid()}.part")
    try:
        with part.open("wb") as stream:
            np.savez(stream, allow_pickle=False, **arrays)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, file)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink()
        raise OutputError(
            f"Cannot write {shown(file)}: {error.strerror or one_line(error)}. The shares that were finished before "
            "are kept. Make room or get the right there, then start the same build again: it goes on from there."
        ) from error


def read_share(work: Path, share: Share) -> Mapping[str, NDArray[Any]]:
    """Open what a share gave; an array is read when it is asked for.

    Raises:
        AtlasError: it is broken.
    """
    file = _file(work, share)
    try:
        return np.load(file, allow_pickle=False)  # type: ignore[no-any-return]  # numpy leaves it open
    except Exception as error:  # a damaged archive raises BadZipFile, EOFError, zlib.error, KeyError, ...
        raise AtlasError(
            f"{shown(file)}, a finished share of an interrupted build, is broken ({one_line(error)}). Remove this file "
            "and start the same build again."
        ) from error


def _file(work: Path, share: Share) -> Path:
    return work / f"share-{share.number:05d}.npz"
