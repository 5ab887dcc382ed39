"""Pictures that keep close to one colour, made stronger around it so that they can be seen. Pixels only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from striate.results.drawn import Pixels

__all__ = ["contrast_to_show", "stronger", "words_of"]

_REACH = 120.0  # levels from the middle that the strongest pixels are brought to
_FEW = 99.8  # percent of the values that do not go further
_LEAST = 3  # times: a picture that gains less is shown as it is


def contrast_to_show(pictures: Sequence[Pixels]) -> int:
    """Return how many times as strong the contrast of pictures is to be shown, the same for all; 1 is as it is.

    What a small change of a flat picture does to a network can be large, and still be invisible: the pictures of
    Yosinski et al. are shown stretched around their mean colour for that reason (`saveimagescc` in their code).

    Args:
        pictures: uint8, (H, W, 3) each.
    """
    offsets = [np.abs(_offsets(picture)).ravel() for picture in pictures]
    reach = float(np.percentile(np.concatenate(offsets), _FEW)) if offsets else 0.0
    times = int(_REACH / reach) if reach else 1
    return times if times >= _LEAST else 1


def stronger(picture: Pixels, times: int) -> Pixels:
    """Return a picture with its contrast so many times as strong, around the middle value of each channel."""
    if times == 1:
        return picture
    shown = picture + (times - 1) * _offsets(picture)
    return np.asarray(shown.clip(0, 255).round().astype(np.uint8))


def words_of(times: int) -> str:
    """Say how many times as strong the contrast is drawn; nothing where it is as it is."""
    return "" if times == 1 else f" Contrast drawn {times} times as strong."


def _offsets(picture: Pixels) -> np.ndarray:
    values = picture.astype(np.float64)
    offsets: np.ndarray = values - np.median(values, axis=(0, 1))
    return offsets
