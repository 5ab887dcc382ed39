"""Labels from a table: a CSV file that names pictures and their classes. Looks at no picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from striate.dataset.folders import FileSet, list_folder, origin_of
from striate.errors import DataError
from striate.files import shown

__all__ = ["Table", "open_table", "read_table"]

_FILE = ("file", "filename", "file_name", "image", "path", "picture", "name", "id")
_INDEX = ("class_index", "index", "class_id", "label_index", "label_id", "target")
_LABEL = ("label", "class", "class_name", "category", "target_name")


@dataclass(frozen=True)
class Table:
    """What a table of labels says.

    Attributes:
        files: as they stand there, in its order.
        labels: class of each, shape (N,), int64, -1 where the cell is empty.
        class_names: names by index, or None where the table has none.
    """

    files: list[str]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...] | None


def read_table(path: Path) -> Table:
    """Read a table with the columns file, class_index, wnid, label, or file, label.

    Columns may stand in any order and case, with others between; commas, semicolons or tabs separate them. Labels that
    are all whole numbers are the indices themselves; words are numbered in the order of the alphabet.

    Raises:
        DataError: it cannot be read, lacks a column, or a line of it makes no sense; the text names the line.
    """
    rows = _rows(path)
    _, header = next(rows, (0, []))
    columns = [cell.strip().lower().lstrip("\ufeff") for cell in header]
    file_at, index_at, label_at = (_find(columns, wanted) for wanted in (_FILE, _INDEX, _LABEL))
    if file_at is None or (index_at is None and label_at is None):
        raise DataError(
            f"{shown(path)}, line 1: the columns are {', '.join(columns) or 'missing'}; a table of labels has file and "
            "label, or file, class_index, wnid, label."
        )
    files: list[str] = []
    indices: list[str] = []
    words: list[str] = []
    lines: list[int] = []
    seen: dict[str, int] = {}
    for line, row in rows:
        if len(row) != len(columns):
            raise DataError(
                f"{shown(path)}, line {line}: {len(row)} cells where the first line has {len(columns)}. "
                "Put quotes round a cell with a comma in it."
            )
        file = row[file_at].strip()
        if not file:
            raise DataError(f"{shown(path)}, line {line}: no file is named.")
        if file in seen:
            raise DataError(f"{shown(path)}, line {line}: {shown(file)} stands in line {seen[file]} already.")
        seen[file] = line
        lines.append(line)
        files.append(file)
        indices.append("" if index_at is None else row[index_at].strip())
        words.append("" if label_at is None else row[label_at].strip())
    if not files:
        raise DataError(f"{shown(path)} names no picture: there is no line below the first.")
    if index_at is None and all(_is_number(word) or not word for word in words) and any(words):
        index_at, indices, words = label_at, words, [""] * len(words)
    if index_at is None:
        names = sorted({word for word in words if word})
        number = {name: index for index, name in enumerate(names)} | {"": -1}
        return Table(files, np.array([number[word] for word in words], dtype=np.int64), tuple(names))
    return Table(files, *_by_index(path, lines, indices, words))


def _by_index(
    path: Path, lines: Sequence[int], indices: Sequence[str], words: Sequence[str]
) -> tuple[NDArray[np.int64], tuple[str, ...] | None]:
    """Return labels as their indices say, and the name that stands beside each index."""
    labels = np.full(len(lines), -1, dtype=np.int64)
    named: dict[int, tuple[str, int]] = {}  # name and line by index
    for place, (line, text, word) in enumerate(zip(lines, indices, words, strict=True)):
        if not text:
            continue
        if not _is_number(text):
            raise DataError(f"{shown(path)}, line {line}: the class index is {text!r}, not a whole number from 0.")
        labels[place] = index = int(text)
        if not word:
            continue
        first, where = named.setdefault(index, (word, line))
        if first != word:
            raise DataError(
                f"{shown(path)}, line {line}: class {index} is called {word!r}, but {first!r} in line {where}."
            )
    if not named:
        return labels, None
    return labels, tuple(named.get(index, (str(index), 0))[0] for index in range(int(labels.max()) + 1))


def open_table(path: Path, folder: Path, *, given: bool = True) -> FileSet:
    """Open the pictures that a table names, in its order.

    Args:
        path: the table.
        folder: what its files are relative to.
        given: the user named the table; else it was found in the folder.

    Raises:
        DataError: see `read_table`.
    """
    table = read_table(path)
    notes = []
    there = list_folder(folder).names
    if extra := len(set(there) - {_plain(file) for file in table.files}):
        notes.append(f"{extra:,} pictures in {shown(folder.name or folder)} do not stand in {path.name}: left out.")
    known = int((table.labels >= 0).sum())
    if known < len(table.files):
        notes.append(f"{len(table.files) - known:,} pictures in {path.name} have no label.")
    classes = len(np.unique(table.labels[table.labels >= 0]))
    many = f" of {classes:,} class{'es' * (classes > 1)}" if classes else ""
    return FileSet(
        folder,
        [_plain(file) for file in table.files],
        table.labels,
        description=f"{len(table.files):,} picture{'s' * (len(table.files) > 1)}{many} named by {shown(path.name)}",
        class_names=table.class_names,
        origin=origin_of(folder, labels=path if given else None, part=None),
        notes=notes,
    )


def _plain(file: str) -> str:
    """Write a relative path as the listing of a folder has it."""
    return file.replace("\\", "/").removeprefix("./")


def _find(columns: Sequence[str], wanted: Sequence[str]) -> int | None:
    return next((columns.index(name) for name in wanted if name in columns), None)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield each line that is not empty with its number."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{shown(path)} cannot be read as a table: {error}. Save it as CSV in UTF-8.") from error
    first = text.partition("\n")[0]
    separator = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{shown(path)}, line {reader.line_num}: {error}. Check the quotes there.") from error
        if any(cell.strip() for cell in row):
            yield reader.line_num, row
