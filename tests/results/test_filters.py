from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from striate import drawing
from striate.results import FilterBank


def test_mid_grey_is_zero_and_the_scale_is_the_banks(filters):
    filters.weights[0] = 0
    filters.weights[1, 0, 0, 0] = 9.0
    filters.weights[1, 2, 0, 0] = -9.0
    assert filters.largest == 9.0
    assert (filters.picture(0) == 128).all()
    np.testing.assert_array_equal(filters.picture(1)[0, 0, [0, 2]], [255, 0])


def test_kernels_by_channel_are_signed():
    weights = torch.zeros(4, 5, 3, 3)
    weights[2, 1, 0, 0], weights[2, 1, 2, 2] = 2.0, -2.0
    bank = FilterBank(weights=weights, layer="conv2", colour=False)
    pixels = bank.picture(2, 1)
    np.testing.assert_array_equal(pixels[0, 0], drawing.diverging(np.ones(1))[0])
    np.testing.assert_array_equal(pixels[2, 2], drawing.diverging(-np.ones(1))[0])
    np.testing.assert_array_equal(pixels[1, 1], drawing.diverging(np.zeros(1))[0])
    assert bank.picture(2).shape == (3, 5 * 3 + 4 * 1, 3)  # five channels side by side, one pixel between


def test_strongest_filters_are_those_of_largest_norm(filters):
    filters.weights[4] *= 10
    filters.weights[1] *= 5
    assert filters.strongest(2) == [4, 1]


def test_single_weights_are_drawn_as_a_matrix():
    bank = FilterBank(weights=torch.randn(7, 9, 1, 1), layer="project", colour=False)
    (sheet,) = bank.drawings()
    assert sheet.pixels.shape == (7, 9, 3)
    assert sheet.sharp


def test_a_large_bank_says_what_it_leaves_out():
    bank = FilterBank(weights=torch.randn(40, 24, 3, 3), layer="conv3", colour=False)
    assert "the 16 filters of largest norm over the first 16 channels" in bank.caption()
    many = FilterBank(weights=torch.randn(300, 1, 3, 3), layer="depthwise", colour=False)
    assert "the 256 filters of largest norm" in many.caption()
    many.drawings()


def test_a_bank_of_zeros_can_be_drawn(filters):
    empty = replace(filters, weights=torch.zeros(2, 3, 5, 5))
    assert (empty.picture(0) == 128).all()
    replace(empty, colour=False).figure()


def test_kernels_are_numbered_and_empty_places_are_paper():
    bank = FilterBank(weights=torch.ones(3, 1, 3, 3), layer="depthwise", colour=False)
    (sheet,) = bank.drawings()
    assert [label.words for label in sheet.labels] == ["0", "1", "2"]
    np.testing.assert_array_equal(sheet.pixels[-1, -1], drawing.rgb(drawing.PAPER))
