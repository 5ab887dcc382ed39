"""Patches as pixels: what is cut out, how it is fitted into a cell, and what is said of a row."""

from __future__ import annotations

import numpy as np
import pytest

from striate.results._patch_cells import fitted
from striate.results.patches import Patch, PatchRow, cut, percent


def test_a_window_beyond_the_border_by_hand():
    picture = np.arange(12).reshape(3, 4)
    found, missing = cut(picture, (-1, 2, 1, 4))
    np.testing.assert_array_equal(found, [[0, 0, 0], [2, 3, 0], [6, 7, 0]])
    np.testing.assert_array_equal(missing, [[True, True, True], [False, False, True], [False, False, True]])
    outside, missing = cut(picture, (5, 5, 6, 7))
    assert outside.shape == (2, 3)
    assert missing.all()
    np.testing.assert_array_equal(cut(picture, (0, 0, 2, 3))[0], picture)


def test_small_patches_keep_hard_edges_and_large_ones_are_smooth():
    small = np.zeros((2, 4, 3), np.uint8)
    small[:, 2:] = 200
    shown = fitted(small, 40)
    assert shown.shape == (20, 40, 3)
    assert set(np.unique(shown)) == {0, 200}
    large = np.zeros((40, 80, 3), np.uint8)
    large[:, 40:] = 200
    assert len(np.unique(fitted(large, 200))) > 2
    assert fitted(np.zeros((500, 3, 3), np.uint8), 100).shape == (100, 1, 3)


def test_what_is_missing_is_striped():
    missing = np.array([[True, False]])
    shown = fitted(np.full((1, 2, 3), 9, np.uint8), 60, missing)
    assert (shown[:, 30:] == 9).all()
    assert len(np.unique(shown[:, :30])) > 1
    assert shown[:, :30].min() > 100


@pytest.mark.parametrize(
    ("share", "words"),
    [(0, "0 %"), (1, "100 %"), (0.5, "50 %"), (0.0004, "less than 0.1 %"), (0.9999, "more than 99.9 %")],
)
def test_shares_are_never_rounded_to_none_or_all(share, words):
    assert percent(share) == words


def patch(value: float, label: str = "", said: str = "") -> Patch:
    return Patch(0, "a.png", value, (0, 0), (0, 0, 1, 1), (-1, -1, 1, 1), None, label=label, said=said)


def test_a_row_says_what_its_pictures_share():
    row = PatchRow("a:1", tuple(patch(value, "cat" if value > 2 else "dog") for value in (5, 4, 3, 2)), 0.25, 0, 1)
    assert row.agreement() == ("cat", 3)
    assert row.sentence() == "Above 0 in 25 % of the pictures; here 2 to 5. 3 of 4: cat."
    mixed = PatchRow("a:1", (patch(2, "cat"), patch(2, "dog"), patch(2, said="ant")), 1, 0, 1)
    assert mixed.sentence() == "Above 0 in 100 % of the pictures; here always 2."
    assert PatchRow("a:1", (), 0, 0, 0).sentence() == "No picture is known for this unit."


def test_a_patch_without_its_picture_has_no_pixels():
    gone = patch(1.0)
    assert gone.pixels is None
    assert gone.missing.all()
    assert gone.missing.shape == (3, 3)
    assert gone.to_dict()["read"] is False
