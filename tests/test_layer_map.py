"""The map of a network: what is looked at, what flows where, stages; worked out by hand for small ones."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import striate
from striate import tap
from striate.layer_map import aliases, layer_map


class Gate(nn.Module):
    """x times what a pooled vector says, as in squeeze-and-excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.pool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 4, 1)

    def forward(self, x):
        return x * self.fc(self.pool(x)).sigmoid()


class Branches(nn.Module):
    """Two branches, one of which comes to the coarser map first."""

    def __init__(self) -> None:
        super().__init__()
        self.fast, self.slow, self.pool = nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, padding=1), nn.MaxPool2d(2)

    def forward(self, x):
        return torch.cat([self.fast(x), self.pool(self.slow(x))], 1) + 1


def mapped(*parts):
    torch.manual_seed(0)
    return layer_map(striate.Network(nn.Sequential(*parts), striate.InputSpec(3, 16, 16)).graph())


def test_a_gate_stays_in_its_stage_and_the_product_has_the_address_of_its_module():
    found = mapped(nn.Conv2d(3, 4, 3, padding=1), Gate(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    assert [node.address for node in found.nodes] == ["0", "1.pool", "1.fc", "1", "2", "3", "4"]
    assert {edge for edge in found.edges if edge[1] == "1"} == {("0", "1"), ("1.fc", "1")}
    assert [(stage.name, stage.layers) for stage in found.stages] == [("16 x 16", 4), ("vectors", 3)]
    assert [node.shape for node in found.nodes][-1] == (2,)
    assert sum(node.parameters for node in found.nodes) == 3 * 4 * 9 + 4 + 4 * 4 + 4 + 4 * 2 + 2


def test_a_branch_that_lags_behind_opens_no_stage_of_its_own():
    found = mapped(nn.Conv2d(3, 4, 3, padding=1), Branches(), nn.Conv2d(8, 2, 1))
    assert [(stage.name, stage.first, stage.last) for stage in found.stages] == [
        ("16 x 16", "0", "0"),
        ("8 x 8", "1.fast", "2"),
    ]
    # the concatenation has no module of its own: what ends with the sum after it reads from both branches
    assert {edge[0] for edge in found.edges if edge[1] == "1"} == {"1.fast", "1.pool"}


@pytest.mark.parametrize("name", ["striate:resnet-18,classes=10,size=64"])
def test_every_address_can_be_tapped_and_every_node_leads_back_to_the_picture(name):
    network = striate.load(name)
    found = layer_map(network.graph())
    addresses = [node.address for node in found.nodes]
    assert len(set(addresses)) == len(addresses)
    reached = {""}
    for node in found.nodes:
        assert network.graph().layer(node.address).channels == node.units
        assert reached.issuperset(node.inputs)
        assert node.inputs
        reached.add(node.address)
    merges = [node for node in found.nodes if len(node.inputs) > 1]
    assert len(merges) == 8


def test_a_block_goes_by_the_layer_that_ends_it(lite0):
    graph = lite0.graph()
    nodes = {node.address for node in layer_map(graph).nodes}
    found = aliases(graph)
    assert set(found.values()) <= nodes
    assert nodes.isdisjoint(found)
    assert found["blocks.4"] == "blocks.4.2"
    same = tap.activations(lite0, torch.rand(1, 3, 224, 224), ["blocks.4", "blocks.4.2"]).outputs
    torch.testing.assert_close(same["blocks.4"], same["blocks.4.2"], rtol=0, atol=0)
