"""A number for each pixel of each picture: what saliency, gradients and Grad-CAM give. Draws, computes nothing new."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from striate import drawing
from striate.results._gallery import draw_gallery
from striate.results.base import Json, Result, encode_array
from striate.results.drawn import Drawing, Pixels
from striate.results.words import count, number, span

__all__ = ["Heatmap"]

PERCENTILE = 99.5  # drawn as the end of the scale: the few pixels above it would leave the rest of the map black


@dataclass(frozen=True, eq=False)
class Heatmap(Result):
    """How much each pixel has to do with a score, for N pictures.

    Args:
        scores: shape (N, H, W), float, at the pictures' resolution, on the CPU. Never rescaled: maps of
            different pictures and lenses can be compared.
        native: shape (N, h, w), before enlarging; equal to `scores` where nothing was enlarged.
        target: the address explained in each picture, N of them.
        score_values: shape (N,), the targets' scores.
        signed: values below zero mean something (evidence against).
        pictures: uint8, shape (N, H, W, 3), as the network saw them, for drawing.
        details: what else the lens has to say, ready for JSON ("layer", "rectifiers", "completeness_error").
        meaning: what a value is, in words: "largest change of the score for a change of this pixel".
        unit: of the values; empty when they have none.
    """

    scores: Tensor
    native: Tensor
    target: tuple[str, ...]
    score_values: Tensor
    signed: bool
    pictures: Pixels
    details: Mapping[str, Json] = field(default_factory=dict)
    meaning: str = ""
    unit: str = ""

    def __len__(self) -> int:
        return len(self.scores)

    def scale(self, picture: int | None = None, *, percentile: float = PERCENTILE) -> tuple[float, float]:
        """Return the values to draw with the first and the last colour.

        Args:
            picture: of this picture alone; None for one scale over all of them.
            percentile: share of the values, in percent, that lie below the end of the scale; 100 takes the
                largest. The raw numbers stay as they are.

        Returns:
            (-high, high) for a signed map, (0, high) otherwise; high is 0 for a map of zeros alone.
        """
        values = self._values(picture)
        sizes = np.abs(values) if self.signed else values
        high = float(np.percentile(sizes, percentile)) if sizes.size else 0.0
        if high <= 0 and sizes.size:  # so few pixels count that the percentile misses them
            high = max(0.0, float(sizes.max()))
        return (0.0 - high, high) if self.signed else (0.0, high)

    def raw(self, picture: int, low: float | None = None, high: float | None = None) -> Pixels:
        """Draw the map alone, in the colours of the scale, grey where there is no number: uint8, shape (H, W, 3)."""
        low, high = self._ends(picture, low, high)
        return drawing.colour(_array(self.scores[picture]), signed=self.signed, low=low, high=high)

    def overlay(self, picture: int, low: float | None = None, high: float | None = None) -> Pixels:
        """Draw the map over the picture, the stronger the more opaque: uint8, shape (H, W, 3)."""
        low, high = self._ends(picture, low, high)
        return drawing.overlay(self.pictures[picture], _array(self.scores[picture]) / high, signed=self.signed)

    def layer(self, picture: int, low: float | None = None, high: float | None = None) -> Pixels:
        """Draw the map to be laid over its picture, the stronger the more opaque: uint8, shape (H, W, 4)."""
        low, high = self._ends(picture, low, high)
        return drawing.transparent(_array(self.scores[picture]) / high, signed=self.signed)

    def caption(self) -> str:
        """Say what is shown, with its value range."""
        values = self._values(None)
        meaning = self.meaning or "How much each pixel has to do with the score"
        text = f"{meaning[0].upper()}{meaning[1:]}. Values {span(float(values.min()), float(values.max()))}"
        text += f" {self.unit}." if self.unit else "."
        if missing := int(np.isnan(_array(self.scores)).sum()):
            text += f" {count(missing, 'value is', 'values are')} not a number and drawn grey."
        return text

    def trust(self, picture: int) -> str:
        """Say what the map can be checked by: what it should sum to, or one patch; empty where it claims neither."""
        if "strongest_drop" in self.details:
            return self._strongest(picture)
        missed, begins = (self.details.get(key) for key in ("completeness_error", "baseline_scores"))
        if missed is None or begins is None:
            return ""
        change = float(self.score_values[picture]) - begins[picture]
        blank = self.details.get("baseline", "the blank picture")
        return (
            f"From {blank} the score changes by {number(change)}; the map's sum misses that by "
            f"{number(abs(missed[picture]), 2)}."
        )

    def _strongest(self, picture: int) -> str:
        """Say what covering the strongest patch did."""
        drop = self.details["strongest_drop"][picture]
        if drop <= 0:
            return "No patch lowers it when covered."
        top, left, bottom, right = self.details["strongest_box"][picture]
        return f"Covering rows {top} to {bottom - 1}, columns {left} to {right - 1} lowers it by {number(drop)}."

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawings, ready for JSON."""
        values = _array(self.scores)
        each = []
        for index, (address, score) in enumerate(zip(self.target, self.score_values.tolist(), strict=True)):
            one = values[index]
            row, column = np.unravel_index(int(np.abs(np.nan_to_num(one)).argmax()), one.shape)
            each.append(
                {
                    "target": address,
                    "score": score,
                    "lowest": float(one.min()),
                    "highest": float(one.max()),
                    "sum": float(one.sum(dtype=np.float64)),
                    "strongest_pixel": [int(row), int(column)],
                    "drawn": list(self.scale(index)),
                }
            )
        return {
            "meaning": self.meaning,
            "unit": self.unit,
            "signed": self.signed,
            "details": dict(self.details),
            "pictures": each,
            **{name: encode_array(array) for name, array in self.arrays().items() if name in ("scores", "native")},
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name."""
        arrays: dict[str, NDArray[Any]] = {
            "scores": _array(self.scores),
            "score_values": self.score_values.numpy(),
            "target": np.array(self.target),
            "pictures": self.pictures,
        }
        if self.native is not self.scores:
            arrays["native"] = _array(self.native)
        return arrays

    def drawings(self) -> list[Drawing]:
        """Return overlay and raw map of each picture in turn, all on one scale."""
        low, high = self.scale()
        drawings = []
        for index, (address, score) in enumerate(zip(self.target, self.score_values.tolist(), strict=True)):
            words = f"Score {number(score)}. {self.trust(index)}".rstrip()
            for kind, pixels in (("over the picture", self.overlay), ("alone", self.raw)):
                drawings.append(
                    Drawing(
                        title=address,
                        caption=f"{self.recipe.lens or 'map'} {kind}. {words}",
                        pixels=pixels(index, low, high),
                        low=low,
                        high=high,
                        unit=self.unit,
                        signed=self.signed,
                    )
                )
        return drawings

    def figure(self) -> Figure:
        """Draw picture, overlay and map in a row for each picture, all on one scale whose range is written."""
        maps = self.drawings()
        cells: list[Drawing] = []
        number_shown = 0
        for index, picture in enumerate(self.pictures):
            # one picture that was asked for several targets stays one picture
            number_shown += index == 0 or not np.array_equal(picture, self.pictures[index - 1])
            cells.append(Drawing(title=f"picture {number_shown}", caption="As the network saw it.", pixels=picture))
            cells += maps[2 * index : 2 * index + 2]
        return draw_gallery(cells, heading=self.recipe.lens, caption=self.caption(), columns=3)

    def _values(self, picture: int | None) -> NDArray[np.float32]:
        """Return one map, or all, with what is not finite as zero: it must not decide the scale."""
        chosen = self.scores if picture is None else self.scores[picture]
        return np.nan_to_num(_array(chosen), nan=0.0, posinf=0.0, neginf=0.0)

    def _ends(self, picture: int, low: float | None, high: float | None) -> tuple[float, float]:
        """Fill in the ends that were not given; a map of zeros alone gets a scale it does not reach."""
        own_low, own_high = self.scale(picture)
        high = own_high if high is None else high
        high = high if high > 0 else 1.0
        if self.signed:
            return -high, high
        return (own_low if low is None else low), high


def _array(values: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = values.detach().float().numpy()
    return array
