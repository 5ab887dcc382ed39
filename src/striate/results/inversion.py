"""Pictures made again from what layers hold of them, and how far to believe them. Draws; runs no network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from striate.results._gallery import draw_gallery
from striate.results.base import Json, Result
from striate.results.drawn import Drawing, Pixels
from striate.results.words import count, number

__all__ = ["Inversion"]

_POOR = 0.5  # of the error of a scrambled picture: above it little of this picture was found


@dataclass(frozen=True, eq=False)
class Inversion(Result):
    """N pictures made again from L layers.

    The error of a picture at a layer is |Phi(x) - Phi0| / |Phi0|, with Phi0 what the layer gives for the picture
    itself and Phi(x) for the one made again: 0 is the same, 1 as far away as an empty answer.

    Args:
        layers: addresses, L of them.
        pictures: uint8, shape (N, H, W, 3), as the network saw them.
        made: float32, shape (L, N, C, H, W), from 0 to 1, on the CPU.
        shown: uint8, shape (L, N, H, W, 3), the same as they are shown.
        errors: (L, N), of the pictures made.
        noise: (L, N), of the noise that each began as.
        scrambled: (L, N), of the picture itself with its waves shifted at random: colours and fineness are the same,
            everything else is not.
        differences: (L, N), root mean square of the difference of the pixels, of 255 levels.
        variation: weight of the smoothness at each layer, lambda_V, L of them.
        costs: (L, N, k), the cost before each step and after the last; NaN where there was none.
    """

    layers: tuple[str, ...]
    pictures: Pixels
    made: Tensor
    shown: NDArray[np.uint8]
    errors: Tensor
    noise: Tensor
    scrambled: Tensor
    differences: Tensor
    variation: tuple[float, ...]
    costs: Tensor

    def __len__(self) -> int:
        return len(self.pictures)

    def caption(self) -> str:
        """Say what is shown, and how to read the errors."""
        return (
            f"{count(len(self), 'picture')} made again from what {count(len(self.layers), 'layer')} alone "
            f"{'holds' if len(self.layers) == 1 else 'hold'}. Error: how far the layer's answer to the new picture is "
            "from that to the old one, 0 for the same. What is lost in the new picture the layer does not tell, or "
            "the search did not find: believe a picture as far as its error is small."
        )

    def sentence(self, layer: int, picture: int) -> str:
        """Say how far one picture can be believed."""
        error, scrambled = float(self.errors[layer, picture]), float(self.scrambled[layer, picture])
        words = (
            f"Error {number(error, 2)}; scrambled {number(scrambled, 2)}, "
            f"noise {number(float(self.noise[layer, picture]), 2)}."
        )
        if error > _POOR * scrambled:
            words += " Not found: nothing can be said from it."
        return words

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawings, ready for JSON."""
        return {
            "layers": list(self.layers),
            "error": self.errors.tolist(),
            "error_of_noise": self.noise.tolist(),
            "error_of_scrambled": self.scrambled.tolist(),
            "pixel_difference_levels": self.differences.tolist(),
            "variation_weight": list(self.variation),
            "cost": self.costs.tolist(),
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name."""
        return {
            "made": self.made.numpy(),
            "pictures": self.pictures,
            "errors": self.errors.numpy(),
            "noise": self.noise.numpy(),
            "scrambled": self.scrambled.numpy(),
        }

    def drawings(self) -> list[Drawing]:
        """Return, picture by picture, what was made from each layer."""
        return [
            Drawing(name, self.sentence(layer, picture), self.shown[layer, picture], sharp=self._sharp)
            for picture in range(len(self))
            for layer, name in enumerate(self.layers)
        ]

    def figure(self) -> Figure:
        """Draw a row for each picture: itself, and what was made from each layer."""
        drawings = self.drawings()
        cells: list[Drawing] = []
        for picture, pixels in enumerate(self.pictures):
            cells.append(Drawing(f"picture {picture + 1}", "As the network saw it.", pixels, sharp=self._sharp))
            cells += drawings[picture * len(self.layers) : (picture + 1) * len(self.layers)]
        columns = len(self.layers) + 1
        return draw_gallery(
            cells, heading=self.recipe.lens, caption=self.caption(), columns=columns if columns <= 6 else None
        )

    @property
    def _sharp(self) -> bool:
        return bool(max(self.pictures.shape[1:3]) < 100)
