"""Which classes a network takes for which in a data set, and its worst mistakes. Runs no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from striate import drawing
from striate.address import class_name
from striate.results._charts import draw_words, short_name, words_height
from striate.results._fonts import writable
from striate.results._gallery import GREY, blank
from striate.results._inches import draw_image, inch_axes, write
from striate.results.base import Json, Result, encode_array
from striate.results.drawn import Drawing, Pixels
from striate.results.words import count, number, probability

__all__ = ["ClassFigures", "Confusions", "Mistake", "Pair"]

_EDGE: Final = 0.3  # inches
_WIDTH: Final = 9.0
_NUMBERED: Final = 20  # classes whose matrix has room for numbers
_DRAWN: Final = 60  # classes whose matrix has room for names; of more, those that are confused most
_ROWS: Final = 20  # of a table
_LINE: Final = 0.19
_SHOWN: Final = 1.35  # width of the pictures of a mistake


@dataclass(frozen=True)
class Pair:
    """A class that is taken for another.

    Args:
        true: index of the class that the pictures are of.
        said: index of the class that the network says.
        times: how many pictures.
        share: of the pictures of the true class.
    """

    true: int
    said: int
    times: int
    share: float


@dataclass(frozen=True)
class ClassFigures:
    """How one class fares.

    Args:
        index: of the class.
        pictures: of it in the data set.
        recall: share of them that are recognised; not a number where there are none.
        precision: share of those called so that are so; not a number where none is.
    """

    index: int
    pictures: int
    recall: float
    precision: float


@dataclass(frozen=True, eq=False)
class Mistake:
    """One picture that the network is wrong about.

    Args:
        picture: number in the atlas.
        name: what the atlas calls it.
        true: index of its class.
        said: index of the class that the network says.
        probability: of the class that it says.
        loss: cross-entropy with the true class, nats.
        pixels: uint8 (H, W, 3), as the network saw it; None where it cannot be read any more.
        for_said: what speaks for the class that it says, float32 (H, W), 0 or more; None without explanations.
        for_true: what speaks for the true class, likewise.
    """

    picture: int
    name: str
    true: int
    said: int
    probability: float
    loss: float
    pixels: Pixels | None
    for_said: NDArray[np.float32] | None = None
    for_true: NDArray[np.float32] | None = None


@dataclass(frozen=True, eq=False)
class Confusions(Result):
    """What a network takes the pictures of a data set for.

    Args:
        counts: (K, K), int64: pictures of class (row) that are taken for class (column).
        class_names: K names, or None.
        mistakes: the worst, by their loss.
        layer: whose maps the explanations weigh; empty without them.
    """

    counts: NDArray[np.int64]
    class_names: tuple[str, ...] | None
    mistakes: tuple[Mistake, ...]
    layer: str = ""

    by_picture = False

    def __len__(self) -> int:
        return len(self.counts)

    def name(self, index: int) -> str:
        """Return what to call a class."""
        return f"class {index}" if self.class_names is None else class_name(self.class_names, index)

    @property
    def total(self) -> int:
        """How many pictures were judged."""
        return int(self.counts.sum())

    @property
    def right(self) -> int:
        """How many of them the network is right about."""
        return int(np.trace(self.counts))

    def pairs(self) -> list[Pair]:
        """Return all pairs of classes that are confused, the most frequent first; of equals the larger share."""
        sizes = self.counts.sum(1)
        rows, columns = np.nonzero(self.counts)
        pairs = [
            Pair(int(row), int(column), int(self.counts[row, column]), float(self.counts[row, column] / sizes[row]))
            for row, column in zip(rows, columns, strict=True)
            if row != column
        ]
        return sorted(pairs, key=lambda pair: (-pair.times, -pair.share, pair.true, pair.said))

    def figures(self) -> list[ClassFigures]:
        """Return how each class fares, in the order of the classes."""
        true, said, right = self.counts.sum(1), self.counts.sum(0), np.diag(self.counts)
        with np.errstate(invalid="ignore"):
            recall, precision = right / true, right / said
        return [
            ClassFigures(index, int(true[index]), float(recall[index]), float(precision[index]))
            for index in range(len(self))
        ]

    def caption(self) -> str:
        """Say how often the network is right, and what it confuses most."""
        text = f"Right about {self.right:,} of {count(self.total, 'picture')} ({100 * self.right / self.total:.2f} %)."
        if pairs := self.pairs():
            first = pairs[0]
            text += (
                f" Most often {self.name(first.true)} is taken for {self.name(first.said)}: "
                f"{count(first.times, 'time')}, {100 * first.share:.1f} % of that class."
            )
        if self.layer:
            text += f" Beside the worst mistakes: what speaks for either class, Grad-CAM in {self.layer}."
        return text

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawings, ready for JSON."""
        return {
            "total": self.total,
            "right": self.right,
            "accuracy": self.right / self.total,
            "class_names": None if self.class_names is None else list(self.class_names),
            "counts": encode_array(self.counts),
            "classes": [
                {"index": one.index, "pictures": one.pictures, "recall": one.recall, "precision": one.precision}
                for one in self.figures()
            ],
            "pairs": [
                {"true": pair.true, "said": pair.said, "times": pair.times, "share": pair.share}
                for pair in self.pairs()[:1000]
            ],
            "layer": self.layer,
            "mistakes": [
                {
                    "picture": one.picture,
                    "name": one.name,
                    "true": one.true,
                    "said": one.said,
                    "probability": one.probability,
                    "loss": one.loss,
                }
                for one in self.mistakes
            ],
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name."""
        arrays: dict[str, NDArray[Any]] = {"counts": self.counts}
        if shown := [one for one in self.mistakes if one.for_said is not None]:
            arrays["mistakes"] = np.array([one.picture for one in shown])
            arrays["for_said"] = np.stack([one.for_said for one in shown if one.for_said is not None])
            arrays["for_true"] = np.stack([one.for_true for one in shown if one.for_true is not None])
        return arrays

    def drawings(self) -> list[Drawing]:
        """Return each of the worst mistakes: the picture, what speaks for what it says, and for what it is."""
        return [
            Drawing(one.name, self.sentence(one), drawing.sheet(self._shown(one), columns=3))
            for one in self.mistakes
            if one.pixels is not None
        ]

    def sentence(self, one: Mistake) -> str:
        """Say of one mistake what it is: "It says dog (0.98); it is cat, loss 4.2."."""
        return self._sentence(one, self.name(one.said), self.name(one.true))

    def _sentence(self, one: Mistake, said: str, true: str) -> str:
        return f"It says {said} ({probability(one.probability)}); it is {true}, loss {number(one.loss)}."

    def figure(self) -> Figure:
        """Draw the matrix, the pairs, the classes, and the worst mistakes."""
        caption = self.caption()
        top = _EDGE + words_height(caption, _WIDTH - 2 * _EDGE) + 0.2
        chosen = self.chosen()
        side, names = 5.2, 1.25
        pairs, classes = self.pairs()[:_ROWS], self._weakest()
        matrix = names + side
        table = 0.3 + _LINE * max(len(pairs), len(classes), 1) + 0.3
        ratio = max(
            (one.pixels.shape[0] / one.pixels.shape[1] for one in self.mistakes if one.pixels is not None), default=1
        )
        row = _SHOWN * ratio + 0.5
        height = top + matrix + 0.4 + table + 0.3 + row * -(-len(self.mistakes) // self._across()) + 0.5
        figure = blank(_WIDTH, height)
        draw_words(figure, _EDGE, _EDGE, "confusions", caption)
        axes = inch_axes(figure)
        self._draw_matrix(axes, chosen, _EDGE + names, top + names, side)
        down = top + matrix + 0.4
        self._draw_tables(axes, pairs, classes, down)
        down += table
        if self.mistakes:
            write(axes, _EDGE, down, "Worst mistakes", size=10, weight="bold", above=False)
            self._draw_mistakes(axes, down + 0.3, row)
        return figure

    def chosen(self, drawn: int = _DRAWN) -> NDArray[np.int64]:
        """Return the classes whose matrix is drawn: all, or of many those that are confused most.

        Args:
            drawn: classes that there is room for; of more, the 20 are shown that are confused most.
        """
        if len(self) <= drawn:
            return np.arange(len(self))
        chosen: list[int] = []
        for pair in self.pairs():
            for one in (pair.true, pair.said):
                if one not in chosen and len(chosen) < _ROWS:
                    chosen.append(one)
        return np.array(sorted(chosen) if chosen else range(_ROWS))

    def _weakest(self) -> list[ClassFigures]:
        """Return the classes to be listed, the one that is recognised least first."""
        known = [one for one in self.figures() if one.pictures]
        return sorted(known, key=lambda one: (one.recall, one.index))[:_ROWS]

    def _draw_matrix(self, axes: Axes, chosen: NDArray[np.int64], left: float, top: float, side: float) -> None:
        counts = self.counts[np.ix_(chosen, chosen)]
        sizes = self.counts.sum(1)[chosen]
        shares = counts / np.maximum(sizes, 1)[:, None]
        # the square root lets rare confusions be seen beside a diagonal of nearly 1
        draw_image(axes, drawing.magma(np.sqrt(shares).astype(np.float64)), left, top, side, smooth=False)
        cell = side / len(chosen)
        size = float(np.clip(cell * 72 * 0.5, 4, 8))
        for place, one in enumerate(chosen.tolist()):
            middle = (place + 0.5) * cell
            name = short_name(self.name(one), 18)
            write(axes, left - 0.06, top + middle, name, size=size, align="right", centre=True)
            words, fonts = writable(name)
            axes.text(
                left + middle,
                top - 0.06,
                words,
                fontsize=size,
                family=fonts,
                rotation=90,
                ha="center",
                va="bottom",
                parse_math=False,
            )
        if len(chosen) <= _NUMBERED:
            for row, column in np.argwhere(counts > 0):
                light = np.sqrt(shares[row, column]) > 0.55
                ink = drawing.INK if light else drawing.NIGHT_INK
                middle_down, middle_across = top + (row + 0.5) * cell, left + (column + 0.5) * cell
                write(
                    axes,
                    middle_across,
                    middle_down,
                    f"{counts[row, column]:,}",
                    size=size,
                    colour=ink,
                    align="center",
                    centre=True,
                )
        right = left + side + 0.2
        lines = [
            "Rows: what a picture is.",
            "Columns: what the network says.",
            "Colour: share of the row,",
            "by its square root.",
        ]
        if len(chosen) < len(self):
            lines += ["", f"Of {len(self):,} classes the {len(chosen)}", "that are confused most."]
        for place, words in enumerate(lines):
            write(axes, right, top + 0.17 * place, words, size=7.5, colour=GREY, above=False)

    def _draw_tables(self, axes: Axes, pairs: Sequence[Pair], classes: Sequence[ClassFigures], down: float) -> None:
        middle = _WIDTH / 2 + 0.2
        write(axes, _EDGE, down, "Confused most", size=10, weight="bold", above=False)
        for place, pair in enumerate(pairs):
            line = down + 0.3 + _LINE * place
            words = f"{short_name(self.name(pair.true), 22)} taken for {short_name(self.name(pair.said), 22)}"
            write(axes, _EDGE, line, words, size=8, above=False)
            figures = f"{pair.times:,}   {100 * pair.share:.1f} %"
            write(axes, middle - 0.4, line, figures, size=8, above=False, align="right")
        write(axes, middle, down, "Recognised least", size=10, weight="bold", above=False)
        rights = (_WIDTH - _EDGE - 1.7, _WIDTH - _EDGE - 0.85, _WIDTH - _EDGE)
        for right, words in zip(rights, ("pictures", "recall", "precision"), strict=True):
            write(axes, right, down + 0.04, words, size=7.5, colour=GREY, above=False, align="right")
        for place, one in enumerate(classes):
            line = down + 0.3 + _LINE * place
            write(axes, middle, line, short_name(self.name(one.index), 20), size=8, above=False)
            cells = (
                f"{one.pictures:,}",
                f"{one.recall:.3f}",
                "" if np.isnan(one.precision) else f"{one.precision:.3f}",
            )
            for right, words in zip(rights, cells, strict=True):
                write(axes, right, line, words, size=8, above=False, align="right")

    def _across(self) -> int:
        """Mistakes in a row: two with explanations, else as many pictures as fit."""
        return 2 if self.layer else 5

    def _draw_mistakes(self, axes: Axes, down: float, row: float) -> None:
        across = self._across()
        width = (_WIDTH - 2 * _EDGE + 0.2) / across
        for place, one in enumerate(self.mistakes):
            left, top = _EDGE + place % across * width, down + place // across * row
            shown = self._shown(one)
            each = (width - 0.2) / max(len(shown), 1) - 0.04
            step = left
            for picture in shown:
                height = min(_SHOWN, each) * picture.shape[0] / picture.shape[1]
                step = draw_image(axes, picture, step, top, height, smooth=picture.shape[1] > 96) + 0.04
            if not shown:
                write(axes, left, top + 0.3, f"{one.name} cannot be read any more", size=7.5, colour=GREY)
            below = top + (min(_SHOWN, each) * shown[0].shape[0] / shown[0].shape[1] if shown else 0.4) + 0.05
            for line, words in enumerate(self._lines(one, round((width - 0.2) * 16))):
                size, colour = (7.0, GREY) if line else (7.5, drawing.INK)
                write(axes, left, below + 0.15 * line, words, size=size, colour=colour, above=False)

    def _lines(self, one: Mistake, letters: int) -> tuple[str, str]:
        """Return what is written below a mistake: both classes, shortened to as many letters as there is room for."""
        if one.for_said is not None:
            room = (letters - len(self._sentence(one, "", ""))) // 2
            said, true = (short_name(self.name(index), room) for index in (one.said, one.true))
            return self._sentence(one, said, true), f"the picture, for {said}, for {true}"
        chance, loss = f" ({probability(one.probability)})", f", loss {number(one.loss)}"
        said = short_name(self.name(one.said), letters - len(f"says {chance}"))
        true = short_name(self.name(one.true), letters - len(f"is {loss}"))
        return f"says {said}{chance}", f"is {true}{loss}"

    def _shown(self, one: Mistake) -> list[Pixels]:
        """Return the picture, and over it what speaks for either class, both on one scale."""
        if one.pixels is None:
            return []
        shown = [one.pixels]
        if one.for_said is not None and one.for_true is not None:
            most = float(max(np.quantile(values, 0.995) for values in (one.for_said, one.for_true)))
            for values in (one.for_said, one.for_true):
                shown.append(drawing.overlay(one.pixels, values / most if most > 0 else values * 0.0, signed=False))
        return shown
