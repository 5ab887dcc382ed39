"""What kernels answer to a picture: maps side by side, each with the kernel's numbers. Draws; convolves nothing."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from striate import drawing
from striate.results._gallery import GREY, MONOSPACE, blank, draw_picture, text
from striate.results._placing import axes_at
from striate.results._weights import draw_weights
from striate.results.base import Json, Result, encode_array
from striate.results.drawn import Drawing, Pixels
from striate.results.words import number

__all__ = ["KernelSheet", "Panel", "Strip"]

Look = Literal["picture", "signed", "strength", "direction", "found"]

PERCENTILE = 99  # drawn as the end of a scale: edges are thin, and the few strongest would leave the rest pale
ROUNDING = 1e-5  # no map of a picture of 8 bits is so weak: what is left of a flat picture is drawn as nothing
SHARP_BELOW = 160  # pixels along the longer side of a picture that is shown with hard edges

_CELL, _GAP, _MARGIN, _LINE = 2.5, 0.25, 0.3, 0.15  # inches
_KERNEL = 0.72  # side of a kernel's drawing
_SMALL, _BODY = 7.5, 8.5  # points
_LETTERS = {_SMALL: 17.0, _BODY: 14.5}  # that fit into an inch
_TALLEST = 2.0
_PALE = 0.35  # of the picture is left under marks
_STEEPER = 0.6  # power of the strength of directions: what is weak can still be seen
# the key of what is found, line by line; the last is the picture, standing back
_MARKS = ((("found", drawing.ACCENT), ("its opposite", drawing.PARTNER)), (("not found", "#cfcfce"),))


@dataclass(frozen=True, eq=False)
class Panel:
    """One map of a sheet.

    Args:
        title: the kernel, set in monospace.
        caption: what the map shows, in words.
        values: float; "picture" (H, W) or (H, W, 3) in [0, 1] or beyond; "signed", "strength" and "found" (H, W);
            "direction" (2, H, W): radians, 0 to the right and pi/2 up, and the strength.
        look: how the values are drawn.
        kernels: the weights behind it, each (h, w), as they are laid on the picture.
    """

    title: str
    caption: str
    values: NDArray[Any]
    look: Look
    kernels: tuple[NDArray[Any], ...] = ()

    @property
    def scaled(self) -> bool:
        """Whether the map is drawn on a scale of values."""
        return self.look in ("signed", "strength")

    def reach(self) -> float:
        """Return the size of value that nearly all others stay below."""
        strengths = np.abs(self.values[1] if self.look == "direction" else self.values)
        high = float(np.percentile(strengths, PERCENTILE))
        return high if high > 0 else float(strengths.max())


@dataclass(frozen=True, eq=False)
class Strip:
    """A row of maps that are compared: all signed ones share one scale, and so do all strengths.

    Args:
        heading: set above the row; empty for none.
        panels: from left to right.
        unit: of the values on a scale, in words.
        highest: the end of the scales where other rows are on the same ones; None takes it from the panels.
    """

    heading: str
    panels: tuple[Panel, ...]
    unit: str = ""
    highest: float | None = None

    def high(self, panel: Panel) -> float:
        """Return the value drawn with the last colour of the panel's scale; above 0."""
        high = self.highest
        if high is None:
            high = max(other.reach() for other in self.panels if other.look == panel.look)
        return high if high > ROUNDING else 1.0


