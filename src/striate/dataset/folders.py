"""Pictures in files: class folders, a flat folder, or a list. Lists names only; decodes when a picture is asked for."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.dataset.pictures import Part, PictureSet
from striate.errors import DataError, ImageError
from striate.files import shown
from striate.images import SUFFIXES, read_array, read_image
from striate.spec import InputSpec

__all__ = ["PARTS", "FileSet", "Listing", "list_folder", "open_folder"]

PARTS = ("train", "training", "val", "valid", "validation", "test", "testing")
"""Names of folders that are parts of a data set, not classes, in the order in which parts follow each other."""


class FileSet(PictureSet):
    """Pictures in files of their own, read as `Network.read` reads them.

    Attributes:
        root: the folder that names are relative to.
        names: relative paths with "/", in order.
    """

    def __init__(
        self, root: Path, names: Sequence[str], labels: NDArray[np.int64] | None = None, **settings: Any
    ) -> None:
        """Keep names; see `PictureSet` for the settings."""
        super().__init__(labels, **settings)
        self.root = root
        self.names = names

    def __len__(self) -> int:
        return len(self.names)

    def name(self, index: int) -> str:
        """Return the path of a picture below the folder, with "/"."""
        return self.names[index]

    def path(self, index: int) -> Path:
        """Return the file of a picture."""
        return self.root / self.names[index]

    def pixels(self, index: int) -> NDArray[Any]:
        """Return a picture upright and whole: uint8 in three colours, or the float32 of a ``.npy``."""
        path = self.path(index)
        if path.suffix.lower() == ".npy":
            return read_array(path, channels=_channels_of(path))
        return np.asarray(read_image(path))

    def fitted(self, index: int, spec: InputSpec) -> NDArray[Any]:
        """Read a picture, decoding no more of it than the network's size needs."""
        path = self.path(index)
        try:
            if path.suffix.lower() == ".npy":
                return spec.fit_array(read_array(path, channels=spec.channels))
            if spec.channels not in (1, 3, 4):
                raise ImageError(
                    f"The network takes {spec.channels} channels, which picture files do not have. "
                    "Give .npy arrays (H, W, C)."
                )
            picture = read_image(path, channels=spec.channels, short_side=spec.short_side)
            values = np.asarray(spec.fit(picture))
        except MemoryError as error:
            raise ImageError(f"{shown(path)} needs more memory than there is. Make it smaller first.") from error
        except ImageError as error:
            if shown(path) in str(error):
                raise
            raise ImageError(f"{shown(path)}: {error}") from error
        return values[:, :, None] if values.ndim == 2 else values

    def mark(self, index: int) -> str:
        """Return size (bytes) and time of change (nanoseconds) of a file; "missing" where there is none."""
        try:
            found = os.stat(self.path(index))
        except (OSError, ValueError):
            return "missing"
        return f"{found.st_size}-{found.st_mtime_ns}"


def _channels_of(path: Path) -> int:
    """Guess which end of an array's shape is the channels: the last, unless the first is shorter."""
    try:
        shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
    except Exception:  # what is wrong with it is said by who reads it
        return 1
    return 1 if len(shape) != 3 else min(shape[-1], shape[0])


@dataclass
class Listing:
    """What a folder holds.

    Attributes:
        names: pictures, relative with "/", sorted by their parts; arrays (``.npy``) where there are no pictures.
        others: how many files of each other ending there are.
        direct: how many pictures lie in the folder itself.
    """

    names: list[str] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    direct: int = 0


def list_folder(folder: Path, *, suffixes: Sequence[str] = SUFFIXES) -> Listing:
    """List the pictures in and below a folder: sorted, hidden ones left out, links followed, none decoded.

    Raises:
        DataError: the folder, or one in it, cannot be listed.
    """
    found = Listing()
    arrays: list[str] = []
    _walk(folder, "", frozenset(suffixes), found, arrays, frozenset())
    if not found.names and arrays:
        found.names = arrays
        found.others.pop(".npy", None)
    found.direct = sum("/" not in name for name in found.names)
    return found


