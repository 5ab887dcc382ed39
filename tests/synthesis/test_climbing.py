"""Ways uphill: against torch's own Adam, and by hand."""

from __future__ import annotations

import pytest
import torch

from striate.synthesis.climbing import Adam, Constant, Progress, Settling


def test_adam_is_torchs():
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    leaf = start.clone().requires_grad_()
    optimiser = torch.optim.Adam([leaf], lr=0.05, maximize=True)
    ours, step = start.clone(), Adam(0.05).begin(start, torch.zeros(1))
    for _ in range(20):
        gradient = torch.randn(3, 4, generator=generator, dtype=torch.float64)
        leaf.grad = gradient
        optimiser.step()
        ours = step(ours, gradient)
    torch.testing.assert_close(ours, leaf.detach())


def test_constant_goes_as_far_as_the_gradient_is_long():
    parameters = torch.tensor([[1.0, 2.0]])
    step = Constant(0.5).begin(parameters, torch.zeros(1))
    assert step(parameters, torch.tensor([[2.0, -4.0]])).tolist() == [[2.0, 0.0]]


def test_progress_gains_what_is_wanted_of_a_linear_function_up_to_the_largest_rate():
    parameters = torch.zeros(2, 2)
    gradient = torch.tensor([[3.0, 4.0], [0.03, 0.04]])  # squares 25 and 0.0025
    step = Progress(gain=2.0, most=10.0).begin(parameters, torch.zeros(1))
    moved = step(parameters, gradient)
    gains = (moved * gradient).sum(1)
    # the second would need the rate 800
    assert gains.tolist() == pytest.approx([2.0, 10 * 0.0025])


def test_settling_ends_at_the_wanted_norm_along_the_gradient():
    parameters, centre = torch.full((2, 1, 2, 2), 0.5), torch.full((1, 1, 1), 0.5)
    gradient = torch.tensor([[1.0, -3.0, 0.0, 2.0], [100.0, 0.0, 0.0, 0.0]]).view(2, 1, 2, 2)
    step = Settling(rate=0.01, norm=0.1).begin(parameters, centre)
    for _ in range(200):
        parameters = step(parameters, gradient)
    offset = parameters - centre
    torch.testing.assert_close(offset.square().mean((1, 2, 3)).sqrt(), torch.full((2,), 0.1))
    torch.testing.assert_close(
        offset.flatten(1) / 0.2, gradient.flatten(1) / gradient.flatten(1).norm(dim=1, keepdim=True)
    )


def test_without_a_gradient_nothing_moves():
    parameters = torch.rand(2, 1, 3, 3)
    for climb in (Adam(0.1), Constant(1.0), Progress(2.0, 100.0), Settling(0.01, 0.1)):
        step = climb.begin(parameters, torch.full((1, 1, 1), 0.5))
        assert torch.equal(step(parameters, torch.zeros_like(parameters)), parameters)
