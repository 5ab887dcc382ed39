"""Faint pictures made visible: by hand, and left alone where they are not faint."""

from __future__ import annotations

import numpy as np
import pytest

from striate.results._contrast import contrast_to_show, stronger, words_of


def faint(offset: int) -> np.ndarray:
    """Return a picture of one colour with a few pixels that lie off it, either way."""
    picture = np.full((20, 20, 3), (120, 110, 100), dtype=np.uint8)
    picture[4:8, 4:8] += offset
    picture[12:16, 12:16] -= offset
    return picture


@pytest.mark.parametrize(("offset", "times"), [(10, 12), (40, 3), (41, 1), (99, 1)])
def test_the_strongest_pixels_are_brought_to_120_levels_or_left(offset, times):
    assert contrast_to_show([faint(offset)]) == times


def test_by_hand():
    drawn = stronger(faint(10), 5)
    assert drawn[0, 0].tolist() == [120, 110, 100]
    assert drawn[5, 5].tolist() == [170, 160, 150]
    assert drawn[13, 13].tolist() == [70, 60, 50]
    assert stronger(faint(10), 12)[13, 13].tolist() == [0, 0, 0]  # cut off, not turned over
    assert words_of(12) == " Contrast drawn 12 times as strong."


def test_one_scale_for_all_and_what_has_no_contrast_stays():
    assert contrast_to_show([faint(2), faint(10)]) == 12
    flat = faint(0)
    assert contrast_to_show([flat]) == 1
    assert stronger(flat, 1) is flat
    assert words_of(1) == ""
