"""Brightness as height: pictures whose shape is known, seen from where it shows."""

from __future__ import annotations

import numpy as np
import pytest

from striate import drawing, kernels
from striate.errors import OptionError
from striate.results._relief import relief


def covered(pixels: np.ndarray) -> np.ndarray:
    return (pixels != drawing.rgb(drawing.PAPER)).any(axis=2)


def test_a_flat_picture_is_a_flat_block():
    white = np.full((20, 20, 3), 200, dtype=np.uint8)
    low = relief(np.zeros((20, 20)), white, azimuth=0, elevation=90 - 1e-6, width=200)
    assert covered(low.pixels).mean() > 0.98  # from above it fills the drawing
    for azimuth in (-30, 0, 30):
        heights = {}
        for value in (0.0, 0.5, 1.0):
            drawn = relief(np.full((20, 20), value), white, azimuth=azimuth, elevation=30, width=200)
            heights[value] = covered(drawn.pixels).sum()
        assert heights[0.0] < heights[0.5] < heights[1.0]


def test_a_tower_stands_where_the_pixel_is_and_hides_what_is_behind():
    heights = np.zeros((40, 40))
    heights[18:22, 8:12] = 1
    colours = np.full((40, 40, 3), 90, dtype=np.uint8)
    colours[18:22, 8:12] = (255, 0, 0)
    drawn = relief(heights, colours, azimuth=0, elevation=35, height=0.5, width=400)
    left, right, bottom, top = drawn.extent
    red = (drawn.pixels[:, :, 0].astype(int) - drawn.pixels[:, :, 1]) > 40
    rows, columns = np.nonzero(red)
    x, y = drawn.project(10, 20, 1)
    column, row = (x - left) / (right - left) * 400, (top - y) / (top - bottom) * len(red)
    assert abs(columns.mean() - column) < 8
    assert rows.min() <= row <= rows.max()
    _, foot = drawn.project(10, 23, 0)  # its front slopes down to the next pixel
    assert rows.max() <= (top - foot) / (top - bottom) * len(red) + 2


def test_turning_shows_the_other_side():
    ramp = np.tile(np.linspace(0, 1, 30), (30, 1))
    grey = np.full((30, 30, 3), 128, dtype=np.uint8)
    one, other = (relief(ramp, grey, azimuth=turn, width=200).pixels for turn in (35, -35))
    mirrored = relief(ramp[:, ::-1], grey, azimuth=-35, width=200).pixels
    # the outline of a picture and of its mirror image, turned the other way, mirror each other
    different = covered(one) != covered(mirrored)[:, ::-1]
    assert different.mean() < 0.01
    assert (covered(one) != covered(other)).mean() > 0.05


def test_surface_of_a_photograph(chelsea, tmp_path):
    found = kernels.surface(chelsea, side=60, azimuth=-20)
    assert found.heights.shape == (40, 60)
    assert "chelsea.png, 40 x 60 numbers: brightness from" in found.caption()
    top, left, bottom, right = found.box
    assert found.patch.shape == (bottom - top + 1, right - left + 1) == (12, 12)
    np.testing.assert_allclose(found.patch / 255, found.heights[top : bottom + 1, left : right + 1], atol=0.003)
    for suffix in ("png", "json", "npz"):
        assert found.save(tmp_path / f"surface.{suffix}").stat().st_size > 0
    smooth = kernels.surface(chelsea, side=60, smooth=2, by_height=True)
    assert np.abs(np.diff(smooth.heights)).mean() < 0.5 * np.abs(np.diff(found.heights)).mean()
    smooth.figure()


def test_numbers_are_written_where_the_picture_changes_most():
    picture = np.zeros((50, 60))
    picture[30:36, 40:52] = 1
    top, left, bottom, right = kernels.surface(picture).box
    assert top <= 30
    assert bottom >= 35
    assert (left, right) == (40, 51)  # the half of the box that is bright lies wholly in it
    assert kernels.surface(np.zeros((3, 5))).patch.shape == (3, 5)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 3, 3)])
def test_pictures_of_any_shape(tmp_path, shape):
    found = kernels.surface(np.random.default_rng(0).random(shape), azimuth=-40)
    assert covered(found.relief.pixels).mean() > 0.05
    if shape == (1, 40):
        found.save(tmp_path / "surface.png")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"azimuth": 90}, "the azimuth of a surface lies between -80 and 80, got 90"),
        ({"elevation": 0}, "the elevation of a surface lies between 5 and 85, got 0"),
        ({"height": 0}, "the height of a surface lies between 0.01 and 2, got 0"),
        ({"smooth": -1}, "the smooth of a surface lies between 0 and 100, got -1"),
        ({"smooth": float("nan")}, "got nan"),
    ],
)
def test_numbers_outside_their_range_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        kernels.surface(np.zeros((9, 9)), **options)
