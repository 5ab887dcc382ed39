"""Which inputs an output sees and which outputs an input reaches, read off the matrices of convolutions. Draws only.

Of the layers of a network the same is told by a `CrossSection`, which knows windows and no matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from striate import drawing
from striate.results._gallery import GREY, MONOSPACE, blank, text
from striate.results._placing import axes_at
from striate.results._weights import LINES
from striate.results.base import Json, Result
from striate.results.drawn import Drawing, Pixels
from striate.results.words import count, shape

__all__ = ["Connections"]

Marks = NDArray[np.bool_]

_MARGIN, _GAP, _LINE = 0.3, 0.45, 0.15  # inches
_NODE = 0.36  # from one node to the next, at most
_ROOM = 6.4
_LAYER = 0.85  # from one layer to the next
_GRID = 2.3  # side of a grid
_LETTERS = 14.5
_MOST_CIRCLES = 100


@dataclass(frozen=True, eq=False)
class Connections(Result):
    """The connections of one output and of one input, read off the matrices.

    Args:
        shapes: of the input and of each layer's output in turn, (C, L) or (C, H, W).
        links: for each layer, pairs of (input, output) counted through, shape (n, 2); empty along two axes.
        output: the unit of the last layer that is asked, channel first.
        sees: what it depends on at each stage, of the shapes `shapes`; the last holds itself alone.
        input: the unit of the first stage that is asked.
        reaches: what depends on it at each stage; the first holds itself alone.
    """

    shapes: tuple[tuple[int, ...], ...]
    links: tuple[NDArray[np.intp], ...]
    output: tuple[int, ...]
    sees: tuple[Marks, ...]
    input: tuple[int, ...]
    reaches: tuple[Marks, ...]

    def caption(self) -> str:
        """Say what is shown, in counts."""
        inputs, outputs = int(self.sees[0].sum()), int(self.reaches[-1].sum())
        layers = len(self.shapes) - 1
        through = "" if layers == 1 else f" through {layers} layers"
        return (
            f"From {shape(self.shapes[0])} to {shape(self.shapes[-1])}{through}. Output {_place(self.output)} sees "
            f"{count(inputs, 'input')} of {self.sees[0].size:,}; input {_place(self.input)} reaches "
            f"{count(outputs, 'output')} of {self.reaches[-1].size:,}."
        )

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawings, ready for JSON."""
        return {
            "shapes": [list(one) for one in self.shapes],
            "output": list(self.output),
            "sees": [np.argwhere(marks).tolist() for marks in self.sees],
            "input": list(self.input),
            "reaches": [np.argwhere(marks).tolist() for marks in self.reaches],
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name."""
        sides = {"sees": self.sees, "reaches": self.reaches}
        return {f"{name}_{stage}": marks for name, side in sides.items() for stage, marks in enumerate(side)}

    def drawings(self) -> list[Drawing]:
        """Return the view from the output, then that from the input."""
        drawn = []
        for (title, words), side in zip(self._words(), ("sees", "reaches"), strict=True):
            wide, high = self._panel_size()
            figure = blank(wide, high)
            self._draw_panel(figure, side, 0.0, 0.0)
            drawn.append(Drawing(title, words, _rendered(figure)))
        return drawn

    def figure(self) -> Figure:
        """Draw both views, one below the other."""
        import textwrap

        wide, high = self._panel_size()
        sheet = max(wide, 5.0) + 2 * _MARGIN
        lines = textwrap.wrap(self.caption(), round((sheet - 2 * _MARGIN) * _LETTERS))
        head = 0.45 + len(lines) * 1.1 * _LINE
        figure = blank(sheet, 2 * _MARGIN + head + 2 * (high + 2.6 * _LINE) + _GAP - 0.1)
        text(figure, _MARGIN, _MARGIN, "Connections", size=13, weight="bold")
        for index, line in enumerate(lines):
            text(figure, _MARGIN, _MARGIN + 0.35 + index * 1.1 * _LINE, line, size=8.5)
        down = _MARGIN + head
        for (title, words), side in zip(self._words(), ("sees", "reaches"), strict=True):
            text(figure, _MARGIN, down, title, size=9, weight="bold")
            text(figure, _MARGIN, down + 1.2 * _LINE, words, size=7.5, colour=GREY)
            self._draw_panel(figure, side, _MARGIN, down + 2.6 * _LINE)
            down += high + 2.6 * _LINE + _GAP
        return figure

    def _words(self) -> tuple[tuple[str, str], tuple[str, str]]:
        inputs, outputs = int(self.sees[0].sum()), int(self.reaches[-1].sum())
        return (
            ("From the output", f"Output {_place(self.output)} sees {count(inputs, 'input')}: its receptive field."),
            ("From the input", f"Input {_place(self.input)} reaches {count(outputs, 'output')}."),
        )

    @property
    def _flat(self) -> bool:
        """Whether units are circles in a row; along one axis, where they are not too many to be told apart."""
        return len(self.shapes[0]) == 2 and self._widest() <= _MOST_CIRCLES

    def _panel_size(self) -> tuple[float, float]:
        """Width and height of one view, inches."""
        stages = len(self.shapes)
        if self._flat:
            return self._node() * self._widest() + 0.9, (stages - 1) * _LAYER + 0.5
        tallest = max(_sides(one)[0] / max(_sides(one)) for one in self.shapes)
        return stages * _GRID + (stages - 1) * _GAP, _GRID * tallest + 0.3

    def _widest(self) -> float:
        return max(_slots(one) for one in self.shapes)

    def _node(self) -> float:
        return min(_NODE, _ROOM / self._widest())

    def _draw_panel(self, figure: Figure, side: str, left: float, down: float) -> None:
        marks = self.sees if side == "sees" else self.reaches
        chosen_stage = len(self.shapes) - 1 if side == "sees" else 0
        wide, high = self._panel_size()
        if self._flat:
            self._draw_nodes(axes_at(figure, left, down, wide, high), marks, chosen_stage, wide, high)
            return
        names = _names(len(self.shapes))
        for stage, (own, name) in enumerate(zip(self.shapes, names, strict=True)):
            place = left + stage * (_GRID + _GAP)
            text(figure, place, down, f"{name}  {shape(own)}", size=7.5, family=MONOSPACE)
            rows, columns = _sides(own)
            cell = _GRID / max(rows, columns)
            axes = axes_at(figure, place, down + 0.22, cell * columns, cell * rows)
            _draw_grid(axes, np.asarray(marks[stage].any(axis=0)).reshape(rows, columns), stage == chosen_stage)

    def _draw_nodes(self, axes: Axes, marks: tuple[Marks, ...], chosen_stage: int, wide: float, high: float) -> None:
        """Draw a circle for each unit, the input at the bottom, and a line for each weight."""
        node = self._node()
        middle = (wide - 0.9) / 2 + 0.9
        places = [_positions(own, node, middle) for own in self.shapes]
        levels = [0.25 + stage * _LAYER for stage in range(len(self.shapes))]
        quiet: list[list[tuple[float, float]]] = []
        loud: list[list[tuple[float, float]]] = []
        for stage, links in enumerate(self.links):
            below, above = marks[stage].reshape(-1), marks[stage + 1].reshape(-1)
            for start, end in links:
                line = [(places[stage][start], levels[stage]), (places[stage + 1][end], levels[stage + 1])]
                (loud if below[start] and above[end] else quiet).append(line)
        axes.add_collection(LineCollection(quiet, colors=LINES, linewidths=min(0.8, 3 * node), zorder=1))
        axes.add_collection(LineCollection(loud, colors=drawing.PARTNER, linewidths=min(1.6, 5 * node), zorder=2))
        radius = 0.36 * node
        for stage, name in enumerate(_names(len(self.shapes))):
            axes.text(0, levels[stage], name, fontsize=7.5, color=GREY, va="center", family=MONOSPACE)
            hit = marks[stage].reshape(-1)
            for index, place in enumerate(places[stage]):
                face = drawing.PAPER if not hit[index] else drawing.ACCENT if stage == chosen_stage else drawing.PARTNER
                edge = GREY if not hit[index] else face
                _draw_node(axes, place, levels[stage], radius, face, edge)
                if radius > 0.07:
                    ink = drawing.PAPER if hit[index] else GREY
                    axes.text(
                        place, levels[stage] - 0.005, str(index % self.shapes[stage][-1]), fontsize=min(7, 42 * radius),
                        color=ink, ha="center", va="center", zorder=4,
                    )  # fmt: skip
        axes.set_xlim(0, wide)
        axes.set_ylim(0, high)


def _draw_node(axes: Axes, x: float, y: float, radius: float, face: str, edge: str) -> None:
    from matplotlib.patches import Circle

    axes.add_patch(Circle((x, y), radius, facecolor=face, edgecolor=edge, linewidth=0.8, zorder=3))


def _draw_grid(axes: Axes, marks: Marks, chosen: bool) -> None:
    rows, columns = marks.shape
    pixels = np.full((rows, columns, 3), drawing.rgb(drawing.PAPER), dtype=np.uint8)
    pixels[marks] = drawing.rgb(drawing.ACCENT if chosen else drawing.PARTNER)
    axes.imshow(pixels, extent=(0, columns, rows, 0), interpolation="nearest", aspect="auto")
    width = max(0.25, min(0.7, 20 / max(rows, columns)))
    if max(rows, columns) <= 80:
        axes.hlines(range(rows + 1), 0, columns, colors=LINES, linewidth=width, clip_on=False)
        axes.vlines(range(columns + 1), 0, rows, colors=LINES, linewidth=width, clip_on=False)
    else:
        axes.hlines([0, rows], 0, columns, colors=LINES, linewidth=0.7, clip_on=False)
        axes.vlines([0, columns], 0, rows, colors=LINES, linewidth=0.7, clip_on=False)
    axes.set_xlim(0, columns)
    axes.set_ylim(rows, 0)


def _sides(own: tuple[int, ...]) -> tuple[int, int]:
    """Return height and width of a stage; a line is a picture of one row."""
    return (1, own[1]) if len(own) == 2 else (own[1], own[2])


def _slots(own: tuple[int, ...]) -> float:
    """Return how many nodes' room a stage takes: its units, and a gap between channels."""
    return own[0] * own[1] + 0.8 * (own[0] - 1)


def _positions(own: tuple[int, ...], node: float, middle: float) -> list[float]:
    channels, length = own
    start = middle - node * (_slots(own) - 1) / 2
    return [start + node * (channel * (length + 0.8) + place) for channel in range(channels) for place in range(length)]


def _names(stages: int) -> list[str]:
    if stages == 2:
        return ["input", "output"]
    return ["input", *(f"layer {stage}" for stage in range(1, stages))]


def _place(unit: tuple[int, ...]) -> str:
    """Write a unit as (row, column), with its channel where it is not the first."""
    channel, rest = unit[0], unit[1:]
    where = str(rest[0]) if len(rest) == 1 else f"({', '.join(map(str, rest))})"
    return f"{where} of channel {channel}" if channel else where


def _rendered(figure: Figure) -> Pixels:
    """Draw a figure into pixels, at twice the screen's density."""
    figure.set_dpi(200)
    canvas: Any = figure.canvas
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()
