"""Draw a layout in the plane: points by class, pictures at their places, pictures on a grid. Knows no result."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import matplotlib.patheffects as effects
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from striate import drawing
from striate.address import class_name
from striate.results._charts import short_name
from striate.results._gallery import GREY
from striate.results._inches import inch_axes
from striate.results.drawn import Pixels

__all__ = ["draw_points", "grid_picture", "map_picture"]

# Okabe and Ito's colours, last the yellow, which paper swallows
_COLOURS: Final = (*drawing.OKABE_ITO[1:4], *drawing.OKABE_ITO[5:], drawing.OKABE_ITO[0], drawing.OKABE_ITO[4])
_MARKERS: Final = ("o", "^", "s", "D")
_FEW: Final = len(_COLOURS) * len(_MARKERS)  # classes that colour and shape can tell apart
_MOST_NAMES: Final = 60  # written on a map of more classes than that
_LETTER, _LINE = 0.075, 0.15  # inches that a letter is wide and a line is high, of 8 points
_CANVAS: Final = 3200  # pixels of a map of many pictures
_ROOM: Final = 160  # pixels, side of the room that each of a few has
_COVERED: Final = 0.45  # of it would be covered if no picture lay over another

_Box = tuple[float, float, float, float]  # left, top, right, bottom, inches


def draw_points(
    figure: Figure,
    at: tuple[float, float, float, float],
    places: NDArray[np.float64],
    classes: NDArray[np.int64],
    names: Sequence[str] | None,
) -> None:
    """Draw a point for each picture, and write the classes beside their points where they can be read.

    Up to 32 classes have a colour and a shape each; of more, all points are alike and the names of those that lie
    closest together are written.

    Args:
        figure: to draw on.
        at: left, top, width and height, inches from the sheet's top left corner.
        places: (N, 2), across and up.
        classes: (N,), -1 where unknown.
        names: of the classes; their numbers unless given.
    """
    axes = inch_axes(figure)
    left, top, width, height = at
    spots = _fitted(places, width - 0.2, height - 0.2) + np.array([left + 0.1, top + 0.1])
    size = float(np.clip(24_000 / max(len(places), 1), 3, 50))  # square points
    found = [int(one) for one in np.unique(classes) if one >= 0]
    few = len(found) <= _FEW
    plain = spots[classes < 0] if few else spots
    look: dict[str, Any] = {"s": size, "lw": 0}
    axes.scatter(plain[:, 0], plain[:, 1], c=drawing.MISSING if few else drawing.PARTNER, alpha=0.6, **look)
    if few:
        for number, one in enumerate(found):
            own = spots[classes == one]
            colour, marker = _look(number)
            axes.scatter(own[:, 0], own[:, 1], c=colour, marker=marker, alpha=0.75, **look)
    _write_names(axes, at, spots, classes, found, names)
    if not found:
        axes.text(left, top + height, "no classes are known", fontsize=7.5, color=GREY, va="bottom")


def told_apart(classes: NDArray[np.int64]) -> bool:
    """Tell whether classes (-1 where unknown) are so few that each has a colour and a shape of its own."""
    return len(np.unique(classes[classes >= 0])) <= _FEW


def _look(number: int) -> tuple[str, str]:
    """Return colour and shape of the class in this place."""
    return _COLOURS[number % len(_COLOURS)], _MARKERS[number // len(_COLOURS) % len(_MARKERS)]


def _write_names(
    axes: Axes,
    at: tuple[float, float, float, float],
    spots: NDArray[np.float64],
    classes: NDArray[np.int64],
    found: Sequence[int],
    names: Sequence[str] | None,
) -> None:
    """Write the classes in the middle of their points: all of few, of many those that find room."""
    left, top, width, height = at
    few = len(found) <= _FEW
    written: list[_Box] = []
    for one in _closest_first(spots, classes, found):
        words = short_name(_name(names, one), 22)
        wide = _LETTER * len(words) + 0.05
        across, down = _middle(spots[classes == one])
        across = float(np.clip(across - wide / 2, left, left + width - wide))
        down = float(np.clip(down - _LINE / 2, top, top + height - _LINE))
        box: _Box = (across, down, across + wide, down + _LINE)
        if any(_overlap(box, other) for other in written):
            if not few:
                continue
            box = _free(box, written, top, top + height)
        written.append(box)
        middle = (box[1] + box[3]) / 2
        look: dict[str, Any] = {"fontsize": 8, "ha": "center", "va": "center", "color": drawing.INK}
        look["path_effects"] = [effects.withStroke(linewidth=2.5, foreground=drawing.PAPER)]
        axes.text((box[0] + box[2]) / 2, middle, words, parse_math=False, zorder=12, **look)
        if few:
            colour, marker = _look(found.index(one))
            spot: dict[str, Any] = {"s": 22, "lw": 0.8, "edgecolors": drawing.PAPER, "zorder": 12}
            axes.scatter([box[0] + 0.02], [middle], c=colour, marker=marker, **spot)
        elif len(written) == _MOST_NAMES:
            return


def map_picture(thumbnails: Sequence[Pixels | None], places: NDArray[np.float64]) -> Pixels:
    """Lay pictures at their places, one over the other where they are crowded: uint8, (H, W, 3).

    Args:
        thumbnails: N pictures; None leaves its place empty.
        places: (N, 2), across and up; both axes keep their scale.
    """
    whole = min(_CANVAS, round(_ROOM * math.sqrt(len(places))))
    side = max(4, round(math.sqrt(_COVERED / len(places)) * whole))
    span = np.ptp(places, axis=0)
    scale = (whole - side) / max(span.max(), 1e-12)
    width, height = (round(float(length) * scale) + side for length in span)
    canvas = np.full((max(height, side), max(width, side), 3), drawing.rgb(drawing.PAPER), dtype=np.uint8)
    corners = np.rint((places - places.min(0)) * scale).astype(np.int64)
    for (across, up), one in zip(corners.tolist(), thumbnails, strict=True):
        if one is None:
            continue
        small = _sized(one, side)
        rows, columns = small.shape[:2]
        down = canvas.shape[0] - side - up + (side - rows) // 2
        left = across + (side - columns) // 2
        canvas[down : down + rows, left : left + columns] = small
    return canvas


def grid_picture(thumbnails: Sequence[Pixels | None], cells: NDArray[np.int64]) -> Pixels:
    """Lay pictures on the cells of a grid, none over another: uint8, (H, W, 3).

    Args:
        thumbnails: N pictures; None leaves its cell empty.
        cells: (N, 2), row from the top, and column; each taken once.
    """
    rows, columns = (int(most) + 1 for most in cells.max(0))
    side = min(max(4, _CANVAS // columns), 160)
    gap = 2 if side >= 24 else 1 if side >= 12 else 0
    step = side + gap
    canvas = np.full((rows * step - gap, columns * step - gap, 3), drawing.rgb(drawing.PAPER), dtype=np.uint8)
    for (row, column), one in zip(cells.tolist(), thumbnails, strict=True):
        if one is not None:
            small = _sized(one, side)
            down = row * step + (side - small.shape[0]) // 2
            left = column * step + (side - small.shape[1]) // 2
            canvas[down : down + small.shape[0], left : left + small.shape[1]] = small
    return canvas


def _sized(picture: Pixels, side: int) -> Pixels:
    """Return a picture whose longer side is so many pixels; small ones keep hard edges when they are enlarged."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    if scale == 1:
        return picture
    size = max(1, round(width * scale)), max(1, round(height * scale))
    way = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX
    return np.asarray(Image.fromarray(picture).resize(size, way))


