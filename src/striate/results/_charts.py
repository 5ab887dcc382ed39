"""Put a chart of lines, or a matrix of numbers, on a matplotlib Figure. Knows no result; touches no settings."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from striate.drawing import INK, OKABE_ITO, PAPER, magma
from striate.results._gallery import DENSITY, GREY, MONOSPACE, text
from striate.results.drawn import Pixels

__all__ = ["Line", "draw_legend", "draw_lines", "draw_matrix", "draw_words", "pixels_of", "short_name", "words_height"]

# Okabe and Ito's, black first and the yellow, which paper swallows, last
_COLOURS = (*OKABE_ITO[:1], *OKABE_ITO[5:], *OKABE_ITO[1:4], OKABE_ITO[4])
_DASHES = ("solid", (0, (4, 2)), (0, (1, 1.5)))
_LETTERS = 14.5  # of 8.5 points that fit in an inch
_HEADING = 0.33  # room of a heading, inches
_LEADING = 0.165  # from line to line of them, inches
_DARK = 0.55  # figures on a square darker than this are written in paper


@dataclass(frozen=True)
class Line:
    """One series of a chart.

    Args:
        name: what it is called in the legend.
        values: one for each place on the horizontal axis.
    """

    name: str
    values: NDArray[np.floating]


def _line_style(index: int) -> tuple[str, str | tuple[int, tuple[float, ...]]]:
    """Return colour and dash of the series in this place; eight colours, then dashes."""
    return _COLOURS[index % len(_COLOURS)], _DASHES[index // len(_COLOURS) % len(_DASHES)]


def draw_words(figure: Figure, left: float, down: float, heading: str, words: str) -> float:
    """Write a heading and a paragraph over the width of the sheet, and return where they end, inches from the top."""
    text(figure, left, down, heading, size=13, weight="bold")
    lines = _lines(words, figure.get_size_inches()[0] - 2 * left)
    for index, line in enumerate(lines):
        text(figure, left, down + _HEADING + index * _LEADING, line, size=8.5)
    return down + _HEADING + len(lines) * _LEADING


def words_height(words: str, width: float) -> float:
    """Return how much room a heading and a paragraph take on a column so wide, inches."""
    return _HEADING + len(_lines(words, width)) * _LEADING


def short_name(name: str, letters: int) -> str:
    """Keep both ends of a long name: the lens, and the option that tells it from others."""
    if len(name) <= letters:
        return name
    half = (letters - 1) // 2
    return f"{name[: letters - 1 - half]}…{name[-half:]}"


def pixels_of(figure: Figure) -> Pixels:
    """Return a figure as pixels at twice the screen's density, uint8, shape (H, W, 3)."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DENSITY)
    return np.asarray(Image.open(buffer).convert("RGB"))


def draw_lines(
    figure: Figure,
    at: tuple[float, float, float, float],
    places: NDArray[np.floating] | Sequence[float],
    lines: Sequence[Line],
    *,
    title: str,
    across: str,
    ends: tuple[float, float],
    ticks: Sequence[tuple[float, str]] | None = None,
    dots: bool = False,
) -> None:
    """Draw lines over a common axis, without a legend.

    Args:
        figure: to draw on.
        at: left, top, width and height of the chart itself, inches from the sheet's top left corner.
        places: on the horizontal axis.
        lines: the series, in the order of their colours.
        title: above the chart.
        across: what the horizontal axis is.
        ends: of the vertical axis.
        ticks: where to mark the horizontal axis, and with what words.
        dots: mark every value, for axes that are counted.
    """
    axes = _axes(figure, at)
    for index, line in enumerate(lines):
        colour, dash = _line_style(index)
        axes.plot(places, line.values, color=colour, linestyle=dash, linewidth=1.4, marker="o" if dots else "", ms=3)
    margin = 0.02 * (ends[1] - ends[0])
    axes.set_ylim(ends[0] - margin, ends[1] + margin)
    axes.grid(axis="y", color=GREY, alpha=0.25, linewidth=0.5)
    axes.tick_params(length=0, labelsize=7.5, labelcolor=GREY)
    if ticks is not None:
        axes.set_xticks([place for place, _ in ticks], [words for _, words in ticks])
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GREY)
    left, top, width, height = at
    text(figure, left, top - 0.22, title, size=8.5, weight="bold")
    text(figure, left + width, top + height + 0.24, across, size=7.5, colour=GREY, align="right")


def draw_matrix(
    figure: Figure, at: tuple[float, float, float, float], values: NDArray[np.floating], *, title: str
) -> None:
    """Draw a matrix of values from 0 to 1 as squares with their figures; what is below 0 is drawn as 0.

    Args:
        figure: to draw on.
        at: left, top, width and height, inches from the sheet's top left corner.
        values: (E, E).
        title: above it.
    """
    axes = _axes(figure, at)
    axes.imshow(magma(np.clip(values, 0, 1).astype(np.float64)), aspect="auto", interpolation="nearest")
    axes.set_axis_off()
    for row, column in np.ndindex(*values.shape):
        value = float(values[row, column])
        ink = PAPER if value < _DARK else INK
        axes.text(column, row, f"{value:.2f}".replace("-", "−"), ha="center", va="center", fontsize=7.5, color=ink)
    text(figure, at[0], at[1] - 0.22, title, size=8.5, weight="bold")


def draw_legend(
    figure: Figure, left: float, down: float, rows: Sequence[Sequence[str]], widths: Sequence[float]
) -> None:
    """Write a table whose first column names the series, each with a piece of its line before it.

    Args:
        figure: to draw on.
        left: inches from the sheet's left.
        down: inches from its top.
        rows: the headings, then one row for each series; the first cell of each is its name.
        widths: of the columns in inches; all but the first are set flush right.
    """
    sheet_width, sheet_height = figure.get_size_inches()
    for index, row in enumerate(rows):
        top = down + 0.2 * index
        heading = index == 0
        if not heading:
            colour, dash = _line_style(index - 1)
            axes = figure.add_axes(
                (left / sheet_width, 1 - (top + 0.11) / sheet_height, 0.22 / sheet_width, 0.08 / sheet_height)
            )
            axes.plot([0, 1], [0, 0], color=colour, linestyle=dash, linewidth=1.6)
            axes.set_axis_off()
        text(
            figure,
            left + 0.32,
            top,
            row[0],
            size=7.5,
            colour=GREY if heading else None,
            family="sans-serif" if heading else MONOSPACE,
        )
        right = left + widths[0]
        for cell, width in zip(row[1:], widths[1:], strict=True):
            right += width
            text(figure, right, top, cell, size=7.5, colour=GREY if heading else None, align="right")


def _lines(words: str, width: float) -> list[str]:
    return textwrap.wrap(words, round(width * _LETTERS))


def _axes(figure: Figure, at: tuple[float, float, float, float]) -> Axes:
    left, top, width, height = at
    sheet_width, sheet_height = figure.get_size_inches()
    where = (left / sheet_width, 1 - (top + height) / sheet_height, width / sheet_width, height / sheet_height)
    return figure.add_axes(where, facecolor="none")
