"""How an atlas lies on disk: a manifest, and a folder of arrays that it names. Knows no network and computes nothing.

    ATLAS/manifest.json         what it is, and the name of the folder with the data
    ATLAS/data-0002/NAME.npy    arrays for np.load(mmap_mode="r"); nothing is pickled
    ATLAS/data-0002/*.jsonl     the pictures and those that were set aside, a line each
    ATLAS/work/                 finished shares of a build that goes on, or was interrupted

New data are written into a new folder; then the manifest is replaced in one step, and the old folder is removed. So an
atlas is always the old one or the new one. The units of all layers stand behind one another in one array for each
quantity; the manifest says where a layer begins.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import DTypeLike, NDArray

from striate.errors import AtlasError, OutputError
from striate.files import one_line, shown, write_text
from striate.geometry import Field, Span
from striate.marked import read_marked

__all__ = [
    "FORMAT",
    "MANIFEST",
    "Lines",
    "array",
    "commit",
    "field_from",
    "field_to",
    "has",
    "manifest",
    "new_data",
    "remove_others",
    "unwritable",
    "write_array",
    "write_lines",
]

FORMAT = "striate-atlas-1"
MANIFEST = "manifest.json"
_ENTRIES = (
    "data",
    "network",
    "label_names",
    "labels_are_classes",
    "sources",
    "layers",
    "features",
    "options",
    "arrays",
)
_DATA = re.compile(r"data-(\d{4,})")

Array = NDArray[Any]


# --- reading


def manifest(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the manifest of an atlas.

    Raises:
        AtlasError: there is no atlas, it is unfinished, broken, or of another version.
    """
    folder = Path(path)
    file = folder / MANIFEST
    if (folder / "work").is_dir() and not file.exists():
        raise AtlasError(
            f"the atlas {shown(folder)} is not finished: its build was interrupted or still runs. "
            "Start the same build again, it goes on where it stopped."
        )
    anew = "build the atlas anew in another folder"
    found = read_marked(file, FORMAT, thing="an atlas", maker="striate atlas build", anew=anew, error=AtlasError)
    if missing := [name for name in _ENTRIES if name not in found]:
        raise AtlasError(f"{shown(file)} is broken: it does not say {', '.join(missing)}. Copy it again.")
    return found


def has(folder: Path, name: str) -> bool:
    """Tell whether a folder of data holds an array."""
    return (folder / f"{name}.npy").exists()


def array(folder: Path, name: str) -> Array:
    """Open an array of the data without reading it.

    Raises:
        AtlasError: it is missing or broken.
    """
    file = folder / f"{name}.npy"
    try:
        if file.stat().st_size < 4096:  # not worth a map, and an empty array cannot have one
            return np.load(file, allow_pickle=False)  # type: ignore[no-any-return]  # numpy leaves it open
        return np.load(file, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]  # likewise
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged header raises ValueError, EOFError, SyntaxError, ...
        raise AtlasError(
            f"{shown(file)} is broken ({one_line(error)}). Build the atlas anew in another folder, or copy it again."
        ) from error


class Lines(Sequence[dict[str, Any]]):
    """A list that was written with a line for each entry; an entry is read when it is asked for."""

    def __init__(self, folder: Path, name: str) -> None:
        """Find where the lines begin.

        Raises:
            AtlasError: the file is missing or broken.
        """
        self._file = folder / f"{name}.jsonl"
        empty = self._file.stat().st_size == 0
        self._bytes = np.zeros(0, np.uint8) if empty else np.memmap(self._file, np.uint8, mode="r")
        self._ends = np.flatnonzero(self._bytes == ord("\n"))

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        row = range(len(self))[index]
        start = 0 if row == 0 else int(self._ends[row - 1]) + 1
        try:
            return json.loads(self._bytes[start : self._ends[row]].tobytes())  # type: ignore[no-any-return]
        except ValueError as error:
            raise AtlasError(
                f"line {row + 1} of {shown(self._file)} is broken ({error}). Build the atlas anew, or copy it again."
            ) from error


# --- writing


