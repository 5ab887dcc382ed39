"""Nearest neighbours among the pictures of an atlas, in one of its spaces: exactly, or by an index that is kept there.

An index is made when it is first asked for, and lies beside the array that it was made of, in one file:

    ATLAS/data-0002/features-0.npy
    ATLAS/data-0002/features-0-euclidean.index.npz

Nothing in it is pickled, and it may be removed at any time. It says of which array it is; one of another is made anew.
As it lies with the data, it goes when they are replaced. Where nothing can be written it is made each time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray

from striate.atlas import pixels
from striate.atlas.index import Index, make
from striate.atlas.nearest import METRICS, Metric, Nearest, nearest
from striate.atlas.opened import Atlas
from striate.errors import OptionError
from striate.files import one_line
from striate.network import Network
from striate.results.words import count

__all__ = ["Searched", "Way", "forget", "kept_indexes", "over_features", "over_pixels"]

Way = Literal["exact", "approximate"]
FORMAT = "striate-index-2"
ENDING = ".index.npz"
FEW = 1000  # pictures that are compared as fast without an index
_PIECE = 1 << 24  # bytes that are read at a time

_open: WeakKeyDictionary[Atlas, dict[Path, Index]] = WeakKeyDictionary()
"""Indexes that were read for an atlas, as long as it is open: a page asks many times."""


@dataclass(frozen=True, eq=False)
class Searched:
    """A space of an atlas, ready to be searched.

    Attributes:
        base: (N, D), a vector of each picture.
        metric: in which they are near.
        device: where every pair is compared.
        index: that finds most of them without; None where every pair is compared.
        notes: sentences on the index.
    """

    base: NDArray[Any]
    metric: Metric
    device: torch.device
    index: Index | None = None
    notes: tuple[str, ...] = ()

    def nearest(self, queries: NDArray[Any], k: int, *, exclude: NDArray[np.int64] | None = None) -> Nearest:
        """Find the k nearest for each query; see `nearest.nearest`."""
        if self.index is not None:
            return self.index.nearest(queries, self.base, k, exclude=exclude)
        return nearest(queries, self.base, k, metric=self.metric, exclude=exclude, device=self.device)

    def recall(self, k: int) -> float:
        """Return which share of the k nearest is found, in [0, 1]: 1 where the search is exact; NaN where unknown."""
        return 1.0 if self.index is None else self.index.recall(k)


def over_features(
    atlas: Atlas,
    place: str,
    *,
    way: Way = "exact",
    metric: Metric = "euclidean",
    device: torch.device | str = "cpu",
) -> Searched:
    """Search in the features of a layer, averaged over the map.

    Args:
        atlas: open.
        place: one of its `feature_places`.
        way: "exact", or "approximate": by an index, which is made where there is none.
        metric: euclidean, or cosine.
        device: where every pair is compared.

    Raises:
        AddressError: the atlas keeps no features of that layer.
        OptionError: no such way; features that are not finite.
        Stopped: the user asked to stop.
    """
    _check(way, metric)
    base, file = atlas.averaged(place), atlas.feature_file(place)
    return _searched(torch.device(device), atlas, base, file, place, way, metric)


def over_pixels(network: Network, atlas: Atlas, *, way: Way = "exact", metric: Metric = "euclidean") -> Searched:
    """Search among the pictures' pixels, made small; see `pixels.of_atlas`.

    Args:
        network: that the atlas was built with.
        atlas: open.
        way: as of `over_features`.
        metric: likewise.

    Raises:
        ImageError: a picture is no longer there, or cannot be read any more.
        OptionError: no such way.
        Stopped: the user asked to stop.
    """
    _check(way, metric)
    base, file = pixels.of_atlas(network, atlas), pixels.file_of(atlas)
    return _searched(network.device, atlas, base, file, "pixels", way, metric)


def kept_indexes(atlas: Atlas) -> tuple[Path, ...]:
    """Return the files of the indexes that an atlas has."""
    return tuple(sorted(atlas.folder.glob(f"*{ENDING}")))


def forget(atlas: Atlas) -> int:
    """Remove all indexes of an atlas, and return how many there were.

    Raises:
        OSError: one cannot be removed.
    """
    files = kept_indexes(atlas)
    for file in files:
        file.unlink(missing_ok=True)
    _open.pop(atlas, None)
    return len(files)


def _check(way: str, metric: str) -> None:
    if way not in get_args(Way):
        raise OptionError(f"neighbours are searched in one of these ways: {', '.join(get_args(Way))}; got {way!r}.")
    if metric not in METRICS:
        raise OptionError(f"no metric {metric!r}; there are {', '.join(METRICS)}.")


def _searched(
    device: torch.device, atlas: Atlas, base: NDArray[Any], source: Path, name: str, way: Way, metric: Metric
) -> Searched:
    if way == "exact":
        return Searched(base, metric, device)
    if len(base) < FEW:
        note = f"{count(len(base), 'picture needs', 'pictures need')} no index: every one was compared."
        return Searched(base, metric, device, None, (note,))
    file = source.with_name(f"{source.stem}-{metric}{ENDING}")
    held = _open.setdefault(atlas, {})
    notes: tuple[str, ...] = ()
    if file not in held:
        found, why = _read(file, source)
        if found is None:
            found = make(base, metric=metric)
            unkept = _keep(file, source, found)
            notes = (_made(name, why, unkept),)
        held[file] = found
    return Searched(base, metric, device, held[file], notes)


def _made(name: str, why: str, unkept: str) -> str:
    what = "by pixels" if name == "pixels" else f"of {name}"
    where = f"but could not be kept ({unkept})" if unkept else "and kept in the atlas"
    return f"The index {what} was made{' anew: ' + why if why else ''}, {where}."


def _read(file: Path, source: Path) -> tuple[Index | None, str]:
    """Open an index that was kept; None and the reason (none where there was none) where it is not of this array."""
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as held:
            about = json.loads(str(held["about"]))
            if about["format"] != FORMAT:
                return None, f"the one that was there has the format {about['format']!r}"
            if (now := _stamp(source)) is None:
                return None, f"{source.name} is not on the disk"
            if about["stamp"] != now and about["hash"] != _hash(source):
                return None, f"the one that was there is not of this {source.name}"
            return Index.from_arrays({key: held[key] for key in held.files if key != "about"}), ""
    except FileNotFoundError:
        return None, ""
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        return None, f"the one that was there cannot be read ({one_line(error)})"


def _keep(file: Path, source: Path, found: Index) -> str:
    """Write an index beside its array, whole or not at all; return why it cannot be, or nothing."""
    hidden = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        about = {"format": FORMAT, "of": source.name, "stamp": _stamp(source), "hash": _hash(source)}
        with _removed_in_the_end(hidden), hidden.open("wb") as stream:
            np.savez(stream, allow_pickle=False, about=np.array(json.dumps(about)), **found.arrays())
            stream.flush()
            os.fsync(stream.fileno())
            hidden.replace(file)
    except OSError as error:
        return error.strerror or str(error)
    return ""


@contextlib.contextmanager
def _removed_in_the_end(file: Path) -> Iterator[None]:
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)


def _stamp(source: Path) -> list[int] | None:
    """Return size and time of change of an array's file: where they are as they were, it need not be read."""
    try:
        found = source.stat()
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]


def _hash(source: Path) -> str:
    """Return what an array's file is known by after it was copied: a hash of all of it."""
    digest = hashlib.blake2b(digest_size=16)
    with source.open("rb") as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