@dataclass(frozen=True, eq=False)
class KernelSheet(Result):
    """Maps of one picture, in rows.

    Args:
        rows: from top to bottom.
        picture: uint8, shape (H, W, 3), as it was convolved.
        name: of the picture.
        heading: of the sheet.
        words: below the heading.
    """

    rows: tuple[Strip, ...]
    picture: Pixels
    name: str = ""
    heading: str = "Kernels by hand"
    words: str = ""

    @property
    def panels(self) -> tuple[Panel, ...]:
        """All maps, row by row."""
        return tuple(panel for row in self.rows for panel in row.panels)

    def panel(self, title: str) -> Panel:
        """Return the map of this title."""
        return next(panel for panel in self.panels if panel.title == title)

    def caption(self) -> str:
        """Say what is shown."""
        height, width = self.picture.shape[:2]
        return f"{self.name or 'A picture'}, {height} x {width} pixels. {self.words}".rstrip()

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawings, ready for JSON."""
        maps = []
        for row in self.rows:
            for panel in row.panels:
                maps.append(
                    {
                        "title": panel.title,
                        "row": row.heading,
                        "shows": panel.caption,
                        "kernels": [kernel.tolist() for kernel in panel.kernels],
                        "lowest": float(panel.values.min()),
                        "highest": float(panel.values.max()),
                        "drawn": row.high(panel) if panel.scaled else None,
                        "unit": row.unit if panel.scaled else "",
                        "values": encode_array(panel.values.astype(np.float32)),
                    }
                )
        return {"picture": self.name, "shape": list(self.picture.shape), "maps": maps}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name."""
        arrays: dict[str, NDArray[Any]] = {"picture": self.picture}
        for panel in self.panels:
            name = panel.title.replace(" ", "_").replace(",", "")
            arrays[name if name not in arrays else f"{name}_{panel.look}"] = panel.values
        return arrays

    def drawings(self) -> list[Drawing]:
        """Return each map in turn."""
        return [self._drawn(row, panel) for row in self.rows for panel in row.panels]

    def figure(self) -> Figure:
        """Draw the rows, below each map its kernel with its numbers, below each row its scale."""
        columns = max(len(row.panels) for row in self.rows)
        cell = _CELL if columns > 2 else 1.3 * _CELL
        height, width = self.picture.shape[:2]
        tall = cell * min(height / width, _TALLEST)
        wide = 2 * _MARGIN + columns * cell + (columns - 1) * _GAP
        top_lines = textwrap.wrap(self.caption(), round((wide - 2 * _MARGIN) * _LETTERS[_BODY]))
        notes = [max(_note_height(panel, cell) for panel in row.panels) for row in self.rows]
        heads = [(0.32 if row.heading else 0.0) for row in self.rows]
        feet = [(0.28 if any(panel.scaled for panel in row.panels) else 0.0) for row in self.rows]
        body = sum(heads) + sum(notes) + sum(feet) + len(self.rows) * (1.3 * _LINE + tall + 0.1 + _GAP)
        head = 0.35 + len(top_lines) * 1.1 * _LINE + 0.15
        figure = blank(wide, 2 * _MARGIN + head + body - _GAP)
        text(figure, _MARGIN, _MARGIN, self.heading, size=13, weight="bold")
        for index, line in enumerate(top_lines):
            text(figure, _MARGIN, _MARGIN + 0.35 + index * 1.1 * _LINE, line, size=_BODY)
        down = _MARGIN + head
        for row, row_head, note, foot in zip(self.rows, heads, notes, feet, strict=True):
            if row.heading:
                text(figure, _MARGIN, down, row.heading, size=10, weight="bold")
            down += row_head
            for column, panel in enumerate(row.panels):
                left = _MARGIN + column * (cell + _GAP)
                text(figure, left, down, panel.title, size=8, family=MONOSPACE)
                bottom = draw_picture(figure, self._drawn(row, panel), left, down + 1.3 * _LINE, cell)
                _draw_note(figure, panel, left, bottom + 0.1, cell)
            down += 1.3 * _LINE + tall + 0.1 + note
            if foot:
                _draw_scales(figure, row, down, cell)
            down += foot + _GAP
        return figure

    def _drawn(self, row: Strip, panel: Panel) -> Drawing:
        sharp = max(panel.values.shape[-2:] if panel.look != "picture" else panel.values.shape[:2]) < SHARP_BELOW
        high = row.high(panel)
        pixels = self._pixels(panel, high)
        if not panel.scaled:
            return Drawing(panel.title, panel.caption, pixels, sharp=sharp)
        signed = panel.look == "signed"
        low = -high if signed else 0.0
        return Drawing(panel.title, panel.caption, pixels, low, high, row.unit, signed=signed, sharp=sharp)

    def _pixels(self, panel: Panel, high: float) -> Pixels:
        """Colour a map: uint8, shape (H, W, 3)."""
        values = np.asarray(panel.values, dtype=np.float32)
        match panel.look:
            case "picture":
                grey = np.repeat(values[:, :, None], 3, axis=2) if values.ndim == 2 else values
                return np.asarray(np.rint(np.clip(grey, 0, 1) * 255).astype(np.uint8))
            case "direction":
                return _on_paper(drawing.cyclic(values[0]), (values[1] / high) ** _STEEPER)
            case "found":
                return self._marked(values)
            case _:
                signed = panel.look == "signed"
                return drawing.colour(values, signed=signed, low=-high if signed else 0.0, high=high)

    def _marked(self, marks: NDArray[np.float32]) -> Pixels:
        """Draw marks (-1, 0, 1) in full colour on the picture, which stands back as a pale grey."""
        pixels = np.full((*marks.shape, 3), drawing.rgb(drawing.PAPER), dtype=np.uint8)
        if marks.shape == self.picture.shape[:2]:
            grey = self.picture @ np.array([0.299, 0.587, 0.114])
            pixels = _on_paper(np.repeat(grey[:, :, None], 3, axis=2), np.full(marks.shape, _PALE))
        for sign, colour in ((1, drawing.ACCENT), (-1, drawing.PARTNER)):
            pixels[marks == sign] = drawing.rgb(colour)
        return pixels


