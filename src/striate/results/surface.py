"""A picture as what it is, an array of numbers, and as a surface whose height is brightness. Draws; reads no file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from striate import drawing
from striate.results._gallery import GREY, MONOSPACE, blank, draw_picture, text
from striate.results._placing import axes_at
from striate.results._relief import Relief, relief
from striate.results.base import Json, Result, encode_array
from striate.results.drawn import Drawing, Pixels
from striate.results.words import number, shape, span

__all__ = ["Surface"]

Box = tuple[int, int, int, int]

_SIDE, _GAP, _MARGIN, _LINE = 2.6, 0.35, 0.3, 0.15  # inches
_WIDE = 6.2  # of the surface
_POINTS = 72
_SHARP_BELOW = 160  # pixels along the longer side of a picture that is shown with hard edges


@dataclass(frozen=True, eq=False)
class Surface(Result):
    """Brightness as height.

    Args:
        heights: brightness, shape (h, w), float, from 0 (black) to 1 (white).
        picture: uint8, shape (h, w, 3), whose colours the surface has.
        box: first row, first column, last row, last column (inclusive) of the part whose numbers are written out.
        name: of the picture.
        by_height: colour the surface by its height instead.
        azimuth: degrees by which the surface is turned.
        elevation: degrees from which it is seen above the horizon.
        height: of white over black, as a share of the picture's longer side.
    """

    heights: NDArray[np.float32]
    picture: Pixels
    box: Box
    name: str = ""
    by_height: bool = False
    azimuth: float = 30.0
    elevation: float = 40.0
    height: float = 0.35

    @property
    def patch(self) -> NDArray[np.uint8]:
        """The part whose numbers are written, 0 to 255."""
        top, left, bottom, right = self.box
        part = self.heights[top : bottom + 1, left : right + 1]
        return np.asarray(np.rint(part * 255).astype(np.uint8))

    @cached_property
    def relief(self) -> Relief:
        """The drawn surface."""
        colours = drawing.magma(self.heights) if self.by_height else self.picture
        return relief(
            self.heights, colours, azimuth=self.azimuth, elevation=self.elevation, height=self.height, width=1240
        )

    def caption(self) -> str:
        """Say what is shown."""
        low, high = float(self.heights.min()), float(self.heights.max())
        return (
            f"{self.name or 'A picture'}, {shape(self.heights.shape)} numbers: brightness from {span(low, high)}, "
            "where 0 is black and 1 is white. The same numbers as a picture, as an array (0 to 255), and as heights."
        )

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawings, ready for JSON."""
        return {
            "picture": self.name,
            "shape": list(self.heights.shape),
            "lowest": float(self.heights.min()),
            "highest": float(self.heights.max()),
            "box": list(self.box),
            "patch": self.patch.tolist(),
            "heights": encode_array(self.heights),
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name."""
        return {"heights": self.heights, "picture": self.picture, "patch": self.patch}

    def drawings(self) -> list[Drawing]:
        """Return the picture with the part marked, the part enlarged, and the surface."""
        top, left, bottom, right = self.box
        where = f"rows {top} to {bottom}, columns {left} to {right}"
        grey = np.repeat(self.patch[:, :, None], 3, axis=2)
        colour = "its height" if self.by_height else "the picture's own colours"
        return [
            Drawing("picture", f"Marked: {where}.", self._marked()),
            Drawing("array", "The numbers of the marked part.", grey, sharp=True),
            Drawing("surface", f"Brightness as height, in {colour}.", self.relief.pixels),
        ]

    def figure(self) -> Figure:
        """Draw picture and array one above the other, and the surface beside them."""
        picture, array, surface = self.drawings()
        tall = [_SIDE * one.pixels.shape[0] / one.pixels.shape[1] for one in (picture, array)]
        rows, columns = self.relief.pixels.shape[:2]
        surface_tall = _WIDE * rows / columns
        words = 0.9
        left_height = sum(tall) + 2 * (1.3 * _LINE) + 2 * 0.4
        body = max(left_height, surface_tall + 1.3 * _LINE + 0.6)
        wide = 2 * _MARGIN + _SIDE + _GAP + _WIDE + 0.5
        figure = blank(wide, 2 * _MARGIN + words + body - 0.45)
        text(figure, _MARGIN, _MARGIN, "A picture as a surface", size=13, weight="bold")
        text(figure, _MARGIN, _MARGIN + 0.35, self.caption().split(". The")[0] + ".", size=8.5)
        down = _MARGIN + words - 0.2
        for one, high in ((picture, tall[0]), (array, tall[1])):
            text(figure, _MARGIN, down, one.title, size=8, family=MONOSPACE)
            bottom = draw_picture(figure, one, _MARGIN, down + 1.3 * _LINE, _SIDE)
            if one is array:
                self._write_numbers(figure, _MARGIN, down + 1.3 * _LINE, high)
            text(figure, _MARGIN, bottom + 0.06, one.caption, size=7.5, colour=GREY)
            down = bottom + 0.4
        left, down = _MARGIN + _SIDE + _GAP, _MARGIN + words - 0.2
        text(figure, left, down, surface.title, size=8, family=MONOSPACE)
        free = max(0.0, body - 0.4 - 1.3 * _LINE - surface_tall) / 2
        self._draw_surface(figure, left + 0.25, down + 1.3 * _LINE + 0.6 * free, surface_tall)
        return figure

    def _marked(self) -> Pixels:
        """Draw the box on the picture; one of few pixels is enlarged first, so that the line stays thin."""
        longer = max(self.heights.shape)
        if longer >= _SHARP_BELOW:
            return drawing.draw_box(self.picture, self.box)
        factor = -(-2 * _SHARP_BELOW // longer)
        top, left, bottom, right = (edge * factor for edge in self.box)
        inner = factor - 1  # the last pixel's own rows and columns
        return drawing.draw_box(
            drawing.enlarge(self.picture, factor), (top, left, bottom + inner, right + inner), scale=1
        )

    def _write_numbers(self, figure: Figure, left: float, down: float, high: float) -> None:
        rows, columns = self.patch.shape
        cell = _SIDE / columns
        sheet_width, sheet_height = figure.get_size_inches()
        for row in range(rows):
            for column in range(columns):
                value = int(self.patch[row, column])
                figure.text(
                    (left + (column + 0.5) * cell) / sheet_width,
                    1 - (down + (row + 0.5) * high / rows) / sheet_height,
                    str(value),
                    fontsize=min(8.0, 0.36 * cell * _POINTS),
                    color=drawing.INK if value > 115 else drawing.NIGHT_INK,
                    ha="center",
                    va="center_baseline",
                )

    def _draw_surface(self, figure: Figure, left: float, down: float, high: float) -> None:
        """Draw the block, the edges it stands on, and a scale of brightness at its left corner."""
        drawn = self.relief
        x0, x1, y0, y1 = drawn.extent
        axes = axes_at(figure, left, down, _WIDE, high)
        axes.imshow(drawn.pixels, extent=drawn.extent, aspect="auto", interpolation="antialiased")
        axes.set_xlim(x0, x1)
        axes.set_ylim(y0, y1)
        axes.set_axis_off()
        rows, columns = self.heights.shape
        right_turned = self.azimuth >= 0
        # the two base edges in front, and the corner that stands furthest to the left
        front = [(0, rows), (columns, rows), (columns, 0)] if right_turned else [(0, 0), (0, rows), (columns, rows)]
        points = [drawn.project(column, row, 0) for column, row in front]
        axes.plot([x for x, _ in points], [y for _, y in points], color=GREY, linewidth=0.8, clip_on=False)
        corner = (0, rows) if right_turned else (0, 0)
        (x, foot), (_, head) = (drawn.project(corner[0], corner[1], value) for value in (0, 1))
        axes.plot([x, x], [foot, head], color=GREY, linewidth=0.8, clip_on=False)
        for value in (0, 1):
            _, y = drawn.project(corner[0], corner[1], value)
            axes.text(x - 0.012, y, str(value), fontsize=7.5, color=GREY, ha="right", va="center")
        axes.text(
            x - 0.03, (foot + head) / 2, "brightness", fontsize=7.5, color=GREY, ha="right", va="center", rotation=90
        )
        names = ("columns", "rows") if right_turned else ("rows", "columns")
        counts = {"columns": columns, "rows": rows}
        for start, end, name in zip(points[:-1], points[1:], names, strict=True):
            angle = float(np.degrees(np.arctan2(end[1] - start[1], end[0] - start[0])))
            middle = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2 - 0.028
            axes.text(
                *middle,
                f"{number(counts[name])} {name}",
                fontsize=7.5,
                color=GREY,
                ha="center",
                va="center",
                rotation=angle,
                rotation_mode="anchor",
            )
