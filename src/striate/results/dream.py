"""Pictures that a network has dreamt into. Draws them; runs no network."""

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
from striate.results.words import count, number, shape

__all__ = ["Dream"]


@dataclass(frozen=True, eq=False)
class Dream(Result):
    """N pictures before and after.

    Args:
        pictures: uint8, shape (N, H, W, 3), as they were.
        dreams: float32, shape (N, C, H, W), from 0 to 1, on the CPU.
        shown: uint8, shape (N, H, W, 3), the same as they are shown.
        target: address whose value was raised, for each picture.
        before: (N,), the value of each picture as it was.
        after: (N,), of its dream.
        frames: uint8, shape (N, h, w, 3) each: the dreams after each octave that was begun.
        steps: of each octave.
    """

    pictures: Pixels
    dreams: Tensor
    shown: Pixels
    target: tuple[str, ...]
    before: Tensor
    after: Tensor
    frames: tuple[Pixels, ...]
    steps: int

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def moved(self) -> NDArray[np.float64]:
        """What the mean pixel of each picture has changed by, of 255 levels, (N,)."""
        change = np.abs(self.shown.astype(np.float64) - self.pictures.astype(np.float64))
        moved: NDArray[np.float64] = change.mean(axis=(1, 2, 3))
        return moved

    def caption(self) -> str:
        """Say what is shown."""
        sizes = [shape(frame.shape[1:3]) for frame in self.frames]
        where = f"at {sizes[0]} pixels" if len(sizes) == 1 else f"from {sizes[0]} to {sizes[-1]} pixels"
        return (
            f"Each picture changed towards more of what the network already sees in it: {count(len(sizes), 'octave')} "
            f"{where}, {count(self.steps, 'step')} each. What shows is the network's, not the picture's."
        )

    def sentence(self, index: int) -> str:
        """Say how far one picture has come."""
        return (
            f"The value went from {number(float(self.before[index]))} to {number(float(self.after[index]))}; "
            f"the mean pixel changed by {number(float(self.moved[index]), 2)} of 255 levels."
        )

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawings, ready for JSON."""
        return {
            "target": list(self.target),
            "before": self.before.tolist(),
            "after": self.after.tolist(),
            "changed_by_levels": self.moved.tolist(),
            "octaves": [list(frame.shape[1:3]) for frame in self.frames],
            "steps": self.steps,
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name."""
        return {
            "dreams": self.dreams.numpy(),
            "pictures": self.pictures,
            "before": self.before.numpy(),
            "after": self.after.numpy(),
        }

    def drawings(self) -> list[Drawing]:
        """Return the dream of each picture."""
        return [
            Drawing(self.target[index], self.sentence(index), pixels, sharp=_small(pixels))
            for index, pixels in enumerate(self.shown)
        ]

    def figure(self) -> Figure:
        """Draw each dream, below it the picture as it was and the octaves on the way."""
        blocks = []
        for index, drawing in enumerate(self.drawings()):
            before = self.pictures[index]
            strip = [Drawing("", "As it was.", before, sharp=_small(before))]
            strip += [
                Drawing("", shape(frame.shape[1:3]), frame[index], sharp=_small(frame[index]))
                for frame in self.frames[:-1]
            ]
            blocks.append((drawing, strip))
        return draw_beside(blocks, heading=self.recipe.lens, caption=self.caption())


def _small(pixels: Pixels) -> bool:
    """Whether a picture is so small that its pixels are to be seen as such."""
    return bool(max(pixels.shape[:2]) < 100)
