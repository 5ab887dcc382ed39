"""The mark of a network is another when it was changed, and the same when it was only used."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

from striate.state import state_of


def made() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 64, 3), nn.BatchNorm2d(64), nn.LeakyReLU(0.1), nn.Flatten(), nn.Linear(64, 5))


def a_part_of_each_kernel(module: nn.Module) -> None:
    module[0].weight.data[:, 1] = 0


CHANGES: dict[str, Callable[[nn.Sequential], object]] = {
    "weight": lambda module: nn.init.zeros_(module[0].weight),
    "one filter, past autograd": lambda module: module[0].weight.data[63].neg_(),
    "one bias, past autograd": lambda module: module[4].bias.data[3].add_(1),
    "channels, past autograd": a_part_of_each_kernel,
    "running mean": lambda module: module[1].running_mean.data[7].add_(1),
    "weights that lie elsewhere": lambda module: setattr(module[0], "weight", nn.Parameter(module[0].weight.clone())),
    "another part": lambda module: module.__setitem__(2, nn.LeakyReLU(0.1)),
    "one more part": lambda module: module.append(nn.Softmax(1)),
    "a number": lambda module: setattr(module[2], "negative_slope", 0.2),
    "a new number": lambda module: setattr(module[2], "temperature", 2.0),
    "a method": lambda module: setattr(module[2], "forward", nn.Identity()),
    "a class": lambda module: setattr(module[2], "__class__", nn.ELU),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_seen(name):
    module = made()
    before = state_of(module)
    CHANGES[name](module)
    assert state_of(module) != before


def test_use_is_no_change():
    module = made().eval()
    before = state_of(module)
    module(torch.randn(2, 3, 3, 3)).sum().backward()
    module.train().eval().requires_grad_(False)
    assert state_of(module) == before == state_of(module)


def test_a_copy_is_another_network():
    module = made()
    assert state_of(copy.deepcopy(module)) != state_of(module)


def test_networks_without_weights_and_with_empty_ones():
    assert state_of(nn.ReLU()) is not None
    module = nn.ReLU()
    module.register_buffer("nothing", torch.empty(0, 3))
    assert state_of(module) == state_of(module)


def test_weights_made_in_inference_mode_have_a_mark():
    with torch.inference_mode():
        module = made()
    before = state_of(module)
    with torch.inference_mode():
        module[0].weight[5] = 0
    assert state_of(module) != before
