"""Pictures made for the same units of a network and of a copy with random weights, side by side. Runs no network."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

import numpy as np
from matplotlib.figure import Figure

from striate.results._contrast import contrast_to_show, stronger, words_of
from striate.results._gallery import GREY, MONOSPACE, Head, blank, draw_picture, text
from striate.results._numbering import numbered_sheet
from striate.results.drawn import Drawing
from striate.results.synthesis import Made, Synthesis
from striate.results.words import count

__all__ = ["WHOSE", "UntrainedBeside"]

WHOSE: Final = ("as it is", "random weights")
"""What the two networks are called: whether the first was trained is seldom known."""
_MARGIN: Final = 0.3  # inches
_CELL: Final = 1.0  # width of a picture
_WIDEST: Final = 4  # pictures in a row, of each network
_BETWEEN: Final = 0.35  # the two networks
_LINE: Final = 0.15
_GAP: Final = 0.2  # below a layer
_LETTERS: Final = 17.5  # of 7.5 pt that fit in an inch
_LEAST: Final = 4.4  # width of the sheet that words need, inches


@dataclass(frozen=True, eq=False)
class UntrainedBeside(Synthesis):
    """Pictures in pairs: in `made` stand by turns those of the network as it is and those of its untrained copy.

    Args:
        blank: the network itself is known to have learned nothing.
    """

    blank: bool = False

    @property
    def pairs(self) -> list[tuple[Made, Made | None]]:
        """The two of each layer, by depth; the second is missing where the job was stopped before it."""
        found = zip_longest(self.made[::2], self.made[1::2])
        return sorted(found, key=lambda pair: pair[0].depth or math.inf)

    def caption(self) -> str:
        """Say what is shown, and how to read it."""
        many = sum(len(one) for one, _ in self.pairs)
        failed = f" For {count(len(self.failed), 'picture')} nothing was won over the start." if self.failed else ""
        alone = (
            "The network itself has random weights and has learned nothing yet: where the two differ, it is by chance."
            if self.blank
            else "What both show comes from the architecture; what the left shows alone is in its weights: it was "
            "learned, if the network was trained."
        )
        return (
            f"What {count(many, 'unit')} answer to most (recipe {self.method}): on the left in the network as it is, "
            f"on the right in the same layers with random weights. {alone}{failed}"
        )

    def drawings(self) -> list[Drawing]:
        """Return a sheet for each layer of each network, that of the network as it is first."""
        return [_sheet(one) for pair in self.pairs for one in pair if one is not None]

    def figure(self) -> Figure:
        """Draw each layer in a row, the network as it is on the left."""
        pairs = self.pairs
        columns = max(_columns(one) for one, _ in pairs)
        side = columns * _CELL
        width = max(2 * side + _BETWEEN, _LEAST) + 2 * _MARGIN
        head = Head("beside an untrained network", self.caption(), width - 2 * _MARGIN)
        rows = [(_sheet(one), None if other is None else _sheet(other), _words(one, other)) for one, other in pairs]
        said = [textwrap.wrap(words, round((width - 2 * _MARGIN) * _LETTERS)) for _, _, words in rows]
        wide = [_columns(one) * _CELL for one, _ in pairs]
        tall = [
            room * sheet.pixels.shape[0] / sheet.pixels.shape[1] for (sheet, _, _), room in zip(rows, wide, strict=True)
        ]
        heights = [(1.2 + len(lines)) * _LINE + high + _GAP for lines, high in zip(said, tall, strict=True)]
        made = blank(width, 2 * _MARGIN + head.height + 1.4 * _LINE + sum(heights) - _GAP)
        down = head.draw(made, _MARGIN)
        for index, words in enumerate(WHOSE):
            text(made, _MARGIN + index * (side + _BETWEEN), down, words, size=8.5, weight="bold")
        down += 1.4 * _LINE
        for (sheet, other, _), lines, room, height in zip(rows, said, wide, heights, strict=True):
            text(made, _MARGIN, down, sheet.title.removesuffix(f", {WHOSE[0]}"), size=8, family=MONOSPACE)
            for number, line in enumerate(lines):
                text(made, _MARGIN, down + (1.05 + number) * _LINE, line, size=7.5, colour=GREY)
            below = down + (1.2 + len(lines)) * _LINE
            draw_picture(made, sheet, _MARGIN, below, room)
            if other is not None:
                draw_picture(made, other, _MARGIN + side + _BETWEEN, below, room)
            down += height
        return made


def _columns(one: Made) -> int:
    """Return how many pictures stand in a row, so that the last row is as full as can be."""
    rows = math.ceil(len(one) / _WIDEST)
    return math.ceil(len(one) / rows)


def _sheet(one: Made) -> Drawing:
    """Draw the pictures of one layer, each with its number below."""
    shown = [one.shown(index) for index in range(len(one))]
    good = [pixels for pixels, bad in zip(shown, one.failed, strict=True) if not bad]
    times = contrast_to_show(good or shown)
    cells = [stronger(pixels, times) for pixels in shown]
    pixels, labels = numbered_sheet(cells, one.numbers, columns=_columns(one), room=0.06)
    words = [f"{count(len(one), 'picture')}, the number of each below.{words_of(times)}", _won(one)]
    return Drawing(one.title, " ".join(filter(None, words)), pixels, labels=labels)


def _words(one: Made, other: Made | None) -> str:
    """Say where a layer stands, and for which units nothing was won."""
    known: Sequence[Made] = [made for made in (one, other) if made is not None]
    return " ".join(filter(None, (one.place, one.share, *map(_won, known))))


def _won(one: Made) -> str:
    bad = np.flatnonzero(one.failed)
    if not len(bad):
        return ""
    whose = WHOSE[one.title.endswith(f", {WHOSE[1]}")]
    return f"Nothing was won over the start: {', '.join(one.numbers[index] for index in bad)} ({whose})."