def _fitted(places: NDArray[np.float64], width: float, height: float) -> NDArray[np.float64]:
    """Return places as inches across and down, in the middle of a space, both axes on one scale."""
    low, span = places.min(0), np.ptp(places, axis=0)
    scale = min(width / max(span[0], 1e-12), height / max(span[1], 1e-12))
    if not span.max() > 0:
        scale = 0.0
    free = np.array([width, height]) - span * scale
    spots: NDArray[np.float64] = (places - low) * scale + free / 2
    spots[:, 1] = height - spots[:, 1]
    return spots


def _closest_first(spots: NDArray[np.float64], classes: NDArray[np.int64], found: Sequence[int]) -> list[int]:
    """Return the classes, first those whose points lie closest together for how many they are."""

    def spread(one: int) -> float:
        own = spots[classes == one]
        if len(own) < 2:
            return math.inf
        return float(np.median(np.linalg.norm(own - _middle(own), axis=1)) / math.sqrt(len(own)))

    return sorted(found, key=lambda one: (spread(one), one))


def _middle(spots: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.median(spots, axis=0), dtype=np.float64)


def _overlap(one: _Box, other: _Box) -> bool:
    return one[0] < other[2] + 0.1 and other[0] < one[2] + 0.1 and one[1] < other[3] and other[1] < one[3]


def _free(box: _Box, written: Sequence[_Box], top: float, bottom: float) -> _Box:
    """Move a name up or down until it lies over no other."""
    for step in range(1, 80):
        for way in (step, -step):
            moved = (box[0], box[1] + way * _LINE / 2, box[2], box[3] + way * _LINE / 2)
            if moved[1] >= top and moved[3] <= bottom and not any(_overlap(moved, other) for other in written):
                return moved
    return box


def _name(names: Sequence[str] | None, index: int) -> str:
    return class_name(names, index) if names is not None and index < len(names) else f"class {index}"
