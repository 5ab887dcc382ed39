"""The mark of a network is another when it was changed, and the same when it was only used."""

from __future__ import annotations

import copy
import gc
import types
import weakref
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional

from striate.state import state_of, weights_of


def made() -> nn.Sequential:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 64, 3), nn.BatchNorm2d(64), nn.LeakyReLU(0.1), nn.Flatten(), nn.Linear(64, 5))
    module.act, module.scales, module.sizes = functional.relu, [1.0, [2.0]], {"small": {"side": 3}}
    module.mean, module.nothing = torch.zeros(3), None
    return module


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
    "the method again": lambda module: setattr(module, "act", functional.gelu),
    "a stride": lambda module: setattr(module[0], "stride", (2, 2)),
    "an entry of a list in a list": lambda module: module.scales[1].append(1.0),
    "an entry of a dict in a dict": lambda module: module.sizes["small"].update(side=4),
    "a tensor that is not registered": lambda module: module.mean.add_(1),
    "such a tensor by another": lambda module: setattr(module, "mean", torch.zeros(3)),
    "a tensor for nothing": lambda module: setattr(module, "nothing", torch.ones(5)),
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


def test_settings_are_no_weights():
    module = made()
    before = weights_of(module)
    module.scales[0], module.act, module[0].stride = 3.0, functional.gelu, (2, 2)
    assert weights_of(module) == before
    nn.init.ones_(module[4].bias)
    assert weights_of(module) != before


def test_a_tensor_that_takes_the_place_of_another_can_be_compared():
    module = made()
    states = []
    for seen in (None, torch.ones(5), torch.zeros(5)):
        module.nothing = seen
        states.append(state_of(module))
    assert states[0] != states[1] != states[2]


def test_lists_that_hold_themselves_end():
    module = made()
    module.scales.append(module.scales)
    module.sizes["itself"] = module.sizes
    assert state_of(module) == state_of(module)


def test_weights_without_memory_of_their_own_have_a_mark():
    module = nn.Linear(4, 4)
    with pytest.warns(UserWarning, match="Sparse CSR"):
        module.weight = nn.Parameter(torch.eye(4).to_sparse_csr(), requires_grad=False)
    before = state_of(module)
    assert state_of(module) == before
    module.bias.data[1] += 1
    assert state_of(module) != before


def with_a_method(module: nn.Module) -> None:
    module.forward = types.MethodType(nn.Sequential.forward, module)  # type: ignore[method-assign]


def with_a_way_back(module: nn.Module) -> None:
    module.scales.append(module)


@pytest.mark.parametrize("bind", [with_a_method, with_a_way_back])
def test_a_network_that_holds_itself_is_forgotten(bind):
    module = made()
    bind(module)
    assert state_of(module) == state_of(module)
    gone = weakref.ref(module)
    del module
    gc.collect()
    assert gone() is None
