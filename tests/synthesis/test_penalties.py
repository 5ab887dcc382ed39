"""Penalties on pictures worked by hand, and their gradients by finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from striate.errors import OptionError
from striate.synthesis.penalties import alpha_norm, squared_norm, total_variation


@pytest.fixture
def images():
    return torch.randn(3, 2, 5, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def test_norms_by_hand():
    picture = torch.tensor([[[[1.0, -2.0]], [[0.0, 3.0]]]])
    assert squared_norm(picture).tolist() == [14.0]
    assert alpha_norm(picture, 6).tolist() == [1 + 64 + 729]
    assert alpha_norm(picture, 1).tolist() == [6.0]
    assert alpha_norm(picture, 3).tolist() == [1 + 8 + 27]
    mean = torch.tensor([1.0, 0.0]).view(2, 1, 1)
    assert squared_norm(picture, mean).tolist() == [9 + 9]
    assert alpha_norm(picture, 2, mean).tolist() == [9 + 9]


def test_total_variation_by_hand():
    # differences to the right and below, none beyond the edge: (1, 3), (0, 1); (4, 0), (0, 0)
    picture = torch.tensor([[[[0.0, 1.0], [3.0, 7.0]]]])
    steps = [1 + 9, 36, 16, 0]
    assert total_variation(picture).item() == pytest.approx(sum(steps))
    assert total_variation(picture, 1).item() == pytest.approx(sum(np.sqrt(steps)))
    assert total_variation(picture, 3).item() == pytest.approx(sum(np.power(steps, 1.5)))


@pytest.mark.parametrize("beta", [1.0, 1.5, 2.0, 3.0])
def test_total_variation_against_a_loop(images, beta):
    expected = np.zeros(3)
    values = images.numpy()
    for n, c, y, x in np.ndindex(*values.shape):
        right = values[n, c, y, min(x + 1, 3)] - values[n, c, y, x]
        below = values[n, c, min(y + 1, 4), x] - values[n, c, y, x]
        expected[n] += (right**2 + below**2) ** (beta / 2)
    np.testing.assert_allclose(total_variation(images, beta).numpy(), expected)


@pytest.mark.parametrize(
    "penalty",
    [
        lambda x: squared_norm(x, 0.3),
        lambda x: alpha_norm(x, 6, 0.3),
        lambda x: alpha_norm(x, 3),
        lambda x: alpha_norm(x, 1),
        lambda x: total_variation(x, 2),
        lambda x: total_variation(x, 1),
        lambda x: total_variation(x, 1.5),
    ],
)
def test_gradients_are_those_of_finite_differences(images, penalty):
    assert torch.autograd.gradcheck(penalty, (images.clone().requires_grad_(),))


@pytest.mark.parametrize("beta", [1.0, 1.5, 2.0])
def test_a_flat_picture_varies_not_and_is_pushed_nowhere(beta):
    picture = torch.full((1, 3, 4, 4), 0.7, requires_grad=True)
    value = total_variation(picture, beta)
    assert value.tolist() == [0.0]
    assert torch.autograd.grad(value.sum(), picture)[0].abs().max() == 0


def test_each_picture_by_itself(images):
    for penalty in (squared_norm, alpha_norm, total_variation):
        alone = torch.cat([penalty(image[None]) for image in images])
        torch.testing.assert_close(penalty(images), alone)


def test_powers_that_make_no_sense(images):
    with pytest.raises(OptionError, match=r"alpha must be at least 1, got 0\.5"):
        alpha_norm(images, 0.5)
    with pytest.raises(OptionError, match="beta must be above 0, got 0"):
        total_variation(images, 0)
