"""Kernels against the numbers of the lecture, the libraries that have them, and the laws that they follow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage, signal

from striate import kernels
from striate.errors import OptionError
from striate.kernels import by_hand


def test_kirsch_as_in_the_lecture():
    g1, g2, g3 = (kernels.kirsch(direction).values for direction in kernels.DIRECTIONS[:3])
    np.testing.assert_array_equal(g1, [[5, 5, 5], [-3, 0, -3], [-3, -3, -3]])
    np.testing.assert_array_equal(g2, [[5, 5, -3], [5, 0, -3], [-3, -3, -3]])
    np.testing.assert_array_equal(g3, [[5, -3, -3], [5, 0, -3], [5, -3, -3]])


@pytest.mark.parametrize("name", ["edge", "kirsch", "prewitt", "sobel"])
def test_each_direction_is_a_rotation_of_the_one_before(name):
    made = [kernels.named(name, direction=direction).values for direction in kernels.DIRECTIONS]
    for index, values in enumerate(made):
        np.testing.assert_array_equal(kernels.rotated(made[index - 1]), values)
        # two eighths are a right angle, which NumPy can do by itself
        np.testing.assert_array_equal(np.rot90(values), made[(index + 2) % 8])
        assert len({array.tobytes() for array in made}) == 8
    np.testing.assert_array_equal(kernels.rotated(made[0], 8), made[0])
    np.testing.assert_array_equal(kernels.rotated(kernels.rotated(made[0], 3), -3), made[0])


@pytest.mark.parametrize(
    ("kernel", "values"),
    [
        (kernels.sobel("right"), [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]),
        (kernels.sobel("up-left"), [[2, 1, 0], [1, 0, -1], [0, -1, -2]]),
        (kernels.prewitt("down"), [[-1, -1, -1], [0, 0, 0], [1, 1, 1]]),
        (kernels.edge("left"), [[0, 0, 0], [1, 0, -1], [0, 0, 0]]),
        (kernels.laplacian(), [[0, 1, 0], [1, -4, 1], [0, 1, 0]]),
        (kernels.laplacian(8), [[1, 1, 1], [1, -8, 1], [1, 1, 1]]),
        (kernels.sharpen(2), [[0, -2, 0], [-2, 9, -2], [0, -2, 0]]),
        (kernels.sharpen(8), [[0, -8, 0], [-8, 33, -8], [0, -8, 0]]),
        (kernels.difference("right"), [[-1, 1]]),
        (kernels.difference("left"), [[1, -1]]),
        (kernels.difference("down"), [[-1], [1]]),
        (kernels.difference("up", centred=True), [[1], [0], [-1]]),
        (kernels.difference("right", centred=True), [[-1, 0, 1]]),
        (kernels.blur((1, 2)), [[0.5, 0.5]]),
        (kernels.identity(), [[0, 0, 0], [0, 1, 0], [0, 0, 0]]),
    ],
    ids=lambda value: value.title if isinstance(value, kernels.Kernel) else "",
)
def test_numbers(kernel, values):
    np.testing.assert_array_equal(kernel.values, values)


@given(st.integers(1, 12), st.integers(1, 12))
def test_a_blur_is_the_mean_at_any_size(height, width):
    kernel = kernels.blur((height, width))
    assert kernel.size == (height, width)
    pixels = np.random.default_rng(height).random((height, width))
    assert (kernel.values * pixels).sum() == pytest.approx(pixels.mean())
    assert not kernel.balanced


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.3])
def test_gaussian_as_scipy_has_it(sigma):
    spike = np.zeros((41, 41))
    spike[20, 20] = 1
    side = kernels.gaussian(sigma).size[0]
    expected = ndimage.gaussian_filter(spike, sigma, radius=side // 2)
    half = side // 2
    np.testing.assert_allclose(
        kernels.gaussian(sigma).values, expected[20 - half : 21 + half, 20 - half : 21 + half], atol=1e-15
    )


@pytest.mark.parametrize("size", [5, 7])
def test_a_larger_sobel_is_a_smaller_one_smoothed(size):
    smoothing = np.outer([1, 2, 1], [1, 2, 1])
    expected = signal.convolve2d(kernels.sobel("right", size - 2).values, smoothing)
    np.testing.assert_array_equal(kernels.sobel("right", size).values, expected)
    np.testing.assert_array_equal(kernels.sobel("up", size).values, np.rot90(expected))


def test_what_a_kernel_says_of_itself():
    kernel = kernels.kirsch("up-left")
    assert kernel.title == "kirsch up-left"
    assert kernels.blur(9).title == "blur 9"
    assert kernels.gaussian(2.0).title == "gaussian 2"
    assert kernels.difference("left", centred=True).title == "difference left centred"
    assert kernel.balanced
    assert kernel.strongest == 15
    np.testing.assert_array_equal(kernel.turned().values, np.asarray(kernel)[::-1, ::-1])
    assert kernel.turned().title == "kirsch up-left turned"
    assert not kernel.turned().finds  # for what it finds is no longer towards up and left
    assert kernels.laplacian().turned().title == "laplacian 4"
    assert kernels.laplacian().turned().finds == kernels.laplacian().finds
    assert np.asarray(kernel, dtype=np.float32).dtype == np.float32


def test_every_kernel_can_be_made_by_name():
    for name in kernels.names():
        assert kernels.named(name).name == name
        assert kernels.named(f" {name.upper()} ").name == name
        assert by_hand.summary(name).endswith(".")
    assert kernels.named("kirsch", direction="Left_Up").title == "kirsch up-left"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: kernels.named("sobell"), r"no kernel is called 'sobell'. Did you mean sobel\? Kernels: blur, "),
        (lambda: kernels.named("blur", sigma=1), "the kernel blur has no sigma; it takes size"),
        (lambda: kernels.named("identity", size=3), "it takes nothing"),
        (lambda: kernels.sobel("upleft"), r"sobel has no direction 'upleft'. Did you mean up-left\?"),
        (lambda: kernels.sobel("up-left", 5), "sobel of size 5 has no direction 'up-left'"),
        (lambda: kernels.difference("down-left"), "Directions: up, left, down, right"),
        (lambda: kernels.sobel(size=4), "odd side of at least 3, got size 4"),
        (lambda: kernels.blur(0), "from 1 to 1001, or a height and a width, got 0"),
        (lambda: kernels.blur((3, -1)), r"got \(3, -1\)"),
        (lambda: kernels.blur(2.5), "got 2.5"),
        (lambda: kernels.gaussian(0), "above 0 and below 1001, got 0"),
        (lambda: kernels.gaussian(float("nan")), "got nan"),
        (lambda: kernels.laplacian(6), "got 6"),
        (lambda: kernels.sharpen(float("inf")), "a number such as 2, got inf"),
        (
            lambda: kernels.rotated(np.ones((5, 5))),
            "only a 3 x 3 kernel can be rotated by eighths of a turn, got 5 x 5",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(OptionError, match=message):
        make()
