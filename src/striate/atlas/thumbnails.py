"""Pictures of an atlas, small and square, as a map shows thousands of them. Reads pictures; runs no network."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from striate import drawing, progress
from striate.atlas import pixels
from striate.atlas.opened import Atlas
from striate.dataset.batches import processors
from striate.errors import ImageError, OptionError

__all__ = ["LARGEST", "thumbnails"]

LARGEST = 512
"""Pixels of a thumbnail's side at most."""

TASK = "thumbnails"


def thumbnails(atlas: Atlas, indices: Sequence[int], side: int = pixels.SIDE) -> NDArray[np.uint8]:
    """Return pictures of an atlas as squares of one size, undistorted, in the middle of a grey square.

    At 32 pixels or less they are those that `striate.atlas.pixels` keeps beside the atlas, once it has made them;
    otherwise every picture is read.

    Args:
        atlas: open.
        indices: of the pictures, n of them.
        side: of the squares in pixels.

    Returns:
        uint8, (n, side, side, 3); grey all over where a picture cannot be read any more.

    Raises:
        OptionError: no such picture, or a side outside 1 to 512.
        Stopped: the user asked to stop.
    """
    if not 1 <= side <= LARGEST:
        raise OptionError(f"the side of a thumbnail lies from 1 to {LARGEST} pixels, got {side}.")
    wrong = [index for index in indices if not 0 <= index < len(atlas)]
    if wrong:
        raise OptionError(f"no picture {wrong[0]} in the atlas: it has {len(atlas):,}, 0 to {len(atlas) - 1:,}.")
    made = np.empty((len(indices), side, side, 3), dtype=np.uint8)
    made[:] = drawing.rgb(drawing.MISSING)
    kept = pixels.kept(atlas) if side <= pixels.SIDE else None

    def one(index: int) -> NDArray[np.uint8] | None:
        if kept is not None:
            return drawing.resample_bilinear(kept[index], _fitted(kept.shape[1:3], side))
        try:
            return atlas.pictures.shown(index, side)
        except ImageError:
            return None

    with ThreadPoolExecutor(processors()) as pool:
        for place, small in enumerate(pool.map(one, indices)):
            if place % 64 == 0:
                progress.check_stop(TASK)
                progress.report(progress.Event(TASK, place, len(indices)))
            if small is not None:
                top, left = (side - small.shape[0]) // 2, (side - small.shape[1]) // 2
                made[place, top : top + small.shape[0], left : left + small.shape[1]] = small
    progress.report(progress.Event(TASK, len(indices), len(indices)))
    return made


def _fitted(size: tuple[int, ...], side: int) -> tuple[int, int]:
    """Return height and width of a picture that is fitted into a square."""
    scale = side / max(size[:2])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
