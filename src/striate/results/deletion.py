"""How a score falls as a map's strongest pixels go, and rises as they come: deletion and insertion. Runs no network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from striate.results._charts import Line, draw_legend, draw_lines, draw_words, pixels_of, short_name, words_height
from striate.results._gallery import MONOSPACE, blank, draw_picture, text
from striate.results.base import Json, Result
from striate.results.drawn import Drawing, Pixels
from striate.results.words import count, number

__all__ = ["DeletionCurves"]

_EDGE, _PICTURE, _CHART, _GAP, _LEGEND = 0.3, 1.5, 2.5, 0.5, 3.3  # inches
_NAME, _FIGURE = 1.9, 0.7  # columns of the legend


@dataclass(frozen=True, eq=False)
class DeletionCurves(Result):
    """The scores of N pictures as pixels are deleted and inserted in the order of each of E maps.

    Args:
        names: of the maps, E of them.
        fractions: shape (S + 1,), float64: the share of the pixels deleted or inserted, from 0 to 1.
        deletion: shape (E, N, S + 1): the score with the strongest pixels gone.
        insertion: shape (E, N, S + 1): the score with the strongest pixels alone.
        target: the address explained in each picture, N of them.
        measure: "probability" of a class, or "score" where it is a logit or the value of a unit.
        baselines: what stood in for pixels that were deleted, and for those not yet inserted.
        pictures: uint8, shape (N, H, W, 3), as the network saw them.
    """

    names: tuple[str, ...]
    fractions: Tensor
    deletion: Tensor
    insertion: Tensor
    target: tuple[str, ...]
    measure: str
    baselines: tuple[str, str]
    pictures: Pixels

    def __len__(self) -> int:
        return len(self.target)

    @property
    def deletion_areas(self) -> Tensor:
        """Area under each deletion curve by the trapezoidal rule, (E, N), float64; small where the map is right."""
        return torch.trapezoid(self.deletion.double(), self.fractions, dim=-1)

    @property
    def insertion_areas(self) -> Tensor:
        """Area under each insertion curve by the trapezoidal rule, (E, N), float64; large where the map is right."""
        return torch.trapezoid(self.insertion.double(), self.fractions, dim=-1)

    def start(self, picture: int) -> float:
        """Return the score of a picture with nothing deleted: what its areas should be compared with."""
        return float(self.deletion[0, picture, 0])

    def sentence(self, name: str, picture: int) -> str:
        """Say the areas of one map of one picture: "Deletion 0.08, insertion 0.52."."""
        row = self.names.index(name)
        areas = (self.deletion_areas[row, picture], self.insertion_areas[row, picture])
        return "Deletion {}, insertion {}.".format(*(self._written(float(area)) for area in areas))

    def caption(self) -> str:
        """Say what is shown."""
        what = "probability" if self.measure == "probability" else "score"
        return (
            f"The {what} of the target as the pixels of {count(len(self.names), 'map')} go (replaced by "
            f"{_named(self.baselines[0])}; a small area is good) and come ({_named(self.baselines[1])} first; a large "
            "area is good), the highest values first. Areas by the trapezoidal rule."
        )

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawings, ready for JSON."""
        return {
            "measure": self.measure,
            "baselines": {"deletion": self.baselines[0], "insertion": self.baselines[1]},
            "fractions": self.fractions.tolist(),
            "pictures": [
                {
                    "target": target,
                    "maps": {
                        name: {
                            "deletion_area": float(self.deletion_areas[row, index]),
                            "insertion_area": float(self.insertion_areas[row, index]),
                            "deletion": self.deletion[row, index].tolist(),
                            "insertion": self.insertion[row, index].tolist(),
                        }
                        for row, name in enumerate(self.names)
                    },
                }
                for index, target in enumerate(self.target)
            ],
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name."""
        arrays: dict[str, NDArray[Any]] = {
            "names": np.array(self.names),
            "target": np.array(self.target),
            "fractions": self.fractions.numpy(),
            "deletion": self.deletion.numpy(),
            "insertion": self.insertion.numpy(),
            "pictures": self.pictures,
        }
        return arrays

    def drawings(self) -> list[Drawing]:
        """Return the charts of each picture."""
        drawings = []
        for index, target in enumerate(self.target):
            width, height = self._size()
            figure = blank(width, height)
            self._draw(figure, index, _EDGE)
            words = " ".join(f"{name}: {self.sentence(name, index)}" for name in self.names)
            drawings.append(Drawing(title=target, caption=words, pixels=pixels_of(figure)))
        return drawings

    def figure(self) -> Figure:
        """Draw for each picture its two charts, and the areas of all maps beside them."""
        width, height = self._size()
        head = _EDGE + words_height(self.caption(), width - 2 * _EDGE) + 0.1
        figure = blank(width, head + height * len(self))
        draw_words(figure, _EDGE, _EDGE, "deletion and insertion", self.caption())
        for index in range(len(self)):
            self._draw(figure, index, head + 0.1 + height * index)
        return figure

    def _size(self) -> tuple[float, float]:
        """Return width and height of one picture's row, in inches."""
        width = 2 * _EDGE + _PICTURE + 2 * (_CHART + _GAP) + _GAP + _LEGEND
        tall = _PICTURE * self.pictures.shape[1] / self.pictures.shape[2]
        return width, 0.22 + 0.24 + 0.4 + max(1.6, min(tall, 2 * _PICTURE), 0.2 * (len(self.names) + 1))

    def _written(self, area: float) -> str:
        return f"{area:.2f}" if self.measure == "probability" else number(area, 2)

    def _ends(self) -> tuple[float, float]:
        """Return the ends of the vertical axis, the same for all pictures: probabilities begin at 0."""
        both = torch.stack([self.deletion, self.insertion])
        low, high = float(both.min()), float(both.max())
        if self.measure == "probability":
            return 0.0, max(0.2, math.ceil(5 * high - 1e-6) / 5)
        return min(0.0, low), high if high > min(0.0, low) else low + 1

    def _draw(self, figure: Figure, index: int, top: float) -> None:
        """Draw the row of one picture, its charts beginning 0.22 inches below `top`."""
        down = top + 0.22
        text(figure, _EDGE, top, self.target[index][:24], size=8, family=MONOSPACE)
        draw_picture(figure, Drawing("", "", self.pictures[index]), _EDGE, down, _PICTURE)
        both = torch.stack([self.deletion[:, index], self.insertion[:, index]])
        for way, title in enumerate(("Deletion", "Insertion")):
            lines = [Line(name, both[way, row].numpy()) for row, name in enumerate(self.names)]
            left = _EDGE + _PICTURE + _GAP + way * (_CHART + _GAP)
            draw_lines(
                figure,
                (left, down, _CHART, 1.6),
                self.fractions.numpy(),
                lines,
                title=title,
                across="pixels deleted" if way == 0 else "pixels inserted",
                ends=self._ends(),
                ticks=[(0, "0 %"), (0.5, "50 %"), (1, "100 %")],
            )
        rows = [("area under the curve", "deletion", "insertion")]
        for row, name in enumerate(self.names):
            deletion, insertion = (areas[row, index] for areas in (self.deletion_areas, self.insertion_areas))
            rows.append((short_name(name, 24), self._written(float(deletion)), self._written(float(insertion))))
        draw_legend(figure, _EDGE + _PICTURE + 2 * (_GAP + _CHART) + _GAP, top, rows, (_NAME, _FIGURE, _FIGURE))


def _named(baseline: str) -> str:
    """Write what stands in for hidden pixels, as a person says it."""
    words = {"mean": "the mean colour", "blur": "a blurred picture", "noise": "noise"}
    return words.get(baseline, baseline)
