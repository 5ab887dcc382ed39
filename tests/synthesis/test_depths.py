"""Which layers stand for the depths of a network: by hand on small ones, and on a real one."""

from __future__ import annotations

import pytest
from torch import nn

import striate
from striate.errors import NetworkError
from striate.synthesis.depths import finer, middle, over_depth, pixels_a_unit


def places(layers):
    return [layer.address for layer in layers]


def test_a_real_network(lite0):
    graph = lite0.graph()
    assert places(over_depth(graph, 5)) == ["blocks.0", "blocks.1", "blocks.2", "blocks.4", "bn2"]
    assert places(over_depth(graph, 3)) == ["blocks.0", "blocks.2", "bn2"]
    assert places(over_depth(graph, 1)) == ["bn2"]
    assert middle(graph).address == "blocks.4"
    assert places(finer(graph, graph.layer("blocks.4"), 5)) == ["blocks.0", "blocks.1", "blocks.2"]
    assert [pixels_a_unit(graph, layer) for layer in over_depth(graph, 5)] == [2, 4, 8, 16, 32]
    assert pixels_a_unit(graph, graph.layers[-1]) == 224
    assert places(finer(graph, graph.layers[-1], 9)) == places(over_depth(graph, 9))


def test_a_network_of_one_resolution():
    graph = striate.Network(nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU()), striate.InputSpec(1, 6, 8)).graph()
    assert places(over_depth(graph, 5)) == [middle(graph).address] == ["1"]
    assert places(finer(graph, middle(graph), 5)) == ["1"]


def test_a_network_without_maps():
    graph = striate.Network(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), striate.InputSpec(1, 3, 4)).graph()
    with pytest.raises(NetworkError, match="no layer of this network gives a feature map"):
        middle(graph)
