"""What is done after each step: blur against scipy, percentiles against numpy, the order by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from striate.errors import OptionError
from striate.synthesis.projections import Projection, blur, clip_small_contribution, clip_small_norm, decay


@pytest.fixture
def images():
    return torch.randn(3, 2, 11, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture
def gradient():
    return torch.randn(3, 2, 11, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


@pytest.mark.parametrize("width", [0.3, 0.5, 1.0, 2.5, 6.0])
def test_blur_is_that_of_scipy(images, width):
    expected = gaussian_filter(images.numpy(), (0, 0, width, width))  # reflected at the edges, 4 deviations wide
    np.testing.assert_allclose(blur(images, width).numpy(), expected, atol=1e-12)


def test_blur_keeps_the_mean_and_flat_pictures(images):
    torch.testing.assert_close(blur(images, 1.5).mean((2, 3)), images.mean((2, 3)))
    flat = torch.full((1, 3, 5, 6), 0.4)
    torch.testing.assert_close(blur(flat, 2.0), flat)
    assert blur(images, 0) is images


@pytest.mark.parametrize("percent", [0, 20, 50, 90, 99.9])
def test_clips_against_numpy(images, gradient, percent):
    for picture, slope, clipped, dropped in zip(
        images.numpy(),
        gradient.numpy(),
        clip_small_norm(images, percent).numpy(),
        clip_small_contribution(images, gradient, percent).numpy(),
        strict=True,
    ):
        norms = np.sqrt((picture**2).sum(0))
        np.testing.assert_array_equal(clipped, picture * (norms >= np.percentile(norms, percent)))
        change = np.abs((slope * -picture).sum(0))
        np.testing.assert_array_equal(dropped, picture * (change >= np.percentile(change, percent)))


def test_clips_by_hand():
    picture = torch.tensor([[[[3.0, 1.0], [-2.0, 0.5]], [[4.0, 0.0], [0.0, 0.0]]]])  # norms 5, 1, 2, 0.5
    kept = clip_small_norm(picture, 50)[0]
    assert kept.tolist() == [[[3, 0], [-2, 0]], [[4, 0], [0, 0]]]
    slope = torch.tensor([[[[4.0, 1.0], [1.0, -8.0]], [[-3.0, 9.0], [9.0, 9.0]]]])  # changes 0, 1, 2, 4
    kept = clip_small_contribution(picture, slope, 50)[0]
    assert kept.tolist() == [[[0, 0], [-2, 0.5]], [[0, 0], [0, 0]]]


def test_the_order_is_that_of_the_paper(images, gradient):
    rule = Projection(decay=0.3, blur=1.0, blur_every=4, small_norm=50, small_contribution=20)
    expected = clip_small_norm(blur(decay(images, 0.3), 1.0), 50)
    expected = clip_small_contribution(expected, gradient, 20)
    torch.testing.assert_close(rule.apply(images, gradient, 8), expected, rtol=0, atol=0)
    unblurred = clip_small_contribution(clip_small_norm(images * 0.7, 50), gradient, 20)
    torch.testing.assert_close(rule.apply(images, gradient, 9), unblurred, rtol=0, atol=1e-15)
    # in another order something else would come out
    other = clip_small_contribution(clip_small_norm(images, 50), gradient, 20)
    assert not torch.allclose(blur(other * 0.7, 1.0), expected)


def test_nothing_is_the_picture_itself(images, gradient):
    assert Projection().apply(images, gradient, 0) is images


def test_each_picture_by_itself(images, gradient):
    rule = Projection(0.1, 0.8, 1, 30, 40)
    together = rule.apply(images, gradient, 0)
    for index in range(3):
        alone = rule.apply(images[index : index + 1], gradient[index : index + 1], 0)
        torch.testing.assert_close(together[index : index + 1], alone)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decay": 1.0}, r"decay must lie in \[0, 1\), got 1.0"),
        ({"blur": -1.0}, "blur is 0 or more pixels"),
        ({"blur": 1.0, "blur_every": 0}, "every 1 or more steps"),
        ({"small_norm": 100}, "small_norm is a percentage"),
        ({"small_contribution": float("nan")}, "small_contribution is a percentage"),
    ],
)
def test_settings_that_make_no_sense(options, message):
    with pytest.raises(OptionError, match=message):
        Projection(**options)
