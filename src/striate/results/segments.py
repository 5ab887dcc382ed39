"""A number for each superpixel of each picture: what LIME, SHAP and ablation give. Draws, computes nothing new."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from striate import drawing
from striate.results._gallery import draw_gallery
from striate.results.base import Json
from striate.results.drawn import Drawing, Pixels
from striate.results.heatmap import Heatmap
from striate.results.words import count, number

__all__ = ["Segments"]

_SHARE = 0.5  # of all that speaks for (or against) the target, held by the superpixels that are shown alone
_WEAK = 0.5  # an R^2 below this is pointed out
_HIDDEN = 0.92  # how far what is not shown goes over to grey
_LARGE = 600  # pixels; smaller pictures are drawn at double size, so that outlines are thin


@dataclass(frozen=True, eq=False, kw_only=True)
class Segments(Heatmap):
    """How much each superpixel has to do with a score, for N pictures.

    `scores` holds at each pixel the weight of its superpixel.

    Args:
        labels: shape (N, H, W), int64: the superpixel of each pixel, 0 to S - 1.
        weights: for each picture (S,), float: what each superpixel adds to the score.
        explained: shape (N,), float: weighted R^2 of the model that the weights are of; None where there is none.
    """

    labels: Tensor
    weights: tuple[Tensor, ...]
    explained: Tensor | None = None

    @classmethod
    def over(
        cls, heatmap: Heatmap, *, labels: Tensor, weights: tuple[Tensor, ...], explained: Tensor | None = None
    ) -> Segments:
        """Add superpixels to a heatmap of the same pictures."""
        held: dict[str, Any] = {field.name: getattr(heatmap, field.name) for field in fields(heatmap)}
        return cls(**held, labels=labels, weights=weights, explained=explained)

    def overlay(self, picture: int, low: float | None = None, high: float | None = None) -> Pixels:
        """Draw the weights over the picture with the superpixels' outlines: uint8, (H, W, 3) or twice that."""
        _, high = self._ends(picture, low, high)
        factor = self._factor()
        values = drawing.enlarge(self.scores[picture].numpy() / high, factor)
        drawn = drawing.overlay(self._enlarged(picture), values, signed=self.signed)
        return _outlined(drawn, self._labels(picture), drawing.PAPER, 0.45)

    def outlined(self, picture: int) -> Pixels:
        """Draw the picture with the superpixels' outlines: uint8, (H, W, 3) or twice that."""
        return _outlined(self._enlarged(picture), self._labels(picture), drawing.PAPER, 0.75)

    def strongest(self, picture: int, *, against: bool = False) -> list[int]:
        """Return the fewest superpixels that hold at least half of what speaks for the target, the strongest first.

        Args:
            picture: which.
            against: of what speaks against it instead.
        """
        weights = self.weights[picture].double().numpy() * (-1 if against else 1)
        order = [int(index) for index in np.argsort(-weights, kind="stable") if weights[index] > 0]
        held = np.cumsum(weights[order])
        return order[: int(np.searchsorted(held, _SHARE * held[-1] * (1 - 1e-9))) + 1] if order else []

    def alone(self, picture: int, *, against: bool = False) -> Pixels:
        """Draw the strongest superpixels, the rest of the picture hidden: uint8, (H, W, 3) or twice that."""
        labels = self._labels(picture)
        shown = np.isin(labels, self.strongest(picture, against=against))
        photo = self._enlarged(picture)
        grey = np.array(drawing.rgb(drawing.MISSING))
        hidden = np.rint(photo + _HIDDEN * (grey - photo)).astype(np.uint8)
        drawn: Pixels = np.where(shown[:, :, None], photo, hidden)
        return _outlined(drawn, shown, drawing.PARTNER if against else drawing.ACCENT, 1.0)

    def caption(self) -> str:
        """Say what is shown, with its value range, and how many superpixels there are."""
        sizes = sorted({len(weights) for weights in self.weights})
        many = count(sizes[0], "superpixel") if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]} superpixels"
        return f"{super().caption()} {many} a picture."

    def trust(self, picture: int) -> str:
        """Say how well the weights of a picture account for its scores."""
        if float(self.weights[picture].abs().max()) == 0:
            return "The score does not change with any superpixel."
        if self.explained is None:
            return "Each was hidden by itself; what several do together is not seen."
        share = float(self.explained[picture])
        words = f"The weights explain {100 * max(share, 0):.0f} % of how the score varies as parts are hidden."
        if share < _WEAK:
            words += " The rest is what superpixels do together, so read single ones with care."
        begins = self.details.get("baseline_scores")
        if begins is not None:
            change = float(self.score_values[picture]) - begins[picture]
            blank = self.details.get("baseline", "the hidden picture")
            words = f"From {blank} the score changes by {number(change)}, to which the superpixels add up. {words}"
        return words

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawings, ready for JSON."""
        numbers = super().numbers()
        for index, one in enumerate(numbers["pictures"]):
            one |= {
                "weights": self.weights[index].tolist(),
                **({} if self.explained is None else {"explained": float(self.explained[index])}),
                "strongest_for": self.strongest(index),
                "strongest_against": self.strongest(index, against=True),
            }
        return numbers

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name; `weights` holds those of all pictures, one after another."""
        return {
            **super().arrays(),
            "labels": self.labels.numpy(),
            "weights": np.concatenate([weights.numpy() for weights in self.weights]),
            "superpixels": np.array([len(weights) for weights in self.weights]),
            **({} if self.explained is None else {"explained": self.explained.numpy()}),
        }

    def drawings(self) -> list[Drawing]:
        """Return of each picture in turn: the weights over it, what speaks for the target, what speaks against it."""
        low, high = self.scale()
        drawings = []
        for index, (address, score) in enumerate(zip(self.target, self.score_values.tolist(), strict=True)):
            name = self.recipe.lens or "weights"
            drawings.append(
                Drawing(
                    title=address,
                    caption=f"{name} over the picture. Score {number(score)}. {self.trust(index)}",
                    pixels=self.overlay(index, low, high),
                    low=low,
                    high=high,
                    unit=self.unit,
                    signed=self.signed,
                )
            )
            for against, side in ((False, "for"), (True, "against")):
                drawings.append(
                    Drawing(
                        title=address,
                        caption=self._words(index, side, against=against),
                        pixels=self.alone(index, against=against),
                    )
                )
        return drawings

    def figure(self) -> Figure:
        """Draw picture, weights, and what speaks for and against the target in a row for each picture."""
        maps = self.drawings()
        each = len(maps) // max(len(self), 1)
        cells: list[Drawing] = []
        shown = 0
        for index, picture in enumerate(self.pictures):
            # one picture that was asked for several targets stays one picture
            shown += index == 0 or not np.array_equal(picture, self.pictures[index - 1])
            how_many = count(len(self.weights[index]), "superpixel")
            cells.append(Drawing(title=f"picture {shown}", caption=f"In {how_many}.", pixels=self.outlined(index)))
            cells += maps[each * index : each * (index + 1)]
        return draw_gallery(cells, heading=self.recipe.lens, caption=self.caption(), columns=4)

    def _words(self, picture: int, side: str, *, against: bool) -> str:
        found = self.strongest(picture, against=against)
        if not found:
            return f"No superpixel speaks {side} it."
        total = float(self.weights[picture][found].sum())
        which = "This superpixel holds" if len(found) == 1 else f"These {len(found)} superpixels hold"
        return f"{which} at least half of what speaks {side} it: {number(total)}{' together' * (len(found) > 1)}."

    def _factor(self) -> int:
        return 2 if max(self.pictures.shape[1:3]) < _LARGE else 1

    def _enlarged(self, picture: int) -> Pixels:
        photo, factor = self.pictures[picture], self._factor()
        return drawing.resample_bilinear(photo, (photo.shape[0] * factor, photo.shape[1] * factor))

    def _labels(self, picture: int) -> NDArray[Any]:
        return drawing.enlarge(self.labels[picture].numpy(), self._factor())


def _outlined(pixels: Pixels, labels: NDArray[Any], colour: str, opacity: float) -> Pixels:
    """Draw a line of one pixel where the labels change.

    Args:
        pixels: uint8, (H, W, 3).
        labels: (H, W), of any type.
        colour: of the line, `#rrggbb`.
        opacity: of the line, in [0, 1].
    """
    edge = np.zeros(labels.shape, dtype=bool)
    across, down = labels[:, 1:] != labels[:, :-1], labels[1:] != labels[:-1]
    edge[:, 1:] |= across
    edge[1:] |= down
    drawn = pixels.astype(np.float32)
    drawn[edge] += opacity * (np.array(drawing.rgb(colour)) - drawn[edge])
    return np.asarray(np.rint(drawn).astype(np.uint8))
