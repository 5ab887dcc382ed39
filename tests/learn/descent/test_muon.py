"""Muon: orthogonal steps for kernels, Adam's for the rest, each against its definition."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from striate.learn.descent.muon import Muon, orthogonalised


def newton_schulz(matrix: torch.Tensor, rounds: int) -> torch.Tensor:
    """Do the rounds on the matrix itself, in double precision, as they are defined."""
    x = matrix.double()
    x = x.T if len(x) > x.shape[1] else x
    x = x / x.norm()
    for _ in range(rounds):
        square = x @ x.T
        x = 3.4445 * x - 4.7750 * square @ x + 2.0315 * square @ square @ x
    found = x.T if len(matrix) > matrix.shape[1] else x
    return found * max(1, len(matrix) / matrix.shape[1]) ** 0.5


@pytest.mark.parametrize("shape", [(16, 40), (40, 16), (12, 12), (1, 5)])
@pytest.mark.parametrize("rounds", [1, 4])
def test_rounds_on_the_gram_matrix_are_those_on_the_matrix(shape, rounds):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = orthogonalised(matrix, rounds)
    torch.testing.assert_close(found.double(), newton_schulz(matrix, rounds), rtol=1e-4, atol=1e-5)


def test_directions_stay_and_lengths_become_alike():
    generator = torch.Generator().manual_seed(1)
    left, _ = torch.linalg.qr(torch.randn(24, 24, generator=generator))
    right, _ = torch.linalg.qr(torch.randn(60, 24, generator=generator))
    found = orthogonalised(left @ torch.diag(torch.logspace(0, -1, 24)) @ right.T)
    inner = left.T @ found @ right
    assert inner.diagonal().min() > 0.6
    assert inner.diagonal().max() < 1.3
    assert (inner - torch.diag(inner.diagonal())).abs().max() < 1e-4


def test_nothing_stays_nothing():
    assert not orthogonalised(torch.zeros(3, 5)).any()


def test_matrices_in_a_batch_are_each_by_itself():
    both = torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(2)) * torch.tensor([1.0, 50.0]).view(2, 1, 1)
    found = orthogonalised(both)
    for one, whole in zip(both, found, strict=True):
        torch.testing.assert_close(whole, orthogonalised(one), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", [(3, 2, 2, 2), (8, 1, 2, 2)])
def test_the_first_step_of_a_kernel_by_hand(shape, order):
    """The velocity is the gradient, Nesterov's look ahead 1.9 times it, and scale is lost when it is orthogonal."""
    layer = nn.Conv2d(shape[1], shape[0], 2, bias=False).to(memory_format=order)
    before, gradient = layer.weight.detach().clone(), torch.randn(shape)
    layer.weight.grad = gradient.clone()
    Muon([layer.weight], lr=0.1, momentum=0.9, weight_decay=0.5).step()
    expected = before * (1 - 0.1 * 0.5) - 0.1 * newton_schulz(gradient.flatten(1), 4).view_as(before)
    torch.testing.assert_close(layer.weight.detach(), expected.float(), rtol=1e-4, atol=1e-5)


def test_other_weights_go_as_adam_does():
    ours = nn.Linear(4, 3)
    theirs = copy.deepcopy(ours)
    muon = Muon(ours.parameters(), lr=0.1, others=0.02)
    adam = torch.optim.Adam(theirs.parameters(), lr=0.002, betas=(0.9, 0.95))
    for seed in range(5):
        inputs = torch.randn(8, 4, generator=torch.Generator().manual_seed(seed))
        for module, optimizer in ((ours, muon), (theirs, adam)):
            optimizer.zero_grad()
            module(inputs).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(ours.weight, theirs.weight, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(ours.bias, theirs.bias, rtol=1e-5, atol=1e-7)


def test_a_state_that_is_loaded_goes_on_as_if_nothing_had_been():
    torch.manual_seed(0)
    one = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(36, 2))
    images = torch.randn(6, 1, 5, 5)

    def step(module: nn.Module, optimizer: Muon) -> None:
        optimizer.zero_grad()
        module(images).square().mean().backward()
        optimizer.step()

    first = Muon(one.parameters(), lr=0.05)
    step(one, first)
    other = copy.deepcopy(one)
    second = Muon(other.parameters(), lr=0.05)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for module, optimizer in ((one, first), (other, second)):
        step(module, optimizer)
        step(module, optimizer)
    for mine, its in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, its)


def test_it_does_without_the_compiler():
    """Importing torch._dynamo takes seconds; in a process of its own, as other tests may have imported it."""
    code = (
        "import sys, torch; from striate.learn.descent.muon import Muon; layer = torch.nn.Conv2d(1, 2, 3);"
        "optimizer = Muon(layer.parameters()); layer(torch.randn(1, 1, 4, 4)).sum().backward();"
        "optimizer.step(); optimizer.zero_grad(); optimizer.load_state_dict(optimizer.state_dict());"
        "assert layer.weight.grad is None; print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
