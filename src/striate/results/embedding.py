"""The pictures of a data set laid out in the plane by what a layer makes of them. Runs no network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from striate.results._charts import draw_words, words_height
from striate.results._gallery import blank, draw_picture
from striate.results._inches import rasterised
from striate.results._map import draw_points, grid_picture, map_picture, told_apart
from striate.results.base import Json, Result, encode_array
from striate.results.drawn import Drawing, Pixels
from striate.results.words import count

__all__ = ["Embedding", "Show"]

Show = Literal["points", "pictures", "grid"]

_EDGE: Final = 0.3  # inches
_POINTS: Final = 7.0  # side of a map of points
_FEW, _MANY = 6.0, 16.0  # of a map of pictures, by how many there are
_NAMES: Final = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}


@dataclass(frozen=True, eq=False)
class Embedding(Result):
    """N pictures in the plane.

    Args:
        places: (N, 2), float64: across and up, in units of the method.
        indices: (N,), int64: numbers of the pictures in the atlas.
        names: what the atlas calls them.
        classes: (N,), int64: the class of each, -1 where unknown; that which the network says where no label is known.
        class_names: names of the classes, or None.
        labelled: the classes are labels, not what the network says.
        layer: whose features were laid out.
        method: pca, tsne or umap.
        trust: trustworthiness in [0, 1]; not a number for fewer than 5 pictures.
        share: of the variance that each axis carries; None but for PCA.
        show: points, pictures at their places, or pictures on a grid.
        cells: (N, 2), int64: row and column of each picture on the grid; None unless shown so.
        thumbnails: N pictures, uint8 (h, w, 3), None for those that are gone; empty when points are shown.
        total: pictures in the atlas.
    """

    places: NDArray[np.float64]
    indices: NDArray[np.int64]
    names: tuple[str, ...]
    classes: NDArray[np.int64]
    class_names: tuple[str, ...] | None
    labelled: bool
    layer: str
    method: str
    trust: float
    share: tuple[float, float] | None
    show: Show
    cells: NDArray[np.int64] | None
    thumbnails: Sequence[Pixels | None]
    total: int

    by_picture = False

    def __len__(self) -> int:
        return len(self.places)

    def caption(self) -> str:
        """Say what is shown."""
        many = f"{count(len(self), 'picture')}" + (f" of {self.total:,}" if len(self) < self.total else "")
        text = f"{many} by their features in {self.layer}, laid out by {_NAMES[self.method]}"
        if self.share is not None:
            text += f" (the axes carry {100 * self.share[0]:.0f} and {100 * self.share[1]:.0f} % of the variance)"
        text += ", then moved to the cells of a grid as little as can be." if self.show == "grid" else "."
        if self.show == "points" and (self.classes >= 0).any():
            what = "Colours" if told_apart(self.classes) else "The names that there is room for"
            text += f" {what} are classes." if self.labelled else f" {what} are the classes that the network says."
        return text

    def belief(self) -> str:
        """Say how far neighbours in the plane are neighbours among the features."""
        if np.isnan(self.trust):
            return "Too few pictures to say how far neighbours here are neighbours indeed."
        text = f"Trustworthiness {self.trust:.3f} (1: neighbours here are neighbours among the features; 0.5: chance)."
        if self.method != "pca":
            text += " Distances between groups, and their sizes, mean little."
        return text

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawing, ready for JSON."""
        return {
            "layer": self.layer,
            "method": self.method,
            "trustworthiness": self.trust,
            "variance_share": None if self.share is None else list(self.share),
            "labelled": self.labelled,
            "class_names": None if self.class_names is None else list(self.class_names),
            "pictures": list(self.names),
            "indices": encode_array(self.indices),
            "classes": encode_array(self.classes),
            "places": encode_array(self.places),
            "cells": None if self.cells is None else encode_array(self.cells),
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name."""
        arrays: dict[str, NDArray[Any]] = {
            "places": self.places,
            "indices": self.indices,
            "classes": self.classes,
            "names": np.array(self.names),
        }
        if self.cells is not None:
            arrays["cells"] = self.cells
        return arrays

    def drawings(self) -> list[Drawing]:
        """Return the layout as one drawing."""
        if self.show == "points":
            figure = blank(_POINTS, _POINTS)
            self._points(figure, 0.1, 0.1, _POINTS - 0.2)
            return [Drawing(self.layer, self.belief(), rasterised(figure))]
        return [Drawing(self.layer, self.belief(), self.picture())]

    def picture(self) -> Pixels:
        """Return the pictures at their places, or on the grid: uint8, (H, W, 3)."""
        if self.show == "grid":
            assert self.cells is not None
            return grid_picture(self.thumbnails, self.cells)
        return map_picture(self.thumbnails, self.places)

    def figure(self) -> Figure:
        """Draw the layout, with what is to be known of it above."""
        side = _POINTS if self.show == "points" else float(np.clip(0.2 * math.sqrt(len(self)), _FEW, _MANY))
        width = side + 2 * _EDGE
        words = f"{self.caption()} {self.belief()}"
        top = _EDGE + words_height(words, side) + 0.15
        if self.show == "points":
            figure = blank(width, top + side + _EDGE)
            draw_words(figure, _EDGE, _EDGE, "embedding", words)
            self._points(figure, _EDGE, top, side)
            return figure
        drawn = Drawing("", "", self.picture())
        figure = blank(width, top + side * drawn.pixels.shape[0] / drawn.pixels.shape[1] + _EDGE)
        draw_words(figure, _EDGE, _EDGE, "embedding", words)
        draw_picture(figure, drawn, _EDGE, top, side)
        return figure

    def _points(self, figure: Figure, left: float, top: float, side: float) -> None:
        draw_points(figure, (left, top, side, side), self.places, self.classes, self.class_names)
