"""Patches are pieces of the pictures, drawn by the seed, and what cannot be read is said."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image

from striate import InputSpec, dataset
from striate.errors import DataError
from striate.kernels.learned.patches import draw_patches


def test_every_patch_is_somewhere_in_the_pictures():
    pictures = np.random.default_rng(0).integers(0, 256, (3, 7, 9, 3), dtype=np.uint8)
    patches, notes = draw_patches(dataset.open(pictures), (2, 4), 200, seed=1)
    assert patches.shape == (200, 3, 2, 4)
    assert patches.dtype == np.float32
    assert not notes
    windows = sliding_window_view(pictures, (2, 4), axis=(1, 2)).reshape(-1, 24)  # of C, h, w
    there = {tuple(window) for window in windows.tolist()}
    drawn = [tuple(patch) for patch in patches.reshape(200, -1).astype(int).tolist()]
    assert set(drawn) <= there
    assert len(set(drawn)) > 0.6 * len(there)  # of 108 places, 200 draws leave about a sixth out


def test_every_place_is_drawn_the_last_row_and_column_too():
    places = np.arange(12, dtype=np.uint8).reshape(1, 3, 4)
    drawn, _ = draw_patches(dataset.open(places), (2, 2), 200)
    assert set(drawn[:, 0, 0, 0].tolist()) == {0, 1, 2, 4, 5, 6}
    whole, _ = draw_patches(dataset.open(places), (3, 4), 5)  # a patch may be as large as the picture
    assert (whole == places).all()


def test_seed_and_indices():
    pictures = dataset.open(np.random.default_rng(0).integers(0, 256, (6, 8, 8), dtype=np.uint8))
    one, same, other = (draw_patches(pictures, (3, 3), 50, seed=seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    bright = dataset.open(np.repeat(np.array([0, 9], np.uint8), 5)[:, None, None].repeat(8, 1).repeat(8, 2))
    assert (draw_patches(bright, (3, 3), 40, indices=np.arange(5, 10))[0] == 9).all()


def test_numbers_are_those_of_0_to_255_whatever_they_are_kept_in():
    small = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    whole = draw_patches(dataset.open(small), (3, 3), 20)[0]
    shares = draw_patches(dataset.open(small.astype(np.float32) / 255), (3, 3), 20)[0]
    np.testing.assert_allclose(shares, whole, atol=1e-4)
    spec = InputSpec(3, 8, 8, (0.4, 0.5, 0.6), (0.2, 0.3, 0.1))
    normal = [(spec.preprocess(picture), 0) for picture in small]
    undone = draw_patches(dataset.open(normal, prepared=True), (3, 3), 20, spec=spec)[0]
    np.testing.assert_allclose(undone, whole, atol=1e-3)
    with pytest.raises(DataError, match=r"come normalised already\. Give the spec"):
        draw_patches(dataset.open(normal, prepared=True), (3, 3), 20)


def test_broken_pictures_give_no_patches_and_are_said(tmp_path):
    for number in range(4):
        Image.fromarray(np.full((9, 9), 50 * number, np.uint8)).save(tmp_path / f"{number}.png")
    (tmp_path / "1.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    patches, notes = draw_patches(dataset.open(tmp_path), (3, 3), 400)
    assert set(np.unique(patches)) == {0, 100, 150}
    assert 200 < len(patches) < 400
    assert len(notes) == 1
    assert notes[0].startswith("1 of 4 pictures could not be read, and gave no patches (first: ")
    for file in tmp_path.iterdir():
        file.write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(DataError, match="none of the 4 pictures that patches were drawn from can be read"):
        draw_patches(dataset.open(tmp_path), (3, 3), 400)


def test_of_a_large_set_only_some_pictures_are_read():
    pictures = dataset.open(np.arange(200, dtype=np.uint8)[:, None, None].repeat(5, 1).repeat(5, 2))
    patches, _ = draw_patches(pictures, (3, 3), 160)
    assert 14 < len(np.unique(patches)) <= 20
    assert np.unique(patches).max() > 100  # from all over the set


def test_a_picture_smaller_than_a_patch_is_named():
    with pytest.raises(DataError, match=r"picture 0 is 4 x 9 pixels, smaller than a patch of 5 x 5. Take smaller"):
        draw_patches(dataset.open(np.zeros((1, 4, 9), np.uint8)), (5, 5), 10)