def wheel(pixels: int) -> Pixels:
    """Draw the key of directions, a ring on paper: uint8, shape (pixels, pixels, 3)."""
    ends = (np.arange(pixels) + 0.5) / pixels * 2 - 1
    across, down = np.meshgrid(ends, ends)
    radius = np.hypot(across, down)
    edge = 3 / pixels
    opacity = np.clip((1 - edge - radius) / edge, 0, 1) * np.clip((radius - 0.45) / edge, 0, 1)
    return _on_paper(drawing.cyclic(np.arctan2(-down, across)), opacity)


def _on_paper(colours: NDArray[Any], opacity: NDArray[Any]) -> Pixels:
    share = np.clip(opacity, 0, 1).astype(np.float32)[..., None]
    paper = np.array(drawing.rgb(drawing.PAPER), dtype=np.float32)
    return np.asarray(np.rint(paper * (1 - share) + colours * share).astype(np.uint8))


def _key_width(panel: Panel) -> float:
    """Return the room to the left of a panel's words, inches."""
    if panel.look in ("direction",):
        return _KERNEL + 0.12
    width = 0.0
    for kernel in panel.kernels:
        rows, columns = kernel.shape
        width += _KERNEL * columns / max(rows, columns) + 0.12
    return width


def _note_lines(panel: Panel, cell: float) -> list[str]:
    return textwrap.wrap(panel.caption, max(10, round((cell - _key_width(panel)) * _LETTERS[_SMALL])))


def _note_height(panel: Panel, cell: float) -> float:
    key = _KERNEL + 0.14 if panel.kernels or panel.look == "direction" else 0.0
    swatches = 2.4 if panel.look == "found" else 0.0
    return max(key, (len(_note_lines(panel, cell)) + swatches) * _LINE)


def _draw_note(figure: Figure, panel: Panel, left: float, down: float, cell: float) -> None:
    """Draw the kernel, or the key of the colours, and the words to the right of it."""
    words_left = left + _key_width(panel)
    if panel.look == "direction":
        _draw_wheel(figure, left, down)
    else:
        place = left
        for kernel in panel.kernels:
            place += draw_weights(figure, kernel, place, down, _KERNEL) + 0.12
    lines = _note_lines(panel, cell)
    for index, line in enumerate(lines):
        text(figure, words_left, down + (index - 0.1) * _LINE, line, size=_SMALL, colour=GREY)
    if panel.look == "found":
        for below, marks in enumerate(_MARKS):
            row, place = down + (len(lines) + 0.2 + 1.1 * below) * _LINE, words_left
            for words, colour in marks:
                _draw_pixels(figure, np.full((1, 1, 3), drawing.rgb(colour), np.uint8), place, row - 0.015, 0.1, 0.1)
                text(figure, place + 0.15, row - 0.015, words, size=_SMALL, colour=GREY)
                place += 0.15 + len(words) / _LETTERS[_SMALL] + 0.15


def _draw_wheel(figure: Figure, left: float, down: float) -> None:
    _draw_pixels(figure, wheel(200), left, down, _KERNEL, _KERNEL)


def _draw_scales(figure: Figure, row: Strip, down: float, cell: float) -> None:
    """Draw each scale of a row once, below the first map that has it, its ends and unit written below."""
    looks = []
    for column, panel in enumerate(row.panels):
        if not panel.scaled or panel.look in looks:
            continue
        looks.append(panel.look)
        left = _MARGIN + column * (cell + _GAP)
        high = row.high(panel)
        signed = panel.look == "signed"
        low = -high if signed else 0.0
        ramp = np.linspace(low, high, 256, dtype=np.float32)[None]
        _draw_pixels(figure, drawing.colour(ramp, signed=signed, low=low, high=high), left, down, cell, 0.09)
        text(figure, left, down + 0.12, number(low), size=_SMALL, colour=GREY)
        text(figure, left + cell / 2, down + 0.12, row.unit, size=_SMALL, colour=GREY, align="center")
        text(figure, left + cell, down + 0.12, number(high), size=_SMALL, colour=GREY, align="right")


def _draw_pixels(figure: Figure, pixels: Pixels, left: float, down: float, width: float, height: float) -> None:
    axes = axes_at(figure, left, down, width, height)
    axes.imshow(pixels, aspect="auto", interpolation="nearest" if pixels.size < 2000 else "antialiased")
