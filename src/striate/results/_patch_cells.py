"""Draw patches of pictures, the signal beside each, and whole pictures with a frame, in cells of one size.

Draws on a sheet whose unit is the inch; knows no result and runs no network.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from striate import drawing
from striate.geometry import Box
from striate.results._gallery import DENSITY, GREY
from striate.results._inches import draw_frame, write
from striate.results.drawn import Pixels

__all__ = ["draw_empty", "draw_frame_in", "draw_patch", "draw_signal", "draw_whole", "fitted", "signal_pixels"]

_SHARP: Final = 32  # pixels: smaller patches keep hard edges, for each of their pixels counts
_STRIPE: Final = 6  # pixels of a drawing
_STRIPES: Final = ("#e4e4e0", "#d0d0cc")
_CLIP: Final = 99.5  # per cent of a signal's numbers that lie within its scale


def fitted(pixels: Pixels, side: int, missing: NDArray[np.bool_] | None = None) -> Pixels:
    """Enlarge or shrink pixels to fit a square, undistorted; what is missing is striped.

    Args:
        pixels: uint8, (h, w, 3).
        side: of the square, pixels.
        missing: (h, w), True where there is no picture.
    """
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(height * scale)), max(1, round(width * scale))
    if max(height, width) <= _SHARP:
        rows, columns = (np.arange(new) * old // new for new, old in zip(size, (height, width), strict=True))
        shown = np.asarray(pixels[rows][:, columns])
    else:
        shown = drawing.resample_bilinear(pixels, size)
    if missing is None or not missing.any():
        return shown
    rows, columns = (np.arange(new) * old // new for new, old in zip(size, (height, width), strict=True))
    away = missing[rows][:, columns]
    stripes = np.add.outer(np.arange(size[0]), np.arange(size[1])) // _STRIPE % 2
    ground = np.array([drawing.rgb(colour) for colour in _STRIPES], dtype=np.uint8)[stripes]
    return np.asarray(np.where(away[:, :, None], ground, shown))


def draw_patch(
    axes: Axes, pixels: Pixels, missing: NDArray[np.bool_], corner: tuple[float, float], side: float
) -> None:
    """Draw a patch in the square of this side (inches) whose left and top are given."""
    _show(axes, fitted(pixels, round(side * DENSITY), missing), corner, side)


def draw_signal(
    axes: Axes, signal: NDArray[np.float32], missing: NDArray[np.bool_], corner: tuple[float, float], side: float
) -> None:
    """Draw what a backward rule gives in a window, on its own scale.

    Args:
        axes: of the sheet.
        signal: (C, h, w); three channels are red, green and blue around mid-grey, one is drawn signed.
        missing: (h, w), where there is no picture.
        corner: left and top, inches.
        side: inches.
    """
    pixels = signal_pixels(signal, missing)
    _show(axes, fitted(pixels, round(side * DENSITY), missing), corner, side)


def signal_pixels(signal: NDArray[np.float32], missing: NDArray[np.bool_]) -> Pixels:
    """Return what a backward rule gives in a window as a picture on its own scale, uint8 (h, w, 3).

    Args:
        signal: (C, h, w); three channels are red, green and blue around mid-grey, one is drawn signed.
        missing: (h, w), where there is no picture.
    """
    inside = np.abs(signal[:, ~missing])
    high = float(np.percentile(inside, _CLIP)) if inside.size else 0.0
    high = high or float(inside.max(initial=0.0)) or 1.0  # mostly zero: the few others set the scale
    if len(signal) == 3:
        middle = np.moveaxis(signal, 0, -1) / (2 * high) + 0.5
        return np.asarray(np.rint(np.clip(np.nan_to_num(middle, nan=0.5), 0, 1) * 255), dtype=np.uint8)
    return drawing.colour(signal[0], signed=True, low=-high, high=high)


def draw_whole(axes: Axes, picture: Pixels, box: Box, corner: tuple[float, float], side: float) -> None:
    """Draw a whole picture with a frame around the pixels of a box, cut at the picture's borders."""
    _show(axes, fitted(picture, round(side * DENSITY)), corner, side)
    draw_frame_in(axes, box, picture.shape[:2], corner, side)


def draw_frame_in(axes: Axes, box: Box, size: tuple[int, ...], corner: tuple[float, float], side: float) -> None:
    """Frame pixels of a picture of this height and width that was drawn in a square; cut at its borders."""
    height, width = size[:2]
    scale = side / max(height, width)
    left, top = corner[0] + (side - width * scale) / 2, corner[1] + (side - height * scale) / 2
    clipped = max(box[0], 0), max(box[1], 0), min(box[2], height - 1), min(box[3], width - 1)
    draw_frame(axes, clipped, (left, top), scale, (left + width * scale, top + height * scale))


def draw_empty(axes: Axes, words: str, corner: tuple[float, float], side: float) -> None:
    """Draw a place whose picture is not there."""
    gone = np.ones((1, 1), dtype=bool)
    _show(axes, fitted(np.zeros((1, 1, 3), np.uint8), round(side * DENSITY), gone), corner, side)
    middle = corner[0] + side / 2, corner[1] + side / 2
    write(axes, *middle, words, size=7, colour=GREY, align="center", centre=True)


def _show(axes: Axes, pixels: Pixels, corner: tuple[float, float], side: float) -> None:
    height, width = (length / max(pixels.shape[:2]) * side for length in pixels.shape[:2])
    left, top = corner[0] + (side - width) / 2, corner[1] + (side - height) / 2
    axes.imshow(
        pixels,
        extent=(left, left + width, top + height, top),
        interpolation="antialiased",
        aspect="auto",
        zorder=1,
    )
