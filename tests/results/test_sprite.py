"""Sheets without gaps: every cell in its place, in the colours of the library."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from striate import drawing
from striate.results import sprite as module
from striate.results.sprite import sprite, sprite_of_pictures


def decoded(made):
    return np.asarray(Image.open(io.BytesIO(made.png())).convert("RGB"))


def cell(made, index):
    height, width = made.cell
    row, column = divmod(index, made.columns)
    return decoded(made)[row * height : (row + 1) * height, column * width : (column + 1) * width]


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("count", [1, 5, 7])
def test_each_map_stands_in_its_cell_in_its_colours(signed, count):
    maps = np.random.default_rng(0).normal(size=(count, 6, 4)).astype(np.float32)
    made = sprite(maps, signed=signed)
    assert decoded(made).shape == (made.rows * 6, made.columns * 4, 3)
    assert made.rows * made.columns >= count > (made.rows - 1) * made.columns
    for index in range(count):
        values = np.clip(maps[index] / made.high, -1 if signed else 0, 1)
        expected = drawing.diverging(values) if signed else drawing.magma(values)
        assert np.abs(cell(made, index).astype(int) - expected).max() <= 5  # 255 steps


def test_zero_is_paper_and_no_number_is_grey():
    made = sprite(np.array([[[-2.0, 0.0, 2.0, np.nan, np.inf]]]), signed=True)
    colours = cell(made, 0)[0]
    assert tuple(colours[1]) == drawing.rgb(drawing.PAPER)
    assert tuple(colours[0]) == drawing.rgb(drawing.PARTNER)
    assert tuple(colours[2]) == drawing.rgb(drawing.ACCENT)
    assert tuple(colours[3]) == tuple(colours[4]) == drawing.rgb(drawing.MISSING)


def test_own_scale_ends_at_each_map_s_largest_and_nothing_stays_dark():
    maps = np.stack([np.full((2, 2), value, np.float32) for value in (0.01, 100.0, 0.0)])
    made = sprite(maps, signed=False, scale="own")
    brightest, darkest = drawing.magma(np.array([1.0, 0.0]))
    assert (cell(made, 0) == brightest).all()
    assert (cell(made, 1) == brightest).all()
    assert (cell(made, 2) == darkest).all()
    assert (made.low, made.high) == (0.0, 100.0)


def test_maps_too_large_for_a_sheet_are_thinned_out(monkeypatch):
    monkeypatch.setattr(module, "MOST", 1000)
    maps = np.arange(4 * 40 * 30, dtype=np.float32).reshape(4, 40, 30)
    made = sprite(maps, signed=False)
    assert made.cell == (14, 10)  # every third
    np.testing.assert_array_equal(np.diff(made.pixels[:14, 0].astype(int)) > 0, True)


def test_pictures_are_laid_out_as_they_are():
    cells = np.random.default_rng(1).integers(0, 256, (5, 4, 8, 3), dtype=np.uint8)
    made = sprite_of_pictures(cells)
    for index in range(5):
        np.testing.assert_array_equal(cell(made, index), cells[index])


def test_what_is_laid_over_a_picture_shows_nothing_where_it_is_zero():
    layer = drawing.transparent(np.array([[0.0, 1.0, -1.0, -0.5, np.nan]]), signed=True)
    assert layer[0, :, 3].tolist() == [0, 255, 255, 128, 0]
    assert tuple(layer[0, 1, :3]) == drawing.rgb(drawing.ACCENT)
    assert tuple(layer[0, 3, :3]) == drawing.rgb(drawing.PARTNER)
