"""Local response normalisation, against the paper's formula written out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from striate.errors import OptionError
from striate.nets import LocalResponseNorm


def by_formula(images: Tensor, n: int, alpha: float, beta: float, k: float) -> Tensor:
    channels = images.shape[1]
    found = torch.empty_like(images)
    for i in range(channels):
        first, last = max(0, i - n // 2), min(channels - 1, i + n // 2)
        squares = sum(images[:, j] ** 2 for j in range(first, last + 1))
        found[:, i] = images[:, i] / (k + alpha * squares) ** beta
    return found


@pytest.mark.parametrize(("size", "alpha", "beta", "k"), [(5, 1e-4, 0.75, 2.0), (3, 0.5, 1.0, 1.0), (1, 2.0, 0.5, 0.1)])
@pytest.mark.parametrize("channels", [1, 2, 9])
def test_equals_the_papers_formula(size, alpha, beta, k, channels):
    images = 10 * torch.randn(2, channels, 3, 4, dtype=torch.float64)
    found = LocalResponseNorm(size, alpha, beta, k)(images)
    torch.testing.assert_close(found, by_formula(images, size, alpha, beta, k))


def test_equals_pytorchs_where_both_mean_the_same():
    # PyTorch divides alpha by the number of channels in the window
    images = 10 * torch.randn(2, 9, 3, 4)
    ours = LocalResponseNorm(5, 1e-2, 0.75, 2.0)(images)
    torch.testing.assert_close(ours, nn.LocalResponseNorm(5, 5e-2, 0.75, 2.0)(images))
    assert not torch.allclose(ours, nn.LocalResponseNorm(5, 1e-2, 0.75, 2.0)(images))


def test_by_hand():
    # one channel of three: 3 / (2 + (1 + 9 + 4)) at its place, size 3, alpha 1, beta 1
    images = torch.tensor([1.0, 3.0, 2.0]).view(1, 3, 1, 1)
    found = LocalResponseNorm(3, 1.0, 1.0, 2.0)(images).flatten().tolist()
    assert found == pytest.approx([1 / 12, 3 / 16, 2 / 15])


@pytest.mark.parametrize("size", [0, 4])
def test_a_window_needs_a_middle(size):
    with pytest.raises(OptionError, match=r"size .* got [04]"):
        LocalResponseNorm(size)
