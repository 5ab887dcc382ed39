from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from striate import drawing
from striate.results.words import number


def test_one_scale_over_all_pictures_and_one_for_each(heatmap):
    heatmap.scores[0] = 0.5
    heatmap.scores[1] = torch.linspace(0, 1, 12 * 16).view(12, 16)
    assert heatmap.scale(0) == (0.0, 0.5)
    assert heatmap.scale(1)[1] == pytest.approx(0.995)  # the 99.5th percentile of 0..1
    assert heatmap.scale(1, percentile=100) == (0.0, 1.0)
    assert heatmap.scale(0)[1] < heatmap.scale()[1] < heatmap.scale(1)[1]


def test_a_signed_scale_is_symmetric(heatmap):
    signed = replace(heatmap, scores=heatmap.scores - 0.9, signed=True)
    low, high = signed.scale(percentile=100)
    assert -low == high == float(signed.scores.abs().max())


def test_a_scale_finds_the_few_pixels_that_count(heatmap):
    heatmap.scores.zero_()
    heatmap.scores[0, 3, 4] = 0.25  # one pixel of 384: the percentile alone would say zero
    assert heatmap.scale() == (0.0, 0.25)


def test_raw_colours_are_the_scale(heatmap):
    heatmap.scores[0, 0, 0], heatmap.scores[0, 0, 1] = 0.0, 2.0
    pixels = heatmap.raw(0, 0.0, 2.0)
    assert pixels.shape == (12, 16, 3)
    np.testing.assert_array_equal(pixels[0, 0], drawing.magma(np.zeros(1))[0])
    np.testing.assert_array_equal(pixels[0, 1], drawing.magma(np.ones(1))[0])


def test_zero_of_a_signed_map_is_paper(heatmap):
    signed = replace(heatmap, scores=torch.zeros_like(heatmap.scores), signed=True)
    pixels = signed.raw(0)
    assert (pixels == pixels[0, 0]).all()
    np.testing.assert_array_equal(pixels[0, 0], drawing.diverging(np.zeros(1))[0])


def test_an_overlay_of_nothing_shows_the_picture_everywhere(heatmap):
    empty = replace(heatmap, scores=torch.zeros_like(heatmap.scores))
    plain = drawing.overlay(empty.pictures[1], np.zeros((12, 16)), signed=False)
    np.testing.assert_array_equal(empty.overlay(1), plain)
    assert np.corrcoef(plain.flat, empty.pictures[1].flat)[0, 1] > 0.5


def test_the_hottest_pixel_of_an_overlay_is_the_maps(heatmap):
    black = replace(heatmap, pictures=np.zeros_like(heatmap.pictures))
    brightness = black.overlay(0, 0.0, 1.0).astype(int).sum(axis=-1)
    assert brightness.flat[int(black.scores[0].argmax())] == brightness.max()


def test_what_is_no_number_is_said_and_drawn_grey(heatmap):
    heatmap.scores[0, 2, 2] = float("nan")
    heatmap.scores[1, 2, 2] = float("inf")
    assert "1 value is not a number and drawn grey" in heatmap.caption()
    np.testing.assert_array_equal(heatmap.raw(0)[2, 2], drawing.rgb(drawing.MISSING))
    assert heatmap.scale()[1] <= 1.0  # neither of them decides the scale


def test_numbers_say_where_the_map_is_strongest(heatmap):
    heatmap.scores[1, 7, 9] = 5.0
    one = heatmap.numbers()["pictures"][1]
    assert one["target"] == "class:dog"
    assert one["score"] == 3.25
    assert one["highest"] == 5.0
    assert one["strongest_pixel"] == [7, 9]
    assert one["sum"] == pytest.approx(float(heatmap.scores[1].double().sum()))


def test_small_maps_keep_their_own_size(heatmap, tmp_path):
    native = torch.rand(2, 3, 4)
    enlarged = replace(heatmap, native=native)
    assert enlarged.arrays()["native"].shape == (2, 3, 4)
    assert enlarged.numbers()["native"]["shape"] == [2, 3, 4]
    assert "native" not in heatmap.arrays()


def test_the_sum_that_a_map_misses_is_said(heatmap):
    assert heatmap.trust(0) == ""
    count = len(heatmap)
    details = {"baseline": "black", "baseline_scores": [1.0] * count, "completeness_error": [-0.25] * count}
    change = float(heatmap.score_values[0]) - 1
    text = replace(heatmap, details=details).trust(0)
    assert text == f"From black the score changes by {number(change)}; the map's sum misses that by 0.25."
