"""SAME padding, against a reference written out place by place, and golden values."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from striate.errors import OptionError
from striate.nets import SameConv2d
from striate.sizes import same_padding


def test_the_lectures_numbers():
    # row C3: width 13, filter 6, stride 5: SAME pads 1 left and 2 right, 3 outputs
    assert same_padding(13, 6, 5) == (1, 2)
    convolution = SameConv2d(1, 1, (1, 6), (1, 5), bias=False)
    with torch.no_grad():
        convolution.weight.fill_(1)
    row = torch.arange(1.0, 14).view(1, 1, 1, 13)
    # 0 1 2 3 4 5, 5 6 7 8 9 10, 10 11 12 13 0 0
    assert convolution(row).flatten().tolist() == [15, 45, 46]


@pytest.mark.parametrize(
    ("length", "kernel", "stride", "padding"),
    [
        (28, 3, 1, (1, 1)),
        (28, 3, 2, (0, 1)),
        (5, 2, 1, (0, 1)),
        (224, 7, 2, (2, 3)),
        (6, 1, 3, (0, 0)),
        (7, 2, 3, (0, 1)),
    ],
)
def test_more_by_hand(length, kernel, stride, padding):
    assert same_padding(length, kernel, stride) == padding


def by_hand(signal: list[float], taps: list[float], stride: int, dilation: int) -> list[float]:
    """Slide a kernel over a row: the windows that TensorFlow's documentation describes."""
    places = -(-len(signal) // stride)
    reach = (len(taps) - 1) * dilation + 1
    before = max((places - 1) * stride + reach - len(signal), 0) // 2
    return [
        sum(
            tap * signal[at]
            for index, tap in enumerate(taps)
            if 0 <= (at := place * stride - before + index * dilation) < len(signal)
        )
        for place in range(places)
    ]


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 12), st.integers(1, 6), st.integers(1, 4), st.integers(1, 3))
def test_equals_the_reference(length, kernel, stride, dilation):
    generator = torch.Generator().manual_seed(length * 100 + kernel)
    convolution = SameConv2d(1, 1, (1, kernel), (1, stride), (1, dilation), bias=False).double()
    signal = torch.randn(length, generator=generator, dtype=torch.float64)
    found = convolution(signal.view(1, 1, 1, -1)).flatten().tolist()
    assert found == pytest.approx(by_hand(signal.tolist(), convolution.weight.flatten().tolist(), stride, dilation))


@pytest.mark.parametrize(("kernel", "dilation", "groups"), [(3, 1, 1), ((5, 3), 2, 1), ((2, 4), 1, 2), (4, (3, 1), 1)])
def test_equals_pytorchs_at_stride_one(kernel, dilation, groups):
    ours = SameConv2d(4, 6, kernel, 1, dilation, groups)
    theirs = nn.Conv2d(4, 6, kernel, padding=0, dilation=dilation, groups=groups)
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(2, 4, 9, 7)
    reach = [step * (taps - 1) for taps, step in zip(ours.kernel_size, ours.dilation, strict=True)]
    padded = nn.functional.pad(
        images, (reach[1] // 2, reach[1] - reach[1] // 2, reach[0] // 2, reach[0] - reach[0] // 2)
    )
    torch.testing.assert_close(ours(images), theirs(padded))
    assert ours(images).shape == (2, 6, 9, 7)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((3, 4, 0), r"kernel_size must be a whole number of at least 1, got 0"),
        ((3, 4, 3, 0), r"stride must be a whole number of at least 1, got 0"),
        ((3, 4, 3, 1, -1), r"dilation must be a whole number of at least 1, got -1"),
        ((3, 0, 3), r"out_channels must be a whole number of at least 1, got 0"),
    ],
)
def test_settings_that_make_no_sense(arguments, text):
    with pytest.raises(OptionError, match=text):
        SameConv2d(*arguments)
