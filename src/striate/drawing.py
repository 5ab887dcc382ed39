"""Turn numbers into pixels: colour maps, sheets, overlays, boxes, labels. NumPy in, uint8 out; no files, no networks.

One visual language for all faces. Maps that cannot be negative run from dark to light (magma); maps with a sign run
from the partner's blue over paper to the accent, with zero exactly paper. Pixels of maps keep hard edges; photographs
are resampled by Pillow. matplotlib gives colour tables and a font and is imported when first needed.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

__all__ = [
    "ACCENT",
    "INK",
    "MISSING",
    "NIGHT_INK",
    "NIGHT_PAPER",
    "OKABE_ITO",
    "PAPER",
    "PARTNER",
    "colour",
    "cyclic",
    "diverging",
    "draw_box",
    "enlarge",
    "label",
    "magma",
    "overlay",
    "place",
    "resample_bilinear",
    "rgb",
    "sheet",
    "transparent",
]

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Numbers = np.ndarray[Any, np.dtype[Any]]

PAPER: Final = "#fbfbf9"
INK: Final = "#1b1b1f"
NIGHT_PAPER: Final = "#131316"
NIGHT_INK: Final = "#e8e8ea"
ACCENT: Final = "#e4572e"
PARTNER: Final = "#2e86ab"
MISSING: Final = "#8c8c92"
"""The grey that stands for "no number" (NaN); in neither colour map."""
OKABE_ITO: Final = ("#000000", "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
"""Eight colours for classes and series that people with any colour vision tell apart (Okabe and Ito 2008)."""

_STEPS: Final = 255  # of a colour table from its least value to its greatest


def rgb(hexadecimal: str) -> tuple[int, int, int]:
    """Give red, green and blue, 0 to 255, of a colour written `#rrggbb`."""
    red, green, blue = bytes.fromhex(hexadecimal.removeprefix("#"))
    return red, green, blue


def magma(values: Numbers) -> Pixels:
    """Colour values from 0 (dark) to 1 (light) on a perceptually even scale.

    Args:
        values: float, any shape; what lies outside [0, 1] is drawn as the nearer end, NaN as `MISSING`.

    Returns:
        uint8 RGB, shape (..., 3).

    Raises:
        TypeError: whole numbers, of which nobody knows whether 1 or 255 is the most.
    """
    values = _floats(values)
    return _look_up(_magma_table(), np.clip(values, 0, 1) * _STEPS, np.isnan(values))


def diverging(values: Numbers) -> Pixels:
    """Colour values from -1 (partner's blue) over 0 (exactly paper) to 1 (accent), both sides equally strong.

    Args:
        values: float, any shape; what lies outside [-1, 1] is drawn as the nearer end, NaN as `MISSING`.

    Returns:
        uint8 RGB, shape (..., 3).

    Raises:
        TypeError: whole numbers, of which nobody knows whether 1 or 127 is the most.
    """
    values = _floats(values)
    return _look_up(_diverging_table(), (np.clip(values, -1, 1) + 1) * _STEPS, np.isnan(values))


def colour(values: Numbers, *, signed: bool, low: float, high: float) -> Pixels:
    """Colour values on a stated scale, which may be that of many maps shown side by side.

    Args:
        values: float, any shape and unit.
        signed: symmetric about zero, by the larger of |low| and |high|; otherwise `low` is dark and `high` light.
        low: value at the lower end.
        high: value at the upper end, at least `low`; equal ends draw everything as the lower end (signed: as paper
            when both are zero).

    Returns:
        uint8 RGB, shape (..., 3).

    Raises:
        ValueError: `low` is above `high`, or one of them is not finite.
    """
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ValueError(f"a scale needs finite ends, low <= high, got {low} and {high}")
    values = _floats(values)
    flat = np.where(np.isnan(values), np.nan, 0.0)  # what a scale of no length draws
    if signed:
        reach = max(abs(low), abs(high))
        return diverging(values / reach if reach > 0 else flat)
    return magma((values - low) / (high - low) if high > low else flat)


def cyclic(angles: Numbers) -> Pixels:
    """Colour directions: all equally light, opposite ones in opposite colours, 0 that of the accent.

    Args:
        angles: float, any shape, radians; one turn further is the same colour. NaN is drawn as `MISSING`.

    Returns:
        uint8 RGB, shape (..., 3).

    Raises:
        TypeError: whole numbers, which are no radians.
    """
    angles = _floats(angles)
    missing = ~np.isfinite(angles)
    _, red, yellow = _to_oklab(np.array(rgb(ACCENT)) / 255)
    hue = np.where(missing, 0, angles) + math.atan2(yellow, red)
    light = np.full(hue.shape, _CYCLE_LIGHT)
    lab = np.stack([light, _CYCLE_CHROMA * np.cos(hue), _CYCLE_CHROMA * np.sin(hue)], axis=-1)
    colours = np.rint(np.clip(_from_oklab(lab), 0, 1) * 255).astype(np.uint8)
    colours[missing] = rgb(MISSING)
    return np.asarray(colours)


def enlarge(pixels: Numbers, factor: int) -> Numbers:
    """Repeat every pixel `factor` times both ways, with hard edges.

    Args:
        pixels: shape (H, W, ...), any type.
        factor: at least 1.

    Returns:
        Shape (factor H, factor W, ...).
    """
    if factor < 1:
        raise ValueError(f"a whole factor of at least 1 is needed, got {factor}")
    return pixels.repeat(factor, axis=0).repeat(factor, axis=1)


def resample_bilinear(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Resize a photograph to (height, width), averaging where it shrinks (Pillow's bilinear filter).

    Args:
        pixels: uint8, shape (H, W, 3) or (H, W).
        size: new height and width, pixels, each at least 1.
    """
    height, width = size
    return np.asarray(Image.fromarray(_bytes(pixels)).resize((width, height), Image.Resampling.BILINEAR))


def sheet(
    cells: Sequence[Pixels] | Pixels, columns: int | None = None, gap: int = 2, background: str = PAPER
) -> Pixels:
    """Lay pictures out in rows, from left to right and top to bottom.

    Args:
        cells: uint8 pictures, each (H, W, 3) or grey (H, W), or one array (N, H, W, 3); of different sizes, each
            stands in the middle of a place as large as the largest.
        columns: pictures in a row; None makes the sheet about square.
        gap: pixels between two pictures; there is none around the sheet.
        background: colour of the gaps and of places without a picture.

    Returns:
        uint8 RGB, one picture.

    Raises:
        ValueError: there is nothing to lay out, or `columns` is below 1.
    """
    pictures = [_colour_picture(cell) for cell in cells]
    if not pictures:
        raise ValueError("a sheet needs at least one picture")
    if columns is not None and columns < 1:
        raise ValueError(f"a sheet needs at least one column, got {columns}")
    height = max(picture.shape[0] for picture in pictures)
    width = max(picture.shape[1] for picture in pictures)
    count = len(pictures)
    if columns is None:
        columns = math.ceil(math.sqrt(count * (height + gap) / (width + gap)))
    columns = min(max(columns, 1), count)
    rows = math.ceil(count / columns)
    whole = _filled(rows * (height + gap) - gap, columns * (width + gap) - gap, background)
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        top = row * (height + gap) + (height - picture.shape[0]) // 2
        left = column * (width + gap) + (width - picture.shape[1]) // 2
        whole[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return whole


def overlay(picture: Pixels, values: Numbers, *, signed: bool, strength: float = 0.85, mute: float = 0.6) -> Pixels:
    """Lay a map over its picture, so that the picture shows where nothing was found.

    Opacity is `strength` times the size of the value: the strongest value comes out nearly in its pure colour, at 0
    and where there is no number (NaN) the picture shows. With a sign, opacity alone says how strong a value is: the
    colour is the accent or the partner at full, since paler ones would lie over a dark picture like fog. The picture
    steps back a little, in colour and brightness, for its own orange must not be read as the map's.

    Args:
        picture: uint8, shape (H, W, 3) or (H, W).
        values: float, shape (H, W), in [0, 1], with a sign in [-1, 1]; what lies outside counts as the nearer end.
        signed: the two colours of `diverging` instead of `magma`.
        strength: opacity of the strongest value, in [0, 1].
        mute: how far the picture steps back, in [0, 1]: 0 leaves it as it is, 1 makes it grey and a quarter darker.

    Returns:
        uint8 RGB, shape (H, W, 3); the inputs are not changed.

    Raises:
        ValueError: the shapes differ, or `strength` or `mute` lies outside [0, 1].
        TypeError: values are whole numbers, or the picture is not uint8.
    """
    picture = _colour_picture(picture)
    values = _floats(values)
    if values.shape != picture.shape[:2]:
        raise ValueError(f"the map is {values.shape}, the picture {picture.shape[:2]}: enlarge or place the map first")
    if not (0 <= strength <= 1 and 0 <= mute <= 1):
        raise ValueError(f"strength and mute must lie in [0, 1], got {strength} and {mute}")
    values = np.clip(np.nan_to_num(values, nan=0.0), -1 if signed else 0, 1)
    colours = diverging(np.sign(values)) if signed else magma(values)
    return _mix(_muted(picture, mute), colours, strength * np.abs(values))


def transparent(values: Numbers, *, signed: bool) -> Pixels:
    """Draw a map to be laid over a picture by whoever shows it: the larger a value, the more opaque.

    Args:
        values: float, shape (H, W), in [0, 1], with a sign in [-1, 1]; what lies outside counts as the nearer end.
        signed: the two colours of `diverging` instead of `magma`.

    Returns:
        uint8 RGBA, shape (H, W, 4), nothing to be seen where the value is 0 or no number.
    """
    values = np.clip(np.nan_to_num(_floats(values), nan=0.0), -1 if signed else 0, 1)
    colours = diverging(np.sign(values)) if signed else magma(values)
    opacity = np.rint(np.abs(values) * 255).astype(np.uint8)
    return np.concatenate([colours, opacity[:, :, None]], axis=2)


def _muted(picture: Pixels, mute: float) -> Pixels:
    grey = picture @ np.array([0.299, 0.587, 0.114], dtype=np.float32)  # (H, W), brightness as televisions weigh it
    paler = picture + mute * (grey[:, :, None] - picture)
    return np.asarray(np.rint(paler * (1 - mute / 4)).clip(0, 255).astype(np.uint8))


def draw_box(picture: Pixels, box: tuple[float, float, float, float], scale: int = 2, colour: str = ACCENT) -> Pixels:
    """Draw the outline of a box of pixels, such as a receptive field, on an enlarged picture.

    The picture is enlarged smoothly (photographs have no hard edges); the line is 1.5 px of the accent at double
    density (3 pixels; 1.5 when `scale` is 1) around the box, so that what lies in it stays visible, with a dark halo
    that shows it on any ground. What of the box lies outside the picture is cut, and that side is drawn along the
    picture's edge.

    Args:
        picture: uint8, shape (H, W, 3).
        box: first row, first column, last row, last column, in pixels of `picture`, all inclusive, as in `Field.box`.
        scale: pixels of the drawing for each of the picture.
        colour: of the line, `#rrggbb`.

    Returns:
        uint8 RGB, shape (scale H, scale W, 3); unmarked when no part of the box lies in the picture.
    """
    picture = _colour_picture(picture)
    height, width = (side * scale for side in picture.shape[:2])
    drawing = resample_bilinear(picture, (height, width)) if scale > 1 else picture.copy()
    top, left, bottom, right = box[0], box[1], box[2] + 1, box[3] + 1  # edges instead of pixels
    if top >= bottom or left >= right or bottom <= 0 or right <= 0 or top * scale >= height or left * scale >= width:
        return drawing
    line, halo = (3.0, 2.0) if scale > 1 else (1.5, 1.0)
    # The line's middle runs half a line outside the box, but the whole line stays inside the picture.
    low, high = line / 2, np.array([height, width]) - line / 2
    first = np.clip(np.array([top, left]) * scale - line / 2, low, high)
    last = np.clip(np.array([bottom, right]) * scale + line / 2, low, high)
    rows, columns = np.ogrid[0.5:height, 0.5:width]  # middles of the pixels
    # Signed distance from the rectangle of the line's middle, negative inside; corners stay square.
    outside = np.maximum(np.maximum(first[0] - rows, rows - last[0]), np.maximum(first[1] - columns, columns - last[1]))
    distance = np.abs(outside)
    dark = np.clip(line / 2 + halo + 0.5 - distance, 0, 1) * 0.6
    bright = np.clip(line / 2 + 0.5 - distance, 0, 1)
    drawing = _mix(drawing, _filled(height, width, INK), dark)
    return _mix(drawing, _filled(height, width, colour), bright)


def label(
    picture: Pixels,
    text: str,
    *,
    size: int = 12,
    monospace: bool = False,
    ink: str = INK,
    background: str = PAPER,
) -> Pixels:
    """Put one line of small figures or words below a picture; what does not fit ends in an ellipsis.

    Args:
        picture: uint8, shape (H, W, 3) or (H, W).
        text: one line; line breaks become spaces.
        size: height of the type, pixels of the drawing.
        monospace: for addresses and shapes.
        ink: colour of the type.
        background: colour of the strip.

    Returns:
        uint8 RGB, as wide as the picture and about 1.5 `size` higher.
    """
    picture = _colour_picture(picture)
    width = picture.shape[1]
    height = round(1.5 * size)
    font = _font(size, monospace)
    text = " ".join(text.split())
    if font.getlength(text) > width:
        while text and font.getlength(text + "…") > width:
            text = text[:-1]
        text = text.rstrip() + "…" if font.getlength("…") <= width else ""
    strip = Image.fromarray(_filled(height, width, background))
    ImageDraw.Draw(strip).text((0, round(1.15 * size)), text, font=font, fill=rgb(ink), anchor="ls")
    return np.concatenate([picture, np.asarray(strip)])


def place(values: Numbers, centre: tuple[float, float], jump: tuple[float, float], size: tuple[int, int]) -> Numbers:
    """Spread a small map over its picture by the places of its units, instead of from corner to corner.

    Unit (i, j) stands on the pixel at row `centre[0] + i * jump[0]`, column `centre[1] + j * jump[1]`; between units
    values are interpolated bilinearly, beyond the outermost units those at the edge continue.

    Args:
        values: float, shape (..., h, w).
        centre: row and column of the first unit's centre; 0 is the middle of the first pixel.
        jump: pixels from one unit to the next, down and across, above 0 (any number where there is one unit only).
        size: height and width of the picture, pixels.

    Returns:
        float, shape (..., H, W), of the type of `values`.

    Raises:
        ValueError: a jump is not above 0 though there are several units.
    """
    values = _floats(values)
    down = _interpolation(values.shape[-2], centre[0], jump[0], size[0]).astype(values.dtype)  # (H, h)
    across = _interpolation(values.shape[-1], centre[1], jump[1], size[1]).astype(values.dtype)  # (W, w)
    return np.asarray(down @ values @ across.T)


def _interpolation(units: int, centre: float, jump: float, length: int) -> Numbers:
    """The matrix (length, units) that interpolates along one axis; each row sums to 1."""
    if units == 1:
        return np.ones((length, 1))
    if not jump > 0:
        raise ValueError(f"units must be more than 0 pixels apart, got {jump}")
    position = np.clip((np.arange(length) - centre) / jump, 0, units - 1)  # in units
    before = np.minimum(np.floor(position), units - 2).astype(np.intp)
    share = position - before
    matrix = np.zeros((length, units))
    rows = np.arange(length)
    matrix[rows, before] = 1 - share
    matrix[rows, before + 1] = share
    return matrix


def _floats(values: Numbers) -> Numbers:
    values = np.asarray(values)
    if values.dtype.kind != "f":
        raise TypeError(f"values to colour must be decimal numbers (float), got {values.dtype}: scale them first")
    return values.astype(np.float32) if values.dtype == np.float16 else values


def _bytes(pixels: Pixels) -> Pixels:
    if pixels.dtype != np.uint8:
        raise TypeError(f"pixels must be uint8, 0 to 255, got {pixels.dtype}")
    return pixels


def _colour_picture(pixels: Pixels) -> Pixels:
    """(H, W, 3) of a picture in colour or grey."""
    pixels = _bytes(pixels)
    if pixels.ndim == 2:
        return np.repeat(pixels[:, :, None], 3, axis=2)
    if pixels.ndim != 3 or pixels.shape[-1] != 3:
        raise ValueError(f"a picture must have the shape (H, W, 3) or (H, W), got {pixels.shape}")
    return pixels


def _filled(height: int, width: int, colour: str) -> Pixels:
    return np.full((height, width, 3), rgb(colour), dtype=np.uint8)


def _mix(under: Pixels, over: Pixels, opacity: Numbers) -> Pixels:
    """Lay one picture over another; opacity (H, W) in [0, 1]. In float32: uint8 arithmetic would wrap around."""
    share = opacity.astype(np.float32)[:, :, None]
    mixed = under * (1 - share) + over * share
    return np.asarray(np.rint(mixed).astype(np.uint8))


def _look_up(table: Pixels, places: Numbers, missing: np.ndarray[Any, np.dtype[np.bool_]]) -> Pixels:
    """Take colours at (..., ) fractional places of a table, and grey where there is no number."""
    colours = table[np.rint(np.where(missing, 0, places)).astype(np.intp)]
    colours[missing] = rgb(MISSING)
    return np.asarray(colours)


@functools.cache
def _magma_table() -> Pixels:
    """Magma of matplotlib (van der Walt and Smith 2015), shape (256, 3)."""
    from matplotlib import colormaps

    table = np.asarray(colormaps["magma"](np.linspace(0, 1, _STEPS + 1)))[:, :3]
    return np.asarray(np.rint(table * 255).astype(np.uint8))


@functools.cache
def _diverging_table() -> Pixels:
    """Partner to paper to accent in straight lines through Oklab, so that equal steps look equal; shape (511, 3)."""
    blue, paper, red = (_to_oklab(np.array(rgb(colour)) / 255) for colour in (PARTNER, PAPER, ACCENT))
    steps = np.linspace(0, 1, _STEPS + 1)[:, None]
    lab = np.concatenate([blue + (paper - blue) * steps, (paper + (red - paper) * steps)[1:]])
    return np.asarray(np.rint(np.clip(_from_oklab(lab), 0, 1) * 255).astype(np.uint8))


_CYCLE_LIGHT: Final = 0.66  # of Oklab: as light as the accent
_CYCLE_CHROMA: Final = 0.13  # about the most that screens show of every hue at this lightness

# Oklab: Björn Ottosson 2020, "A perceptual color space for image processing".
_TO_CONES: Final = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB: Final = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def _to_oklab(colours: Numbers) -> Numbers:
    """Turn sRGB in [0, 1], shape (..., 3), into Oklab."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    return np.asarray(np.cbrt(linear @ _TO_CONES.T) @ _TO_LAB.T)


def _from_oklab(lab: Numbers) -> Numbers:
    """Turn Oklab, shape (..., 3), into sRGB; outside [0, 1] where a screen cannot show it."""
    linear = (lab @ np.linalg.inv(_TO_LAB).T) ** 3 @ np.linalg.inv(_TO_CONES).T
    curved = 1.055 * np.maximum(linear, 0) ** (1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, linear * 12.92, curved)


@functools.cache
def _font(size: int, monospace: bool) -> ImageFont.FreeTypeFont:
    """DejaVu, which matplotlib brings along: figures of equal width, and letters of most languages."""
    import matplotlib

    name = "DejaVuSansMono.ttf" if monospace else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", name)), size)
