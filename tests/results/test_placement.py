from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from striate import drawing
from striate.geometry import Field, Span, convolved, input_span, unknown_span
from striate.results import place, stretch
from striate.results.placement import placing_weights


def field(kernel: int, stride: int, padding: int, picture: tuple[int, int]) -> Field:
    span = convolved(input_span(), kernel, stride, padding)
    return Field(span, span, picture)


def test_two_units_by_hand():
    # centres at pixels 1 and 3 of 5: the ends stay, pixel 2 lies half way
    weights = placing_weights(2, 5, centre=1.0, jump=2.0)
    expected = torch.tensor([[1, 0], [1, 0], [0.5, 0.5], [0, 1], [0, 1]], dtype=torch.float64)
    torch.testing.assert_close(weights, expected)


def test_the_identity_stays_the_identity():
    maps = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(place(maps, field(1, 1, 0, (5, 7))), maps)


def test_a_unit_stands_at_the_centre_of_its_receptive_field():
    # 3x3, stride 2, no padding on 9 pixels: centres at 1, 3, 5, 7
    maps = torch.zeros(1, 4, 4)
    maps[0, 2, 1] = 1
    placed = place(maps, field(3, 2, 0, (9, 9)))
    assert placed[0, 5, 3] == 1
    assert placed[0].argmax() == 5 * 9 + 3


def test_it_equals_the_twin_that_draws():
    maps = torch.rand(1, 7, 5, generator=torch.Generator().manual_seed(1))
    at = field(11, 4, 2, (30, 22))
    twin = drawing.place(maps[0].numpy(), at.centre, at.stride, (30, 22))
    np.testing.assert_allclose(place(maps, at)[0].numpy(), twin, atol=1e-5)


def test_stretching_equals_torch():
    maps = torch.rand(2, 7, 7, generator=torch.Generator().manual_seed(2))
    expected = torch.nn.functional.interpolate(maps[:, None], size=(32, 20), mode="bilinear", align_corners=False)
    torch.testing.assert_close(stretch(maps, (32, 20)), expected[:, 0])


@pytest.mark.parametrize("span", [unknown_span(), Span(Fraction(0), Fraction(0), Fraction(15))])
def test_units_without_a_place_are_stretched(span):
    maps = torch.rand(1, 4, 4, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(place(maps, Field(span, span, (16, 16))), stretch(maps, (16, 16)))


def test_every_pixel_is_a_mean_of_units():
    weights = placing_weights(13, 224, centre=31.0, jump=16.0)
    assert weights.min() >= 0
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(224, dtype=torch.float64))
