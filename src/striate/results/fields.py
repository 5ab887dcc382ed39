"""The part of the picture that a unit can see, drawn on the picture. Does no arithmetic of its own on layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from striate import drawing
from striate.geometry import Box, Field
from striate.results.base import Json, Result
from striate.results.drawn import Drawing, Pixels
from striate.results.words import number, shape

__all__ = ["ReceptiveFields", "field_sentence"]


@dataclass(frozen=True, eq=False)
class ReceptiveFields(Result):
    """Where one unit of a layer looks, for N pictures.

    Args:
        addresses: the unit in each picture, N of them, such as "layer3:17@6,6"; they differ where the unit is
            the one that answers most.
        field: receptive fields of the layer.
        boxes: (top, left, bottom, right) of each unit in pixels, inclusive, cut at the picture's borders.
        pictures: uint8, shape (N, H, W, 3), as the network saw them.
        values: shape (N,), the units' answers; None when the network was not run.
    """

    addresses: tuple[str, ...]
    field: Field
    boxes: tuple[Box, ...]
    pictures: Pixels
    values: Tensor | None = None

    def __len__(self) -> int:
        return len(self.addresses)

    def box(self, picture: int) -> Pixels:
        """Draw the box on the picture at double density: uint8, shape (2 H, 2 W, 3)."""
        return drawing.draw_box(self.pictures[picture], self.boxes[picture])

    def patch(self, picture: int) -> Pixels:
        """Cut out what the unit sees: uint8, shape of the box."""
        top, left, bottom, right = self.boxes[picture]
        return np.asarray(self.pictures[picture, top : bottom + 1, left : right + 1])

    def caption(self) -> str:
        """Say what is shown, with its value range."""
        return field_sentence(self.field)

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawings, ready for JSON."""
        values = [None] * len(self) if self.values is None else self.values.tolist()
        return {
            "size": self.field.size,
            "stride": self.field.stride,
            "first_centre": self.field.centre,
            "status": self.field.status,
            "pictures": [
                {"address": address, "box": list(box), "value": value}
                for address, box, value in zip(self.addresses, self.boxes, values, strict=True)
            ],
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name."""
        arrays: dict[str, NDArray[Any]] = {
            "boxes": np.array(self.boxes),
            "addresses": np.array(self.addresses),
            "pictures": self.pictures,
        }
        if self.values is not None:
            arrays["values"] = self.values.float().numpy()
        return arrays

    def drawings(self) -> list[Drawing]:
        """Return each picture with its box, followed by what is inside."""
        drawings = []
        for index, (address, (top, left, bottom, right)) in enumerate(zip(self.addresses, self.boxes, strict=True)):
            height, width = self.pictures.shape[1:3]
            answer = "" if self.values is None else f" The unit answers {number(float(self.values[index]))}."
            whole = (top, left, bottom, right) == (0, 0, height - 1, width - 1)
            where = "all of the picture" if whole else f"rows {top} to {bottom}, columns {left} to {right}"
            drawings.append(Drawing(address, f"The unit sees {where}.{answer}", self.box(index)))
            size = shape((bottom - top + 1, right - left + 1))
            drawings.append(Drawing(address, f"What it sees, {size} pixels.", self.patch(index), sharp=True))
        return drawings


def field_sentence(field: Field) -> str:
    """Say how much of the picture a unit of a layer sees, and how far that is to be trusted."""
    if field.size is None or field.stride is None:
        return "The receptive field of this layer is unknown: some operation before it could not be followed."
    down, across = (number(step) for step in field.stride)
    steps = f"{down} {'pixel' if down == '1' else 'pixels'}" if down == across else f"{down} and {across} pixels"
    text = f"Each unit sees {shape(field.size)} pixels, {steps} from its neighbour."
    match field.status:
        case "bound":
            return f"{text} A bound: the true field lies within."
        case "whole input":
            return f"{text} Through a gate or a large field, all of the picture reaches every unit."
        case _:
            return f"{text} Exact."
