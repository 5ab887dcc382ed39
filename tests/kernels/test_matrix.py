"""The matrix of a convolution: its pattern by hand, its products against torch, its transpose, its size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, sparse
from torch.nn import functional

from striate import kernels
from striate.errors import ImageError, OptionError
from striate.kernels import convolution_matrix, convolve
from striate.kernels.windows import windows


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def test_toeplitz_of_the_lecture():
    # rows y z 0 0, x y z 0, 0 x y z, 0 0 x y: the borders cut the kernel off
    x, y, z = 2.0, 3.0, 5.0
    made = convolution_matrix([x, y, z], 4, mode="correlation", padding="same")
    np.testing.assert_array_equal(made.dense(), [[y, z, 0, 0], [x, y, z, 0], [0, x, y, z], [0, 0, x, y]])
    np.testing.assert_array_equal(made.dense(), linalg.toeplitz([y, x, 0, 0], [y, z, 0, 0]))
    # convolution turns the kernel: the matrix of x y z becomes its transpose
    np.testing.assert_array_equal(convolution_matrix([x, y, z], 4, padding="same").dense(), made.dense().T)
    assert sparse.issparse(made.matrix)
    assert made.entries == 10
    assert made.density == 10 / 16


def test_full_convolution_as_scipy_has_it():
    kernel = numbers(4)
    made = convolution_matrix(kernel, 7, padding="full")
    np.testing.assert_array_equal(made.dense(), linalg.convolution_matrix(kernel, 7))


def test_doubly_blocked_in_two_dimensions():
    kernel = np.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]])
    made = convolution_matrix(kernel, (5, 4), mode="correlation", padding="same").dense().reshape(5, 4, 5, 4)
    rows = [convolution_matrix(row, 4, mode="correlation", padding="same").dense() for row in kernel]
    for output in range(5):
        for read in range(5):
            tap = read - output + 1
            expected = rows[tap] if 0 <= tap < 3 else np.zeros((4, 4))
            np.testing.assert_array_equal(made[output, :, read], expected)


def test_circular_borders_make_a_circulant():
    made = convolution_matrix([1, 2, 3], 5, mode="correlation", padding="same", border="circular")
    np.testing.assert_array_equal(made.dense(), linalg.circulant([2, 1, 0, 0, 3]))
    replicated = convolution_matrix([1, 2, 3], 3, mode="correlation", padding="same", border="replicate")
    np.testing.assert_array_equal(replicated.dense(), [[3, 3, 0], [1, 2, 3], [0, 1, 5]])


def test_the_edge_filter_of_the_lecture():
    # [-1, 1] on 320 x 280: 319 * 280 * 3 operations, where a full matrix has 8.0 billion numbers, 60,000 times the work
    made = convolution_matrix([[-1, 1]], (280, 320), mode="correlation")
    assert made.output_shape == (1, 280, 319)
    assert made.entries == 2 * 319 * 280
    multiplications, additions = made.entries, made.entries - 319 * 280
    assert multiplications + additions == 267_960
    assert made.full_entries == 320 * 280 * 319 * 280 == 8_003_072_000
    assert made.full_entries * 2 / 267_960 == pytest.approx(60_000, rel=0.005)
    with pytest.raises(OptionError, match=r"has 8,003,072,000 numbers \(64 GB\), of which 178,640 count"):
        made.dense()
    picture = np.random.default_rng(0).random((280, 320))
    np.testing.assert_allclose(made.apply(picture)[0], np.diff(picture, axis=1), atol=1e-12)


@st.composite
def cases(draw):
    axes = draw(st.integers(1, 2))
    groups = draw(st.integers(1, 3))

    def each(low, high):
        return draw(st.tuples(*[st.integers(low, high)] * axes))

    taps, dilation, size = each(1, 4), each(1, 2), each(3, 8)
    padding = draw(st.one_of(st.sampled_from(["same", "full", "valid"]), st.integers(0, 3)))
    least = [spread * (tap - 1) + 1 for tap, spread in zip(taps, dilation, strict=True)]
    if padding == "valid":
        size = tuple(max(one, need) for one, need in zip(size, least, strict=True))
    elif isinstance(padding, int):
        size = tuple(max(one, need - 2 * padding) for one, need in zip(size, least, strict=True))
    options = {"stride": each(1, 3), "dilation": dilation, "padding": padding, "groups": groups}
    options["border"] = draw(st.sampled_from(["zeros", "zeros", "replicate", "reflect", "circular"]))
    depth, filters, seed = draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.integers(0, 99))
    return numbers(filters * groups, depth, *taps, seed=seed), size, options


@settings(deadline=None, max_examples=50)
@given(cases(), st.sampled_from(["convolution", "correlation"]))
def test_matrix_times_input_is_the_convolution(case, mode):
    weights, size, options = case
    made = convolution_matrix(weights, size, mode=mode, **options)
    images = numbers(*made.input_shape, seed=7)
    if len(size) == 1:  # a row is a picture of height 1
        sides = windows(size, weights.shape[2:], **{k: v for k, v in options.items() if k != "groups"})[0]
        flat = {"stride": (1, *options["stride"]), "dilation": (1, *options["dilation"])}
        flat["padding"] = (0, 0, sides.before, sides.after)
        expected = convolve(
            images[:, None], weights[:, :, None], mode=mode, channels="first", **{**options, **flat}
        )[:, 0]  # fmt: skip
    else:
        expected = convolve(images, weights, mode=mode, channels="first", **options)
    np.testing.assert_allclose(made.apply(images), expected, atol=1e-12)
    # <A x, y> = <x, A' y>
    answers = numbers(*made.output_shape, seed=8)
    assert (made.apply(images) * answers).sum() == pytest.approx((images * made.transposed(answers)).sum())


@settings(deadline=None, max_examples=50)
@given(cases(), st.integers(0, 2))
def test_transpose_is_torchs_transposed_convolution(case, padding):
    weights, size, options = case
    options = {**options, "border": "zeros", "padding": padding}
    least = [d * (t - 1) + 1 - 2 * padding for t, d in zip(weights.shape[2:], options["dilation"], strict=True)]
    size = tuple(max(one, need) for one, need in zip(size, least, strict=True))
    made = convolution_matrix(weights, size, mode="correlation", **options)
    answers = numbers(*made.output_shape, seed=9)
    # what the stride leaves over at the end comes back as output_padding
    left_over = [
        (axis.length + 2 * padding - axis.reach) % axis.stride for axis in made.windows
    ]  # fmt: skip
    transposed = functional.conv_transpose1d if len(size) == 1 else functional.conv_transpose2d
    expected = transposed(
        torch.from_numpy(answers)[None],
        torch.from_numpy(weights),
        stride=options["stride"],
        padding=padding,
        output_padding=left_over,
        groups=options["groups"],
        dilation=options["dilation"],
    )[0]
    np.testing.assert_allclose(made.transposed(answers), expected.numpy(), atol=1e-12)
    # and the way that gradients go back
    images = torch.zeros(1, *made.input_shape, dtype=torch.float64, requires_grad=True)
    layer = functional.conv1d if len(size) == 1 else functional.conv2d
    layer(
        images, torch.from_numpy(weights), stride=options["stride"], padding=padding, dilation=options["dilation"],
        groups=options["groups"],
    ).backward(torch.from_numpy(answers)[None])  # fmt: skip
    np.testing.assert_allclose(made.transposed(answers), images.grad[0].numpy(), atol=1e-12)


def test_kernels_by_hand_and_tensors_make_matrices():
    by_name = convolution_matrix(kernels.sobel(), (4, 5))
    tensor = convolution_matrix(torch.tensor(kernels.sobel().values, dtype=torch.float32), (4, 5))
    np.testing.assert_array_equal(by_name.dense(), tensor.dense())
    assert convolution_matrix(np.ones((3, 2, 2)), (4, 4)).input_shape == (3, 4, 4)
    assert convolution_matrix(np.ones((2, 3)), 4).input_shape == (2, 4)
    assert convolution_matrix(np.ones((5, 2, 3)), 4).output_shape == (5, 2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: convolution_matrix([[1, 2]], 0), OptionError, "the size of the input is a length, .* got 0"),
        (lambda: convolution_matrix([1], (4, 4, 4)), OptionError, r"got \(4, 4, 4\)"),
        (lambda: convolution_matrix([1, 2], (4, 4)), OptionError, r"for an input of 2 axes a kernel has the shape"),
        (lambda: convolution_matrix(["a"], 4), OptionError, "made of numbers"),
        (lambda: convolution_matrix([np.inf], 4), OptionError, "finite"),
        (lambda: convolution_matrix([1, 2, 3], 2), ImageError, "a kernel of 3 does not fit into a picture of 2: "),
        (lambda: convolution_matrix(np.ones((3, 1, 2)), 4, groups=2), OptionError, "divides the 3 filters"),
        (lambda: convolution_matrix([1], 4, mode="x"), OptionError, "the mode is one of"),
        (lambda: convolution_matrix(np.ones((99, 99)), (999, 999)), OptionError, "would hold 7,956,461,601 weights"),
        (
            lambda: convolution_matrix([1, 2], 4).apply([1, 2]),
            ImageError,
            r"of shape 1 x 4 \(channel first\), got \(2,\)",
        ),
        (
            lambda: convolution_matrix([1, 2], 4).inputs_of((3,)),
            OptionError,
            "no output unit 0, 3: the output is 1 x 3",
        ),
        (lambda: convolution_matrix([1, 2], 4).outputs_of((-1,)), OptionError, "no input unit 0, -1"),
        (lambda: convolution_matrix([1, 2], 4).pattern(most=0), OptionError, "got most=0"),
    ],
)
def test_what_makes_no_sense_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_pattern_says_which_weight_stands_where():
    made = convolution_matrix(kernels.kirsch(), (5, 6), mode="correlation", stride=2, padding=1)
    pattern = made.pattern(letters=True)
    assert pattern.whole
    held = pattern.taps >= 0
    # along the rows 2 + 3 + 2 taps lie on the picture, along the columns 2 + 3 + 3
    assert held.sum() == made.entries == 7 * 8
    np.testing.assert_array_equal(pattern.values[held], kernels.kirsch().values.ravel()[pattern.taps[held]])
    assert "9 x 30 places, of which 56 hold a weight (20.7" in pattern.caption()
    assert "stride 2, padding 1." in pattern.caption()
    cut = made.pattern(most=4)
    assert cut.values.shape == (4, 4)
    assert "Drawn: the upper left 4 x 4." in cut.caption()
    np.testing.assert_array_equal(cut.values, pattern.values[:4, :4])


@pytest.mark.parametrize(
    ("kernel", "size"),
    [([1, 2, 3], 9), (np.ones((3, 2, 2, 2)), (4, 5)), (np.ones((12, 3, 3)), (9, 9)), ([[1]], (1, 1))],
)
def test_patterns_can_be_drawn_and_saved(tmp_path, kernel, size):
    pattern = convolution_matrix(kernel, size, padding="same").pattern()
    for suffix in ("png", "json", "npz"):
        assert pattern.save(tmp_path / f"pattern.{suffix}").stat().st_size > 0
    (drawn,) = pattern.drawings()
    assert drawn.pixels.shape[:2] == pattern.values.shape
