"""Put captioned pictures on a matplotlib Figure. Knows no result; touches neither pyplot nor its settings.

Sizes are worked out in inches beforehand instead of leaving them to a layout engine: pictures of any shape keep
their proportions, captions never run into each other, and the same drawings give the same file every time.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from striate.drawing import INK, PAPER, colour
from striate.results._fonts import writable
from striate.results.drawn import Drawing
from striate.results.words import span

__all__ = ["DENSITY", "GREY", "MONOSPACE", "Head", "blank", "draw_gallery", "draw_picture", "figure_png", "text"]

DENSITY = 200  # dots per inch of saved figures; 100 is a screen at its plain density
GREY = "#6b6b73"
MONOSPACE = "monospace"

_CELL = 2.5  # width of a picture, inches; one that stands alone is twice as wide
_GAP = 0.25
_MARGIN = 0.3
_LINE = 0.15  # height of a line of caption, inches
_LETTERS = 17.5  # of 7.5 pt that fit in an inch
_LARGE_LETTERS = 14.5  # of 8.5 pt
_TALLEST = 2.0  # a picture higher than this many times its width is made narrower
_LARGEST_FIGURES, _SMALLEST_FIGURES = 7.0, 3.0  # points; smaller ones could not be read, and are left out


def draw_gallery(
    drawings: Sequence[Drawing], *, heading: str = "", caption: str = "", columns: int | None = None
) -> Figure:
    """Lay pictures out in rows, each with its address above and its caption and range below.

    Args:
        drawings: at least one.
        heading: set large at the top left; empty for none.
        caption: set below the heading, wrapped to the width.
        columns: pictures in a row; None chooses 1 to 4 by how many there are.

    Returns:
        A figure at 100 dots per inch; `figure_png` writes it at twice that.
    """
    columns = columns or _columns(len(drawings))
    cell = _CELL if columns > 1 else 2 * _CELL
    rows = [drawings[start : start + columns] for start in range(0, len(drawings), columns)]
    width = 2 * _MARGIN + columns * cell + (columns - 1) * _GAP
    notes = [[textwrap.wrap(_note(drawing), round(cell * _LETTERS)) for drawing in row] for row in rows]
    picture_heights = [max(_height(drawing, cell) for drawing in row) for row in rows]
    note_heights = [max(len(lines) for lines in row) * _LINE for row in notes]
    head = Head(heading, caption, width - 2 * _MARGIN)
    scale = _shared_scale(drawings)
    foot = 0.4 if scale else 0.0
    body = sum(picture_heights) + sum(note_heights) + len(rows) * (2 * _LINE + _GAP)
    figure = blank(width, 2 * _MARGIN + head.height + body + foot - _GAP)
    down = head.draw(figure, _MARGIN)
    for row, row_notes, picture_height, note_height in zip(rows, notes, picture_heights, note_heights, strict=True):
        for column, (drawing, lines) in enumerate(zip(row, row_notes, strict=True)):
            left = _MARGIN + column * (cell + _GAP)
            text(figure, left, down, _shorten(drawing.title, round(cell * _LARGE_LETTERS)), size=8, family=MONOSPACE)
            bottom = draw_picture(figure, drawing, left, down + 1.3 * _LINE, cell)
            for index, line in enumerate(lines):
                text(figure, left, bottom + (0.4 + index) * _LINE, line, size=7.5, colour=GREY)
        down += picture_height + note_height + 2 * _LINE + _GAP
    if scale is not None:
        _draw_scale(figure, scale, down - 0.05)
    return figure


class Head:
    """What stands above the pictures of a figure: a heading, and a caption wrapped to the width.

    Args:
        heading: set large; empty for none.
        caption: set below it; empty for none.
        width: in inches.
    """

    def __init__(self, heading: str, caption: str, width: float) -> None:
        self.heading = heading
        self.lines = textwrap.wrap(caption, round(width * _LARGE_LETTERS)) if caption else []

    @property
    def height(self) -> float:
        """In inches, with the gap below; nothing where nothing stands there."""
        gap = 0.15 if self.heading or self.lines else 0.0
        return 0.35 * bool(self.heading) + len(self.lines) * 1.1 * _LINE + gap

    def draw(self, figure: Figure, margin: float) -> float:
        """Write it so many inches from the top left corner, and return where it ends, in inches from the top."""
        if self.heading:
            text(figure, margin, margin, self.heading, size=13, weight="bold")
        for index, line in enumerate(self.lines):
            text(figure, margin, margin + 0.35 * bool(self.heading) + index * 1.1 * _LINE, line, size=8.5)
        return margin + self.height


def blank(width: float, height: float) -> Figure:
    """Return an empty sheet of paper, in inches, that saves itself without a window."""
    figure = Figure(figsize=(width, height), dpi=100, facecolor=_hexadecimal(PAPER))
    FigureCanvasAgg(figure)  # a Figure of its own has no canvas that can draw
    return figure


def text(
    figure: Figure,
    left: float,
    down: float,
    words: str,
    *,
    size: float,
    colour: str | None = None,
    family: str = "sans-serif",
    weight: str = "normal",
    align: str = "left",
) -> None:
    """Write one line, its top left corner so many inches from the sheet's. A `$` or a `_` means itself."""
    width, height = figure.get_size_inches()
    words, families = writable(words, family)
    figure.text(
        left / width,
        1 - down / height,
        words,
        fontsize=size,
        color=colour or _hexadecimal(INK),
        family=families,
        weight=weight,
        ha=align,
        va="top",
        parse_math=False,
    )


