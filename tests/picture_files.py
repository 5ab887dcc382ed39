"""Files of pictures, made by hand or by Pillow, that several tests read."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image
from skimage import data as samples

from striate.errors import ImageError
from striate.images import read_image

# A 2 x 3 picture of which no turn and no mirror image equals another; blocks of 16 px survive JPEG.
COLOURS = np.array(
    [[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[255, 255, 0], [0, 0, 0], [255, 255, 255]]], dtype=np.uint8
)
BLOCKS = COLOURS.repeat(16, axis=0).repeat(16, axis=1)
GREYS = np.array([[0, 50, 100], [150, 200, 255]], dtype=np.uint8)


def save(picture: Image.Image, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def pixels(data: bytes | Path, channels: int = 3, **options: Any) -> np.ndarray:
    picture = read_image(data, channels=channels, **options)
    assert type(picture) is Image.Image
    assert picture.mode == {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    assert picture.info == {}
    return np.asarray(picture)


def refusal(source: str | os.PathLike[str] | bytes, **options: Any) -> str:
    with pytest.raises(ImageError) as caught:
        read_image(source, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert text.isprintable()
    return text


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(header: bytes, *chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks) + chunk(b"IEND", b"")


def tiff(width: int, height: int, bits: int, content: bytes, *, photometric: int = 1, sample_format: int = 1) -> bytes:
    """A little-endian grey TIFF of one strip, written by hand: Pillow cannot write these kinds."""
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 0, 277: 1, 278: height}
    tags |= {279: len(content), 339: sample_format}
    start = 8 + 2 + 12 * len(tags) + 4
    tags[273] = start
    entries = b"".join(struct.pack("<HHII", tag, 4 if tag in (273, 279) else 3, 1, tags[tag]) for tag in sorted(tags))
    return b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags)) + entries + b"\0" * 4 + content


ALPHA = np.array([[[255, 0, 0, 255], [0, 0, 255, 0], [0, 0, 0, 128]]], dtype=np.uint8)


def palette_picture() -> Image.Image:
    picture = Image.fromarray(np.array([[0, 1, 2]], dtype=np.uint8)).convert("P")
    picture.putdata([0, 1, 2])
    picture.putpalette([255, 0, 0, 0, 0, 255, 0, 0, 0])
    return picture


def photograph(kind: str, **options: Any) -> bytes:
    return save(Image.fromarray(samples.chelsea()).resize((90, 60)), kind, **options)


REAL = {
    "jpeg": photograph("JPEG"),
    "jpeg-progressive": photograph("JPEG", progressive=True),
    "png": photograph("PNG"),
    "gif": photograph("GIF"),
    "tiff": photograph("TIFF"),
    "tiff-lzw": photograph("TIFF", compression="tiff_lzw"),
    "tiff-jpeg": photograph("TIFF", compression="jpeg"),
    "webp": photograph("WEBP"),
    "bmp": photograph("BMP"),
}

fuzz = settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
