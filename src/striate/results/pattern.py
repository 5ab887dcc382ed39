"""The matrix of a convolution drawn as what it is: a band of the same few weights. Draws; makes no matrix."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from striate import drawing
from striate.results._gallery import GREY, blank, text
from striate.results._placing import axes_at
from striate.results._weights import LINES, draw_weights, weight
from striate.results.base import Json, Result
from striate.results.drawn import Drawing, Pixels
from striate.results.words import number, shape

__all__ = ["MatrixPattern"]

_MOST_LINED = 130  # rows or columns; in larger matrices cells are too small for lines and numbers
_MOST_IN_VECTOR = 20  # numbers of the input or the output that are drawn as a column beside the matrix
_MARGIN, _GAP, _LINE = 0.3, 0.3, 0.15  # inches
_ROOM = 7.0  # of the matrix at most
_CELL = 0.34
_KERNEL = 0.72
_SMALLEST = 3.4  # points
_POINTS = 72
_PALE = 0.75  # colours under numbers


@dataclass(frozen=True, eq=False)
class MatrixPattern(Result):
    """The weights of a convolution as a matrix.

    Args:
        values: the matrix, or its upper left part, shape (rows, columns), float.
        taps: which weight of its filter stands where, -1 for none; the shape of `values`.
        input_shape: (C, L) or (C, H, W).
        output_shape: (K, l) or (K, h, w).
        weights: as they are laid on the picture, shape (K, C / groups, h, w); (.., 1, w) along one axis.
        entries: weights in the whole matrix.
        letters: write a letter for each weight instead of its number.
        words: how the kernel is laid: stride, padding and so on.
    """

    values: NDArray[np.float64]
    taps: NDArray[np.intp]
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    weights: NDArray[np.float64]
    entries: int
    letters: bool = False
    words: str = ""

    @property
    def whole(self) -> bool:
        """Whether all of the matrix is drawn."""
        return self.values.shape == (math.prod(self.output_shape), math.prod(self.input_shape))

    @property
    def largest(self) -> float:
        """The largest absolute weight: the end of the scale."""
        return float(np.abs(self.weights).max())

    def caption(self) -> str:
        """Say what is shown, and how much of it is zero."""
        rows, columns = math.prod(self.output_shape), math.prod(self.input_shape)
        share = 100 * self.entries / (rows * columns)
        text_of = (
            f"{self.words + '. ' if self.words else ''}Each row makes one output, each column belongs to one input: "
            f"{rows:,} x {columns:,} places, of which {self.entries:,} hold a weight "
            f"({number(share, 3)}\N{NO-BREAK SPACE}%), {self.weights.size:,} different ones at most."
        )
        if not self.whole:
            text_of += f" Drawn: the upper left {shape(self.values.shape)}."
        return text_of

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawings, ready for JSON."""
        rows, columns = np.nonzero(self.taps >= 0)
        return {
            "input_shape": list(self.input_shape),
            "output_shape": list(self.output_shape),
            "entries": self.entries,
            "weights": self.weights.tolist(),
            "drawn": list(self.values.shape),
            "row": rows.tolist(),
            "column": columns.tolist(),
            "value": self.values[rows, columns].tolist(),
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name."""
        return {"values": self.values, "taps": self.taps, "weights": self.weights}

    def drawings(self) -> list[Drawing]:
        """Return the matrix, a pixel for each place."""
        high = self.largest or 1.0
        return [Drawing("matrix", self.caption(), self._pixels(1.0), -high, high, signed=True, sharp=True)]

    def figure(self) -> Figure:
        """Draw the kernels, the matrix in blocks, and beside a small one the vectors that it takes and gives."""
        rows, columns = self.values.shape
        lined = max(rows, columns) <= _MOST_LINED
        vectors = max(rows, columns) <= _MOST_IN_VECTOR
        cell = min(_CELL, _ROOM / columns, _ROOM / rows)
        filters, depth = self.weights.shape[:2]
        kernels = [(k, c) for k in range(filters) for c in range(depth)][:8]
        side = _KERNEL * max(1.0, max(self.weights.shape[-2:]) / 5)
        kernel_height = side * self.weights.shape[-2] / max(self.weights.shape[-2:])
        sheet_wide = max(5.2, 2 * _MARGIN + cell * columns + (1.6 if vectors else 0.5))
        lines = textwrap.wrap(self.caption(), round((sheet_wide - 2 * _MARGIN) * 14.5))
        top = 0.45 + len(lines) * 1.1 * _LINE
        body = (max(rows, columns) if vectors else rows) * cell
        figure = blank(sheet_wide, 2 * _MARGIN + top + kernel_height + 0.55 + body)
        text(figure, _MARGIN, _MARGIN, "A convolution as a matrix", size=13, weight="bold")
        for index, line in enumerate(lines):
            text(figure, _MARGIN, _MARGIN + 0.35 + index * 1.1 * _LINE, line, size=8.5)
        left, down = _MARGIN, _MARGIN + top
        for index, (k, c) in enumerate(kernels):
            words = self._letters(index) if self.letters else None
            left += draw_weights(figure, self.weights[k, c], left, down, side, words=words, reach=self.largest) + 0.12
        if more := filters * depth - len(kernels):
            text(figure, left, down + kernel_height / 2 - 0.05, f"and {more} more", size=7.5, colour=GREY)
        down += kernel_height + 0.45
        self._draw_matrix(figure, _MARGIN, down, cell, lined)
        right = _MARGIN + columns * cell
        if vectors:
            _draw_vector(figure, "×", "input", self.input_shape, right + 0.12, down, cell, columns)
            _draw_vector(figure, "=", "output", self.output_shape, right + 0.8, down, cell, rows)
        else:
            _name_blocks(figure, "input", self.input_shape, columns, cell, _MARGIN, down - 0.16, across=True)
            _name_blocks(figure, "output", self.output_shape, rows, cell, right + 0.05, down, across=False)
        return figure

    def _pixels(self, strength: float) -> Pixels:
        high = self.largest or 1.0
        return drawing.colour(strength * self.values / high, signed=True, low=-1, high=1)

    def _letters(self, index: int) -> list[list[str]]:
        """Return a letter for each weight of one kernel; they go on from kernel to kernel."""
        rows, columns = self.weights.shape[-2:]
        first = index * rows * columns
        return [[_letter(first + row * columns + column) for column in range(columns)] for row in range(rows)]

    def _draw_matrix(self, figure: Figure, left: float, down: float, cell: float, lined: bool) -> None:
        rows, columns = self.values.shape
        axes = axes_at(figure, left, down, columns * cell, rows * cell)
        axes.imshow(
            self._pixels(_PALE if lined else 1.0), extent=(0, columns, rows, 0), aspect="auto", interpolation="nearest"
        )
        held = [
            (row, column, _letter(int(self.taps[row, column])) if self.letters else weight(self.values[row, column]))
            for row, column in zip(*np.nonzero(self.taps >= 0), strict=True)
        ] if lined else []  # fmt: skip
        longest = max((len(word) for _, _, word in held), default=1)
        size = min(8.0, 0.5 * cell * _POINTS, 0.88 * cell * _POINTS / (0.68 * longest))
        if lined:
            line = min(0.5, 2 * cell)
            axes.hlines(range(rows + 1), 0, columns, colors="#e6e6e3", linewidth=line, clip_on=False)
            axes.vlines(range(columns + 1), 0, rows, colors="#e6e6e3", linewidth=line, clip_on=False)
        # blocks: one for each pair of a row of the output and a row of the input; heavier between channels
        fine = 1.0 if lined else 0.3
        for lengths, length, across in ((self.output_shape, rows, True), (self.input_shape, columns, False)):
            for step, width, colour in _blocks(lengths):
                places = range(0, length + 1, step)
                colour, width = (colour, width) if lined or step == math.prod(lengths[1:]) else ("#dcdcda", fine)
                draw = axes.hlines if across else axes.vlines
                other = columns if across else rows
                draw(places, 0, other, colors=colour, linewidth=width, clip_on=False)
        if size >= _SMALLEST:
            for row, column, word in held:
                axes.text(
                    column + 0.5, row + 0.53, word, fontsize=size, ha="center", va="center", color=drawing.INK,
                    parse_math=False,
                )  # fmt: skip
        axes.set_xlim(0, columns)
        axes.set_ylim(rows, 0)


def _blocks(lengths: tuple[int, ...]) -> list[tuple[int, float, str]]:
    """Return step, line width and colour of the lines between blocks, the finer first."""
    blocks = []
    if len(lengths) == 3 and lengths[1] > 1:
        blocks.append((lengths[2], 0.9, "#a9a9a6"))
    blocks.append((math.prod(lengths[1:]), 1.3, GREY))
    return blocks


def _name_blocks(
    figure: Figure,
    name: str,
    lengths: tuple[int, ...],
    count: int,
    cell: float,
    left: float,
    down: float,
    *,
    across: bool,
) -> None:
    """Write beside the matrix which row of which channel each block belongs to."""
    block = lengths[-1] if len(lengths) == 3 else count
    room = block * cell
    channels, rows = lengths[0], (lengths[1] if len(lengths) == 3 else 1)
    every = max(1, math.ceil((0.32 if across else 0.13) / room)) if rows > 1 else rows
    for index in range(math.ceil(count / block)):
        channel, row = divmod(index, rows)
        if row % every:
            continue
        words = f"{channel}: {row}" if channels > 1 else str(row)
        middle = (index + 0.5) * room
        if across:
            text(figure, left + middle, down, words, size=6.5, colour=GREY, align="center")
        else:
            text(figure, left, down + middle - 0.05, words, size=6.5, colour=GREY)
    if across:
        text(figure, left, down - 0.16, f"{name}, {'channel: row' if channels > 1 else 'row'}", size=6.5, colour=GREY)
    else:
        text(figure, left, down - 0.16, name, size=6.5, colour=GREY)


def _draw_vector(
    figure: Figure, sign: str, name: str, lengths: tuple[int, ...], left: float, down: float, cell: float, count: int
) -> None:
    """Draw a column of numbers without saying which they are: input or output of the matrix."""
    text(figure, left, down + 0.02, sign, size=10, colour=GREY)
    left += 0.2
    axes = axes_at(figure, left, down, min(cell, 0.34), count * cell)
    line = min(0.5, 2 * cell)
    axes.hlines(range(count + 1), 0, 1, colors=LINES, linewidth=line, clip_on=False)
    axes.vlines([0, 1], 0, count, colors=LINES, linewidth=line, clip_on=False)
    for step, width, colour in _blocks(lengths):
        axes.hlines(range(0, count + 1, step), 0, 1, colors=colour, linewidth=width, clip_on=False)
    size = min(6.5, 0.26 * cell * _POINTS)
    for index in range(count):
        place = np.unravel_index(index, lengths)
        parts = place[1:] if lengths[0] == 1 else place
        if size >= _SMALLEST - 0.6:
            axes.text(0.5, index + 0.53, ",".join(map(str, parts)), fontsize=size, ha="center", va="center", color=GREY)
    axes.set_xlim(0, 1)
    axes.set_ylim(count, 0)
    text(figure, left, down - 0.18, name, size=7.5, colour=GREY)


def _letter(index: int) -> str:
    """a, b, ..., z, a1, b1, ..."""
    letter = "abcdefghijklmnopqrstuvwxyz"[index % 26]
    return letter if index < 26 else f"{letter}{index // 26}"
