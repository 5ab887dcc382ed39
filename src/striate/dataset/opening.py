"""Open whatever pictures are kept in. Decodes none of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from striate.dataset.archives import open_npy, open_npz
from striate.dataset.arrays import ArraySet, as_numpy, channels_last, check_labels
from striate.dataset.folders import FileSet, open_folder, origin_of
from striate.dataset.pictures import PictureSet
from striate.dataset.tables import open_table
from striate.dataset.wrapped import wrap
from striate.errors import DataError
from striate.files import shown

__all__ = ["open"]

_TABLE = "labels.csv"


def open(
    source: Any,
    *,
    labels: Any = None,
    part: str | None = None,
    channels: int | None = None,
    prepared: bool = False,
) -> PictureSet:
    """Open a set of pictures, whatever it is kept in.

    - A folder: with `labels.csv` in it, what that names; else its sub-folders are the classes, in the order of their
      names; without sub-folders, pictures without labels. Sub-folders train, val, test are parts.
    - A `.csv` table of files and labels, beside the pictures or with paths to them.
    - An `.npz` archive (images and labels, x and y, or x_train, y_train, x_test, ...), or a `.npy` array.
    - A picture, or a list of files.
    - An array or a tensor of pictures.
    - Any map-style PyTorch data set.

    Args:
        source: what to open; a `PictureSet` is returned as it is.
        labels: a `.csv` table, one class index for each picture, or "none" to take folders for no classes; None takes
            what the source itself says.
        part: only this part ("train", "test"); all of them, one behind the other, when None.
        channels: of the pictures in an array, where its shape leaves a doubt.
        prepared: items of a PyTorch data set are resized and normalised already, as the network takes them.

    Returns:
        The set, in an order that is always the same.

    Raises:
        DataError: there is no such thing, it holds no pictures, or labels do not fit; the text says what to do.
    """
    if isinstance(source, PictureSet):
        return source
    if isinstance(source, str | os.PathLike):
        return _open_path(os.fspath(source), labels, part, channels)
    if part is not None:
        raise DataError(f"part={part!r} was given, and {type(source).__name__} has no parts.")
    if isinstance(source, np.ndarray | Tensor):
        return _open_values(source, labels, channels)
    if isinstance(source, list | tuple) and source and all(isinstance(one, str | os.PathLike) for one in source):
        return _open_files([Path(one) for one in source], labels)
    return wrap(source, labels=_without_words(labels), prepared=prepared)


def _open_path(text: str, labels: Any, part: str | None, channels: int | None) -> PictureSet:
    path = Path(text)
    try:
        is_folder, exists = path.is_dir(), path.exists() and bool(text)
    except (OSError, ValueError):  # a name with a null character
        is_folder = exists = False
    if not exists:
        raise DataError(
            f"{shown(text) or 'A name of no letters'} does not exist. "
            "Give a folder of pictures, or a .csv, .npz or .npy file."
        )
    ending = path.suffix.lower()
    table = _table_of(path, labels)
    if is_folder or table is not None or ending == ".csv":
        if table is None and ending == ".csv" and not is_folder:
            return _without_parts(open_table(path, path.parent, given=True), part)
        if table is not None:
            return _without_parts(open_table(table, path, given=labels is not None), part)
        opened = open_folder(path, classes=not _is_none(labels), part=part)
        if labels is not None and not _is_none(labels):
            opened._labels = check_labels(labels, len(opened), "labels")
            opened.origin = None
        return opened
    if ending == ".npz":
        known = _without_words(labels)
        return open_npz(path, labels=known, labelled=not _is_none(labels), part=part, channels=channels)
    if part is not None:
        raise DataError(f"part={part!r} was given, and {shown(path)} has no parts.")
    if ending == ".npy":
        return open_npy(path, labels=_without_words(labels), channels=channels)
    return _open_files([path], labels)


def _table_of(path: Path, labels: Any) -> Path | None:
    """Return the table of labels that goes with a folder."""
    if isinstance(labels, str | os.PathLike) and not _is_none(labels):
        table = Path(labels)
        if not table.is_file():
            raise DataError(f"labels: {shown(table)} does not exist. Give a .csv table with columns file and label.")
        return table
    beside = path / _TABLE
    return beside if labels is None and path.is_dir() and beside.is_file() else None


def _open_files(paths: Sequence[Path], labels: Any) -> FileSet:
    known = _without_words(labels)
    if len({str(path) for path in paths}) < len(paths):
        raise DataError("A file is given twice.")
    return FileSet(
        Path(),
        [path.as_posix() for path in paths],
        None if known is None else check_labels(known, len(paths), "labels"),
        description=f"{len(paths):,} picture{'s' * (len(paths) > 1)}",
        origin=origin_of(paths[0], labels=None, part=None) if len(paths) == 1 and known is None else None,
    )


def _open_values(source: Any, labels: Any, channels: int | None) -> ArraySet:
    values = as_numpy(source) if isinstance(source, Tensor) else source
    if isinstance(source, Tensor) and values.ndim == 4 and channels is None:
        channels = values.shape[1]  # tensors are N x C x H x W
    values = channels_last(values, "The array", channels)
    known = _without_words(labels)
    return ArraySet(
        [values],
        None if known is None else check_labels(known, len(values), "labels"),
        description=f"{len(values):,} picture{'s' * (len(values) > 1)} in an array",
    )


def _without_words(labels: Any) -> Any:
    """Return labels that are numbers; a table can only name files."""
    if _is_none(labels):
        return None
    if isinstance(labels, str | os.PathLike):
        raise DataError(f"labels: the table {shown(labels)} can only go with a folder. Give one class index a picture.")
    return labels


def _without_parts(opened: FileSet, part: str | None) -> FileSet:
    if part is not None:
        raise DataError(f"part={part!r} was given, and a table of labels has no parts. Make one table for each.")
    return opened


def _is_none(labels: Any) -> bool:
    return isinstance(labels, str) and labels == "none"
