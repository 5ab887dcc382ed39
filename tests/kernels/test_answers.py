"""What answers mean: gradients against closed forms and scikit-image, patterns on pictures made for it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage import data, filters

from striate import kernels
from striate.errors import ImageError, OptionError


@pytest.mark.parametrize("angle", [-3, -2, -1, -0.5, 0, 0.7, math.pi / 2, 2, 3, math.pi])
@pytest.mark.parametrize(("kernel", "gain"), [("sobel", 8), ("prewitt", 6), ("edge", 2), ("difference", 1)])
def test_gradient_of_a_plane(kernel, gain, angle):
    # brightness rises by 0.01 a pixel towards the angle, counted against the clock as on paper
    row, column = np.mgrid[:9, :9]
    plane = 0.01 * (math.cos(angle) * column - math.sin(angle) * row)
    found = kernels.gradient(plane, kernel, padding="valid")
    np.testing.assert_allclose(found.magnitude, 0.01 * gain, rtol=1e-9)
    np.testing.assert_allclose(np.cos(found.direction - angle), 1, atol=1e-9)


def test_gradient_of_a_tensor():
    plane = torch.arange(5.0).expand(2, 5, 5).requires_grad_()
    found = kernels.gradient(plane, padding="valid")
    assert found.magnitude.shape == (2, 3, 3)
    np.testing.assert_array_equal(found.right, 8)


def test_gradient_of_each_colour_by_itself():
    pixels = np.random.default_rng(0).random((9, 8, 3))
    whole = kernels.gradient(pixels, channels="last")
    for colour in range(3):
        np.testing.assert_allclose(whole.magnitude[..., colour], kernels.gradient(pixels[..., colour]).magnitude)
    with pytest.raises(ImageError, match="say channels='last' or channels='first'"):
        kernels.gradient(pixels)


def test_direction_of_a_slope_to_the_left_is_pi_and_of_nothing_zero():
    left = np.tile(np.arange(5.0)[::-1], (5, 1))
    assert (kernels.gradient(left, padding="valid").direction == math.pi).all()
    flat = kernels.gradient(np.full((5, 5), 0.5))
    assert (flat.magnitude == 0).all()  # beyond the border the picture goes on as it ends
    assert (flat.direction == 0).all()


@pytest.mark.parametrize(("kernel", "peer", "weights"), [("sobel", filters.sobel, 4), ("prewitt", filters.prewitt, 3)])
def test_gradient_as_scikit_image_has_it(kernel, peer, weights):
    # scikit-image divides each answer by the sum of its weights, and the squares by two
    picture = data.camera()[::4, ::4] / 255
    ours = kernels.gradient(picture, kernel).magnitude
    np.testing.assert_allclose(ours / (weights * math.sqrt(2)), peer(picture), atol=1e-12)


def test_a_pattern_is_found_where_it_is_and_so_is_its_opposite():
    picture = np.zeros((7, 12))
    picture[:, 4:8] = 1  # dark to bright before column 4, bright to dark before column 8
    sobel = kernels.sobel("right")
    answers = kernels.convolve(picture, sobel, mode="correlation", padding="same", border="replicate")
    marks = kernels.found(answers, sobel, 1.0)
    expected = np.zeros((7, 12))
    expected[:, 3:5], expected[:, 7:9] = 1, -1
    np.testing.assert_array_equal(marks, expected)
    # the kernel that looks the other way finds each where the other is
    left = kernels.sobel("left")
    turned = kernels.convolve(picture, left, mode="correlation", padding="same", border="replicate")
    np.testing.assert_array_equal(kernels.found(turned, left, 1.0), -marks)
    np.testing.assert_array_equal(kernels.found(0.5 * answers, sobel, 0.51), 0 * expected)


@pytest.mark.parametrize("name", ["edge", "kirsch", "prewitt", "sobel"])
def test_each_direction_answers_most_to_itself(name):
    made = [kernels.named(name, direction=direction) for direction in kernels.DIRECTIONS]
    for pattern in made:
        # the picture that the kernel is: bright where it is positive
        picture = (pattern.values > 0).astype(float)
        answers = [float(kernels.convolve(picture, kernel, mode="correlation").item()) for kernel in made]
        assert int(np.argmax(answers)) == made.index(pattern)
        assert answers[made.index(pattern)] == pattern.strongest


def test_what_makes_no_sense_is_refused():
    with pytest.raises(OptionError, match="the kernel of a gradient is one of sobel, prewitt, edge, difference"):
        kernels.gradient(np.zeros((5, 5)), "kirsch")
    with pytest.raises(OptionError, match=r"in \(0, 1\], got 0"):
        kernels.found(np.zeros((5, 5)), kernels.sobel(), 0)
    with pytest.raises(OptionError, match="blur 3 do not sum to zero"):
        kernels.found(np.zeros((5, 5)), kernels.blur(), 0.5)
