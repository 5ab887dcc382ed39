"""Words for several layers, of networks that are built in all sorts of ways; addresses beside them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import striate
from striate.choosing import choose_layers, is_word
from striate.errors import AddressError, NetworkError


class Twice(nn.Module):
    """One rectifier that is called twice, and tokens that have no units."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.relu = nn.ReLU()
        self.tokens = nn.Flatten(2)
        self.head = nn.Linear(4, 2)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.relu(self.second(self.pool(self.relu(self.first(images)))))
        return self.head(self.tokens(maps).mean(2))


@pytest.fixture(scope="module")
def network() -> striate.Network:
    torch.manual_seed(0)
    return striate.Network(Twice().eval(), striate.InputSpec(1, 8, 10), name="twice")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (None, ["first", "second"]),
        ("convolutions", ["first", "second"]),
        ("rectifiers", ["relu~1", "relu~2"]),
        ("stages", ["relu~1", "relu~2"]),
        ("all", ["first", "relu~1", "pool", "second", "relu~2", "head"]),
        (["head", "first", "convolutions", "first"], ["first", "second", "head"]),  # the network's order, each once
        (["relu"], ["relu~2"]),  # the last call
    ],
)
def test_words_and_addresses(network: striate.Network, asked: object, expected: list[str]) -> None:
    assert [layer.address for layer in choose_layers(network, asked)] == expected  # type: ignore[arg-type]


def test_a_layer_of_that_name_comes_before_the_word(network: striate.Network) -> None:
    assert is_word(network, "stages")
    assert not is_word(network, "stage")
    module = nn.Sequential()
    module.add_module("all", nn.Conv2d(1, 2, 3))
    module.add_module("flat", nn.Flatten())
    named = striate.Network(module, striate.InputSpec(1, 6, 6))
    assert not is_word(named, "all")
    assert [layer.address for layer in choose_layers(named, "all")] == ["all"]


def test_what_there_is_not(network: striate.Network) -> None:
    with pytest.raises(AddressError, match=r"no layer 'frist' in this network\. Did you mean first"):
        choose_layers(network, "frist")
    with pytest.raises(AddressError, match="no layers were named"):
        choose_layers(network, [])
    with pytest.raises(NetworkError, match="layer 'tokens' gives 1 x 4 x 20 for one picture, neither"):
        choose_layers(network, "tokens")
    linear = striate.Network(nn.Sequential(nn.Flatten(), nn.Linear(36, 2)), striate.InputSpec(1, 6, 6), name="linear")
    with pytest.raises(NetworkError, match=r"linear has no convolutions among its modules\. Name layers of it: 0, 1\."):
        choose_layers(linear, None)
