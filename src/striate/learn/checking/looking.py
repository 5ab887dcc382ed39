"""Look at many pictures, from a memory where they were seen before, and find those that look nearly the same."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from striate import progress
from striate.dataset import PictureSet
from striate.dataset.arrays import ArraySet
from striate.dataset.batches import processors
from striate.errors import ImageError, OutputError
from striate.images import quietly
from striate.learn.checking import similar
from striate.learn.checking.inspecting import RECORD, Passing, inspect
from striate.learn.checking.remembering import Memory, Seen, usual_place

__all__ = ["MOST", "SMALL", "TASK", "comparable", "look", "lookalikes", "seen_groups", "workable"]

TASK: Final = "looking at the pictures"
SMALL: Final = 64  # pixels of the long side up to which pictures, such as digits, are often alike by chance
MOST: Final = 200_000  # pictures among which a split looks for such as are nearly the same: minutes of decoding
_SAVED = 30.0  # seconds between two writings of what was found so far
_SAMPLED = 32  # pictures, evenly over the set, by whose size it is decided whether all are small


def look(
    pictures: PictureSet,
    indices: Iterable[int] | None = None,
    *,
    cache: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    keep: bool = True,
    notes: list[str],
) -> dict[int, Seen]:
    """Return what each picture is, or why it cannot be read, from the cache or by looking.

    Args:
        pictures: the set.
        indices: which of them; all unless given. What is kept of the others stays.
        cache: file for what was found; "none" for none; one in the user's folder for caches unless given.
        workers: threads that decode; as many as there are processors when None.
        keep: write what is new into the cache.
        notes: gets a sentence where the cache cannot be written.

    Raises:
        OutputError: the cache that was asked for cannot be written.
        Stopped: the user asked to stop; what was found is kept for the next time.
    """
    wanted = range(len(pictures)) if indices is None else list(indices)
    place = _cache_of(pictures, cache)
    memory = Memory() if place is None else Memory.read(place)
    kept = Memory()  # of the pictures that are there now: others are forgotten
    found: dict[int, Seen] = {}
    marks: dict[int, str] = {}
    asked = set(wanted)
    for index in range(len(pictures)) if len(memory) else ():
        marks[index] = pictures.mark(index)
        seen = memory.recall(pictures.name(index), marks[index])
        if seen is not None:
            kept.keep(pictures.name(index), marks[index], seen)
            if index in asked:
                found[index] = seen
    new = [index for index in wanted if index not in found]
    keeps = keep and place is not None
    saved = time.monotonic()
    failure: OutputError | None = None
    try:
        with closing(_inspected(pictures, new, workers)) as looking:
            for index, seen in progress.track(looking, TASK, len(new)) if new else ():
                found[index] = seen
                if not keeps:
                    continue
                if not isinstance(seen, Passing):
                    mark = marks[index] if index in marks else pictures.mark(index)
                    kept.keep(pictures.name(index), mark, seen)
                if time.monotonic() - saved > _SAVED:
                    failure = _write(kept, place)
                    saved = time.monotonic()
    finally:
        if keeps and new:
            failure = _write(kept, place)
    if failure is not None:
        if cache is not None:
            raise failure
        notes.append(f"{failure} The next check will read every picture again.")
    return found


def lookalikes(
    pictures: PictureSet, indices: NDArray[np.int64], *, found: Mapping[int, Seen] | None = None, notes: list[str]
) -> list[list[int]]:
    """Find pictures that look nearly the same: saved anew, with other quality or size.

    Small pictures, whose long side has at most `SMALL` pixels, can be alike without being copies, and are passed over;
    where a sample of the set has small ones only, nothing is decoded, and nothing of a PyTorch data set either. Above
    `MOST` pictures nothing is looked for, and the notes say so. What `striate.learn.check` found before is used, and
    nothing is written: the answer depends on the pictures alone.

    Args:
        pictures: the set.
        indices: which of them, shape (n,).
        found: what `look` found of them, where that was done already.
        notes: gets sentences on what was not done.

    Returns:
        Groups of at least two indices, each ascending.

    Raises:
        Stopped: the user asked to stop.
    """
    if not comparable(pictures) or len(indices) < 2 or not _some_large(pictures, indices):
        return []
    if len(indices) > MOST:
        notes.append(f"Among more than {MOST:,} pictures, those that are nearly the same are not looked for.")
        return []
    if found is None:
        found = look(pictures, indices.tolist(), keep=False, notes=notes)
    records = np.zeros(len(indices), dtype=RECORD)
    good = [place for place, index in enumerate(indices.tolist()) if not isinstance(found[index], str)]
    for place in good:
        records[place] = found[int(indices[place])]
    groups = seen_groups(records, workable(records, np.array(good, dtype=np.int64)))
    return [[int(indices[place]) for place in group] for group in groups]


def comparable(pictures: PictureSet) -> bool:
    """Tell whether a split compares how pictures look: not those of a PyTorch data set, which may be drawn by lot."""
    return not pictures.prepared and (isinstance(pictures, ArraySet) or pictures.path(0) is not None)


def workable(records: NDArray[Any], good: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return those pictures that are too large to be alike by chance."""
    large = np.maximum(records["width"][good], records["height"][good]) > SMALL
    return np.asarray(good[large])