def draw_picture(figure: Figure, drawing: Drawing, left: float, down: float, width: float) -> float:
    """Draw the pixels undistorted at a place in inches, and return where they end, in inches from the top."""
    sheet_width, sheet_height = figure.get_size_inches()
    height = _height(drawing, width)
    rows, columns = drawing.pixels.shape[:2]
    shown_width = min(width, height * columns / rows)
    axes = figure.add_axes(
        (left / sheet_width, 1 - (down + height) / sheet_height, shown_width / sheet_width, height / sheet_height)
    )
    axes.imshow(drawing.pixels, interpolation="nearest" if drawing.sharp else "antialiased", aspect="auto")
    axes.set_axis_off()
    scale = shown_width / columns  # inches a pixel
    for words, column, row, room in drawing.labels:
        size = min(_LARGEST_FIGURES, 0.8 * room * scale * 72)
        if size >= _SMALLEST_FIGURES:
            text(figure, left + column * scale, down + (row + 0.1 * room) * scale, words, size=size, colour=GREY)
    return down + height


def figure_png(figure: Figure, chunks: Mapping[str, str]) -> bytes:
    """Encode a figure as PNG at twice the screen's density, with text chunks."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DENSITY, metadata=dict(chunks))
    return buffer.getvalue()


def _columns(how_many: int) -> int:
    """Choose a row's length: up to four, without leaving one picture alone in the last row where possible."""
    if how_many <= 4:
        return max(1, how_many)
    return 3 if how_many % 4 == 1 or how_many in (6, 9) else 4


def _height(drawing: Drawing, width: float) -> float:
    rows, columns = drawing.pixels.shape[:2]
    return float(width * min(rows / max(columns, 1), _TALLEST))


def _note(drawing: Drawing) -> str:
    """Return the caption, ending with the range."""
    words = drawing.caption
    if drawing.low is not None and drawing.high is not None:
        unit = f" {drawing.unit}" if drawing.unit else ""
        words = f"{words.rstrip('.')}. Drawn: {span(drawing.low, drawing.high)}{unit}."
    return words


def _shared_scale(drawings: Sequence[Drawing]) -> Drawing | None:
    """Return a drawing whose scale is that of all that have one, or None when they differ."""
    scaled = [drawing for drawing in drawings if drawing.low is not None and drawing.high is not None]
    scales = {(drawing.low, drawing.high, drawing.signed, drawing.unit) for drawing in scaled}
    # a scale from zero to zero has no colours to show: nothing answered
    return scaled[0] if len(scales) == 1 and scaled[0].low != scaled[0].high else None


def _draw_scale(figure: Figure, drawing: Drawing, down: float) -> None:
    """Draw the one colour scale as a strip with its ends written beside it."""
    assert drawing.low is not None
    assert drawing.high is not None  # both, or neither
    ramp = np.linspace(drawing.low, drawing.high, 256, dtype=np.float32)[None]
    pixels = colour(ramp, signed=drawing.signed, low=drawing.low, high=drawing.high)
    sheet_width, sheet_height = figure.get_size_inches()
    left, width, height = _MARGIN, min(_CELL, sheet_width - 2 * _MARGIN), 0.09
    axes = figure.add_axes(
        (left / sheet_width, 1 - (down + height) / sheet_height, width / sheet_width, height / sheet_height)
    )
    axes.imshow(pixels, aspect="auto", interpolation="nearest")
    axes.set_axis_off()
    unit = f" {drawing.unit}" if drawing.unit else ""
    text(figure, left, down + height + 0.04, _end(drawing.low), size=7.5, colour=GREY)
    text(figure, left + width, down + height + 0.04, _end(drawing.high) + unit, size=7.5, colour=GREY, align="right")


def _end(value: float) -> str:
    return span(value, value).split(" to ")[0]


def _shorten(title: str, letters: int) -> str:
    """Keep both ends of a long address: the network's part and the unit are what tells it from others."""
    if len(title) <= letters:
        return title
    half = (letters - 1) // 2
    return f"{title[:half]}…{title[-half:]}"


def _hexadecimal(colour_of: str | tuple[int, ...]) -> str:
    """Accept a colour as "#rrggbb" or as (r, g, b)."""
    return colour_of if isinstance(colour_of, str) else "#" + "".join(f"{part:02x}" for part in colour_of)
