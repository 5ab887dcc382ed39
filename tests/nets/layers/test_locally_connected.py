"""Locally connected layers, against the formula written out and against convolutions."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from striate.errors import NetworkError, OptionError
from striate.nets import LocallyConnected1d, LocallyConnected2d
from striate.nets.layers.locally_connected import _by_line

SETTINGS = st.tuples(
    st.integers(1, 3),  # pictures
    st.integers(1, 3),  # channels
    st.integers(1, 3),  # outputs
    st.tuples(st.integers(1, 7), st.integers(1, 7)),  # size
    st.tuples(st.integers(1, 4), st.integers(1, 4)),  # kernel
    st.tuples(st.integers(1, 3), st.integers(1, 3)),  # stride
    st.tuples(st.integers(0, 2), st.integers(0, 2)),  # padding
    st.booleans(),  # bias
)


def by_loop(images: Tensor, layer: LocallyConnected2d) -> Tensor:
    """Z[i,j,k] = sum V[l, j+m-1, k+n-1] w[i,j,k,l,m,n], place after place."""
    (down, across), (rows, columns) = layer.stride, layer.padding
    padded = F.pad(images, (columns, columns, rows, rows))
    height, width = layer.kernel_size
    found = images.new_zeros(len(images), layer.out_channels, *layer.output_size)
    for j in range(layer.output_size[0]):
        for k in range(layer.output_size[1]):
            window = padded[:, :, j * down : j * down + height, k * across : k * across + width]
            for i in range(layer.out_channels):
                found[:, i, j, k] = (window * layer.weight[j, k, i]).sum((1, 2, 3))
                if layer.bias is not None:
                    found[:, i, j, k] += layer.bias[j, k, i]
    return found


def made(case) -> tuple[LocallyConnected2d, Tensor]:
    count, channels, outputs, size, kernel, stride, padding, bias = case
    generator = torch.Generator().manual_seed(1)
    layer = LocallyConnected2d(channels, outputs, size, kernel, stride, padding, bias=bias, generator=generator)
    return layer.double(), torch.randn(count, channels, *size, generator=generator, dtype=torch.float64)


def fits(case) -> bool:
    _, _, _, size, kernel, _, padding, _ = case
    return all(length + 2 * pad >= taps for length, taps, pad in zip(size, kernel, padding, strict=True))


@settings(max_examples=60, deadline=None)
@given(SETTINGS.filter(fits))
def test_equals_the_formula(case):
    layer, images = made(case)
    expected = by_loop(images, layer)
    torch.testing.assert_close(layer(images), expected)  # row by row
    with torch.no_grad():
        torch.testing.assert_close(layer(images[:1]), expected[:1])  # all at once


@settings(max_examples=60, deadline=None)
@given(SETTINGS.filter(fits))
def test_slopes_equal_those_of_the_formula(case):
    layer, images = made(case)
    images.requires_grad_()
    weights = [images, *layer.parameters()]
    slope = torch.randn_like(layer(images))
    ours = torch.autograd.grad(layer(images), weights, slope)
    theirs = torch.autograd.grad(by_loop(images, layer), weights, slope)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)


def laid(values: Tensor, order: str) -> Tensor:
    """The same numbers in another order of memory."""
    if order == "plain":
        return values.contiguous()
    if order == "channels last":
        return values.to(memory_format=torch.channels_last)
    if order == "part of more":
        return torch.cat([values[:1], values, values[:1]])[1:-1]
    return values.mT.contiguous().mT  # columns before rows


@pytest.mark.parametrize("order_of_slopes", ["plain", "channels last", "part of more", "turned"])
@pytest.mark.parametrize("order", ["plain", "channels last", "part of more", "turned"])
@pytest.mark.parametrize("kernel", [(3, 2), (2, 6)])
def test_orders_of_memory_change_nothing(order, order_of_slopes, kernel):
    layer = LocallyConnected2d(3, 4, (5, 6), kernel, (2, 1), bias=False).double()
    images = laid(torch.randn(5, 3, 5, 6, dtype=torch.float64), order).requires_grad_()
    expected = by_loop(images, layer)
    slope = laid(torch.randn(expected.shape, dtype=torch.float64), order_of_slopes)
    with torch.no_grad():
        torch.testing.assert_close(layer(images), expected)
    ours = torch.autograd.grad(layer(images), (images, layer.weight), slope)
    theirs = torch.autograd.grad(expected, (images, layer.weight), slope)
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("order", ["plain", "channels last", "part of more", "turned"])
@pytest.mark.parametrize(
    ("channels", "kernel", "stride", "padding"),
    [(16, (2, 3), 1, 0), (24, (3, 2), (2, 1), 1), (48, (4, 1), (1, 3), (0, 2)), (12, (1, 5), 2, 0)],
)
def test_many_pictures_go_line_by_line(order, channels, kernel, stride, padding):
    layer = LocallyConnected2d(channels, 3, (5, 6), kernel, stride, padding).double()
    images = laid(torch.randn(32, channels, 5, 6, dtype=torch.float64), order).requires_grad_()
    kernels = layer.weight.permute(0, 1, 2, 4, 5, 3)
    assert _by_line(images, kernels)
    assert not _by_line(images[:31], kernels)
    assert not _by_line(images.half(), kernels)
    expected = by_loop(images, layer)
    with torch.no_grad():
        torch.testing.assert_close(layer(images), expected)
    assert layer(images).is_contiguous(memory_format=torch.channels_last)
    slope = torch.randn_like(expected)
    ours = torch.autograd.grad(layer(images), (images, layer.weight), slope)
    torch.testing.assert_close(ours, torch.autograd.grad(expected, (images, layer.weight), slope))


@pytest.mark.parametrize(
    ("channels", "outputs", "size"),
    [(2, 300, (4, 4)), (600, 2, (16, 17))],  # so many outputs, so large a picture, that one goes at a time
)
def test_pictures_that_are_laid_out_a_few_at_a_time(channels, outputs, size):
    layer = LocallyConnected2d(channels, outputs, size, 3, bias=False).double()
    images = torch.randn(3, channels, *size, dtype=torch.float64, requires_grad=True)
    expected = by_loop(images, layer)
    torch.testing.assert_close(layer(images), expected)
    slope = torch.randn(expected.shape, dtype=torch.float64)
    ours = torch.autograd.grad(layer(images), (images, layer.weight), slope)
    torch.testing.assert_close(ours, torch.autograd.grad(expected, (images, layer.weight), slope))


def test_a_sum_can_be_differentiated():
    layer = LocallyConnected2d(2, 3, 5, 3)
    images = torch.randn(2, 2, 5, 5, requires_grad=True)
    layer(images).sum().backward()  # one number stands for all slopes
    expected = torch.autograd.grad(by_loop(images, layer).sum(), (images, layer.weight, layer.bias))
    torch.testing.assert_close((images.grad, layer.weight.grad, layer.bias.grad), expected)


@pytest.mark.parametrize("learning", [False, True])
def test_no_pictures_at_all(learning):
    layer = LocallyConnected2d(2, 3, 5, 3)
    with torch.set_grad_enabled(learning):
        found = layer(torch.zeros(0, 2, 5, 5))
    assert found.shape == (0, 3, 3, 3)
    if learning:
        found.sum().backward()
        assert not layer.weight.grad.any()


@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (2, 1), ((2, 1), (0, 2))])
def test_slopes_equal_small_differences_twice_over(stride, padding):
    layer = LocallyConnected2d(2, 2, (4, 3), (3, 2), stride, padding).double()
    images = torch.randn(2, 2, 4, 3, dtype=torch.float64, requires_grad=True)

    def run(images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return torch.func.functional_call(layer, {"weight": weight, "bias": bias}, (images,))

    assert torch.autograd.gradcheck(run, (images, layer.weight, layer.bias))
    assert torch.autograd.gradgradcheck(run, (images, layer.weight, layer.bias))


def test_only_what_is_asked_for_gets_a_slope():
    layer = LocallyConnected2d(2, 3, 5, 3)
    images = torch.randn(2, 2, 5, 5, requires_grad=True)
    layer.weight.requires_grad_(False)
    layer(images).sum().backward()
    assert layer.weight.grad is None
    torch.testing.assert_close(images.grad, torch.autograd.grad(by_loop(images, layer).sum(), images)[0])


@pytest.mark.parametrize("learning", [False, True])
def test_is_a_convolution_where_all_places_share_their_kernels(learning):
    convolution = nn.Conv2d(3, 5, (3, 2), (2, 1), (1, 0))
    layer = LocallyConnected2d(3, 5, (9, 8), (3, 2), (2, 1), (1, 0))
    with torch.no_grad():
        layer.weight.copy_(convolution.weight.expand_as(layer.weight))
        layer.bias.copy_(convolution.bias.expand_as(layer.bias))
    images = torch.randn(4, 3, 9, 8)
    with torch.set_grad_enabled(learning):
        torch.testing.assert_close(layer(images), convolution(images))


def test_is_a_full_connection_where_one_window_sees_all():
    layer, dense = LocallyConnected2d(3, 5, (4, 6), (4, 6)), nn.Linear(72, 5)
    with torch.no_grad():
        layer.weight.copy_(dense.weight.view(1, 1, 5, 3, 4, 6))
        layer.bias.copy_(dense.bias)
    images = torch.randn(2, 3, 4, 6)
    torch.testing.assert_close(layer(images).flatten(1), dense(images.flatten(1)))


def test_weights_are_those_of_a_convolution_times_its_places():
    # C5 by hand: six 5x5 kernels over 32x32x3 have 456 weights; 28x28 places have as many each
    layer = LocallyConnected2d(3, 6, 32, 5)
    assert sum(weight.numel() for weight in layer.parameters()) == 28 * 28 * 456


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 8), st.integers(1, 4), st.integers(1, 3), st.integers(0, 2), st.booleans())
def test_one_axis_equals_a_map_of_one_row(length, kernel, stride, padding, bias):
    if length + 2 * padding < kernel:
        return
    one = LocallyConnected1d(2, 3, length, kernel, stride, padding, bias=bias)
    two = LocallyConnected2d(2, 3, (1, length), (1, kernel), (1, stride), (0, padding), bias=bias)
    with torch.no_grad():
        two.weight.copy_(one.weight[None, :, :, :, None])
        if bias:
            two.bias.copy_(one.bias[None])
    signals = torch.randn(3, 2, length)
    torch.testing.assert_close(one(signals), by_loop(signals[:, :, None], two)[:, :, 0])


def test_one_axis_by_hand():
    layer = LocallyConnected1d(1, 1, 4, 2, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 10], [100, 1000]]).view(2, 1, 1, 2))
    assert layer(torch.tensor([[[1.0, 2, 3, 4]]])).tolist() == [[[21, 4300]]]


def test_memory_of_the_way_that_learns_is_not_that_of_all_windows():
    layer = LocallyConnected2d(4, 4, 16, 5)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda one: kept.append(one.numel()) or one, lambda one: one):
        layer(torch.randn(8, 4, 16, 16, requires_grad=True))
    assert max(kept) <= max(layer.weight.numel(), 8 * 4 * 16 * 16)  # not 8 * 144 * 100


def test_draws_are_repeated_by_a_generator():
    first, again = (LocallyConnected2d(1, 2, 4, 3, generator=torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first.weight, again.weight)
    assert first.weight.abs().max() <= 1 / 3  # within 1 / sqrt(9)


def test_other_sizes_are_refused():
    with pytest.raises(NetworkError, match=r"for 3 x 8 x 8 was given 3 x 8 x 9: its weights belong to places"):
        LocallyConnected2d(3, 4, 8, 3)(torch.zeros(1, 3, 8, 9))
    with pytest.raises(NetworkError, match=r"for 3 x 8 was given 3 x 7"):
        LocallyConnected1d(3, 4, 8, 3)(torch.zeros(1, 3, 7))


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((3, 4, 0, 3), OptionError, r"input_size must be a whole number of at least 1, got 0"),
        ((3, 4, 8, -3), OptionError, r"kernel_size must be a whole number of at least 1, got -3"),
        ((3, 4, 8, 3, 0), OptionError, r"stride must be a whole number of at least 1, got 0"),
        ((3, 4, 8, 3, 1, -1), OptionError, r"padding must be a whole number of at least 0, got -1"),
        ((0, 4, 8, 3), OptionError, r"in_channels must be a whole number of at least 1, got 0"),
        ((3, 4, (8, 8, 8), 3), OptionError, r"input_size must be one whole number, or two for rows and columns"),
        ((3, 4, (2, 8), 3), NetworkError, r"a 3 x 3 window does not fit a map of 2 x 8 with padding 0 x 0"),
    ],
)
def test_settings_that_make_no_sense(arguments, error, text):
    with pytest.raises(error, match=text):
        LocallyConnected2d(*arguments)
