"""How far several maps of the same decisions agree. Runs no network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from striate.results._charts import draw_matrix, draw_words, pixels_of, short_name, words_height
from striate.results._gallery import MONOSPACE, blank, text
from striate.results.base import Json, Result
from striate.results.drawn import Drawing, Pixels
from striate.results.words import count

__all__ = ["Agreement"]

_EDGE, _CELL, _NAMES, _GAP = 0.3, 0.45, 1.9, 0.6  # inches


@dataclass(frozen=True, eq=False)
class Agreement(Result):
    """For N pictures, how alike each two of E maps are.

    Args:
        names: of the maps, E of them.
        correlation: shape (N, E, E), float64: of the order of the pixels' absolute values (Spearman).
        overlap: shape (N, E, E), float64: share of the strongest pixels that two maps have in common.
        top: share of all pixels that count as the strongest; what chance gives as overlap.
        target: the address explained in each picture, N of them.
        pictures: uint8, shape (N, H, W, 3), as the network saw them.
    """

    names: tuple[str, ...]
    correlation: Tensor
    overlap: Tensor
    top: float
    target: tuple[str, ...]
    pictures: Pixels

    def __len__(self) -> int:
        return len(self.target)

    def caption(self) -> str:
        """Say what is shown."""
        return (
            f"How alike {count(len(self.names), 'map')} are, {self._over()}: by the order of all pixels (rank "
            f"correlation of absolute values), and by the strongest {100 * self.top:g} % of the pixels that two of "
            f"them share (chance gives {self.top:.2f})."
        )

    def sentence(self) -> str:
        """Name the two maps that agree most and the two that agree least."""
        values = self.correlation.mean(0).numpy()
        pairs = [(values[row, column], row, column) for row in range(len(self.names)) for column in range(row)]
        (least, *those), (most, *these) = min(pairs), max(pairs)
        one, two = (self.names[index] for index in sorted(these))
        if len(pairs) == 1:
            return f"{one} and {two} agree by {most:.2f}."
        three, four = (self.names[index] for index in sorted(those))
        return f"{one} and {two} agree most ({most:.2f}), {three} and {four} least ({least:.2f})."

    def numbers(self) -> dict[str, Json]:
        """Return every number, ready for JSON."""
        return {
            "names": list(self.names),
            "target": list(self.target),
            "rank_correlation": self.correlation.tolist(),
            "top": self.top,
            "shared_top": self.overlap.tolist(),
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name."""
        arrays: dict[str, NDArray[Any]] = {
            "names": np.array(self.names),
            "target": np.array(self.target),
            "correlation": self.correlation.numpy(),
            "overlap": self.overlap.numpy(),
            "pictures": self.pictures,
        }
        return arrays

    def drawings(self) -> list[Drawing]:
        """Return the two matrices, over all pictures, as one drawing."""
        return [Drawing("agreement", self.caption(), pixels_of(self.figure()))]

    def figure(self) -> Figure:
        """Draw both matrices, means over the pictures, with the names at their rows."""
        side = max(_CELL * len(self.names), 1.6)
        width = max(2 * _EDGE + _NAMES + 2 * side + _GAP, 6.5)
        top = _EDGE + words_height(self.caption(), width - 2 * _EDGE) + 0.5
        figure = blank(width, top + side + _EDGE + 0.1)
        draw_words(figure, _EDGE, _EDGE, "agreement", self.caption())
        cell = side / len(self.names)
        for row, name in enumerate(self.names):
            down = top + cell * (row + 0.5) - 0.06
            text(figure, _EDGE + _NAMES - 0.1, down, short_name(name, 24), size=7.5, family=MONOSPACE, align="right")
        for place, (values, title) in enumerate(
            ((self.correlation, "Order of all pixels"), (self.overlap, f"Strongest {100 * self.top:g} %"))
        ):
            left = _EDGE + _NAMES + place * (side + _GAP)
            draw_matrix(figure, (left, top, side, side), values.mean(0).numpy(), title=title)
        return figure

    def _over(self) -> str:
        return f"mean of {count(len(self), 'picture')}" if len(self) > 1 else f"for {self.target[0]}"
