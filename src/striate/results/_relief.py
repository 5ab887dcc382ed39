"""Draw a height for each pixel as a shaded block seen from above and aside. Knows no result.

Parallel projection: a point (across, back, up), across and back turned by the azimuth, lands at x = across and
y = up * cos(elevation) + back * sin(elevation). In every column of the drawing the surface is walked from front to
back; a point shows where it stands higher than all before it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate import drawing
from striate.results.drawn import Pixels

__all__ = ["Relief", "relief"]

_LIGHT = (-0.45, -0.35, 0.82)  # from the left, in front, above; in the viewer's directions
_AMBIENT = 0.42
_OVERSAMPLING = 2
_WALLS = (0.88, 0.80, 0.68)  # lightness of the cuts in front, on the left and on the right; 1 is that of paper


@dataclass(frozen=True, eq=False)
class Relief:
    """A drawn surface.

    Args:
        pixels: uint8, shape (h, w, 3), on paper.
        extent: left, right, bottom and top of the drawing in the units of `project`.
        project: where a point (column, row, value) of the surface lands, with columns and rows in pixels' edges.
    """

    pixels: Pixels
    extent: tuple[float, float, float, float]
    project: Callable[[float, float, float], tuple[float, float]]


def relief(
    heights: NDArray[Any],
    colours: Pixels,
    *,
    azimuth: float = 30.0,
    elevation: float = 40.0,
    height: float = 0.35,
    width: int = 1000,
) -> Relief:
    """Draw a surface.

    Args:
        heights: shape (h, w), in [0, 1].
        colours: of the surface, uint8, shape (h, w, 3).
        azimuth: degrees by which the surface is turned, in (-90, 90); 0 looks along the columns from the last row.
        elevation: degrees above the horizon, in (0, 90).
        height: of a value of 1, as a share of the picture's longer side.
        width: pixels of the drawing.
    """
    rows, columns = heights.shape
    longer = max(rows, columns)
    up = height * np.asarray(heights, dtype=np.float64)
    cosine, sine = math.cos(math.radians(azimuth)), math.sin(math.radians(azimuth))
    rise, tilt = math.cos(math.radians(elevation)), math.sin(math.radians(elevation))
    half_wide, half_deep = columns / longer / 2, rows / longer / 2

    def project(column: float, row: float, value: float) -> tuple[float, float]:
        across, back = column / longer - half_wide, half_deep - row / longer
        return cosine * across + sine * back, height * value * rise + (cosine * back - sine * across) * tilt

    corners = [project(c, r, v) for c in (0, columns) for r in (0, rows) for v in (0, 1)]
    left, right = min(x for x, _ in corners), max(x for x, _ in corners)
    bottom, top = min(y for _, y in corners), max(y for _, y in corners)
    shaded = colours * _shade(up * longer, cosine, sine)[:, :, None]

    wide = width * _OVERSAMPLING
    step = (right - left) / wide
    high = math.ceil((top - bottom) / step / _OVERSAMPLING) * _OVERSAMPLING
    levels = bottom + (np.arange(high) + 0.5) * step
    reach = half_wide * abs(sine) + half_deep * cosine
    # front to back, finer than the pixels of the picture and those of the drawing
    depths = np.arange(-reach, reach, min(0.45 / longer, 0.7 * step * _OVERSAMPLING))
    canvas = np.empty((high, wide, 3), dtype=np.float32)
    canvas[:] = drawing.rgb(drawing.PAPER)
    for index in range(wide):
        x = left + (index + 0.5) * step
        across, back = cosine * x - sine * depths, sine * x + cosine * depths
        column, row = (across + half_wide) * longer - 0.5, (half_deep - back) * longer - 0.5
        inside = np.flatnonzero((column >= -0.5) & (column <= columns - 0.5) & (row >= -0.5) & (row <= rows - 0.5))
        if not inside.size:
            continue
        column, row, depth = column[inside], row[inside], depths[inside]
        seen = _sampled(up, row, column) * rise + depth * tilt
        highest = np.maximum.accumulate(seen)
        shows = np.searchsorted(highest, levels)  # the first point that reaches this level
        drawn = (levels >= depth[0] * tilt) & (shows < inside.size)
        point = np.minimum(shows, inside.size - 1)
        strip = _sampled(shaded, row[point], column[point])
        # the cut through the block below its front edge: paper in shadow, darker on the side away from the light
        on_right = abs(column[0] - (columns - 0.5)) < abs(row[0] - (rows - 0.5)) and sine > 0
        on_left = abs(column[0] + 0.5) < abs(row[0] - (rows - 0.5)) and sine < 0
        light = _WALLS[2] if on_right else _WALLS[1] if on_left else _WALLS[0]
        strip[shows == 0] = light * np.array(drawing.rgb(drawing.PAPER))
        canvas[drawn, index] = strip[drawn]
    canvas = canvas[::-1].reshape(high // _OVERSAMPLING, _OVERSAMPLING, width, _OVERSAMPLING, 3).mean(axis=(1, 3))
    pixels = np.rint(np.clip(canvas, 0, 255)).astype(np.uint8)
    return Relief(pixels, (left, right, bottom, bottom + high * step), project)


def _shade(up: NDArray[np.float64], cosine: float, sine: float) -> NDArray[np.float64]:
    """Return how much light each point gets, about 0.4 to 1.15: a matt surface under one lamp."""
    slope_down, slope_across = (
        np.gradient(up, axis=axis) if up.shape[axis] > 1 else np.zeros_like(up) for axis in (0, 1)
    )
    # rows grow to the front; turned as the viewer sees it
    across, back = cosine * slope_across - sine * slope_down, -(sine * slope_across + cosine * slope_down)
    length = np.sqrt(across**2 + back**2 + 1)
    facing = (-across * _LIGHT[0] - back * _LIGHT[1] + _LIGHT[2]) / length
    return np.asarray(_AMBIENT + 0.75 * np.clip(facing, 0, None))


def _sampled(values: NDArray[np.float64], row: NDArray[np.float64], column: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interpolate values (h, w, ...) in straight lines; beyond the middles of the outermost pixels these go on."""
    rows, columns = values.shape[:2]
    row, column = np.clip(row, 0, rows - 1), np.clip(column, 0, columns - 1)
    top, left = np.minimum(row.astype(int), max(rows - 2, 0)), np.minimum(column.astype(int), max(columns - 2, 0))
    down, across = (one.reshape(-1, *(1,) * (values.ndim - 2)) for one in (row - top, column - left))
    bottom, right = np.minimum(top + 1, rows - 1), np.minimum(left + 1, columns - 1)
    upper = values[top, left] * (1 - across) + values[top, right] * across
    lower = values[bottom, left] * (1 - across) + values[bottom, right] * across
    return np.asarray(upper * (1 - down) + lower * down)
