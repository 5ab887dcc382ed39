"""One picture to show with its caption: what results give and faces put on paper or screen. Data only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Drawing", "Label", "Pixels"]

Pixels = NDArray[np.uint8]


class Label(NamedTuple):
    """Small figures on a drawing, such as the number of a channel below its map.

    Args:
        words: what is written.
        left: first column of the place they are written in, in pixels of the drawing.
        top: its first row.
        height: its height; the type is chosen to fit.
    """

    words: str
    left: int
    top: int
    height: int


@dataclass(frozen=True, eq=False)
class Drawing:
    """One picture to show, with its caption; what every face of Striate puts on paper or screen.

    Args:
        title: the address, to be set in monospace.
        caption: what the picture shows, in words.
        pixels: uint8, shape (H, W, 3).
        low: value drawn with the first colour of the scale; None when the picture is not a scale of values.
        high: value drawn with the last colour.
        unit: of low and high; empty when they have none.
        signed: the scale is the diverging one, symmetric about zero.
        sharp: cells are numbers, so hard pixel edges are kept when it is enlarged.
        labels: small figures to be set on it.
    """

    title: str
    caption: str
    pixels: Pixels
    low: float | None = None
    high: float | None = None
    unit: str = ""
    signed: bool = False
    sharp: bool = False
    labels: tuple[Label, ...] = ()
