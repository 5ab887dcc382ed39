"""The table that says which picture trains and which validates: written, read, and compared with what is there."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.dataset import PictureSet
from striate.errors import DataError
from striate.files import csv_text, one_line, shown, write_bytes
from striate.results.words import count

__all__ = ["FORMAT", "LEFT_OUT", "Found", "find", "read", "write"]

FORMAT = "striate-split-1"
LEFT_OUT = "left out"
_COLUMNS = ("file", "class", "part")
_PARTS = ("train", "validation", LEFT_OUT)
Row = tuple[str, str, str]
Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Found:
    """The pictures of a manifest in the sets that they are of.

    Attributes:
        sides: indices and labels of "train" and "validation".
        left_out: (part, name) of what is in neither.
        vanished: names that are not there any more.
        arrived: labelled pictures that the manifest does not name.
        notes: sentences on both.
    """

    sides: Mapping[str, tuple[Indices, Indices]]
    left_out: tuple[tuple[str, str], ...]
    vanished: tuple[str, ...]
    arrived: tuple[str, ...]
    notes: tuple[str, ...]


def write(path: str | os.PathLike[str], about: Mapping[str, Any], rows: Sequence[Row]) -> Path:
    """Write a manifest: a line for each fact, then the table.

    Args:
        path: where to.
        about: facts by name, each as JSON.
        rows: file, class and part of each picture.
    """
    text = io.StringIO(newline="")
    text.write(f"# {FORMAT}\n")
    for name, value in about.items():
        text.write(f"# {name}: {json.dumps(value)}\n")
    text.write(csv_text([_COLUMNS, *rows]))
    return write_bytes(path, text.getvalue().encode("utf-8", "surrogateescape"))


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], list[Row]]:
    """Read what `write` wrote.

    Raises:
        DataError: it is no manifest; the text says why.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise DataError(f"the split {shown(path)} cannot be read: {error.strerror}.") from error
    lines = text.splitlines(keepends=True)
    about: dict[str, Any] = {}
    start = 0
    try:
        while start < len(lines) and lines[start].startswith("#"):
            name, colon, value = lines[start].removeprefix("#").partition(":")
            if colon:
                about[name.strip()] = json.loads(value)
            start += 1
        reader = csv.reader(io.StringIO("".join(lines[start:]), newline=""), strict=True)
        columns = tuple(cell.strip() for cell in next(reader, ()))
        rows = [_row(row, start + reader.line_num) for row in reader if row]
    except (csv.Error, ValueError) as error:
        if isinstance(error, DataError):
            raise DataError(f"{shown(path)}, {error}") from error
        raise DataError(f"{shown(path)} is no split that can be read: {one_line(error)}.") from error
    missing = [name for name in ("classes", "source", "validation", "two sources") if name not in about]
    if columns != _COLUMNS or missing:
        raise DataError(
            f"{shown(path)} is no split: it has the columns {', '.join(columns) or 'of an empty file'} and lacks "
            f"{', '.join(missing) or 'nothing else'}, where Striate writes {', '.join(_COLUMNS)} below lines with #."
        )
    known = set(about["classes"])
    for place, (_, name, part) in enumerate(rows):
        if part != LEFT_OUT and name not in known:
            raise DataError(f"{shown(path)}: the class {name!r} of its picture {place + 1} is not among its classes.")
    return about, rows


def find(
    path: str | os.PathLike[str],
    train: PictureSet,
    other: PictureSet,
    rows: Sequence[Row],
    class_names: Sequence[str],
) -> Found:
    """Find the pictures of a manifest again, and say which have vanished or come."""
    number = {name: index for index, name in enumerate(class_names)}
    places = {id(one): {one.name(index): index for index in range(len(one))} for one in (train, other)}
    sides: dict[str, list[tuple[int, int]]] = {"train": [], "validation": []}
    left_out: list[tuple[str, str]] = []
    vanished: list[str] = []
    seen: set[tuple[int, int]] = set()
    for name, label, part in rows:
        pictures = train if part == "train" else other
        index = places[id(pictures)].get(name)
        if index is None:
            vanished.append(name)
            continue
        if (id(pictures), index) in seen:
            raise DataError(f"{shown(path)} names {shown(name)} twice: no picture can be on both sides.")
        seen.add((id(pictures), index))
        if part == LEFT_OUT:
            left_out.append(("validation", name))
        else:
            sides[part].append((index, number[label]))
    arrived = [
        one.name(index)
        for one in ((train,) if other is train else (train, other))
        for index in _concerned(one, {index for held, index in seen if held == id(one)})
        if (id(one), index) not in seen and one.labels[index] >= 0
    ]
    notes = []
    for names, what in ((vanished, "vanished since"), (arrived, "come since, and used on neither side")):
        if names:
            some = f"{count(len(names), 'picture')} {'has' if len(names) == 1 else 'have'} {what}"
            notes.append(f"{some} {Path(path).name} was written (the first: {shown(names[0])}).")
    found = {part: np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2) for part, pairs in sides.items()}
    return Found(
        {part: (np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1])) for part, pairs in found.items()},
        tuple(left_out),
        tuple(vanished),
        tuple(arrived),
        tuple(notes),
    )


def _concerned(pictures: PictureSet, seen: set[int]) -> list[int]:
    """Return the pictures of those parts of a set that a manifest names any of; all where it has no parts."""
    if not pictures.parts:
        return list(range(len(pictures)))
    touched = [part for part in pictures.parts if any(part.start <= index < part.stop for index in seen)]
    return [index for part in touched for index in range(part.start, part.stop)]


def _row(row: Sequence[str], line: int) -> Row:
    if len(row) != len(_COLUMNS) or row[2] not in _PARTS:
        raise DataError(f"line {line}: {','.join(row)!r} is not a file, its class and one of {', '.join(_PARTS)}.")
    return row[0], row[1], row[2]
