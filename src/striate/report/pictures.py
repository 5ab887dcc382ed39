"""Pixels as the addresses of small pictures inside a page. Chooses formats; draws nothing.

A photograph and a map laid over one are JPEG: no one misses what that drops, and it takes a third of the room.
Maps alone have few colours, so they are PNG with a palette. Everything small is exact.
"""

from __future__ import annotations

import io
from functools import cache

import numpy as np
from PIL import Image

from striate.drawing import PAPER, diverging, magma
from striate.images import data_uri, encode_jpeg, encode_png
from striate.results.drawn import Pixels

__all__ = ["gradient", "map_uri", "photo_uri"]

SMALL = 96  # pixels: below this a picture is shown so large that JPEG's blocks would be seen
QUALITY = 84
MOST_COLOURS = 256  # that a palette holds


def photo_uri(pixels: Pixels) -> str:
    """Return a photograph, or a map over one, as a data URI.

    Args:
        pixels: uint8, shape (H, W, 3).
    """
    if min(pixels.shape[:2]) < SMALL:
        return data_uri(encode_png(pixels))
    return data_uri(encode_jpeg(pixels, quality=QUALITY))


def map_uri(pixels: Pixels) -> str:
    """Return a map in the colours of a scale as a data URI; exact with 256 colours or fewer.

    Args:
        pixels: uint8, shape (H, W, 3).
    """
    packed = pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)  # (H, W), one number a colour
    found, places = np.unique(packed, return_inverse=True)
    if len(found) <= MOST_COLOURS:
        picture = Image.fromarray(places.reshape(packed.shape).astype(np.uint8), "P")
        picture.putpalette(np.stack([found >> 16, found >> 8 & 255, found & 255], axis=1).astype(np.uint8).tobytes())
    else:
        picture = Image.fromarray(pixels).quantize(MOST_COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return data_uri(buffer.getvalue())


@cache
def gradient(signed: bool) -> str:
    """Return a colour scale from low to high as a CSS gradient, for the strip under a picture."""
    steps = np.linspace(-1.0, 1.0, 17) if signed else np.linspace(0.0, 1.0, 17)
    colours = diverging(steps) if signed else magma(steps)
    stops = ["#" + bytes(colour).hex() for colour in colours]
    if signed:
        stops[len(stops) // 2] = PAPER  # zero is paper, exactly
    return f"linear-gradient(to right, {', '.join(stops)})"
