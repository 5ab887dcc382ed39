"""Pictures of one thing in the manner of another. Draws them; runs no network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from striate.results._beside import draw_beside
from striate.results.base import Json, Result
from striate.results.drawn import Drawing, Pixels
from striate.results.words import number

__all__ = ["Stylised"]


@dataclass(frozen=True, eq=False)
class Stylised(Result):
    """N pictures in another's manner.

    Errors are squared distances as shares of the squared length of what is wanted, meaned over layers: 0 is reached.

    Args:
        pictures: uint8, shape (N, H, W, 3): what is shown.
        styles: uint8, shape (N or 1, h, w, 3): how.
        made: float32, shape (N, C, H, W), from 0 to 1, on the CPU.
        shown: uint8, shape (N, H, W, 3), the same as they are shown.
        content_layers: whose answers were kept.
        style_layers: whose correlations were matched.
        content_errors: (N,), of the pictures made, in the content layers' answers.
        style_errors: (N,), of the pictures made, in the style layers' Gram matrices.
        plain_errors: (N,), style errors of the pictures as they were.
        costs: (N, k), the cost before each step and after the last; NaN where there was none.
    """

    pictures: Pixels
    styles: Pixels
    made: Tensor
    shown: Pixels
    content_layers: tuple[str, ...]
    style_layers: tuple[str, ...]
    content_errors: Tensor
    style_errors: Tensor
    plain_errors: Tensor
    costs: Tensor

    def __len__(self) -> int:
        return len(self.pictures)

    def caption(self) -> str:
        """Say what is shown."""
        return (
            f"What {', '.join(self.content_layers)} {_says(self.content_layers)} of each picture, with the "
            f"correlations between channels that {', '.join(self.style_layers)} {_finds(self.style_layers)} "
            "in the style."
        )

    def sentence(self, index: int) -> str:
        """Say how far one picture has come."""
        plain, style = float(self.plain_errors[index]), float(self.style_errors[index])
        return (
            f"Style error {number(style, 2)}, {number(plain, 2)} before; "
            f"content error {number(float(self.content_errors[index]), 2)}."
        )

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawings, ready for JSON."""
        return {
            "content_layers": list(self.content_layers),
            "style_layers": list(self.style_layers),
            "content_error": self.content_errors.tolist(),
            "style_error": self.style_errors.tolist(),
            "style_error_before": self.plain_errors.tolist(),
            "cost": self.costs.tolist(),
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name."""
        return {"made": self.made.numpy(), "pictures": self.pictures, "styles": self.styles}

    def drawings(self) -> list[Drawing]:
        """Return the picture made of each."""
        return [
            Drawing("restyled", self.sentence(index), pixels, sharp=_small(pixels))
            for index, pixels in enumerate(self.shown)
        ]

    def figure(self) -> Figure:
        """Draw each picture made, below it what it shows and in whose manner."""
        blocks = []
        for index, drawing in enumerate(self.drawings()):
            content, style = self.pictures[index], self.styles[index if len(self.styles) > 1 else 0]
            strip = [Drawing("", "What is shown.", content, sharp=_small(content))]
            strip.append(Drawing("", "In this manner.", style, sharp=_small(style)))
            blocks.append((drawing, strip))
        return draw_beside(blocks, heading=self.recipe.lens, caption=self.caption())


def _small(pixels: NDArray[np.uint8]) -> bool:
    """Whether a picture is so small that its pixels are to be seen as such."""
    return bool(max(pixels.shape[:2]) < 100)


def _says(layers: tuple[str, ...]) -> str:
    return "says" if len(layers) == 1 else "say"


def _finds(layers: tuple[str, ...]) -> str:
    return "finds" if len(layers) == 1 else "find"
