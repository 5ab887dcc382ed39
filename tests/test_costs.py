"""Costs of layers: the lecture's numbers, PyTorch's parameter counts, and the layer written out as a matrix."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from striate.costs import compare, convolution, full, locally_connected, strided_and_downsampled
from striate.errors import OptionError


def test_the_edge_filter_of_the_lecture():
    # [-1, 1] on a picture 320 wide and 280 high: 319 x 280 differences of two multiplications and an addition each
    edges, _, dense = compare((1, 280, 320), 1, (1, 2), bias=False)
    assert edges.outputs == (1, 280, 319)
    assert edges.operations == 319 * 280 * 3 == 267_960
    assert edges.weights == 2
    assert dense.matrix_entries == dense.weights == 320 * 280 * 319 * 280 == 8_003_072_000
    assert round(dense.weight_bytes(8) / 2**30) == 60  # gigabytes, in doubles
    assert round(dense.operations / edges.operations, -4) == 60_000  # times the work
    # of the 8.0 billion entries of the matrix two in each row are not zero
    assert edges.connections == 2 * 319 * 280
    assert edges.sparsity == 1 - 2 / 89_600


def test_a_full_connection_to_eight_megapixels():
    assert full((3, 2000, 4000), (10, 1, 1)).weights == 240_000_000


def test_six_filters_of_the_lecture():
    cost = convolution((3, 32, 32), 6, 5)
    assert (cost.outputs, cost.weights, cost.biases) == ((6, 28, 28), 5 * 5 * 3 * 6, 6)
    assert cost.multiply_adds == 28 * 28 * 6 * 75
    assert cost.weight_bytes() == 456 * 4
    assert cost.activation_bytes(8) == (3 * 32 * 32 + 6 * 28 * 28) * 8


PAIR = st.tuples(st.integers(1, 4), st.integers(1, 4))


@st.composite
def layers(draw):
    """A small convolution with every setting, and a picture that it fits."""
    groups = draw(st.integers(1, 3))
    channels, filters = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    kernel, stride, dilation = draw(PAIR), draw(PAIR), draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    padding = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    size = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    assume(all(n + 2 * p > d * (k - 1) for n, p, d, k in zip(size, padding, dilation, kernel, strict=True)))
    options = {
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
        "bias": draw(st.booleans()),
    }
    return (channels, *size), filters, kernel, options


@settings(deadline=None, max_examples=60)
@given(layers())
def test_against_pytorch_and_the_matrix(layer):
    inputs, filters, kernel, options = layer
    module = nn.Conv2d(inputs[0], filters, kernel, **options)
    cost = convolution(inputs, filters, kernel, **options)
    assert cost.parameters == sum(weight.numel() for weight in module.parameters())
    # the matrix of the layer: one picture for each input, lit alone
    count = inputs[0] * inputs[1] * inputs[2]
    with torch.no_grad():
        module.weight.fill_(1)
        if module.bias is not None:
            module.bias.fill_(0)
        columns = module(torch.eye(count).view(count, *inputs))
    assert cost.outputs == tuple(columns.shape[1:])
    assert cost.connections == int((columns != 0).sum())
    assert cost.matrix_entries == columns.numel()
    assert cost.sparsity == pytest.approx(float((columns == 0).float().mean()), abs=1e-6)
    unshared = locally_connected(inputs, filters, kernel, **options)
    assert (unshared.outputs, unshared.connections) == (cost.outputs, cost.connections)
    assert unshared.weights == cost.multiply_adds == cost.weights * cost.outputs[1] * cost.outputs[2]


@settings(deadline=None, max_examples=40)
@given(layers())
def test_strided_is_dense_and_down_sampled_at_a_fraction_of_the_work(layer):
    inputs, filters, kernel, options = layer
    strided = nn.Conv2d(inputs[0], filters, kernel, **options).double()
    dense = nn.Conv2d(inputs[0], filters, kernel, **{**options, "stride": 1}).double()
    dense.load_state_dict(strided.state_dict())
    images = torch.rand(1, *inputs, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    down, across = options["stride"]
    cheap, dear = strided_and_downsampled(inputs, filters, kernel, **options)
    with torch.no_grad():
        torch.testing.assert_close(strided(images), dense(images)[:, :, ::down, ::across])
        assert (cheap.outputs, dear.outputs) == (strided(images).shape[1:], dense(images).shape[1:])
    assert cheap.multiply_adds * (dear.outputs[1] * dear.outputs[2]) == dear.multiply_adds * (
        cheap.outputs[1] * cheap.outputs[2]
    )


def test_stride_two_is_a_quarter_of_the_work():
    cheap, dear = strided_and_downsampled((64, 56, 56), 128, 3, stride=2, padding=1)
    assert dear.multiply_adds == 4 * cheap.multiply_adds
    # "same" at stride 2 pads unlike "same" at stride 1: the dense one has to start where the strided one starts
    cheap, dear = strided_and_downsampled((3, 224, 224), 32, 3, stride=2, padding="same")
    assert (cheap.outputs, dear.outputs) == ((32, 112, 112), (32, 223, 223))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: convolution((3, 0, 8), 4, 3), "a shape is channels, height and width, each at least 1"),
        (lambda: convolution((3, 8, 8), 0, 3), "filters and groups must be at least 1, got 0 and 1"),
        (lambda: convolution((3, 8, 8), 4, 3, groups=2), "2 groups do not divide 3 channels and 4 filters evenly"),
        (lambda: convolution((3, 99, 8), 4, 9), "a 9-wide kernel does not fit an 8-wide input"),
        (lambda: convolution((3, 8, 99), 4, 9), "a 9-high kernel does not fit an 8-high input"),
        (lambda: convolution((3, 8, 8), 4, (3, 3, 3)), r"\(3, 3, 3\) is neither one number nor two"),
        (lambda: full((3, 8, 8), (0, 1, 1)), "every side must be at least 1"),
    ],
)
def test_what_makes_no_sense(call, message):
    with pytest.raises(OptionError, match=message):
        call()
