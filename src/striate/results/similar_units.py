"""Which units of a network answer to the same pictures as a given one, with what each answers to. Runs no network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from striate.results import _patch_rows
from striate.results.base import Json, Result
from striate.results.drawn import Drawing
from striate.results.patches import SIGNALS, Beside, PatchRow, patch_arrays
from striate.results.words import count, number

__all__ = ["SimilarUnits"]


@dataclass(frozen=True, eq=False)
class SimilarUnits(Result):
    """The units whose answers go most with those of one unit.

    Args:
        rows: the unit itself, then the others, the most similar first; each with its top patches.
        correlations: Pearson's r of the answers over the sampled pictures, 1 for the unit itself; as many as rows.
        beside: the backward rule for what is beside the patches, or "none".
        compared: units that were compared.
        sampled: pictures over which the correlation goes.
        total: pictures in the atlas.
        within: where was looked: an address, or "all layers of the atlas".
        chance: r that the best of so many units would reach over so many pictures without being related.
    """

    rows: tuple[PatchRow, ...]
    correlations: tuple[float, ...]
    beside: Beside
    compared: int
    sampled: int
    total: int
    within: str
    chance: float
    by_picture: ClassVar[bool] = False

    def __len__(self) -> int:
        return len(self.rows) - 1

    @property
    def target(self) -> tuple[str, ...]:
        """The unit, as it goes into the recipe."""
        return (self.rows[0].address,)

    def caption(self) -> str:
        """Say what is shown, and what chance would give."""
        if len(self.rows) == 1:
            return (
                f"No unit of {self.within} can be compared with {self.rows[0].address}: its answers are all the same."
            )
        text = (
            f"The {count(len(self), 'unit')} of {self.compared:,} ({self.within}) that answer most like "
            f"{self.rows[0].address}: correlation r of their answers in {count(self.sampled, 'sampled picture')}, "
            f"{number(self.correlations[1], 2)} to {number(self.correlations[-1], 2)}. "
            f"By chance alone the best would reach about {number(self.chance, 2)}."
        )
        if self.correlations[1] < self.chance:
            text += " None is above that: no unit is really similar."
        return text

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawings, ready for JSON."""
        return {
            "within": self.within,
            "compared": self.compared,
            "sampled_pictures": self.sampled,
            "pictures_in_atlas": self.total,
            "chance": self.chance,
            "units": [
                {
                    "address": row.address,
                    "called": row.called,
                    "correlation": correlation,
                    "patches": [patch.to_dict() for patch in row.patches],
                }
                for row, correlation in zip(self.rows, self.correlations, strict=True)
            ],
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name."""
        return {
            "addresses": np.array([row.address for row in self.rows]),
            "correlations": np.array(self.correlations),
            **patch_arrays([row.patches for row in self.rows]),
        }

    def drawings(self) -> list[Drawing]:
        """Return the unit and those like it, each with its patches."""
        return [
            Drawing(row.title, row.sentence(), _patch_rows.pixels(row, signal=SIGNALS[self.beside], full=False))
            for row in self.rows
        ]

    def figure(self) -> Figure:
        """Draw all of them, a line each."""
        return _patch_rows.figure(
            self.rows, heading=self.recipe.lens, caption=self.caption(), signal=SIGNALS[self.beside], full=False
        )
