"""A copy of a network with random weights: its own weights stay, and the copy depends on the seed alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import striate
from striate.errors import NetworkError
from striate.nets import create
from striate.nets.untrained import learned_nothing, untrained


@pytest.fixture
def network():
    module = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(384, 4))
    with torch.no_grad():
        for weight in module.parameters():
            weight.fill_(0.5)
        module[1].running_mean.fill_(3.0)
        module[1].running_var.fill_(9.0)
    return striate.Network(module.eval(), striate.InputSpec(3, 10, 10), list("abcd"), name="small")


def test_all_weights_are_new_and_those_of_the_network_stay(network):
    before = network.weights_hash
    copy = untrained(network, seed=3)
    assert network.weights_hash == before
    own = copy.module
    assert own[0].weight.std() == pytest.approx((2 / 27) ** 0.5, rel=0.15)  # He et al.
    assert torch.equal(own[1].weight, torch.ones(6))
    assert torch.equal(own[1].running_mean, torch.zeros(6))
    assert torch.equal(own[1].running_var, torch.ones(6))
    assert float(own[4].bias.abs().max()) == 0
    assert copy.name == "untrained small"
    assert copy.class_names == network.class_names
    assert not any(weight.requires_grad for weight in own.parameters())


def test_the_same_seed_gives_the_same_weights_and_torchs_own_generator_stays(network):
    state = torch.get_rng_state()
    first, again, other = (untrained(network, seed=seed).weights_hash for seed in (1, 1, 2))
    assert first == again != other
    assert torch.equal(torch.get_rng_state(), state)


def test_one_of_our_networks_becomes_what_it_was_built_as():
    module = create("cnn2", generator=torch.Generator().manual_seed(0))
    network = striate.Network(module.eval(), striate.InputSpec(1, 28, 28))
    fresh = create("cnn2", initial="he-normal", generator=torch.Generator().manual_seed(7))
    copy = untrained(network, seed=7)
    own = copy.module.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in fresh.state_dict().items())


def test_pictures_settle_the_batch_norms(network):
    images = torch.rand(20, 3, 10, 10)
    copy = untrained(network, images=images)
    answers = copy.module[1](copy.module[0](images))
    torch.testing.assert_close(answers.mean((0, 2, 3)), torch.zeros(6), atol=1e-4, rtol=0)
    torch.testing.assert_close(answers.var((0, 2, 3)), torch.ones(6), atol=1e-2, rtol=0)
    assert not copy.module[1].training
    assert copy.module[1].momentum == 0.1


def test_weights_that_nobody_knows_how_to_draw_are_named():
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.ones(3, 1, 1))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return (self.gain * images).mean((2, 3))

    with pytest.raises(NetworkError, match="Own, whose first weights are not known"):
        untrained(striate.Network(nn.Sequential(Own()), striate.InputSpec(3, 8, 8)))


def test_what_is_known_of_a_network_that_has_learned_nothing(network):
    assert not learned_nothing(network)
    assert learned_nothing(untrained(network))  # its batch norms have seen nothing
    assert not learned_nothing(untrained(network, images=torch.rand(4, 3, 10, 10)))
    assert learned_nothing(striate.load("striate:tiny"))  # without batch norm, its notes say so
    assert not learned_nothing(
        striate.Network(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), striate.InputSpec(3, 2, 2))
    )
