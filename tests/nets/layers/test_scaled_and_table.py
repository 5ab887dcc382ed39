"""LeNet-5's own layers, by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from striate.errors import OptionError
from striate.nets.layers import ScaledAveragePool2d, ScaledTanh, TableConv2d


def test_the_scaled_tanh_is_one_at_one():
    values = torch.tensor([-1.0, 0, 1, 100])
    torch.testing.assert_close(ScaledTanh()(values), torch.tensor([-1.0, 0, 1, 1.7159]), rtol=0, atol=2e-5)
    assert ScaledTanh()(torch.tensor(0.3)).item() == pytest.approx(1.7159 * math.tanh(0.2))


def test_the_scaled_average_by_hand():
    pool = ScaledAveragePool2d(2, 2)
    images = torch.tensor([[[1.0, 2], [3, 6]], [[0, 0], [4, 4]]])[None]
    assert pool(images).flatten().tolist() == [3, 2]  # as made: a plain average
    with torch.no_grad():
        pool.weight.copy_(torch.tensor([2.0, -1]))
        pool.bias.copy_(torch.tensor([10.0, 0.5]))
    assert pool(images).flatten().tolist() == [16, -1.5]
    assert sum(weight.numel() for weight in pool.parameters()) == 4


def test_a_table_leaves_out_connections():
    table = [(0,), (0, 2), (2, 1)]
    layer = TableConv2d(3, table, 3)
    assert layer.weight.shape == (5, 3, 3)
    images = torch.randn(2, 3, 6, 5)
    plain = nn.Conv2d(3, 3, 3)
    with torch.no_grad():
        plain.weight.zero_()
        for (filter, seen), weight in zip([(0, 0), (1, 0), (1, 2), (2, 2), (2, 1)], layer.weight, strict=True):
            plain.weight[filter, seen] = weight
        layer.bias.uniform_()
        plain.bias.copy_(layer.bias)
    torch.testing.assert_close(layer(images), plain(images))
    images = torch.randn(1, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer.double(), images)


def test_table_weights_get_their_slopes():
    layer = TableConv2d(2, [(0,), (1, 0)], 1)
    layer(torch.tensor([3.0, 5.0]).view(1, 2, 1, 1)).sum().backward()
    assert layer.weight.grad.flatten().tolist() == [3, 5, 3]


@pytest.mark.parametrize("row", [(), (0, 0), (3,), (-1,)])
def test_rows_that_make_no_sense(row):
    with pytest.raises(
        OptionError, match=r"row 1 of the table is \[.*\]: it must name at least one of the maps 0 to 2"
    ):
        TableConv2d(3, [(0,), row], 3)
