"""Open files, write them whole or not at all, and say in one line what is wrong with one. Decodes nothing."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import re
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final

from PIL import Image, UnidentifiedImageError

from striate.errors import ImageError, OutputError

__all__ = [
    "byte_count",
    "csv_text",
    "kind_of",
    "one_line",
    "opened",
    "shown",
    "why_undecodable",
    "write_bytes",
    "write_text",
]

_READABLE: Final = "JPEG, PNG, WebP, TIFF, GIF and BMP pictures are read"

# How files begin: first the formats that are read, then what people most often give instead of a picture.
_BEGINNINGS: Final = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"BM", "BMP"),
)
_OTHERS: Final = (
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x93NUMPY", "a NumPy array: give it the ending .npy"),
    (b"8BPS", "a Photoshop file"),
    (b"version https://git-lfs", "a Git LFS pointer: fetch the file itself with `git lfs pull`"),
    (b"<!doctype html", "a web page: the download went wrong"),
    (b"<html", "a web page: the download went wrong"),
    (b"<svg", "an SVG drawing"),
    (b"<?xml", "an XML file"),
)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write a file so that it is either the old one or the new one, never half of one.

    The bytes go to a hidden file in the same folder, are flushed to the disk, and only then take the name, in one
    step of the file system. Folders that are missing are made. A link is followed: the file that it points to is
    replaced, the link stays. Where a file is replaced its permissions stay; a new one gets those of any new file.

    Args:
        path: where to write; replaced when it exists.
        data: the whole content.

    Returns:
        The path as given.

    Raises:
        OutputError: the file cannot be written; what was there before is untouched and nothing is left behind.
    """
    path = Path(path)
    hidden: str | None = None
    made: list[Path] = []  # folders that were missing, innermost first
    try:
        target = Path(os.path.realpath(path))
        if target.is_dir():
            raise OutputError(f"Cannot write {shown(path)}: it is a folder. Give the name of a file in it.")
        made = [folder for folder in (target.parent, *target.parent.parents) if not folder.exists()]
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, hidden = tempfile.mkstemp(prefix=".", suffix=".part", dir=target.parent)
        with open(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(hidden, _permissions(target))
        os.replace(hidden, target)
        hidden, made = None, []
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        if isinstance(error, OutputError):
            raise
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        if isinstance(error, FileExistsError | NotADirectoryError):
            reason = "something on the way to it is a file, not a folder"
        raise OutputError(
            f"Cannot write {shown(path)}: {reason}. Choose another place for it, or make room or get the right there."
        ) from error
    finally:
        if hidden is not None:
            with contextlib.suppress(OSError):
                os.unlink(hidden)
        with contextlib.suppress(OSError):  # one that someone else has filled meanwhile stays
            for folder in made:
                folder.rmdir()
    return path


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write text as UTF-8 with plain line feeds, whole or not at all; see `write_bytes`."""
    return write_bytes(path, text.encode("utf-8"))


def csv_text(rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as CSV with plain line feeds, readable again whatever characters are in the cells."""
    text = io.StringIO()
    plain = csv.writer(text, lineterminator="\n")
    quoted = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in rows:  # Python quotes a carriage return by itself from 3.13 on only
        (quoted if any("\r" in str(cell) for cell in row) else plain).writerow(row)
    return text.getvalue()


def _permissions(target: Path) -> int:
    """The permissions of the file that is replaced, else of a new file: `mkstemp` alone gives none but the owner's."""
    try:
        return target.stat().st_mode & 0o777
    except OSError:
        # The mask can only be read by setting it, which other threads would notice; Linux tells it without.
        with contextlib.suppress(OSError, ValueError), open("/proc/self/status", encoding="ascii") as status:
            for line in status:
                if line.startswith("Umask:"):
                    return 0o666 & ~int(line.split()[1], 8)
        return 0o644


@contextlib.contextmanager
def opened(source: str | os.PathLike[str] | bytes, name: str) -> Iterator[IO[bytes]]:
    """Open a file that is really a file, or say why not."""
    if isinstance(source, bytes):
        yield io.BytesIO(source)
        return
    try:
        kind = os.stat(source).st_mode
        if stat.S_ISDIR(kind):
            raise ImageError(f"{name} is a folder, not a picture. Give the pictures in it.")
        if not stat.S_ISREG(kind):  # a pipe or a device could be read for ever
            raise ImageError(f"{name} is not a regular file. Copy the picture into a file and give that.")
        stream = open(source, "rb")  # noqa: SIM115 - closed below; errors of opening are told apart from later ones
    except ImageError:  # is a ValueError as well
        raise
    except FileNotFoundError as error:
        raise ImageError(f"{name} does not exist. Check the name and the folder.") from error
    except PermissionError as error:
        raise ImageError(f"{name} may not be read by you. Change its permissions, or copy it.") from error
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ImageError(f"{name} cannot be opened: {reason}. Check the name and the disk.") from error
    with stream:
        yield stream


def kind_of(start: bytes) -> str | None:
    """Name the format by how the file begins; None when it is none of those that are read."""
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WebP"
    return next((name for beginning, name in _BEGINNINGS if start.startswith(beginning)), None)


def why_undecodable(name: str, start: bytes, stream: IO[bytes], error: Exception) -> str:
    """Say in one line why a file could not be decoded."""
    if isinstance(error, Image.DecompressionBombError):
        return f"{name} is too large a picture: {_pixels_and_limit(error)}. Make it smaller first."
    kind = kind_of(start)
    if kind is None:
        looks = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        other = next((what for beginning, what in _OTHERS if looks.startswith(beginning.lower())), None)
        if start[4:8] == b"ftyp":  # the family of MPEG-4 files
            still = start[8:12] in (b"avif", b"heic", b"heix", b"mif1", b"msf1")
            other = "an HEIC or AVIF picture: export it as JPEG" if still else "a film"
        if other is None and start.isascii() and start.decode("ascii").replace("\n", " ").strip().isprintable():
            other = f'text ("{" ".join(start[:24].decode("ascii").split())}...")'
        seems = f"it seems to be {other}" if other else f"it begins with {start[:8]!r}"
        return f"{name} is not a picture that can be read: {seems}. {_READABLE}."
    size = stream.seek(0, os.SEEK_END)
    if isinstance(error, UnidentifiedImageError):
        return (
            f"{name} begins like a {kind}, but is damaged or of a rare kind that cannot be read ({byte_count(size)}). "
            "Open it in a picture editor and save it as PNG, or download it again."
        )
    what = "is cut off" if "truncated" in str(error).lower() else "is damaged"
    return (
        f"{name} {what}: a {kind} of {byte_count(size)} that cannot be decoded to its end ({one_line(error)}). "
        "Copy or download it again."
    )


def _pixels_and_limit(error: Exception) -> str:
    """Say in words what Pillow says in numbers: how many pixels a picture claims, and how many are allowed."""
    found = re.findall(r"\d+", str(error))
    if len(found) != 2:
        return one_line(error)
    return f"{int(found[0]):,} pixels, where {int(found[1]):,} are the most"


def one_line(error: Exception) -> str:
    """Give the reason in a library's error as one short printable line."""
    text = " ".join(str(error).split())[:160] or type(error).__name__
    return "".join(character if character.isprintable() else "?" for character in text)


def byte_count(count: int) -> str:
    """Write a size as a person reads it: 812 bytes, 81 kB, 3.4 MB, 1.2 GB."""
    if count < 1e6:
        return f"{count} bytes" if count < 1000 else f"{count / 1e3:.0f} kB"
    return f"{count / 1e6:.1f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"


def shown(path: str | os.PathLike[str]) -> str:
    """Name a file on one line, whatever characters are in its name."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in os.fspath(path))
