"""Draw units of several layers as dots above each other, and their connections as lines. Draws only."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from striate import drawing
from striate.results._gallery import GREY, MONOSPACE, blank
from striate.results._inches import inch_axes, rasterised, write
from striate.results.drawn import Pixels

__all__ = ["Row", "Section", "figure", "pixels"]

_WIDTH: Final = 6.4  # of the dots, inches
_LETTER: Final = 0.068  # width of a letter of a name, inches
_STEP: Final = 0.82  # from one layer to the next
_MARGIN: Final = 0.3
_TITLE: Final = 0.42
_LARGEST: Final = 0.075  # radius of a dot, inches
_FAINT: Final = "#d5d5d1"


@dataclass(frozen=True)
class Row:
    """One layer.

    Attributes:
        name: its address.
        words: what it does.
        count: how many of its units are marked.
        nodes: place of each unit in view, in pixels, and whether it is marked.
        edges: place of a unit below, of one here, and whether the line between them is marked.
    """

    name: str
    words: str
    count: int
    nodes: tuple[tuple[float, bool], ...]
    edges: tuple[tuple[float, float, bool], ...]


@dataclass(frozen=True)
class Section:
    """One drawing: rows from the picture up, and the pixels that it shows."""

    title: str
    rows: tuple[Row, ...]
    low: float
    high: float

    @property
    def width(self) -> float:
        """Inches, with the names and counts at the right."""
        return _WIDTH + max(2.3, 0.7 + _LETTER * max(len(row.name) for row in self.rows))

    @property
    def height(self) -> float:
        """Inches, with the title."""
        return _TITLE + _STEP * (len(self.rows) - 1) + 0.45


def figure(sections: Sequence[Section], *, heading: str, caption: str) -> Figure:
    """Put the sections below each other, under a heading and a caption."""
    width = max(section.width for section in sections) + 2 * _MARGIN
    lines = textwrap.wrap(caption, round((width - 2 * _MARGIN) * 14.5))
    head = 0.35 + len(lines) * 0.165 + 0.25
    made = blank(width, head + sum(section.height for section in sections) + 2 * _MARGIN)
    axes = inch_axes(made)
    write(axes, _MARGIN, _MARGIN, heading, size=13, weight="bold", above=False)
    for index, line in enumerate(lines):
        write(axes, _MARGIN, _MARGIN + 0.35 + index * 0.165, line, size=8.5, above=False)
    down = _MARGIN + head
    for section in sections:
        _draw(axes, section, _MARGIN, down)
        down += section.height
    return made


def pixels(sections: Sequence[Section]) -> Pixels:
    """Draw sections by themselves at twice the screen's density: uint8, (H, W, 3)."""
    made = blank(max(section.width for section in sections) + 0.2, sum(section.height for section in sections) + 0.1)
    axes = inch_axes(made)
    down = 0.1
    for section in sections:
        _draw(axes, section, 0.1, down)
        down += section.height
    return rasterised(made)


def _draw(axes: Axes, section: Section, left: float, down: float) -> None:
    """Draw one section with its top left corner at a place."""
    write(axes, left, down, section.title, size=9.5, weight="bold", above=False)
    scale = _WIDTH / (section.high - section.low)
    heights = [down + _TITLE + _STEP * (len(section.rows) - 1 - index) for index in range(len(section.rows))]

    def across(place: float) -> float:
        return left + (place - section.low) * scale

    for marked in (False, True):
        lines = [
            [(across(below), heights[index - 1]), (across(here), heights[index])]
            for index, row in enumerate(section.rows)
            for below, here, chosen in row.edges
            if chosen == marked
        ]
        colour, width = (drawing.ACCENT, 1.1) if marked else (_FAINT, 0.6)
        axes.add_collection(LineCollection(lines, colors=colour, linewidths=width, zorder=2 + marked))
    for row, height in zip(section.rows, heights, strict=True):
        spacing = min((b[0] - a[0] for a, b in zip(row.nodes, row.nodes[1:], strict=False)), default=1.0) * scale
        radius = min(_LARGEST, 0.36 * spacing)
        for marked in (False, True):
            places = [across(place) for place, chosen in row.nodes if chosen == marked]
            axes.scatter(
                places,
                [height] * len(places),
                s=(2 * radius * 72) ** 2,
                color=drawing.ACCENT if marked else drawing.PAPER,
                edgecolors=drawing.ACCENT if marked else "#a9a9ad",
                linewidths=0.8 if radius > 0.03 else 0.3,
                zorder=5,
            )
        words = left + _WIDTH + 0.2
        write(axes, words, height - 0.015, row.name, size=8, family=MONOSPACE)
        write(axes, words, height + 0.13, row.words, size=7.5, colour=GREY)
        right = left + section.width
        write(axes, right, height + 0.05, f"{row.count}", size=10, colour=drawing.ACCENT, align="right")
