"""What pictures of a data set lie nearest to a picture, in feature space and by their pixels. Runs no network."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from striate.drawing import ACCENT, INK
from striate.results._charts import draw_words, pixels_of, short_name, words_height
from striate.results._gallery import GREY, MONOSPACE, blank, draw_picture, text
from striate.results.base import Json, Result
from striate.results.drawn import Drawing, Pixels
from striate.results.words import count, number

__all__ = ["Found", "Neighbours", "Space"]

_EDGE: Final = 0.3  # inches
_OWN: Final = 1.5  # width of the picture itself
_CELL: Final = 0.9  # of a neighbour
_GAP: Final = 0.12
_BELOW: Final = 0.42  # room of the two lines below a neighbour
_ABOVE: Final = 0.18  # of the name of a space


@dataclass(frozen=True, eq=False)
class Found:
    """A picture of the data set that is somebody's neighbour.

    Args:
        name: what the atlas calls it, such as its file's name.
        label: the class that it is of; empty where that is not known.
        said: the class that the network takes it for; empty where it gives none.
        pixels: uint8 (h, w, 3), as the network saw it or smaller; None where it cannot be read any more.
    """

    name: str
    label: str
    said: str
    pixels: Pixels | None

    @property
    def words(self) -> str:
        """The class to be written below it: what it is, else what the network says; may be empty."""
        return self.label or self.said


@dataclass(frozen=True, eq=False)
class Space:
    """The neighbours of N pictures in one space.

    Args:
        name: address of the layer, or "pixels".
        distances: (N, k), float64, ascending; in the units of the metric.
        indices: (N, k), int64: numbers of the pictures in the atlas.
        agreement: share of pictures of the atlas whose nearest other picture is of their class, in [0, 1]; not a
            number where no class is known.
        judged: how many pictures that share is of.
        recall: share of the nearest that the search finds, in [0, 1]: 1 where every pair was compared, not a number
            where it is not known.
        recalled: how many pictures of the data set that share was counted on; 0 where every pair was compared.
    """

    name: str
    distances: NDArray[np.float64]
    indices: NDArray[np.int64]
    agreement: float
    judged: int
    recall: float = 1.0
    recalled: int = 0

    @property
    def exact(self) -> bool:
        """Whether every pair was compared."""
        return self.recall == 1 and not self.recalled


@dataclass(frozen=True, eq=False)
class Neighbours(Result):
    """For N pictures, the nearest of a data set in one space or more.

    Args:
        spaces: the feature space first.
        found: the neighbours, by their number in the atlas.
        said: what the network takes each picture for, N of them; empty where it gives no class.
        comparable: the classes of the data set are those of the network, so that a neighbour's can be another.
        total: pictures in the atlas.
        metric: euclidean or cosine.
        pictures: uint8, (N, H, W, 3), as the network saw them.
    """

    spaces: tuple[Space, ...]
    found: Mapping[int, Found]
    said: tuple[str, ...]
    comparable: bool
    total: int
    metric: str
    pictures: Pixels

    def __len__(self) -> int:
        return len(self.pictures)

    def caption(self) -> str:
        """Say what is shown, and how far to believe it."""
        spaces = " and ".join(_titled(space) for space in self.spaces)
        nearest = self.spaces[0].indices.shape[1]
        what = "1 - cosine" if self.metric == "cosine" else "the Euclidean distance"
        units = " (of pixels from 0 to 255)" if len(self.spaces) > 1 and self.metric != "cosine" else ""
        text = f"The {nearest} nearest of {count(self.total, 'picture')} {spaces}; below each {what}{units}."
        return " ".join(part for part in (text, self.search(), self.belief()) if part)

    def search(self) -> str:
        """Say which share of the true neighbours an approximate search finds; empty where every pair was compared."""
        spaces = [space for space in self.spaces if not space.exact]
        if not spaces:
            return ""
        nearest = self.spaces[0].indices.shape[1]
        known = [space for space in spaces if not np.isnan(space.recall)]
        if not known:
            return "They were searched by an approximate index; of so few pictures it is not known what it misses."
        parts = [f"{100 * space.recall:.1f} % {_titled(space)}" for space in known]
        return (
            f"They were searched by an approximate index, which finds {' and '.join(parts)} of the {nearest} true "
            f"nearest (counted on {count(known[0].recalled, 'picture')} of the data set before they were in it)."
        )

    def belief(self) -> str:
        """Say how often neighbours in the data set itself are of one class; empty where no class is known."""
        parts = [
            f"{_titled(space)} for {100 * space.agreement:.1f} % of {count(space.judged, 'picture')}"
            for space in self.spaces
            if not np.isnan(space.agreement)
        ]
        return f"The nearest other picture is of the same class {' and '.join(parts)}." if parts else ""

    def agreement(self, picture: int, space: Space) -> tuple[str, int]:
        """Return the class that most neighbours of a picture share, and how many do; ("", 0) where none is known."""
        words = [self.found[int(index)].words for index in space.indices[picture]]
        known = [word for word in words if word]
        return Counter(known).most_common(1)[0] if known else ("", 0)

    def is_other(self, picture: int, index: int) -> bool:
        """Tell whether a neighbour is of another class than the network says of the picture."""
        said, words = self.said[picture], self.found[index].words
        return self.comparable and bool(said) and bool(words) and words != said

    def sentence(self, picture: int) -> str:
        """Say of one picture what its neighbours are: "It says cat. 8 of the 8 nearest in layer3: cat"."""
        parts = []
        for space in self.spaces:
            name, times = self.agreement(picture, space)
            nearest = space.indices.shape[1]
            if times > 1 or times == nearest:
                parts.append(f"{times} of the {nearest} nearest {_titled(space)}: {name}")
            elif times:
                parts.append(f"the {nearest} nearest {_titled(space)} are of {nearest} classes")
        own = f"It says {self.said[picture]}. " if self.said[picture] else ""
        words = "; ".join(parts) + "." if parts else "No class of its neighbours is known."
        return own + words[0].upper() + words[1:]

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawings, ready for JSON."""
        return {
            "metric": self.metric,
            "total": self.total,
            "pictures": [
                {
                    "said": self.said[picture],
                    "sentence": self.sentence(picture),
                    "neighbours": {
                        space.name: [
                            {
                                "picture": int(index),
                                "distance": float(distance),
                                "name": self.found[int(index)].name,
                                "label": self.found[int(index)].label,
                                "said": self.found[int(index)].said,
                            }
                            for index, distance in zip(space.indices[picture], space.distances[picture], strict=True)
                        ]
                        for space in self.spaces
                    },
                }
                for picture in range(len(self))
            ],
            "agreement": {space.name: {"share": space.agreement, "judged": space.judged} for space in self.spaces},
            "search": {
                space.name: {"exact": space.exact, "recall": space.recall, "recalled": space.recalled}
                for space in self.spaces
            },
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name."""
        arrays: dict[str, NDArray[Any]] = {"pictures": self.pictures}
        for space in self.spaces:
            arrays[f"{space.name}-distances"] = space.distances
            arrays[f"{space.name}-indices"] = space.indices
        return arrays

    def drawings(self) -> list[Drawing]:
        """Return for each picture a sheet: itself, and a row of neighbours for each space."""
        return [
            Drawing(self.spaces[0].name, self.sentence(picture), pixels_of(self._sheet([picture], "")))
            for picture in range(len(self))
        ]

    def figure(self) -> Figure:
        """Draw each picture with its neighbours beside it, a row for each space."""
        return self._sheet(range(len(self)), self.caption())

    def _sheet(self, shown: Any, caption: str) -> Figure:
        k = self.spaces[0].indices.shape[1]
        width = max(2 * _EDGE + _OWN + 2 * _GAP + k * (_CELL + _GAP) - _GAP, 6.0)
        ratio = self.pictures.shape[1] / self.pictures.shape[2]
        row = _ABOVE + _CELL * ratio + _BELOW
        block = 0.3 + max(len(self.spaces) * row, _OWN * ratio + 0.1)
        top = _EDGE + (words_height(caption, width - 2 * _EDGE) + 0.15 if caption else 0)
        figure = blank(width, top + len(shown) * block + (len(shown) - 1) * _GAP + _EDGE / 2)
        if caption:
            draw_words(figure, _EDGE, _EDGE, "neighbours", caption)
        for place, picture in enumerate(shown):
            self._draw(figure, picture, top + place * (block + _GAP), row)
        return figure

    def _draw(self, figure: Figure, picture: int, down: float, row: float) -> None:
        words = textwrap.shorten(self.sentence(picture), round((figure.get_size_inches()[0] - 2 * _EDGE) * 14))
        text(figure, _EDGE, down, words, size=8.5, weight="bold")
        own = Drawing("", "", self.pictures[picture], sharp=self.pictures.shape[1] < 96)
        draw_picture(figure, own, _EDGE, down + 0.28 + _ABOVE, _OWN)
        for line, space in enumerate(self.spaces):
            left, top = _EDGE + _OWN + 2 * _GAP, down + 0.28 + line * row
            family = "sans-serif" if space.name == "pixels" else MONOSPACE
            text(figure, left, top, space.name, size=7.5, family=family)
            for index, distance in zip(space.indices[picture], space.distances[picture], strict=True):
                self._draw_one(figure, int(index), float(distance), picture, left, top + _ABOVE, row)
                left += _CELL + _GAP

    def _draw_one(
        self, figure: Figure, index: int, distance: float, picture: int, left: float, top: float, row: float
    ) -> None:
        one = self.found[index]
        if one.pixels is not None:
            drawn = Drawing("", "", one.pixels, sharp=one.pixels.shape[1] < 96)
            draw_picture(figure, drawn, left, top, _CELL)
        else:
            text(figure, left, top + 0.3, "not readable", size=7, colour=GREY)
        below = top + row - _ABOVE - _BELOW + 0.04
        ink = ACCENT if self.is_other(picture, index) else INK
        text(figure, left, below, short_name(one.words, 15), size=7, colour=ink)
        text(figure, left, below + 0.14, number(distance), size=6.5, colour=GREY)


def _titled(space: Space) -> str:
    return "by pixels" if space.name == "pixels" else f"in {space.name}"
