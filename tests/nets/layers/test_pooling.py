"""L2 pooling and the distance-weighted average, by hand and against PyTorch."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from striate.errors import OptionError
from striate.nets import DistanceWeightedPool2d, L2Pool2d

LECTURE = torch.tensor([[1.0, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]])[None, None]


def test_the_lectures_map_under_all_four_poolings():
    # row C8: 2x2 windows at stride 2; the maximum is given there, the others follow from the same numbers
    assert nn.MaxPool2d(2)(LECTURE)[0, 0].tolist() == [[6, 8], [3, 4]]
    assert nn.AvgPool2d(2)(LECTURE)[0, 0].tolist() == [[3.25, 5.25], [2, 2]]
    norms = torch.tensor([[63.0, 133], [18, 26]]).sqrt()  # 1+1+25+36, 4+16+49+64, 9+4+1+4, 1+0+9+16
    torch.testing.assert_close(L2Pool2d(2)(LECTURE)[0, 0], norms)
    # all four pixels of a 2x2 window are equally far from its centre
    torch.testing.assert_close(DistanceWeightedPool2d(2)(LECTURE), nn.AvgPool2d(2)(LECTURE))


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, None, 0), (3, 2, 0), ((3, 2), (1, 2), 0), (3, 2, 1)])
def test_l2_equals_pytorchs_on_positive_maps(kernel, stride, padding):
    images = torch.rand(2, 3, 9, 8) + 0.1
    padded = nn.functional.pad(images, (padding,) * 4)
    theirs = nn.LPPool2d(2, kernel, stride)(padded)
    torch.testing.assert_close(L2Pool2d(kernel, stride, padding)(images), theirs)


def test_l2_does_not_care_about_sign_and_scales():
    images = torch.randn(2, 3, 8, 8)
    pool = L2Pool2d(3, 2, 1)
    torch.testing.assert_close(pool(-images), pool(images))
    torch.testing.assert_close(pool(3 * images), 3 * pool(images))


def test_l2_lies_between_average_and_all_windows_at_their_maximum():
    images = torch.rand(2, 3, 8, 8)
    assert (L2Pool2d(2)(images) >= 2 * nn.AvgPool2d(2)(images) - 1e-6).all()  # Cauchy and Schwarz: equal if constant
    assert (L2Pool2d(2)(images) >= nn.MaxPool2d(2)(images) - 1e-6).all()


def test_l2_has_a_slope_of_zero_where_all_is_zero():
    images = torch.zeros(1, 1, 2, 4)
    images[0, 0, 0, 2] = 3.0
    images[0, 0, 1, 3] = 4.0
    images.requires_grad_()
    out = L2Pool2d(2)(images)
    assert out.flatten().tolist() == [0, 5]
    out.sum().backward()
    torch.testing.assert_close(images.grad[0, 0], torch.tensor([[0, 0, 0.6, 0], [0, 0, 0, 0.8]]))


def test_l2_slopes_equal_small_differences():
    images = torch.randn(1, 2, 5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(L2Pool2d(3, 2, 1), images)


def test_l2_of_half_precision_does_not_overflow():
    assert L2Pool2d(2)(torch.full((1, 1, 2, 2), 1000.0).half()).item() == 2000


def test_weights_by_distance_by_hand():
    # 3x3: the centre is 0 away, the sides 1, the corners sqrt(2); 1 / (1 + d)
    corner = math.sqrt(2) - 1
    total = 1 + 4 * 0.5 + 4 * corner
    weight = DistanceWeightedPool2d(3).weight
    assert weight[1, 1] == pytest.approx(1 / total)
    assert weight[0, 1] == pytest.approx(0.5 / total)
    assert weight[2, 2] == pytest.approx(corner / total)
    assert weight.sum() == pytest.approx(1)


def test_gaussian_weights_by_hand():
    weight = DistanceWeightedPool2d((1, 3), falloff="gaussian", sigma=1.0).weight
    assert (weight[0, 0] / weight[0, 1]) == pytest.approx(math.exp(-0.5))


def test_gaussian_tends_to_the_plain_average_and_to_the_middle_pixel():
    images = torch.randn(1, 2, 9, 9)
    wide, narrow = (DistanceWeightedPool2d(3, 3, falloff="gaussian", sigma=sigma) for sigma in (1e4, 1e-2))
    torch.testing.assert_close(wide(images), nn.AvgPool2d(3)(images))
    torch.testing.assert_close(narrow(images), images[:, :, 1::3, 1::3])


@pytest.mark.parametrize("padding", [0, 1])
def test_constant_maps_stay_as_they_are(padding):
    out = DistanceWeightedPool2d(3, 1, padding)(torch.full((1, 2, 6, 5), 7.0))
    torch.testing.assert_close(out, torch.full_like(out, 7.0))


def test_padding_does_not_count_by_hand():
    images = torch.tensor([[2.0, 4.0]])[None, None]
    out = DistanceWeightedPool2d((1, 3), 1, (0, 1))(images)
    # weights 1/2, 1, 1/2: (2 + 4/2) / 1.5 and (2/2 + 4) / 1.5
    torch.testing.assert_close(out, torch.tensor([[4 / 1.5, 5 / 1.5]])[None, None])


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: L2Pool2d(0), r"kernel_size must be a whole number of at least 1, got 0"),
        (lambda: L2Pool2d(2, -1), r"stride must be a whole number of at least 1, got -1"),
        (lambda: L2Pool2d(3, 1, 2), r"padding of \(2, 2\) is more than half the window \(3, 3\)"),
        (lambda: DistanceWeightedPool2d(3, falloff="linear"), r"no falloff 'linear'; there are inverse, gaussian"),
        (lambda: DistanceWeightedPool2d(3, sigma=1.0), r"sigma is the width of the gaussian falloff"),
        (lambda: DistanceWeightedPool2d(3, falloff="gaussian", sigma=0.0), r"above 0, got 0.0"),
    ],
)
def test_settings_that_make_no_sense(make, text):
    with pytest.raises(OptionError, match=text):
        make()