def _walk(
    folder: Path, below: str, wanted: frozenset[str], found: Listing, arrays: list[str], above: frozenset[str]
) -> None:
    try:
        with os.scandir(folder / below) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(
            f"The folder {shown(folder / below)} cannot be listed: {error.strerror}. "
            "Get the right to read it, or leave it out."
        ) from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if _leads_down(entry):
            # a link that leads back up would be walked for ever
            real = os.path.realpath(entry.path) if entry.is_symlink() or above else ""
            if real in above:
                continue
            inside = above | {real, os.path.realpath(folder / below)} if real else above
            _walk(folder, f"{below}{entry.name}/", wanted, found, arrays, inside)
            continue
        ending = os.path.splitext(entry.name)[1].lower()
        if ending in wanted:
            found.names.append(below + entry.name)
            continue
        if ending == ".npy":
            arrays.append(below + entry.name)
        found.others[ending or "no ending"] += 1


def _leads_down(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder; a link to itself is none, and is named as broken when it is read."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def open_folder(folder: Path, *, classes: bool = True, part: str | None = None) -> FileSet:
    """Open a folder: sub-folders are classes, in the order of their names; what lies loose has no label.

    Folders named train, val, test and the like, with nothing beside them, are parts; their sub-folders are the classes,
    and one name is one class in all parts.

    Args:
        folder: where to look.
        classes: whether folders are classes at all.
        part: only this part.

    Raises:
        DataError: there is no picture in it, or no such part.
    """
    listing = list_folder(folder)
    names = listing.names
    if not names:
        counted = f" ({sum(listing.others.values()):,} other files)" if listing.others else ""
        raise DataError(
            f"There are no pictures in {shown(folder)}{counted}. Looked for {' '.join(SUFFIXES)}, and .npy arrays."
        )
    parts: list[Part] = []
    if not listing.direct and {name.partition("/")[0].lower() for name in names} <= set(PARTS):
        names, parts = _in_parts(names)
    chosen = parts
    if part is not None:
        chosen = [one for one in parts if one.name == part]
        if not chosen:
            there = ", ".join(one.name for one in parts) or "none"
            raise DataError(f"{shown(folder)} has no part {part!r}; its parts are: {there}.")
    notes = _left_out(listing.others)
    class_of = [_class_of(name, 1 if parts else 0) for name in names] if classes else [""] * len(names)
    class_names = sorted({name for name in class_of if name})
    labels = None
    if class_names:
        number = {name: index for index, name in enumerate(class_names)} | {"": -1}
        labels = np.fromiter((number[name] for name in class_of), dtype=np.int64, count=len(names))
        if loose := int((labels < 0).sum()):
            notes.append(f"{loose:,} pictures lie beside the class folders and have no label.")
    if part is not None:
        start, stop = chosen[0].start, chosen[0].stop
        names, labels = names[start:stop], None if labels is None else labels[start:stop]
        chosen = []
    where = f"the folder {shown(folder.name or folder)}" + (f", part {part}" if part else "")
    many = f" of {len(class_names):,} class{'es' * (len(class_names) > 1)}" if class_names else ""
    return FileSet(
        folder,
        names,
        labels,
        description=f"{len(names):,} picture{'s' * (len(names) > 1)}{many} in {where}",
        class_names=class_names or None,
        parts=chosen,
        origin=origin_of(folder, labels=None if classes else "none", part=part),
        notes=notes,
    )


def origin_of(source: Path, *, labels: str | os.PathLike[str] | None, part: str | None) -> Mapping[str, str]:
    """Return the arguments by which a set on disk is opened again, from anywhere on this machine."""
    origin = {"source": str(source.absolute())}
    if labels is not None:
        origin["labels"] = labels if labels == "none" else str(Path(labels).absolute())
    if part is not None:
        origin["part"] = part
    return origin


def _in_parts(names: list[str]) -> tuple[list[str], list[Part]]:
    """Put the parts one behind the other: training first, then validation, then test."""
    by_part: dict[str, list[str]] = {}
    for name in names:
        by_part.setdefault(name.partition("/")[0], []).append(name)
    ordered: list[str] = []
    parts: list[Part] = []
    for part in sorted(by_part, key=lambda part: PARTS.index(part.lower())):
        parts.append(Part(part, len(ordered), len(ordered) + len(by_part[part])))
        ordered += by_part[part]
    return ordered, parts


def _class_of(name: str, depth: int) -> str:
    """Return the folder that is a picture's class, "" where it lies in none."""
    steps = name.split("/")
    return steps[depth] if len(steps) > depth + 1 else ""


def _left_out(others: Counter[str]) -> list[str]:
    if not others:
        return []
    total = sum(others.values())
    kinds = ", ".join(f"{count:,} {ending}" for ending, count in others.most_common(4))
    return [f"{total:,} file{'s' * (total > 1)} with other endings left out ({kinds})."]
