"""Output sizes: the lecture's numbers, PyTorch's own layers, and TensorFlow's rule written out by hand."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.nn import functional as F

from striate.errors import OptionError
from striate.sizes import fit, fits, output_size, same_padding

LENGTH, KERNEL, STRIDE = st.integers(1, 40), st.integers(1, 9), st.integers(1, 6)


@pytest.mark.parametrize(
    ("length", "kernel", "stride", "padding", "outputs"),
    [
        (7, 3, 1, 0, 5),
        (7, 3, 2, 0, 3),
        (7, 3, 3, 0, 2),
        (7, 3, 1, 1, 7),
        (32, 5, 1, 0, 28),  # 32 -> 28 -> 24: without padding a stack shrinks
        (28, 5, 1, 0, 24),
        (227, 11, 4, 0, 55),
        (224, 7, 2, 3, 112),
    ],
)
def test_sizes_of_the_lecture(length, kernel, stride, padding, outputs):
    assert fit(length, kernel, stride, padding=padding).outputs == outputs
    assert output_size(length, kernel, stride, padding) == outputs


@pytest.mark.parametrize("kernel", [1, 3, 5, 7, 11])
def test_half_a_kernel_of_padding_keeps_the_size(kernel):
    found = fit(32, kernel, padding=(kernel - 1) // 2)
    assert found.outputs == 32
    assert (found.before, found.after) == (fit(32, kernel, padding="same").before,) * 2


def test_valid_and_same_of_the_lecture():
    valid = fit(13, 6, 5, padding="valid")
    assert (valid.outputs, valid.used, valid.dropped, valid.exact) == (2, 11, 2, False)
    same = fit(13, 6, 5, padding="same")
    assert (same.outputs, same.before, same.after, same.exact) == (3, 1, 2, True)


def test_what_does_not_fit_is_said_with_a_way_out():
    found = fit(7, 3, 3)
    assert found.sentence() == (
        "a 3-wide kernel at stride 3 does not fit a 7-wide input: 2.33 positions; "
        "pad 2 more on the right or crop 1 (as it is: 2 positions, 1 dropped)"
    )
    # the ways out do lead out
    assert fit(7, 3, 3, padding=(0, 2)).exact
    assert fit(6, 3, 3).exact
    with pytest.raises(OptionError, match=r"does not fit a 7-wide input: 2\.33 positions; pad 2 more on the right"):
        fits(7, 3, 3)
    assert fits(7, 3, 2).sentence("high") == "a 3-high kernel at stride 2 fits a 7-high input: 3 positions"
    assert fits(227, 11, 4).sentence().startswith("an 11-wide kernel at stride 4 fits a 227-wide input: 55")


@given(LENGTH, KERNEL, STRIDE, st.integers(0, 4), st.integers(0, 4), st.integers(1, 3))
def test_the_advice_leads_out(length, kernel, stride, before, after, dilation):
    assume(length + before + after > dilation * (kernel - 1))
    found = fit(length, kernel, stride, padding=(before, after), dilation=dilation)
    advice = re.search(r"pad (\d+) more on the right or crop (\d+)", found.sentence())
    assert (advice is None) == found.exact
    if advice is not None:
        more, crop = int(advice[1]), int(advice[2])
        assert fit(length, kernel, stride, padding=(before, after + more), dilation=dilation).exact
        assert crop == found.dropped
        if length > crop:
            assert fit(length - crop, kernel, stride, padding=(before, after), dilation=dilation).exact


def test_a_window_larger_than_the_input():
    with pytest.raises(OptionError, match=r"a 3-wide kernel does not fit a 2-wide input, not even once\. Pad 1 more"):
        fit(2, 3)
    with pytest.raises(OptionError, match="which spans 5 with dilation 2, does not fit a 2-wide input padded to 4"):
        fit(2, 3, padding=1, dilation=2)
    with pytest.raises(OptionError, match=r"an 8-high kernel does not fit a 7-high input, not even once"):
        fits(7, 8, side="high")
    assert output_size(2, 3) == 0
    assert output_size(1, 9, 4) == 0


def test_whole_numbers_of_any_kind_and_nothing_else():
    found = fit(np.int64(7), np.int32(3), padding=np.uint8(1))
    assert found == fit(7, 3, padding=1)
    assert type(found.outputs) is int
    assert fit(7, 3, padding=[0, 1]) == fit(7, 3, padding=(0, 1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 0}, "length must be at least 1, got 0"),
        ({"kernel": -3}, "kernel must be at least 1, got -3"),
        ({"stride": 0}, "stride must be at least 1, got 0"),
        ({"dilation": 0}, "dilation must be at least 1, got 0"),
        ({"padding": (0, -1)}, r"padding must be 0 or more, got -1\. To crop"),
        ({"padding": "full"}, r"no padding 'full'; there are valid, same"),
        ({"padding": (1, 2, 3)}, r"no padding \(1, 2, 3\); there are valid, same, a number, or two"),
        ({"padding": 0.5}, r"padding must be a whole number, got 0\.5"),
        ({"length": 7.5}, r"length must be a whole number, got 7\.5"),
        ({"stride": None}, r"stride must be a whole number, got None"),
    ],
)
def test_what_makes_no_sense(settings, message):
    with pytest.raises(OptionError, match=message):
        fit(**{"length": 7, "kernel": 3, **settings})


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@given(LENGTH, KERNEL, STRIDE, st.integers(0, 5), st.integers(1, 3))
def test_convolutions_of_pytorch(length, kernel, stride, padding, dilation):
    images, weight = torch.zeros(1, 1, length), torch.zeros(1, 1, kernel)
    if length + 2 * padding < dilation * (kernel - 1) + 1:
        with pytest.raises(OptionError, match="not even once"):
            fit(length, kernel, stride, padding=padding, dilation=dilation)
        return
    found = fit(length, kernel, stride, padding=padding, dilation=dilation)
    assert found.outputs == F.conv1d(images, weight, None, stride, padding, dilation).shape[-1]
    assert found.outputs == output_size(length, kernel, stride, padding, dilation)
    if stride == 1:
        same = fit(length, kernel, padding="same", dilation=dilation)
        assert same.outputs == length == F.conv1d(images, weight, None, 1, "same", dilation).shape[-1]


@given(LENGTH, KERNEL, STRIDE, st.data(), st.integers(1, 3))
def test_pooling_of_pytorch_rounds_up_as_well(length, kernel, stride, data, dilation):
    padding = data.draw(st.integers(0, kernel // 2))
    images = torch.arange(length, dtype=torch.float64)[None, None]
    try:
        shape = F.max_pool1d(images, kernel, stride, padding, dilation, ceil_mode=True).shape[-1]
    except RuntimeError:
        with pytest.raises(OptionError, match="not even once"):
            fit(length, kernel, stride, padding=padding, dilation=dilation, ceil=True)
        return
    found = fit(length, kernel, stride, padding=padding, dilation=dilation, ceil=True)
    assert found.outputs == shape
    assert (found.outputs - 1) * stride < length + padding  # the last window starts before the padding
    if dilation == 1:
        assert F.avg_pool1d(images, kernel, stride, padding, ceil_mode=True).shape[-1] == found.outputs
    assert found.dropped == 0 or found.overhang == 0


def tensorflow_same(length: int, kernel: int, stride: int, dilation: int) -> tuple[int, int, int]:
    """Outputs and padding as tf.nn's documentation writes them, by cases of the remainder."""
    extent = (kernel - 1) * dilation + 1
    total = max(extent - stride, 0) if length % stride == 0 else max(extent - length % stride, 0)
    return (length + stride - 1) // stride, total // 2, total - total // 2


@given(LENGTH, KERNEL, STRIDE, st.integers(1, 3))
def test_same_of_tensorflow(length, kernel, stride, dilation):
    found = fit(length, kernel, stride, padding="same", dilation=dilation)
    assert (found.outputs, found.before, found.after) == tensorflow_same(length, kernel, stride, dilation)
    assert same_padding(length, kernel, stride, dilation) == (found.before, found.after)
    padded = F.pad(torch.zeros(1, 1, length), (found.before, found.after))
    assert F.conv1d(padded, torch.zeros(1, 1, kernel), stride=stride, dilation=dilation).shape[-1] == found.outputs


@given(LENGTH, KERNEL, STRIDE)
def test_valid_of_tensorflow(length, kernel, stride):
    assume(kernel <= length)
    assert fit(length, kernel, stride, padding="valid").outputs == -(-(length - kernel + 1) // stride)
