"""`tap.follow`: the run that keeps its way back to the pictures."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from striate.errors import AddressError
from striate.network import Network
from striate.spec import InputSpec
from striate.tap import activations, follow, gradient


class Net(nn.Module):
    """A rectifier that writes into its input, after a layer that is tapped."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(4, 5, 3, padding=1)
        self.head = nn.Linear(5, 2)
        self.ended = 0

    def forward(self, images: Tensor) -> Tensor:
        maps = self.second(self.relu(self.first(images)))
        self.ended += 1
        return self.head(maps.mean((2, 3)))


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return Network(Net().double(), InputSpec(height=8, width=8))


def _images() -> Tensor:
    return torch.randn(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_outputs_are_those_of_activations(network: Network) -> None:
    images = _images()
    plain = activations(network, images, ["first", "second"])
    followed = follow(network, images.clone().requires_grad_(), ["second", "first"])
    assert list(followed.outputs) == ["second", "first"]
    for place, output in plain.outputs.items():
        assert torch.equal(output, followed.outputs[place].detach())


def test_gradients_flow_to_the_pictures_and_to_no_weight(network: Network) -> None:
    images = _images()
    leaf = images.clone().requires_grad_()
    tapped = follow(network, leaf, ["first", "second"], logits=True)
    assert tapped.logits is not None
    (found,) = torch.autograd.grad(tapped.outputs["first"][:, 1].mean((1, 2)).sum(), leaf, retain_graph=True)
    torch.testing.assert_close(found, gradient(network, images, "first:1").values)
    (found,) = torch.autograd.grad(tapped.logits[:, 1].sum(), leaf)
    torch.testing.assert_close(found, gradient(network, images, "class:1").values)
    assert all(weight.grad is None and weight.requires_grad for weight in network.module.parameters())


def test_it_stops_at_the_deepest_layer(network: Network) -> None:
    images = _images()
    network.graph(8, 8)
    ended = network.module.ended
    follow(network, images, ["second"])
    assert network.module.ended == ended
    follow(network, images, [], logits=True)
    assert network.module.ended == ended + 1


def test_a_layer_that_is_not_there(network: Network) -> None:
    with pytest.raises(AddressError, match="no layer 'third'"):
        follow(network, _images(), ["third"])
