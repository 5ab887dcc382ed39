"""What can be known of one picture without looking at it: size, mode, hashes and a tiny copy. Compares nothing."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from striate.dataset import PictureSet
from striate.dataset.preparing import check_range, hashed, scaled
from striate.errors import ImageError
from striate.files import shown
from striate.images import quietly, read_image

__all__ = ["RECORD", "SIDE", "Passing", "inspect", "perceptual_hash"]

SIDE: Final = 16  # pixels of the tiny copy by which pictures with like hashes are compared
RECORD: Final = np.dtype(
    [
        ("width", "<i4"),  # upright
        ("height", "<i4"),
        ("format", "S8"),  # JPEG, PNG, ..., array
        ("mode", "S12"),  # as Pillow names it: RGB, L, RGBA, CMYK, I;16, ...; of arrays the number type and channels
        ("turn", "u1"),  # what EXIF asks for, 1 to 8; 1 is upright
        ("bytes", "<u8", (2,)),  # hash of the file; 0 where there is none
        ("pixels", "<u8"),  # hash of the decoded picture, at reduced size where JPEG allows it
        ("hash", "<u8"),  # perceptual
        ("tiny", "u1", (SIDE, SIDE, 3)),
    ]
)

_DECODED = 24  # pixels of the short side that decoding at reduced size leaves at least twice
_HASHED = 32  # side of the picture whose low frequencies are hashed
_PIECE = 2**20
_WHOLE = 2**26  # bytes of a file up to which it is read once, for hashing and decoding
_ORIENTATION = 0x0112
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP")  # those that `read_image` takes


class Passing(str):
    """A reason that may be gone the next time though the file stays as it is: no right to read it, too little room."""

    __slots__ = ()


def inspect(pictures: PictureSet, index: int) -> NDArray[Any] | str:
    """Look at one picture.

    Returns:
        One record of `RECORD`, or the reason why it cannot be read; `Passing` where that is not the file's content.
    """
    record = np.zeros((), dtype=RECORD)
    try:
        path = pictures.path(index)
        if path is None or path.suffix.lower() == ".npy":
            values = pictures.pixels(index)
            if values.dtype != np.uint8:
                check_range(values, f"Picture {shown(pictures.name(index))}")
            _of_numbers(record, values)
        else:
            _of_file(record, path, shown(pictures.name(index)))
    except ImageError as error:
        cause = error.__cause__
        # what the system says has a number; what Pillow says of damaged files is an OSError too, but has none
        passing = isinstance(cause, MemoryError) or getattr(cause, "errno", None) is not None
        return Passing(error) if passing else str(error)
    except MemoryError:
        return Passing(f"{shown(pictures.name(index))} needs more memory than there is. Make it smaller first.")
    return record


def _of_file(record: NDArray[Any], path: Path, name: str) -> None:
    try:
        found = os.stat(path)
        # a pipe or a device could be read for ever: `read_image` refuses those
        data = path.read_bytes() if stat.S_ISREG(found.st_mode) and found.st_size <= _WHOLE else None
    except (OSError, ValueError):
        data = None  # `read_image` says why
    source: bytes | Path = path if data is None else data
    picture = read_image(source, short_side=_DECODED, name=name)
    record["bytes"] = np.frombuffer(_digest(path, data), "<u8")
    _header(record, source)
    _seen(record, picture)


def _header(record: NDArray[Any], source: bytes | Path) -> None:
    """Note what the file says of itself: it was decoded already, so nothing in here is an error."""
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    with contextlib.suppress(Exception), quietly(), Image.open(stream, formats=_FORMATS) as opened:
        record["format"], record["mode"] = (opened.format or "").encode(), opened.mode.encode()
        record["width"], record["height"] = opened.size
        turn = opened.getexif().get(_ORIENTATION, 1) if _may_turn(opened) else 1
        record["turn"] = turn if isinstance(turn, int) and 1 <= turn <= 8 else 1
        if record["turn"] >= 5:
            record["width"], record["height"] = opened.size[::-1]


def _may_turn(opened: Image.Image) -> bool:
    return opened.format == "TIFF" or bool(
        opened.info.keys() & {"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"}
    )


def _digest(path: Path, data: bytes | None) -> bytes:
    if data is not None:
        return hashlib.blake2b(data, digest_size=16).digest()
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
    return digest.digest()


def _of_numbers(record: NDArray[Any], values: NDArray[Any]) -> None:
    """Note what is known of a picture in an array (H, W, C)."""
    height, width, channels = values.shape
    record["format"], record["mode"] = b"array", f"{values.dtype} x{channels}".encode()
    record["width"], record["height"], record["turn"] = width, height, 1
    shown = np.ascontiguousarray(values[:, :, :3] if channels >= 3 else values[:, :, :1].repeat(3, axis=2))
    if shown.dtype != np.uint8:
        shown = np.rint(scaled(shown).clip(0, 1) * 255).astype(np.uint8)
    _seen(record, Image.fromarray(shown))
    record["pixels"] = int(hashed(values), 16)


def _seen(record: NDArray[Any], picture: Image.Image) -> None:
    """Note how a picture in RGB looks."""
    digest = hashlib.blake2b(f"{record['width']} {record['height']}".encode(), digest_size=8)
    digest.update(picture.tobytes())
    record["pixels"] = np.frombuffer(digest.digest(), "<u8")[0]
    record["tiny"] = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    grey = np.asarray(picture.convert("L").resize((_HASHED, _HASHED), Image.Resampling.BILINEAR))
    record["hash"] = perceptual_hash(grey)


def _cosines() -> NDArray[np.float32]:
    """The cosines of the discrete transform, one frequency a row; as many as the hash needs."""
    places = (np.arange(_HASHED) + 0.5) * np.pi / _HASHED
    return np.cos(np.arange(12)[:, None] * places).astype(np.float32)


_COSINES = _cosines()
# the 64 lowest frequencies but the mean, along both axes together
_LOWEST = sorted(((down, across) for down in range(12) for across in range(12)), key=lambda at: (sum(at), at))[1:65]
_DOWN, _ACROSS = (np.array(axis) for axis in zip(*_LOWEST, strict=True))
_BITS = np.uint64(1) << np.arange(64, dtype=np.uint64)


def perceptual_hash(grey: NDArray[np.uint8]) -> np.uint64:
    """Return 64 bits that hardly change when a picture is saved with other quality or size.

    Each bit says whether one of the 64 lowest frequencies of the cosine transform, without the mean, is above the
    median of them.

    Args:
        grey: shape (32, 32).

    Source: Zauner 2010, "Implementation and Benchmarking of Perceptual Image Hash Functions", section 3.2 (DCT based).
    """
    coefficients = (_COSINES @ grey.astype(np.float32) @ _COSINES.T)[_DOWN, _ACROSS]
    return np.uint64(_BITS[coefficients > np.median(coefficients)].sum(dtype=np.uint64))
