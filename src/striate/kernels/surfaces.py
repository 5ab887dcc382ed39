"""A picture as an array of numbers and as a surface: brightness drawn as height. Draws nothing itself."""

from __future__ import annotations

import math
import time

import numpy as np
from numpy.typing import NDArray

import striate
from striate.errors import OptionError
from striate.kernels import by_hand
from striate.kernels.convolving import convolve
from striate.kernels.sheets import Photograph, brightness, photograph
from striate.results.base import Recipe
from striate.results.surface import Surface

__all__ = ["surface"]

PATCH = 12  # rows and columns whose numbers are written out


def surface(
    picture: Photograph,
    *,
    side: int | None = 240,
    smooth: float = 0.0,
    by_height: bool = False,
    azimuth: float = 30.0,
    elevation: float = 40.0,
    height: float = 0.3,
) -> Surface:
    """Show a picture as a surface, with the numbers of the part where it changes most.

    Args:
        picture: a file, a Pillow image or an array (H, W) or (H, W, 3).
        side: pixels of the longer side; more make a finer, more ragged surface. None takes the picture as it is.
        smooth: sigma of a Gaussian that goes over it first, in pixels; 0 for none.
        by_height: colour the surface by its height instead of in the picture's own colours.
        azimuth: degrees by which the surface is turned, from -80 to 80; 0 looks along the columns.
        elevation: degrees above the horizon from which it is seen, from 5 to 85.
        height: of white over black, as a share of the longer side, in (0, 2].

    Raises:
        ImageError: the picture cannot be read.
        OptionError: a number outside its range.
    """
    limits = {"azimuth": (azimuth, -80, 80), "elevation": (elevation, 5, 85), "height": (height, 0.01, 2)}
    for name, (value, low, high) in {**limits, "smooth": (smooth, 0, 100)}.items():
        if not (math.isfinite(value) and low <= value <= high):
            raise OptionError(f"the {name} of a surface lies between {low} and {high}, got {value}.")
    start = time.perf_counter()
    pixels, name = photograph(picture, side)
    heights = brightness(pixels)
    if smooth > 0:
        heights = convolve(heights, by_hand.gaussian(smooth), padding="same", border="replicate")
    heights = np.clip(heights, 0, 1)
    options = {"picture": name, "side": side, "smooth": smooth, "by_height": by_height}
    options |= {"azimuth": azimuth, "elevation": elevation, "height": height}
    seconds = time.perf_counter() - start
    return Surface(
        heights=heights,
        picture=np.rint(pixels * 255).astype(np.uint8),
        box=_busiest(heights),
        name=name,
        by_height=by_height,
        azimuth=azimuth,
        elevation=elevation,
        height=height,
        recipe=Recipe(
            lens="kernels.surface", options=options, version=striate.__version__, seconds=seconds, device="cpu"
        ),
    )


def _busiest(heights: NDArray[np.float32]) -> tuple[int, int, int, int]:
    """Return the box of `PATCH` pixels in which brightness varies most."""
    size = min(PATCH, heights.shape[0]), min(PATCH, heights.shape[1])
    box = by_hand.blur(size)
    exact = heights.astype(np.float64)
    spread = convolve(exact**2, box) - convolve(exact, box) ** 2
    top, left = (int(index) for index in np.unravel_index(int(spread.argmax()), spread.shape))
    return top, left, top + size[0] - 1, left + size[1] - 1