def seen_groups(records: NDArray[Any], chosen: NDArray[np.int64], distance: int = similar.DISTANCE) -> list[list[int]]:
    """Find the pictures that are nearly the same by what is known of them.

    Args:
        records: of all pictures, of `RECORD`.
        chosen: which of them are compared, shape (n,).
        distance: bits that two hashes may differ by.

    Returns:
        Groups of at least two, each ascending.
    """
    if len(chosen) < 2:
        return []
    shapes = records["width"][chosen] / np.maximum(records["height"][chosen], 1).astype(np.float64)
    found = similar.groups(records["hash"][chosen], records["tiny"][chosen], shapes, distance=distance)
    return [chosen[members].tolist() for members in found]


def _some_large(pictures: PictureSet, indices: NDArray[np.int64]) -> bool:
    """Tell whether any of a few pictures is large; what cannot be read counts as nothing."""
    few = np.unique(np.linspace(0, len(indices) - 1, min(_SAMPLED, len(indices))).round().astype(np.int64))
    return any(_side(pictures, int(indices[place])) > SMALL for place in few)


def _side(pictures: PictureSet, index: int) -> int:
    path = pictures.path(index)
    try:
        if path is None or path.suffix.lower() == ".npy":
            return int(max(pictures.pixels(index).shape[:2]))
        if not path.is_file():  # a pipe could be waited for for ever
            return 0
        with quietly(), Image.open(path) as opened:
            return int(max(opened.size))
    except (ImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return 0


def _inspected(
    pictures: PictureSet, indices: Sequence[int], workers: int | None
) -> Generator[tuple[int, Seen], None, None]:
    """Look at pictures in threads, and yield what was found in their order."""
    threads = processors() if workers is None else workers
    if threads == 0:
        for index in indices:
            yield index, inspect(pictures, index)
        return
    pool = ThreadPoolExecutor(threads, thread_name_prefix="striate-checking")
    try:
        ahead = 64 * threads
        for start in range(0, len(indices), ahead):
            piece = indices[start : start + ahead]
            yield from zip(piece, pool.map(lambda index: inspect(pictures, index), piece), strict=True)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _cache_of(pictures: PictureSet, cache: Any) -> Path | None:
    if cache == "none" or pictures.path(0) is None:
        return None
    if cache is not None:
        return Path(cache)
    return usual_place(getattr(pictures, "root", Path()))


def _write(memory: Memory, place: Path | None) -> OutputError | None:
    if place is None:
        return None
    try:
        memory.write(place)
    except OutputError as error:
        return error
    return None
