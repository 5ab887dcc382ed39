"""Whether maps look where a person says that the thing is. Runs no network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from striate.drawing import draw_box
from striate.geometry import Box
from striate.results.base import Json, Result
from striate.results.drawn import Drawing
from striate.results.heatmap import Heatmap
from striate.results.words import count

__all__ = ["Pointing"]


@dataclass(frozen=True, eq=False)
class Pointing(Result):
    """The pointing game of E maps over N pictures, and the share of each map that lies in the place given.

    Args:
        names: of the maps, E of them.
        hits: shape (E, N), bool: the strongest pixel lies in the place, or near enough.
        mass: shape (E, N), float64: share of the positive sum inside; NaN where nothing is positive.
        area: shape (N,), float64: share of the picture that the place covers; what a flat map has inside.
        peaks: shape (E, N, 2), int64: row and column of the strongest pixel.
        boxes: for each picture the box around the place: top, left, bottom, right, inclusive.
        heatmaps: the maps, by name.
        tolerance: pixels by which the strongest one may miss.
    """

    names: tuple[str, ...]
    hits: Tensor
    mass: Tensor
    area: Tensor
    peaks: Tensor
    boxes: tuple[Box, ...]
    heatmaps: Mapping[str, Heatmap]
    tolerance: int

    def __len__(self) -> int:
        return len(self.boxes)

    def sentence(self, name: str, picture: int) -> str:
        """Say where a map of a picture points: "Points inside (row 80, column 91); 0.72 of it lies there."."""
        row = self.names.index(name)
        down, across = self.peaks[row, picture].tolist()
        share, area = float(self.mass[row, picture]), float(self.area[picture])
        if share != share:
            return "Has no positive value, so it points nowhere."
        where = "inside" if self.hits[row, picture] else "outside"
        return (
            f"Points {where} (row {down}, column {across}); {share:.2f} of it lies in the place, which covers "
            f"{area:.2f} of the picture."
        )

    def caption(self) -> str:
        """Say what is shown."""
        hits = ", ".join(
            f"{name} {int(row.sum())} of {len(self)}" for name, row in zip(self.names, self.hits, strict=True)
        )
        near = f", or up to {count(self.tolerance, 'pixel')} beside it" if self.tolerance else ""
        return f"Strongest pixel in the place given{near}: {hits}."

    def numbers(self) -> dict[str, Json]:
        """Return every number, ready for JSON."""
        return {
            "tolerance": self.tolerance,
            "pictures": [
                {
                    "box": list(box),
                    "area": float(self.area[index]),
                    "maps": {
                        name: {
                            "hit": bool(self.hits[row, index]),
                            "mass": float(self.mass[row, index]),
                            "strongest_pixel": self.peaks[row, index].tolist(),
                        }
                        for row, name in enumerate(self.names)
                    },
                }
                for index, box in enumerate(self.boxes)
            ],
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name."""
        arrays: dict[str, NDArray[Any]] = {
            "names": np.array(self.names),
            "hits": self.hits.numpy(),
            "mass": self.mass.numpy(),
            "area": self.area.numpy(),
            "peaks": self.peaks.numpy(),
            "boxes": np.array(self.boxes),
        }
        return arrays

    def drawings(self) -> list[Drawing]:
        """Return each map over its picture, with the box around the place."""
        drawings = []
        for index, box in enumerate(self.boxes):
            for name, heatmap in self.heatmaps.items():
                pixels = draw_box(heatmap.overlay(index), box)
                caption = f"{name}. {self.sentence(name, index)}"
                drawings.append(Drawing(heatmap.target[index], caption, pixels))
        return drawings
