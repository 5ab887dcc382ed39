"""Draw a kernel as a grid of coloured cells with its numbers in them. Knows no result."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from striate import drawing
from striate.results._gallery import GREY, text
from striate.results._placing import axes_at
from striate.results.words import number

__all__ = ["LINES", "draw_weights", "weight"]

LINES = "#c4c4c2"  # between cells whose zero is paper
_POINTS = 72  # in an inch
_MOST_PARTS = 2_000_000  # of one: the weight of a box of a thousand by a thousand is still written as 1/n
_SMALLEST = 3.6  # points; smaller numbers could not be read, and are left out
_WIDTH_OF_LETTER = 0.68  # of its height


def weight(value: float) -> str:
    """Write a weight as short as it can be: 5, -3, 1/9, 0.37."""
    if abs(value) < 1e-12:
        return "0"
    simple = Fraction(value).limit_denominator(_MOST_PARTS)
    if abs(float(simple) - value) < 1e-9 * abs(value) and (simple.denominator == 1 or abs(simple.numerator) == 1):
        return str(simple).replace("-", "−")
    return number(value, 2).replace("-", "−")


def draw_weights(
    figure: Figure,
    values: NDArray[Any],
    left: float,
    down: float,
    side: float,
    *,
    words: list[list[str]] | None = None,
    reach: float | None = None,
) -> float:
    """Draw a kernel at a place in inches.

    Args:
        figure: to draw on.
        values: shape (h, w).
        left: inches from the figure's left.
        down: inches from its top.
        side: inches of the longer side.
        words: what to write into the cells, instead of the numbers.
        reach: weight drawn in the strongest colour; None takes the largest of these.

    Returns:
        The width that it takes, in inches.
    """
    rows, columns = values.shape
    cell = side / max(rows, columns)
    wide, high = cell * columns, cell * rows
    axes = axes_at(figure, left, down, wide, high)
    reach = reach or float(np.abs(values).max()) or 1.0
    # paler than a map, so that the numbers can be read on it
    colours = drawing.diverging(0.7 * np.asarray(values, dtype=np.float64) / reach)
    axes.imshow(colours, interpolation="nearest", aspect="auto", extent=(0, columns, rows, 0))
    if cell > 0.04:
        line = min(0.6, 4 * cell)
        axes.hlines(range(rows + 1), 0, columns, colors=LINES, linewidth=line, clip_on=False)
        axes.vlines(range(columns + 1), 0, rows, colors=LINES, linewidth=line, clip_on=False)
    else:
        axes.hlines([0, rows], 0, columns, colors=LINES, linewidth=0.6, clip_on=False)
        axes.vlines([0, columns], 0, rows, colors=LINES, linewidth=0.6, clip_on=False)
    words = words or [[weight(float(value)) for value in row] for row in values]
    longest = max(len(word) for row in words for word in row)
    size = min(8.0, 0.5 * cell * _POINTS, 0.88 * cell * _POINTS / (_WIDTH_OF_LETTER * longest))
    if size >= _SMALLEST:
        for row, line_of in enumerate(words):
            for column, word in enumerate(line_of):
                axes.text(
                    column + 0.5,
                    row + 0.53,
                    word,
                    fontsize=size,
                    ha="center",
                    va="center",
                    color=drawing.INK,
                    parse_math=False,
                )
    else:
        once = {word for row in words for word in row}
        said = f"all {once.pop()}" if len(once) == 1 else f"{rows} x {columns}"
        text(figure, left, down + high + 0.03, said, size=6.5, colour=GREY)
    return float(wide)
