"""What is in a set of pictures, before anything is trained on it. Reads every picture once; changes none."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import striate
from striate import dataset, drawing, progress
from striate.dataset import PictureSet
from striate.dataset.preparing import hashed
from striate.errors import DataError, ImageError, OptionError
from striate.learn.checking import similar
from striate.learn.checking.inspecting import RECORD
from striate.learn.checking.looking import TASK, look, lookalikes, seen_groups
from striate.learn.checking.remembering import Seen
from striate.learn.pictures.split import split
from striate.results.base import Recipe
from striate.results.drawn import Pixels
from striate.results.folder_check import FolderCheck, Group

__all__ = ["check"]

_SHOWN = 24  # groups of each kind of which pictures are kept to be shown
_SIDE = 160  # pixels of the long side of those


def check(
    source: Any,
    *,
    labels: Any = None,
    near: int = similar.DISTANCE,
    share: float = 0.2,
    seed: int = 0,
    cache: str | os.PathLike[str] | None = None,
    workers: int | None = None,
) -> FolderCheck:
    """Look at every picture of a set before training.

    Found are: pictures that cannot be read, with the reasons; files that are the same byte for byte; pictures that
    are the same pixel for pixel; and such that are nearly the same: saved with other quality or size. Which of these
    would lie on both sides of the split into training and validation, and which stand under two classes. Further the
    classes and how uneven they are, and sizes, modes and turned pictures.

    What was found in a file is kept, so that it is read again only when its size or time changes.

    Args:
        source: whatever `striate.dataset.open` takes.
        labels: likewise.
        near: bits, of 64, that the perceptual hashes of nearly equal pictures may differ by, 0 to 7.
        share: of each class for validation, where the set has no parts, as for `striate.learn.split`.
        seed: of that split.
        cache: file for what was found in the pictures; "none" for none. One in the user's folder for caches unless
            given. Pictures that are no files are not kept.
        workers: threads that decode; as many as there are processors when None.

    Raises:
        DataError: there is no such set, or no picture in it.
        OptionError: an option makes no sense.
        OutputError: the cache that was asked for cannot be written.
        Stopped: the user asked to stop; what was found is kept for the next time.
    """
    if not 0 <= near <= similar.DISTANCE:
        raise OptionError(f"near must be from 0 to {similar.DISTANCE} bits, got {near}.")
    if workers is not None and workers < 0:
        raise OptionError(f"workers must be at least 0, got {workers}.")
    started = time.perf_counter()
    pictures = dataset.open(source, labels=labels)
    if pictures.prepared:
        raise DataError(
            "Pictures that are normalised already (prepared=True) cannot be checked: open them as they are."
        )
    notes = list(pictures.notes)
    looked = look(pictures, cache=cache, workers=workers, notes=notes)
    found = [looked[index] for index in range(len(pictures))]
    good = np.array([index for index, seen in enumerate(found) if not isinstance(seen, str)], dtype=np.int64)
    records = np.zeros(len(pictures), dtype=RECORD)
    for index in good.tolist():
        records[index] = found[index]
    sides, divided = _sides(pictures, looked, share, seed, notes)
    copies = _copies(pictures, records, good)
    nearly = _nearly(records, good, copies, near)
    shown_first = [*copies[:_SHOWN], *nearly[:_SHOWN]]
    result = FolderCheck(
        description=pictures.description,
        names=tuple(pictures.name(index) for index in range(len(pictures))),
        labels=pictures.labels.copy(),
        class_names=_class_names(pictures),
        broken=tuple((index, seen) for index, seen in enumerate(found) if isinstance(seen, str)),
        sizes=np.stack([records["width"], records["height"]], axis=1),
        formats=tuple(one.decode() for one in records["format"].tolist()),
        modes=tuple(one.decode() for one in records["mode"].tolist()),
        turns=records["turn"].copy(),
        groups=(*copies, *nearly),
        sides=sides,
        divided=divided,
        examples={},
        recipe=Recipe(
            lens="check",
            options={"near": near, "share": share, "seed": seed},
            version=striate.__version__,
            seconds=time.perf_counter() - started,
            notes=tuple(notes),
        ),
    )
    wanted = [*shown_first, *result.leaks()[:_SHOWN], *result.conflicts()[:_SHOWN]]
    result.examples.update(_examples(pictures, wanted))
    return result


def _copies(pictures: PictureSet, records: NDArray[Any], good: NDArray[np.int64]) -> list[Group]:
    """Find pictures that are the same: files byte for byte, others pixel for pixel."""
    same_bytes: dict[Hashable, list[int]] = defaultdict(list)
    same_pixels: dict[Hashable, list[int]] = defaultdict(list)
    for index in good.tolist():
        key = records["bytes"][index].tobytes()
        if any(key):
            same_bytes[key].append(index)
            if len(same_bytes[key]) > 1:
                continue
        same_pixels[int(records["pixels"][index])].append(index)
    found = [Group(tuple(members), "bytes") for members in same_bytes.values() if len(members) > 1]
    for members in same_pixels.values():
        if len(members) > 1:
            found += [Group(tuple(group), "pixels") for group in _exactly(pictures, members)]
    return sorted(found, key=lambda group: group.members)


def _exactly(pictures: PictureSet, members: Sequence[int]) -> list[list[int]]:
    """Compare pictures at full size that are the same at reduced size."""
    gathered: dict[str, list[int]] = defaultdict(list)
    for index in members:
        progress.check_stop(TASK)
        try:
            gathered[hashed(pictures.pixels(index))].append(index)
        except ImageError:  # it was read before: taken away meanwhile
            continue
    return [group for group in gathered.values() if len(group) > 1]


def _nearly(records: NDArray[Any], good: NDArray[np.int64], copies: Sequence[Group], distance: int) -> list[Group]:
    """Find pictures that are nearly the same; of copies, the first stands for all."""
    again = {index for group in copies for index in group.members[1:]}
    chosen = np.array([index for index in good.tolist() if index not in again], dtype=np.int64)
    return [Group(tuple(members), "near") for members in seen_groups(records, chosen, distance)]


def _sides(
    pictures: PictureSet, looked: Mapping[int, Seen], share: float, seed: int, notes: list[str]
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the part that each picture is of, or would be of, -1 for none; and what the parts are called."""
    sides = np.full(len(pictures), -1, dtype=np.int64)
    if pictures.parts:
        for number, part in enumerate(pictures.parts):
            sides[part.start : part.stop] = number
        return sides, tuple(part.name for part in pictures.parts)
    labelled = np.flatnonzero(pictures.labels >= 0)
    # as a training without options would; what that passes over, the check looks at all the same
    together = lookalikes(pictures, labelled, found=looked, notes=[])
    try:
        made = split(pictures, share=share, seed=seed, together=together)
    except DataError as error:
        notes.append(f"As it is, it cannot be trained on: {error}")
        return sides, ()
    sides[made.train_indices], sides[made.validation_indices] = 0, 1
    return sides, ("training", "validation")


def _class_names(pictures: PictureSet) -> tuple[str, ...]:
    given = pictures.class_names or ()
    return (*given, *(str(index) for index in range(len(given), int(pictures.labels.max(initial=-1)) + 1)))


def _examples(pictures: PictureSet, groups: Iterable[Group]) -> dict[int, Pixels]:
    """Read the pictures of a few groups, small, as they are shown."""
    read: dict[int, Pixels] = {}
    for index in {index for group in groups for index in group.members[:2]}:
        try:
            values = pictures.pixels(index)
        except ImageError:
            continue
        if values.dtype != np.uint8:
            values = np.rint(values.astype(np.float32).clip(0, 1) * 255).astype(np.uint8)
        values = values[:, :, :3] if values.shape[2] >= 3 else values[:, :, :1].repeat(3, axis=2)
        factor = min(_SIDE / max(values.shape[:2]), 1.0)
        size = (max(round(values.shape[0] * factor), 1), max(round(values.shape[1] * factor), 1))
        read[index] = drawing.resample_bilinear(np.ascontiguousarray(values), size)
    return read
