"""Pictures in NumPy files: `.npz` archives and `.npy` arrays, mapped where they can be, nothing unpickled."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from striate.dataset.arrays import ArraySet, channels_last, check_labels, part_list
from striate.dataset.folders import PARTS, origin_of
from striate.errors import DataError
from striate.files import byte_count, one_line, shown

__all__ = ["open_npy", "open_npz"]

_PICTURES = frozenset({"x", "image", "images", "picture", "pictures", "data", "input", "inputs"})
_LABELS = frozenset({"y", "label", "labels", "target", "targets"})
_NAMES = ("class_names", "label_names", "classes", "names")


class _Header(NamedTuple):
    shape: tuple[int, ...]
    columns_first: bool
    kind: np.dtype[Any]


def open_npy(path: Path, *, labels: Any = None, channels: int | None = None) -> ArraySet:
    """Open a `.npy` file of pictures, mapped into memory.

    Args:
        path: the file.
        labels: one for each picture, or None.
        channels: see `channels_last`.

    Raises:
        DataError: it is no such file.
    """
    try:
        with path.open("rb") as stream:
            header = _read_header(stream, shown(path))
            start = stream.tell()
        _check_there(path.stat().st_size - start, header, shown(path))
        order = "F" if header.columns_first else "C"
        values: NDArray[Any] = np.memmap(path, header.kind, "r", start, header.shape, order)  # type: ignore[call-overload]
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{shown(path)} cannot be opened: {one_line(error)}.") from error
    values = channels_last(values, shown(path), channels)
    return ArraySet(
        [values],
        None if labels is None else check_labels(labels, len(values), "labels"),
        source_mark=_mark_of(path),
        description=_described(len(values), 0, path),
        origin=origin_of(path, labels=None, part=None) if labels is None else None,
    )


def open_npz(
    path: Path, *, labels: Any = None, labelled: bool = True, part: str | None = None, channels: int | None = None
) -> ArraySet:
    """Open an `.npz` archive: images and labels, x and y, or x_train, y_train, x_test, ... and class_names.

    Parts (train, val, test) follow one another. What was saved uncompressed (`np.savez`) is mapped into memory; what is
    compressed is unpacked when it is opened.

    Args:
        path: the file.
        labels: one for each picture, instead of those in the file.
        labelled: whether labels in the file are read at all.
        part: only this part.
        channels: see `channels_last`.

    Raises:
        DataError: it is no such file, or holds no pictures.
    """
    name = shown(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            pictures, beside = _by_part(members, _PICTURES), _by_part(members, _LABELS)
            if not pictures:
                there = ", ".join(members) or "nothing"
                raise DataError(
                    f"{name} holds no pictures under a name that is known: images, x, x_train, ... (it holds {there})."
                )
            if part is not None and part not in pictures:
                there = ", ".join(filter(None, pictures)) or "none"
                raise DataError(f"{name} has no part {part!r}; its parts are: {there}.")
            chosen = {key: pictures[key] for key in pictures if part in (None, key)}
            arrays = {
                key: channels_last(_member(archive, path, members[held]), f"{held} in {name}", channels)
                for key, held in chosen.items()
            }
            found = None
            if labels is None and labelled and beside:
                found = _labels(archive, path, members, arrays, beside)
            class_names = _class_names(archive, path, members) if labelled else None
            mark = "-".join(f"{members[held].CRC:08x}" for held in chosen.values())
    except DataError:
        raise
    except Exception as error:
        # as with pictures: a damaged archive raises BadZipFile, zlib.error, EOFError, struct.error, KeyError, ...
        raise DataError(f"{name} is no .npz archive that can be read: {one_line(error)}. Save it again.") from error
    pieces = list(arrays.values())
    if len({piece.shape[3] for piece in pieces}) > 1 or len({piece.dtype for piece in pieces}) > 1:
        kinds = ", ".join(f"{' x '.join(map(str, piece.shape))} {piece.dtype}" for piece in pieces)
        raise DataError(f"The parts of {name} are not alike ({kinds}). Choose one: part=.")
    total = sum(map(len, pieces))
    if labels is not None:
        found = check_labels(labels, total, "labels")
    classes = 0 if found is None else len(np.unique(found[found >= 0]))
    if class_names is not None and found is not None and len(found) and int(found.max()) >= len(class_names):
        raise DataError(f"{name} has {len(class_names)} class names, and labels up to {int(found.max())}.")
    return ArraySet(
        pieces,
        found,
        source_mark=mark,
        description=_described(total, classes, path) + (f", part {part}" if part else ""),
        class_names=class_names,
        parts=part_list(list(arrays), pieces) if part is None else (),
        origin=origin_of(path, labels=None if labelled else "none", part=part) if labels is None else None,
    )


def _labels(
    archive: zipfile.ZipFile,
    path: Path,
    members: Mapping[str, zipfile.ZipInfo],
    arrays: Mapping[str, NDArray[Any]],
    labelled: Mapping[str, str],
) -> NDArray[np.int64]:
    """Read the labels of each part; those of a part without are unknown."""
    return np.concatenate(
        [
            check_labels(
                _member(archive, path, members[labelled[key]]), len(values), f"{labelled[key]} in {shown(path)}"
            )
            if key in labelled
            else np.full(len(values), -1, dtype=np.int64)
            for key, values in arrays.items()
        ]
    )


def _by_part(members: Mapping[str, zipfile.ZipInfo], wanted: frozenset[str]) -> dict[str, str]:
    """Find members such as x, images, x_train or test_images: their names by part ("" for none), parts in order."""
    found: dict[str, str] = {}
    for member in members:
        words = member.lower().split("_")
        rest = [word for word in words if word not in wanted]
        if len(rest) < len(words) and len(rest) <= 1 and (not rest or rest[0] in PARTS):
            found.setdefault(rest[0] if rest else "", member)
    return {part: found[part] for part in ("", *PARTS) if part in found}


def _member(archive: zipfile.ZipFile, path: Path, info: zipfile.ZipInfo) -> NDArray[Any]:
    """Map an array of an archive into memory, or unpack it where it is compressed.

    An array that is stored as it is lies in one piece behind the local header of its entry.
    """
    label = f"{info.filename} in {shown(path)}"
    with archive.open(info) as stream:
        header = _read_header(stream, label)
        start = stream.tell()
        _check_there(info.file_size - start, header, label)
        order = "F" if header.columns_first else "C"
        if info.compress_type != zipfile.ZIP_STORED:
            _check_fits(info.file_size, label)
            data = bytearray(stream.read())  # NumPy warns of nothing when it may write
            return np.frombuffer(data, header.kind).reshape(header.shape, order=order)  # type: ignore[call-overload, no-any-return]
    with path.open("rb") as file:
        file.seek(info.header_offset + 26)  # lengths of name and of extra field, in the header of 30 bytes
        lengths = file.read(4)
    data_at = info.header_offset + 30 + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
    if not np.prod(header.shape):
        return np.empty(header.shape, header.kind)
    return np.memmap(path, header.kind, "r", data_at + start, header.shape, order)  # type: ignore[call-overload, no-any-return]


def _class_names(
    archive: zipfile.ZipFile, path: Path, members: Mapping[str, zipfile.ZipInfo]
) -> tuple[str, ...] | None:
    held = next((name for name in _NAMES if name in members), None)
    if held is None:
        return None
    values = _member(archive, path, members[held])
    if values.ndim != 1 or values.dtype.kind not in "US":
        return None
    return tuple(value.decode("utf-8", "replace") if isinstance(value, bytes) else value for value in values.tolist())


def _read_header(stream: IO[bytes], name: str) -> _Header:
    """Read the header of an array: no more is made room for than is there, and no objects are unpickled."""
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        header = _Header(*read(stream))
    except Exception as error:  # a damaged header raises ValueError, SyntaxError, TypeError, ...
        raise DataError(f"{name} is not a NumPy array that can be read: {one_line(error)}. Save it again.") from error
    if header.kind.hasobject:
        raise DataError(f"{name} holds Python objects, which could run code when they are read. Save it as numbers.")
    return header


def _check_there(found: int, header: _Header, name: str) -> None:
    expected = header.kind.itemsize
    for side in header.shape:
        expected *= side
    if min(header.shape, default=1) < 0 or found < expected:
        raise DataError(f"{name} is cut off: {byte_count(found)} of {byte_count(expected)} are there. Copy it again.")


def _check_fits(size: int, name: str) -> None:
    """Refuse to unpack what would take more than half of the machine's memory."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return
    if size > memory / 2:
        raise DataError(
            f"{name} is compressed, and has {byte_count(size)} unpacked, more than half of the memory. "
            "Save it uncompressed (np.savez), which is read from the disk as it is needed."
        )


def _mark_of(path: Path) -> str:
    found = path.stat()
    return f"{found.st_size}-{found.st_mtime_ns}"


def _described(count: int, classes: int, path: Path) -> str:
    many = f" of {classes:,} class{'es' * (classes > 1)}" if classes else ""
    return f"{count:,} picture{'s' * (count > 1)}{many} in {shown(path.name)}"
