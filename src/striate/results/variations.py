"""What augmentation does to pictures: each as it is, and varied by lot. Draws; varies nothing itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from striate import drawing
from striate.results._gallery import GREY, MONOSPACE, Head, blank, draw_picture, text
from striate.results.base import Json, Result, encode_array
from striate.results.drawn import Drawing, Pixels
from striate.results.words import count

__all__ = ["Variations"]

_CELL, _GAP, _SPACE = 0.85, 0.12, 0.24  # inches: a picture, between rows, between the picture itself and the others
_MARGIN, _LABEL, _LINE = 0.3, 1.35, 0.15
_LETTERS = 17  # of a label in monospace, in a line
_ENOUGH = 128  # pixels of a side below which a picture is enlarged with hard edges
_TALLEST = 2.0


@dataclass(frozen=True, eq=False)
class Variations(Result):
    """N pictures, each varied K times, and one of them by each option alone.

    Args:
        pictures: as the network sees them when they are not varied, uint8, shape (N, H, W, 3).
        varied: with all options together, uint8, shape (N, K, H, W, 3).
        alone: the first picture varied by each option alone, uint8, shape (O, K, H, W, 3).
        options: what these options are, in words: "rotation=10".
        names: of the pictures.
        classes: of the pictures; empty words where they are unknown.
        words: everything that is done, as it is written at the command line.
    """

    pictures: Pixels
    varied: Pixels
    alone: Pixels
    options: tuple[str, ...]
    names: tuple[str, ...]
    classes: tuple[str, ...]
    words: str

    def __len__(self) -> int:
        return len(self.pictures)

    def caption(self) -> str:
        """Say what is shown, and how much of the pictures is changed by it."""
        height, width = self.pictures.shape[1:3]
        many = f"{count(len(self), 'picture')} at {height} x {width} pixels"
        if not self.options:
            return f"{many}. Nothing is done to them: augment={self.words}."
        return (
            f"{many}, as they are (left) and as {count(self.varied.shape[1], 'epoch')} of training would show them: "
            f"{self.words}."
        )

    def numbers(self) -> dict[str, Json]:
        """Return everything behind the drawings, ready for JSON."""
        return {
            "augment": self.words,
            "options": list(self.options),
            "names": list(self.names),
            "classes": list(self.classes),
            **{name: encode_array(values) for name, values in self._pixels().items()},
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the pictures by name."""
        return {**self._pixels(), "options": np.array(self.options, dtype=str), "names": np.array(self.names)}

    def _pixels(self) -> dict[str, NDArray[Any]]:
        return {"pictures": self.pictures, "varied": self.varied, "alone": self.alone}

    def drawings(self) -> list[Drawing]:
        """Return a sheet of all pictures, and a row for each option alone."""
        columns = 1 + self.varied.shape[1]
        cells = [cell for one, others in zip(self.pictures, self.varied, strict=True) for cell in (one, *others)]
        sharp = max(self.pictures.shape[1:3]) < _ENOUGH
        drawings = [
            Drawing(
                self.words,
                "Left as it is, then varied.",
                drawing.sheet([_large(cell) for cell in cells], columns=columns),
                sharp=sharp,
            )
        ]
        for option, row in zip(self.options if len(self.options) > 1 else (), self.alone, strict=False):
            strip = drawing.sheet([_large(cell) for cell in (self.pictures[0], *row)], columns=columns)
            drawings.append(Drawing(option, f"{self.names[0]}, this alone.", strip, sharp=sharp))
        return drawings

    def figure(self) -> Figure:
        """Draw a row for each picture, and below them a row for each option alone."""
        height, width = self.pictures.shape[1:3]
        tall = _CELL * min(height / width, _TALLEST)
        many = self.varied.shape[1]
        wide = 2 * _MARGIN + _LABEL + _CELL + _SPACE + many * _CELL
        single = self.options if len(self.options) > 1 else ()
        head = Head(self.recipe.lens, self.caption(), wide - 2 * _MARGIN)
        rows = len(self) + len(single)
        down = 2 * _MARGIN + head.height + rows * (tall + _GAP) - _GAP
        figure = blank(wide, down + 0.35 * bool(single))
        place = head.draw(figure, _MARGIN)
        for index, (name, label) in enumerate(zip(self.names, self.classes, strict=True)):
            _label(figure, place, label or _end(name), _end(name) if label else "", tall)
            self._row(figure, place, self.pictures[index], self.varied[index])
            place += tall + _GAP
        if single:
            place += 0.05
            text(figure, _MARGIN, place, f"One at a time, on {_end(self.names[0], 40)}", size=8.5, weight="bold")
            place += 0.3
        for option, row in zip(single, self.alone, strict=bool(single)):
            _label(figure, place, option, "", tall, family=MONOSPACE)
            self._row(figure, place, self.pictures[0], row)
            place += tall + _GAP
        return figure

    def _row(self, figure: Figure, down: float, plain: Pixels, varied: Pixels) -> None:
        sharp = max(plain.shape[:2]) < _ENOUGH
        left = _MARGIN + _LABEL
        draw_picture(figure, Drawing("", "", _large(plain), sharp=sharp), left, down, _CELL)
        strip = drawing.sheet([_large(one) for one in varied], columns=len(varied))
        shown = min(_CELL, _CELL * _TALLEST * plain.shape[1] / plain.shape[0])
        draw_picture(figure, Drawing("", "", strip, sharp=sharp), left + _CELL + _SPACE, down, len(varied) * shown)


def _large(pixels: Pixels) -> Pixels:
    """Enlarge a small picture with hard edges: its pixels are what the network sees."""
    return np.asarray(drawing.enlarge(pixels, max(-(-_ENOUGH // max(pixels.shape[:2])), 1)))


def _label(figure: Figure, down: float, words: str, below: str, tall: float, *, family: str = "sans-serif") -> None:
    middle = down + tall / 2 - _LINE / 2 * (1 + bool(below))
    text(figure, _MARGIN, middle, _end(words, _LETTERS), size=8, family=family)
    if below:
        text(figure, _MARGIN, middle + _LINE, _end(below, _LETTERS + 3), size=7, colour=GREY)


def _end(words: str, letters: int = _LETTERS) -> str:
    """Keep the last part of a long name, which is what tells it from others."""
    return words if len(words) <= letters else f"…{words[1 - letters :]}"
