"""How each class fares: precision, recall, F1. Draws them; runs no network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from striate import drawing
from striate.address import class_name
from striate.results._charts import draw_words, short_name, words_height
from striate.results._gallery import GREY, blank
from striate.results._inches import inch_axes, rasterised, write
from striate.results.base import Json, Result
from striate.results.drawn import Drawing
from striate.results.words import count

__all__ = ["PerClass"]

_EDGE: Final = 0.3  # inches
_WIDTH: Final = 9.0
_LINE: Final = 0.2
_ALL: Final = 40  # classes that are all listed; of more, the weakest
_LISTED: Final = 30
_NAME: Final = 2.5  # width of a name
_TRACK: Final = "#e6e6e2"
_COLUMNS: Final = (("recall", drawing.PARTNER), ("precision", drawing.PARTNER), ("F1", drawing.ACCENT))


@dataclass(frozen=True, eq=False)
class PerClass(Result):
    """Figures of each of K classes, from how often it is taken for which.

    Args:
        counts: (K, K), int64: pictures of class (row) that are taken for class (column).
        class_names: K names, or None.
    """

    counts: NDArray[np.int64]
    class_names: tuple[str, ...] | None

    by_picture = False

    def __len__(self) -> int:
        return len(self.counts)

    def name(self, index: int) -> str:
        """Return what to call a class."""
        return f"class {index}" if self.class_names is None else class_name(self.class_names, index)

    @property
    def support(self) -> NDArray[np.int64]:
        """Pictures of each class, (K,)."""
        return np.asarray(self.counts.sum(1))

    @property
    def recall(self) -> NDArray[np.float64]:
        """Share of the pictures of each class that are recognised, (K,); not a number where there are none."""
        return _share(np.diag(self.counts), self.counts.sum(1))

    @property
    def precision(self) -> NDArray[np.float64]:
        """Share of those called so that are so, (K,); not a number where none is called so."""
        return _share(np.diag(self.counts), self.counts.sum(0))

    @property
    def f1(self) -> NDArray[np.float64]:
        """Harmonic mean of precision and recall, (K,); not a number where a class has neither pictures nor calls."""
        return _share(2 * np.diag(self.counts), self.counts.sum(0) + self.counts.sum(1))

    @property
    def macro_f1(self) -> float:
        """Mean of F1 over the classes that have pictures, each counting alike; not a number where there is none."""
        there = self.support > 0
        return float(self.f1[there].mean()) if there.any() else float("nan")

    @property
    def balanced_accuracy(self) -> float:
        """Mean of the recall over the classes that have pictures; not a number where there is none."""
        there = self.support > 0
        return float(self.recall[there].mean()) if there.any() else float("nan")

    def weakest(self, most: int | None = None) -> NDArray[np.int64]:
        """Return the classes that have pictures, that of the least F1 first."""
        there = np.flatnonzero(self.support)
        return there[np.argsort(self.f1[there], kind="stable")][:most]

    def caption(self) -> str:
        """Say how the classes fare."""
        order = self.weakest()
        if not len(order):
            return "No picture's class is known, so nothing is to be said of the classes."
        text = (
            f"{count(len(self), 'class', 'classes')}; F1 {self.macro_f1:.3f} and recall {self.balanced_accuracy:.3f} "
            "on average, each class counting alike."
        )
        first, last = int(order[0]), int(order[-1])
        if self.f1[first] < self.f1[last]:
            text += f" Weakest: {self.name(first)} (F1 {self.f1[first]:.3f}); "
            text += f"best: {self.name(last)} (F1 {self.f1[last]:.3f})."
        if without := int((self.support == 0).sum()):
            has = "has" if without == 1 else "have"
            text += f" {count(without, 'class', 'classes')} {has} no pictures here and {has} no recall."
        return text

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawing, ready for JSON."""
        return {
            "class_names": None if self.class_names is None else list(self.class_names),
            "support": self.support.tolist(),
            "recall": self.recall.tolist(),
            "precision": self.precision.tolist(),
            "f1": self.f1.tolist(),
            "macro_f1": self.macro_f1,
            "balanced_accuracy": self.balanced_accuracy,
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name."""
        return {"support": self.support, "recall": self.recall, "precision": self.precision, "f1": self.f1}

    def drawings(self) -> list[Drawing]:
        """Return the table as one drawing."""
        rows = self.listed()
        figure = blank(_WIDTH, 0.2 + self._height(rows))
        self._draw(inch_axes(figure), rows, 0.1)
        return [Drawing("classes", self.caption(), rasterised(figure))]

    def figure(self) -> Figure:
        """Draw a row for each class, or for the weakest of many, with bars."""
        caption, rows = self.caption(), self.listed()
        top = _EDGE + words_height(caption, _WIDTH - 2 * _EDGE) + 0.2
        figure = blank(_WIDTH, top + self._height(rows) + _EDGE)
        draw_words(figure, _EDGE, _EDGE, "classes", caption)
        self._draw(inch_axes(figure), rows, top)
        return figure

    def listed(self) -> NDArray[np.int64]:
        """Return the classes that are drawn: all in their order, or of more than 40 the weakest."""
        return np.arange(len(self)) if len(self) <= _ALL else self.weakest(_LISTED)

    def _height(self, rows: NDArray[np.int64]) -> float:
        return 0.3 + _LINE * max(len(rows), 1) + (0.3 if len(rows) < len(self) else 0)

    def _draw(self, axes: Axes, rows: NDArray[np.int64], top: float) -> None:
        right = _EDGE + _NAME
        write(axes, right + 0.7, top, "pictures", size=7.5, colour=GREY, align="right", above=False)
        each = (_WIDTH - _EDGE - right - 0.9) / len(_COLUMNS)
        values = (self.recall, self.precision, self.f1)
        for place, (title, _) in enumerate(_COLUMNS):
            write(axes, right + 0.95 + place * each, top, title, size=7.5, colour=GREY, above=False)
        for line, index in enumerate(rows.tolist()):
            middle = top + 0.3 + (line + 0.4) * _LINE
            write(axes, _EDGE, middle, short_name(self.name(index), 36), size=8, centre=True)
            pictures = f"{int(self.support[index]):,}"
            write(axes, right + 0.7, middle, pictures, size=8, align="right", centre=True)
            for place, (_, colour) in enumerate(_COLUMNS):
                self._bar(axes, right + 0.95 + place * each, middle, each - 0.65, float(values[place][index]), colour)
        if len(rows) < len(self):
            words = f"Of {len(self):,} classes the {len(rows)} of the least F1 that have pictures."
            down = top + 0.3 + _LINE * max(len(rows), 1) + 0.08
            write(axes, _EDGE, down, words, size=7.5, colour=GREY, above=False)

    def _bar(self, axes: Axes, left: float, middle: float, width: float, value: float, colour: str) -> None:
        """Draw a share from 0 to 1 as a bar on its track, with the number behind it."""
        words = "none" if np.isnan(value) else f"{value:.3f}"
        axes.add_patch(Rectangle((left, middle - 0.04), width, 0.08, facecolor=_TRACK, zorder=1))
        if value > 0:
            axes.add_patch(Rectangle((left, middle - 0.04), width * value, 0.08, facecolor=colour, zorder=2))
        ink = GREY if np.isnan(value) else drawing.INK
        write(axes, left + width + 0.45, middle, words, size=7.5, colour=ink, align="right", centre=True)


def _share(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    """Divide; not a number where the whole is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(whole > 0, part / whole, np.nan))
