"""How much of a map is left when a little noise is added to its picture. Runs no network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from striate.results.base import Json, Result
from striate.results.drawn import Drawing, Pixels
from striate.results.words import count, number

__all__ = ["Stability"]


@dataclass(frozen=True, eq=False)
class Stability(Result):
    """The similarity of E lenses' maps of N pictures to those of K noisy copies.

    Args:
        names: of the lenses, E of them.
        similarity: shape (E, N, K), float64: 1 for the same map.
        noise: standard deviation, where black is 0 and white is 1.
        measure: "rank" (of the pixels' absolute values) or "ssim" (of structure).
        target: the address explained in each picture, N of them.
        pictures: uint8, shape (N, H, W, 3), as the network saw them.
    """

    names: tuple[str, ...]
    similarity: Tensor
    noise: float
    measure: str
    target: tuple[str, ...]
    pictures: Pixels

    def __len__(self) -> int:
        return len(self.target)

    def left(self, name: str) -> float:
        """Return the mean similarity of a lens's maps over pictures and copies."""
        return float(self.similarity[self.names.index(name)].mean())

    def sentence(self, name: str) -> str:
        """Say how alike a lens's maps are under noise, and the worst of them."""
        worst = float(self.similarity[self.names.index(name)].min())
        return (
            f"With noise of {number(255 * self.noise, 2)} of 255 levels the map's similarity is {self.left(name):.2f} "
            f"(at worst {worst:.2f})."
        )

    def caption(self) -> str:
        """Say what is shown."""
        how = "rank correlation of absolute values" if self.measure == "rank" else "SSIM"
        return (
            f"Maps of {count(self.similarity.shape[2], 'noisy copy', 'noisy copies')} of each picture compared with "
            f"those of the clean one by {how}; noise of {number(255 * self.noise, 2)} of 255 levels. 1 is the same map."
        )

    def numbers(self) -> dict[str, Json]:
        """Return every number, ready for JSON."""
        return {
            "measure": self.measure,
            "noise": self.noise,
            "target": list(self.target),
            "maps": {
                name: {"sentence": self.sentence(name), "similarity": self.similarity[row].tolist()}
                for row, name in enumerate(self.names)
            },
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name."""
        arrays: dict[str, NDArray[Any]] = {
            "names": np.array(self.names),
            "similarity": self.similarity.numpy(),
            "target": np.array(self.target),
            "pictures": self.pictures,
        }
        return arrays

    def drawings(self) -> list[Drawing]:
        """Return each picture with what its maps keep under noise."""
        drawings = []
        for index, (target, pixels) in enumerate(zip(self.target, self.pictures, strict=True)):
            means = self.similarity[:, index].mean(1).tolist()
            words = ", ".join(f"{name} {mean:.2f}" for name, mean in zip(self.names, means, strict=True))
            drawings.append(Drawing(target, f"Alike under noise: {words}.", pixels))
        return drawings
