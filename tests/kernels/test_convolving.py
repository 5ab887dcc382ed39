"""Convolution against scipy and torch, the lecture's example, and the laws of convolution."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, signal
from torch.nn import functional

from striate import kernels
from striate.errors import ImageError, OptionError
from striate.kernels import convolve
from striate.kernels.windows import windows

LECTURE = [[6, 2, 3, 1, 0], [9, 5, 1, 1, 3], [2, 6, 5, 8, 7], [3, 4, 4, 8, 3]]


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("mode", ["convolution", "correlation"])
def test_example_of_the_lecture(mode):
    answers = convolve(LECTURE, [[0, 1, 0], [1, -4, 1], [0, 1, 0]], mode=mode)
    np.testing.assert_array_equal(answers, [[-2, 10, 9], [-8, -1, -11]])


sizes = st.integers(1, 9)


@settings(deadline=None, max_examples=50)
@given(sizes, sizes, st.integers(1, 5), st.integers(1, 5), st.integers(0, 99))
def test_modes_and_paddings_as_scipy_has_them(height, width, tall, wide, seed):
    picture, kernel = numbers(height, width, seed=seed), numbers(tall, wide, seed=seed + 1)
    full = convolve(picture, kernel, padding="full")
    np.testing.assert_allclose(full, signal.convolve2d(picture, kernel), atol=1e-12)
    # f * g = g * f, and the kernel turned makes correlation of it
    np.testing.assert_allclose(full, convolve(kernel, picture, padding="full"), atol=1e-12)
    turned = convolve(picture, kernel[::-1, ::-1], mode="correlation", padding="full")
    np.testing.assert_array_equal(full, turned)
    np.testing.assert_allclose(
        convolve(picture, kernel, mode="correlation", padding="full"), signal.correlate2d(picture, kernel), atol=1e-12
    )
    if tall <= height and wide <= width:
        np.testing.assert_allclose(
            convolve(picture, kernel), signal.convolve2d(picture, kernel, mode="valid"), atol=1e-12
        )
    signal_, taps = picture[0], kernel[0]
    np.testing.assert_allclose(convolve(signal_, taps, padding="full"), signal.convolve(signal_, taps), atol=1e-12)
    rows = convolve(picture, taps, padding="full")  # each row by itself
    np.testing.assert_allclose(rows, np.stack([np.convolve(row, taps) for row in picture]), atol=1e-12)


@st.composite
def settings_of_layers(draw):
    groups = draw(st.integers(1, 3))
    return {
        "batch": draw(st.integers(1, 2)),
        "filters": groups * draw(st.integers(1, 2)),
        "depth": draw(st.integers(1, 2)),
        "groups": groups,
        "taps": draw(st.tuples(st.integers(1, 4), st.integers(1, 4))),
        "stride": draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        "dilation": draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        "padding": draw(st.tuples(*[st.integers(0, 4)] * 4)),
        "size": draw(st.tuples(st.integers(4, 9), st.integers(4, 9))),
        "border": draw(st.sampled_from(["zeros", "replicate", "circular", "reflect"])),
        "seed": draw(st.integers(0, 99)),
    }


@settings(deadline=None, max_examples=50)
@given(settings_of_layers())
def test_layers_as_torch_has_them(case):
    images = numbers(case["batch"], case["depth"] * case["groups"], *case["size"], seed=case["seed"])
    weights = numbers(case["filters"], case["depth"], *case["taps"], seed=case["seed"] + 1)
    top, bottom, left, right = case["padding"]
    options = {name: case[name] for name in ("stride", "dilation", "groups")}
    # numpy.pad goes further than torch's padding, which stops at the width of the picture
    names = {"zeros": "constant", "replicate": "edge", "circular": "wrap", "reflect": "reflect"}
    padded = np.pad(images, ((0, 0), (0, 0), (top, bottom), (left, right)), mode=names[case["border"]])
    reach = [spread * (taps - 1) + 1 for taps, spread in zip(case["taps"], case["dilation"], strict=True)]
    asked = {
        "mode": "correlation",
        "padding": case["padding"],
        "border": case["border"],
        "channels": "first",
        **options,
    }
    if any(length < needed for length, needed in zip(padded.shape[-2:], reach, strict=True)):
        with pytest.raises(ImageError, match="does not fit into a picture of"):
            convolve(images, weights, **asked)
        return
    expected = functional.conv2d(torch.from_numpy(padded), torch.from_numpy(weights), **options).numpy()
    np.testing.assert_allclose(convolve(images, weights, **asked), expected, atol=1e-12)


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 20), st.integers(1, 7), st.integers(1, 4), st.integers(1, 3))
def test_same_follows_the_rule_of_tensorflow(length, taps, stride, dilation):
    """The rule written out: https://www.tensorflow.org/api_docs/python/tf/nn, "Notes on padding"."""
    reach = (taps - 1) * dilation + 1
    if length % stride == 0:
        total = max(reach - stride, 0)
    else:
        total = max(reach - length % stride, 0)
    picture, kernel = numbers(length), numbers(taps, seed=1)
    padded = np.pad(picture, (total // 2, total - total // 2))
    expected = [
        sum(kernel[tap] * padded[start + tap * dilation] for tap in range(taps))
        for start in range(0, len(padded) - reach + 1, stride)
    ]
    answers = convolve(picture, kernel, mode="correlation", padding="same", stride=stride, dilation=dilation)
    assert len(answers) == -(-length // stride)
    np.testing.assert_allclose(answers, expected, atol=1e-12)


def test_valid_and_same_as_in_the_lecture():
    # width 13, filter 6, stride 5
    (valid,) = windows([13], [6], padding="valid", stride=5)
    assert (valid.count, (valid.count - 1) * 5 + 6) == (2, 11)
    (same,) = windows([13], [6], padding="same", stride=5)
    assert (same.before, same.after, same.count) == (1, 2, 3)
    # 32 -> 28 -> 24 with 5 x 5; 32 x 32 x 3 with six of 5 x 5
    once = convolve(np.zeros((3, 32, 32)), np.zeros((6, 3, 5, 5)))
    assert once.shape == (6, 28, 28)
    assert convolve(once, np.zeros((6, 6, 5, 5))).shape == (6, 24, 24)
    (kept,) = windows([7], [3], padding=1)
    assert kept.count == 7


def test_even_kernels_pad_more_on_the_right_and_below():
    assert convolve([1.0, 2, 3], [1, 1], padding="same").tolist() == [3, 5, 3]
    answers = convolve([[1.0, 2], [3, 4]], np.ones((2, 2)), padding="same")
    np.testing.assert_array_equal(answers, [[10, 6], [7, 4]])


@pytest.mark.parametrize(("border", "mode"), [("replicate", "nearest"), ("reflect", "mirror"), ("circular", "wrap")])
def test_borders_as_scipy_names_them(border, mode):
    picture, kernel = numbers(6, 7), numbers(3, 5, seed=1)
    answers = convolve(picture, kernel, padding="same", border=border)
    np.testing.assert_allclose(answers, ndimage.convolve(picture, kernel, mode=mode), atol=1e-12)


def test_each_kernel_shape_means_one_thing():
    picture = numbers(2, 3, 6, 7)
    plane, deep = numbers(3, 3, seed=1), numbers(3, 3, 3, seed=2)
    by_itself = convolve(picture, plane)
    assert by_itself.shape == (2, 3, 4, 5)
    np.testing.assert_allclose(by_itself[1, 2], signal.convolve2d(picture[1, 2], plane, mode="valid"), atol=1e-12)
    whole = convolve(picture, deep)
    assert whole.shape == (2, 1, 4, 5)
    # a filter spans the full depth: the sum over channels, each with its own plane
    each = [signal.convolve2d(picture[0, channel], deep[channel], mode="valid") for channel in range(3)]
    np.testing.assert_allclose(whole[0, 0], sum(each), atol=1e-12)
    last = convolve(np.moveaxis(picture, 1, -1), deep, channels="last")
    np.testing.assert_allclose(np.moveaxis(last, -1, 1), whole, atol=1e-12)
    np.testing.assert_allclose(
        convolve(np.moveaxis(picture, 1, -1), plane, channels="last"), np.moveaxis(by_itself, 1, -1), atol=1e-12
    )


def test_a_row_runs_along_the_rows_also_where_channels_come_last():
    picture = numbers(5, 6, 3)
    answers = convolve(picture, [-1, 1], mode="correlation", channels="last")
    np.testing.assert_allclose(answers, np.diff(picture, axis=1), atol=1e-12)
    signals = convolve(picture[0], [-1, 1], mode="correlation", channels="last")  # of length 6, three of them
    np.testing.assert_allclose(signals, np.diff(picture[0], axis=0), atol=1e-12)


@pytest.mark.parametrize("stride", [2, (1, 3)])
def test_strided_is_convolved_and_then_thinned_out(stride):
    picture, bank = numbers(3, 11, 12), numbers(4, 3, 3, 2, seed=1)
    down, across = (stride, stride) if isinstance(stride, int) else stride
    whole = convolve(picture, bank, channels="first")
    np.testing.assert_allclose(
        convolve(picture, bank, stride=stride, channels="first"), whole[:, ::down, ::across], atol=1e-12
    )


def test_scipy_pads_even_kernels_on_the_other_side():
    """As the documentation says."""
    picture, kernel = numbers(6, 6), numbers(2, 4, seed=1)
    ours = convolve(picture, kernel, padding="same")
    theirs = signal.convolve2d(picture, kernel, mode="same")
    np.testing.assert_allclose(theirs[1:, 1:], ours[:-1, :-1], atol=1e-12)


def test_tensors_stay_tensors_and_carry_gradients():
    picture = torch.randn(1, 3, 5, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    answers = convolve(picture, kernels.blur(3))
    assert isinstance(answers, torch.Tensor)
    answers.sum().backward()
    # each pixel is seen by as many windows as lie over it, by a ninth each
    expected = torch.tensor([1.0, 2, 3, 2, 1]).outer(torch.tensor([1.0, 2, 3, 2, 1])) / 9
    torch.testing.assert_close(picture.grad, expected.expand(1, 3, 5, 5))
    strided = torch.randn(2, 6, 5, 3, generator=torch.Generator().manual_seed(1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(convolve(strided, kernels.identity()), strided[:, :, 1:-1, 1:-1])


@pytest.mark.parametrize(
    ("given", "found"),
    [("uint8", "float32"), ("bool", "float32"), ("int64", "float64"), ("float16", "float16"), (">f4", "float32")],
)
def test_types_of_numbers(given, found):
    picture = np.ones((4, 4), dtype=given)
    picture.flags.writeable = False
    answers = convolve(picture, kernels.blur(2))
    assert answers.dtype == found
    np.testing.assert_allclose(answers, 1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p: convolve(p, np.ones((9, 9))), ImageError, "kernel of 9 x 9 does not fit into a picture of 6 x 7: "),
        (lambda p: convolve(p, np.ones(4), dilation=3), ImageError, r"4 \(which reaches over 10 when dilated\)"),
        (lambda p: convolve(p, np.ones((9, 9)), padding=1), ImageError, r"picture of 6 x 7 \(8 x 9 with its padding\)"),
        (
            lambda p: convolve(p, np.ones((2, 3, 3))),
            ImageError,
            r"\(2, 3, 3\) needs channels \(C, H, W\), got an array",
        ),
        (
            lambda p: convolve(p[0], np.ones((3, 3))),
            ImageError,
            r"needs a picture \(H, W\), got an array of shape \(7,\)",
        ),
        (lambda p: convolve(p[None], np.ones((2, 3, 3))), ImageError, "is 2 channels deep, the picture has 1"),
        (
            lambda p: convolve(np.ones((6, 7, 3)), np.ones((3, 3))),
            ImageError,
            "say channels='last' or channels='first'",
        ),
        (lambda p: convolve(p[:0], np.ones((3, 3))), ImageError, "the picture is empty"),
        (lambda p: convolve([["a"]], np.ones((3, 3))), ImageError, "a picture is made of numbers"),
        (lambda p: convolve(p + 1j, np.ones((3, 3))), ImageError, "a picture is made of numbers"),
        (lambda p: convolve(p, np.ones((0, 3))), OptionError, r"none of them zero, got \(0, 3\)"),
        (lambda p: convolve(p, 3), OptionError, r"got \(\)"),
        (lambda p: convolve(p, [[np.nan]]), OptionError, "finite numbers"),
        (lambda p: convolve(p, [["a"]]), OptionError, "a kernel is made of numbers"),
        (lambda p: convolve(p, [[1]], stride=0), OptionError, "the stride is a whole number of at least 1"),
        (lambda p: convolve(p, [[1]], stride=(1, 2, 3)), OptionError, r"got \(1, 2, 3\)"),
        (lambda p: convolve(p, [[1]], dilation=-1), OptionError, "the dilation is"),
        (lambda p: convolve(p, [[1]], padding=-1), OptionError, "padding is valid, same, full, .* got -1"),
        (lambda p: convolve(p, [[1]], padding="SAME"), OptionError, "the padding is one of valid, same, full"),
        (
            lambda p: convolve(p, [[1]], padding=(1, 2, 3)),
            OptionError,
            r"\(top, bottom, left, right\), got \(1, 2, 3\)",
        ),
        (lambda p: convolve(p, [[1]], border="black"), OptionError, "the border is one of zeros, reflect"),
        (lambda p: convolve(p, [[1]], mode="correlate"), OptionError, "the mode is one of convolution, correlation"),
        (lambda p: convolve(p, [[1]], groups=2), OptionError, "groups are of a kernel"),
        (lambda p: convolve(p[None], np.ones((3, 1, 1, 1)), groups=2), OptionError, "divides the 3 filters, got 2"),
        (lambda p: convolve(p, [[1]], channels="middle"), OptionError, "place of the channels is one of first, last"),
    ],
)
def test_what_makes_no_sense_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(numbers(6, 7))


def test_padding_side_by_side():
    picture = numbers(4, 4)
    flat = convolve(picture, kernels.sobel(), padding=(1, 0, 2, 3))
    np.testing.assert_array_equal(flat, convolve(picture, kernels.sobel(), padding=((1, 0), (2, 3))))
    assert flat.shape == (3, 7)
    assert convolve(picture, kernels.sobel(), padding=(0, 1)).shape == (2, 4)
