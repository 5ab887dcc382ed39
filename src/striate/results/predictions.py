"""What a network says about each picture: logits, probabilities, and the sentence a person would say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from torch import Tensor

from striate.address import class_name
from striate.drawing import ACCENT, PARTNER
from striate.results._gallery import GREY, blank, draw_picture, text
from striate.results.base import Json, Result
from striate.results.drawn import Drawing, Pixels
from striate.results.words import count, number, probability

__all__ = ["Predictions", "Ranked"]

Ranked = tuple[int, str, float]  # index of the class, its name, its probability


@dataclass(frozen=True, eq=False)
class Predictions(Result):
    """Scores of N pictures for K classes.

    Args:
        logits: shape (N, K), float, before softmax, on the CPU.
        probabilities: shape (N, K), each row of sum 1.
        class_names: K names; empty when the network has none.
        pictures: uint8, shape (N, H, W, 3), as the network saw them.
    """

    logits: Tensor
    probabilities: Tensor
    class_names: tuple[str, ...]
    pictures: Pixels

    def __len__(self) -> int:
        return len(self.logits)

    def name(self, index: int) -> str:
        """Return what to call a class, or "class 7" where the network has no names."""
        return class_name(self.class_names, index) if self.class_names else f"class {index}"

    def top(self, k: int = 5) -> list[list[Ranked]]:
        """Return the k most probable classes of each picture, best first; fewer when there are fewer classes."""
        k = min(k, self.probabilities.shape[1])
        values, indices = self.probabilities.topk(k, dim=1)
        return [
            [(index, self.name(index), value) for index, value in zip(row, row_values, strict=True)]
            for row, row_values in zip(indices.tolist(), values.tolist(), strict=True)
        ]

    def sentence(self, picture: int) -> str:
        """Say what the network says, as in "It says tabby (0.83), then tiger cat (0.11)".

        A second class is named only when it has a hundredth of the probability or more.
        """
        best, *others = [f"{name} ({text_of})" for name, text_of in self.said(picture)]
        return f"It says {best}, then {' and '.join(others)}." if others else f"It says {best}."

    def said(self, picture: int) -> list[tuple[str, str]]:
        """Return the classes worth naming, at most three, each with its probability as it is written."""
        best, *others = self.top(3)[picture]
        worth = [best, *(one for one in others if one[2] >= 0.01)]
        return [(name, probability(value)) for _, name, value in worth]

    def caption(self) -> str:
        """Say what is shown, with its value range."""
        classes = self.logits.shape[1]
        return (
            f"{count(len(self), 'picture')}, {count(classes, 'class', 'classes')}. Bars show the probability "
            f"(softmax) from 0 to 1; logits {number(float(self.logits.min()))} to {number(float(self.logits.max()))}."
        )

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawings, ready for JSON."""
        return {
            "pictures": [
                {
                    "sentence": self.sentence(index),
                    "top": [
                        {"index": place, "name": name, "probability": value, "logit": float(self.logits[index, place])}
                        for place, name, value in row
                    ],
                }
                for index, row in enumerate(self.top())
            ],
            "class_names": list(self.class_names),
            "logits": self.logits.tolist(),
            "probabilities": self.probabilities.tolist(),
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name."""
        arrays: dict[str, NDArray[Any]] = {
            "logits": self.logits.numpy(),
            "probabilities": self.probabilities.numpy(),
            "pictures": self.pictures,
        }
        return arrays

    def drawings(self) -> list[Drawing]:
        """Return each picture with its sentence."""
        return [
            Drawing(
                title=f"class:{row[0][1] if self.class_names else row[0][0]}",
                caption=self.sentence(index),
                pixels=pixels,
            )
            for index, (row, pixels) in enumerate(zip(self.top(1), self.pictures, strict=True))
        ]

    def figure(self) -> Figure:
        """Draw each picture with the bars of its five best classes beside it."""
        top = self.top()
        edge, picture_width, bars_width, gap = 0.3, 1.6, 3.6, 0.3
        heights = [max(1.6, picture_width * pixels.shape[0] / pixels.shape[1]) + 0.35 for pixels in self.pictures]
        width = 2 * edge + picture_width + gap + bars_width
        figure = blank(width, 2 * edge + sum(heights) + gap * (len(heights) - 1))
        down = edge
        for index, (drawing, row, height) in enumerate(zip(self.drawings(), top, heights, strict=True)):
            text(figure, edge, down, self.sentence(index)[:88], size=9, weight="bold")
            draw_picture(figure, drawing, edge, down + 0.3, picture_width)
            _draw_bars(figure, row, edge + picture_width + gap, down + 0.3, bars_width)
            down += height + gap
        return figure


def _draw_bars(figure: Figure, row: Sequence[Ranked], left: float, down: float, width: float) -> None:
    """Draw one bar a class: name and probability above, the bar below on a track from 0 to 1."""
    sheet_width, sheet_height = figure.get_size_inches()
    for place, (_, name, value) in enumerate(row):
        top = down + 0.32 * place
        text(figure, left, top, name[:46], size=8)
        text(figure, left + width, top, probability(value), size=8, align="right")
        for share, fill, alpha in ((1.0, GREY, 0.18), (value, ACCENT if place == 0 else PARTNER, 1.0)):
            corner = (left / sheet_width, 1 - (top + 0.24) / sheet_height)
            size = (width * share / sheet_width, 0.07 / sheet_height)
            figure.add_artist(Rectangle(corner, *size, facecolor=fill, alpha=alpha, transform=figure.transFigure))
