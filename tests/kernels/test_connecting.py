"""Who sees whom: counted by hand, against the arithmetic of receptive fields, against gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from striate import geometry, kernels
from striate.errors import OptionError
from striate.kernels import connections, convolution_matrix


def test_one_layer_from_both_sides():
    # kernel 3, nothing cut: an input reaches three outputs, an output sees three inputs
    layer = convolution_matrix([1, 1, 1], 5, padding="same")
    found = connections(layer, output=(2,), input=(2,))
    np.testing.assert_array_equal(np.flatnonzero(found.sees[0]), [1, 2, 3])
    np.testing.assert_array_equal(np.flatnonzero(found.reaches[1]), [1, 2, 3])
    np.testing.assert_array_equal(layer.inputs_of((0, 2)), found.sees[0])
    np.testing.assert_array_equal(layer.outputs_of((2,)), found.reaches[1])
    np.testing.assert_array_equal(layer.outputs_of(np.int64(2)), found.reaches[1])
    # at the border the kernel is cut
    assert connections(layer, output=(0,)).sees[0].sum() == 2
    assert layer.matrix[2].nnz == 3


def test_a_weight_of_zero_connects_and_weights_that_cancel_do_too():
    sobel = convolution_matrix(kernels.sobel(), (5, 5), mode="correlation")
    assert connections(sobel).sees[0].sum() == 9
    first = convolution_matrix([1, -1], 6, mode="correlation")
    second = convolution_matrix([1, 1], 5, mode="correlation")  # the middle of three inputs cancels
    assert connections(first, second).sees[0].sum() == 3


@pytest.mark.parametrize("stride", [1, 2])
def test_receptive_field_grows_with_depth_and_stride(stride):
    span, size, layers = geometry.input_span(), 41, []
    for _ in range(3):
        layers.append(convolution_matrix([1, 1, 1], size, stride=stride))
        size = layers[-1].output_shape[1]
        span = geometry.convolved(span, 3, stride)
        found = connections(*layers)
        low, high = span.window(found.output[1])
        np.testing.assert_array_equal(np.flatnonzero(found.sees[0]), np.arange(low, high + 1))


def test_channels_and_groups_as_gradients_have_them():
    weights = np.random.default_rng(0).random((4, 1, 3, 2)) + 0.1
    layer = convolution_matrix(weights, (6, 5), mode="correlation", stride=2, padding=1, groups=2)
    images = torch.zeros(1, 2, 6, 5, dtype=torch.float64, requires_grad=True)
    maps = torch.nn.functional.conv2d(images, torch.from_numpy(weights), stride=2, padding=1, groups=2)
    (gradient,) = torch.autograd.grad(maps[0, 3, 1, 1], images)
    found = connections(layer, output=(3, 1, 1), input=(0, 2, 2))
    np.testing.assert_array_equal(found.sees[0], gradient[0].numpy() != 0)
    assert not found.reaches[1][2:].any()  # the other group
    assert found.reaches[1][:2].any()


def test_what_makes_no_sense_is_refused():
    layer = convolution_matrix([1, 1, 1], 9)
    with pytest.raises(OptionError, match="at least one matrix"):
        connections()
    with pytest.raises(OptionError, match="layer 1 gives 1 x 7, layer 2 takes 1 x 9"):
        connections(layer, layer)
    with pytest.raises(OptionError, match=r"there is no output unit 0, 7: the output is 1 x 7 \(channel first\)"):
        connections(layer, output=(7,))


def test_drawings(tmp_path):
    flat = connections(convolution_matrix([1, 1, 1], 9, padding="same"))
    deep = connections(convolution_matrix(np.ones((2, 3, 3, 3)), (8, 5)), output=(1, 2, 2))
    assert "Output 4 sees 3 inputs of 9; input 4 reaches 3 outputs of 9." in flat.caption()
    assert "Output (2, 2) of channel 1 sees 27 inputs of 120" in deep.caption()
    for name, found in (("flat", flat), ("deep", deep)):
        for suffix in ("png", "json", "npz"):
            assert found.save(tmp_path / f"{name}.{suffix}").stat().st_size > 0
        for drawn in found.drawings():
            assert drawn.pixels.dtype == np.uint8
            assert drawn.pixels.std() > 5
