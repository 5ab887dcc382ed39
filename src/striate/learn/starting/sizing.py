"""For what pictures a network should be made: their channels and their size. Reads the beginnings of a few files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from striate.dataset import PictureSet
from striate.errors import DataError, ImageError

__all__ = ["Fitting", "fitting"]

_LOOKED_AT = 32  # pictures, evenly over the set
_SMALL = 128  # pixels: pictures that are all alike and no larger stay as they are
_LARGE, _USUAL = 192, 224  # pixels: from the first on photographs get the side that networks are usually made for
_STEP = 16  # pixels between the sides of pictures in between
_GREY = frozenset({"1", "L", "I", "I;16", "F", "LA"})  # Pillow's modes


@dataclass(frozen=True)
class Fitting:
    """What a network for some pictures should take.

    Attributes:
        channels: 1 where all are grey, else 3; whatever an array has.
        size: (height, width) in pixels.
        words: why, in a sentence.
    """

    channels: int
    size: tuple[int, int]
    words: str


def fitting(
    pictures: PictureSet, indices: Sequence[int] | NDArray[np.int64] | None = None, *, smallest: int = 1
) -> Fitting:
    """Choose channels and size of a network's input by a few of the pictures.

    Small pictures that are all alike keep their size. Of others the short side decides: photographs become 224 x 224,
    smaller ones the next multiple of 16 pixels below their short side.

    Args:
        pictures: the set.
        indices: which of them count; all unless given.
        smallest: side in pixels below which the network cannot be built.

    Raises:
        DataError: none of those that were looked at can be read.
    """
    chosen = np.arange(len(pictures)) if indices is None else np.asarray(indices)
    few = chosen[np.unique(np.linspace(0, len(chosen) - 1, min(_LOOKED_AT, len(chosen))).round().astype(np.int64))]
    found = []
    reasons = []
    for index in few.tolist():
        try:
            found.append(_shape(pictures, index))
        except (ImageError, OSError, ValueError, Image.DecompressionBombError) as error:
            reasons.append(f"{pictures.name(index)}: {error}")
    if not found:
        raise DataError(f"none of {len(few)} pictures that were looked at can be read (first: {reasons[0]}).")
    channels = max(shape[2] for shape in found)
    colour = f"{channels} channel{'s' * (channels > 1)}"
    sizes = {shape[:2] for shape in found}
    height, width = found[0][:2]
    if len(sizes) == 1 and max(height, width) <= _SMALL:
        side = (max(height, smallest), max(width, smallest))
        larger = f", enlarged to {side[0]} x {side[1]}, the least that the network takes" * (side != (height, width))
        return Fitting(channels, side, f"The pictures are {height} x {width} with {colour}{larger}.")
    short = int(np.median([min(shape[:2]) for shape in found]))
    one = _USUAL if short >= _LARGE else max(short - short % _STEP, _STEP)
    one = max(one, smallest)
    return Fitting(
        channels,
        (one, one),
        f"The pictures' short side is {short} pixels (median of {len(found)}), with {colour}: the network takes "
        f"{one} x {one} (another: --size, size=).",
    )


def _shape(pictures: PictureSet, index: int) -> tuple[int, int, int]:
    """Return height, width and channels of one picture; of a file only its beginning is read."""
    path = pictures.path(index)
    if path is None or path.suffix.lower() == ".npy":
        height, width, channels = pictures.pixels(index).shape
        return int(height), int(width), int(channels)
    with Image.open(path) as picture:
        grey = picture.mode in _GREY
        return picture.height, picture.width, 1 if grey else 3