def new_data(path: str | os.PathLike[str]) -> Path:
    """Make the folder that the next data of an atlas are written into.

    Raises:
        OutputError: it cannot be made.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        current = _current(folder)
        last = int(found[1]) if current is not None and (found := _DATA.fullmatch(current)) else 0
        made = folder / f"data-{last + 1:04d}"
        if made.exists():  # of a build that was killed while it wrote
            shutil.rmtree(made)
        made.mkdir()
    except OSError as error:
        raise unwritable(folder, error) from error
    return made


def write_array(folder: Path, name: str, shape: tuple[int, ...], dtype: DTypeLike, parts: Iterable[Array]) -> None:
    """Write an array piece by piece along its first dimension, so that it need never lie in memory whole.

    It is on the disk for certain only when `commit` is done.

    Raises:
        OutputError: it cannot be written.
    """
    file = folder / f"{name}.npy"
    kind = np.dtype(dtype)
    try:
        with file.open("wb") as stream:
            header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(stream, header)
            rows = 0
            for part in parts:
                rows += len(part)
                stream.write(np.ascontiguousarray(part, dtype=kind).data.cast("B") if part.size else b"")
            assert rows == shape[0], (name, rows, shape)
    except OSError as error:
        raise unwritable(file, error) from error


def write_lines(folder: Path, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a list with a line for each entry.

    Raises:
        OutputError: it cannot be written.
    """
    file = folder / f"{name}.jsonl"
    try:
        with file.open("w", encoding="utf-8", newline="\n") as stream:
            stream.writelines(json.dumps(row, ensure_ascii=True) + "\n" for row in rows)
    except OSError as error:
        raise unwritable(file, error) from error


def commit(path: str | os.PathLike[str], data: Path, entries: Mapping[str, Any]) -> None:
    """Make a folder of new data the atlas's own: replace the manifest, then remove what is no longer named.

    Raises:
        OutputError: the data do not reach the disk, or the manifest cannot be written; the atlas is as it was.
    """
    folder = Path(path)
    _settle(data)
    write_text(folder / MANIFEST, _lines_of({"format": FORMAT, "data": data.name, **entries}))
    remove_others(folder, data.name)


def _settle(data: Path) -> None:
    """Wait until all files of a folder are on the disk; together, as one wait takes hardly less time than all.

    Raises:
        OutputError: one cannot be written.
    """

    def settle(file: Path) -> None:
        try:
            with file.open("rb+") as stream:
                os.fsync(stream.fileno())
        except OSError as error:
            raise unwritable(file, error) from error

    with ThreadPoolExecutor(8, "striate-settling") as pool:
        list(pool.map(settle, sorted(data.iterdir())))


def _lines_of(entries: Mapping[str, Any]) -> str:
    """Return JSON with a line for each entry, and for each one of a list of them."""
    lines = []
    for name, value in entries.items():
        text = json.dumps(value)
        if isinstance(value, list) and value and isinstance(value[0], dict):
            text = "[\n  " + ",\n  ".join(map(json.dumps, value)) + "\n ]"
        lines.append(f" {json.dumps(name)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def remove_others(folder: Path, name: str) -> None:
    """Remove data that the manifest does not name, and what a write left that was killed."""
    for other in folder.iterdir():
        if _DATA.fullmatch(other.name) and other.name != name:
            shutil.rmtree(other, ignore_errors=True)
        elif other.name.startswith(".") and other.suffix == ".part":
            other.unlink(missing_ok=True)


def _current(folder: Path) -> str | None:
    try:
        name = json.loads((folder / MANIFEST).read_text("utf-8"))["data"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return name if isinstance(name, str) else None


def unwritable(path: Path, error: OSError) -> OutputError:
    """Return the error that says why something cannot be written."""
    reason = error.strerror or str(error)
    return OutputError(
        f"Cannot write {shown(path)}: {reason}. What was there before is untouched. "
        "Make room or get the right there, then start the same build again."
    )


# --- receptive fields


def field_to(field: Field) -> dict[str, Any]:
    """Return a receptive field as JSON-able values, without loss."""
    return {
        "vertical": _span_to(field.vertical),
        "horizontal": _span_to(field.horizontal),
        "picture": list(field.picture),
    }


def field_from(values: Mapping[str, Any]) -> Field:
    """Read what `field_to` wrote."""
    height, width = values["picture"]
    return Field(_span_from(values["vertical"]), _span_from(values["horizontal"]), (height, width))


def _span_to(span: Span) -> dict[str, Any]:
    values: dict[str, Any] = {name: str(getattr(span, name)) for name in ("jump", "low", "high")}
    for name in ("always", "limits"):
        pair = getattr(span, name)
        values[name] = None if pair is None else [str(end) for end in pair]
    return values | {name: getattr(span, name) for name in ("exact", "known", "mirrored")}


def _span_from(values: Mapping[str, Any]) -> Span:
    def pair(name: str) -> tuple[Fraction, Fraction] | None:
        ends = values[name]
        return None if ends is None else (Fraction(ends[0]), Fraction(ends[1]))

    return Span(
        jump=Fraction(values["jump"]),
        low=Fraction(values["low"]),
        high=Fraction(values["high"]),
        exact=values["exact"],
        always=pair("always"),
        known=values["known"],
        limits=pair("limits"),
        mirrored=values["mirrored"],
    )
