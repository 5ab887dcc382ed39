"""Sparse connectivity from both sides, against the lecture's drawing, gradients of the network, and its fields."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

import striate
from striate.errors import AddressError, NetworkError, OptionError
from striate.lenses import connectivity
from truth.cases import case


class Head(nn.Sequential):
    """Layers to look at, then something that a network ends with."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images).mean((2, 3))


def network(*layers: nn.Module, height: int = 16, width: int = 21) -> striate.Network:
    return striate.Network(Head(*layers).double().eval(), striate.InputSpec(1, height, width), name="small")


def test_the_drawing_of_the_lecture():
    # three layers, three wide: a unit sees 7 pixels, by way of 5 and 3; a pixel reaches 3, 5 and 7 units
    net = network(*(nn.Conv2d(1, 1, 3, padding=1) for _ in range(3)))
    result = connectivity(net)
    assert [level.name for level in result.levels] == ["picture", "0", "1", "2"]
    assert [len(units) for units in result.seen()] == [7, 5, 3, 1]
    assert [len(units) for units in result.reached()] == [1, 3, 5, 7]
    assert result.seen()[0] == list(range(7, 14))
    assert result.connections() == [3 * 21 - 2] * 3
    assert "183 of 1,323 possible connections are there, 14 %" in result.caption()


STACKS = {
    "strides": [
        nn.Conv2d(1, 2, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(2, 2, (5, 3), padding=1),
    ],
    "dilation": [nn.Conv2d(1, 2, 3, dilation=2), nn.Conv2d(2, 2, 3, dilation=(1, 2), padding=2)],
    "padding of its own": [nn.ZeroPad2d((2, 1, 0, 1)), nn.Conv2d(1, 2, 4, stride=3), nn.Conv2d(2, 2, 2)],
    "gaps": [nn.Conv2d(1, 2, 1, stride=3), nn.Conv2d(2, 2, 2)],
}


@pytest.mark.parametrize("axis", ["across", "down"])
@pytest.mark.parametrize("name", STACKS)
def test_both_sides_are_what_gradients_say(name, axis):
    layers = STACKS[name]
    net = network(*layers)
    last = str(len(layers) - 1)
    top = net.graph().layer(last).map_size[axis == "across"]
    opened = nn.Sequential(*(nn.AvgPool2d(2) if isinstance(one, nn.MaxPool2d) else one for one in layers[:])).double()
    opened = nn.Sequential(*(one for one in opened if not isinstance(one, nn.ReLU)))
    for part in opened:
        if isinstance(part, nn.Conv2d):
            part.weight.data.fill_(1.0)
    images = torch.ones(1, 1, 16, 21, dtype=torch.float64, requires_grad=True)
    maps = opened(images)
    summed = maps.sum((0, 1, 2) if axis == "across" else (0, 1, 3))  # one number for each place along the axis
    slopes = torch.stack([torch.autograd.grad(value, images, retain_graph=True)[0][0, 0] for value in summed])
    hangs = slopes.sum(1 if axis == "across" else 2) > 0  # (units, pixels)
    assert len(hangs) == top
    for unit in range(top):
        result = connectivity(net, layer=last, unit=unit, axis=axis)
        assert result.seen()[0] == hangs[unit].nonzero().flatten().tolist()
    for pixel in range(hangs.shape[1]):
        result = connectivity(net, layer=last, pixel=pixel, axis=axis)
        assert result.reached()[-1] == hangs[:, pixel].nonzero().flatten().tolist()


@pytest.mark.parametrize(
    ("name", "layer", "merges"),
    [
        ("efficientnet_lite0", "blocks.2.1.conv_dw", 1),
        ("resnet18", "layer2.1", 4),
        ("resnet20-cifar10", "layer2.0.conv1", 3),
        ("mobilenet_v2", "features.5.conv.1.0", 1),
        ("googlenet", "inception3a", 1),
    ],
)
def test_it_agrees_with_the_receptive_fields_of_real_networks(name, layer, merges):
    net = case(name).network
    result = connectivity(net, layer=layer)
    field = net.graph().layer(layer).field
    for unit in (0, result.levels[-1].length // 2, result.levels[-1].length - 1):
        seen = connectivity(net, layer=layer, unit=unit).seen()[0]
        _, left, _, right = field.box(0, unit, own=True)
        assert (seen[0], seen[-1]) == (left, right)
    assert result.levels[-1].jump == field.stride[1]
    assert result.shortcuts == merges


def test_the_first_layers_are_taken_unless_one_is_named(lite0):
    result = connectivity(lite0)
    assert len(result.levels) == 1 + 4
    assert len(connectivity(lite0, depth=2).levels) == 1 + 2
    wide = connectivity(lite0, depth=40)
    assert len(wide.seen()[0]) <= 48 < len(connectivity(lite0, layer="blocks.2.1.conv_dw").seen()[0]) + 20


def test_it_is_drawn_and_kept(lite0, tmp_path):
    result = connectivity(lite0, layer="blocks.1.0.conv_dw")
    words = [text.get_text() for text in result.figure().axes[0].texts]
    for level in result.levels:
        assert words.count(level.name) == 2
    assert words.count("Conv2d 3 wide, stride 2") == 4
    counts = [str(len(units)) for units in (*result.seen(), *result.reached())]
    assert sorted(word for word in words if word.isdecimal()) == sorted(counts)
    seen, reached = result.drawings()
    assert seen.caption.endswith(": 1, 3, 5, 11.")
    assert reached.caption.startswith("From the input's side: one pixel reaches this many")
    kept = json.loads(result.save(tmp_path / "rows.json").read_text(encoding="utf-8"))
    assert [level["seen"] for level in kept["levels"]] == result.seen()
    with np.load(result.save(tmp_path / "rows.npz")) as arrays:
        np.testing.assert_array_equal(arrays["reached_3"], result.reached()[3])
    assert connectivity(lite0, **result.recipe.options).numbers() == result.numbers()
    assert result.save(tmp_path / "rows.png").stat().st_size > 10_000


class Lost(nn.Module):
    """Steps that have no windows."""

    def __init__(self):
        super().__init__()
        self.up, self.conv = nn.Upsample(scale_factor=1.5, mode="bilinear"), nn.Conv2d(1, 2, 3)
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(2, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.pool(self.conv(self.up(images))).flatten(1))


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"layer": "conv"}, NetworkError, r"'up' \(Upsample\) is no window that slides in whole steps"),
        ({"layer": "head"}, NetworkError, r"layer 'head' gives no map"),
        ({"layer": "pool"}, NetworkError, r"no window that slides|have no place"),
        ({"layer": "cone"}, AddressError, r"no layer 'cone'.* Did you mean conv"),
        ({"depth": 0}, OptionError, r"depth must be at least 1, got 0"),
        ({"axis": "over"}, OptionError, r"no axis 'over'; there are across, down"),
    ],
)
def test_what_cannot_be_drawn(options, kind, message):
    with pytest.raises(kind, match=message):
        connectivity(striate.Network(Lost(), striate.InputSpec(1, 16, 20)), **options)


def test_units_and_pixels_that_are_not_there():
    net = network(nn.Conv2d(1, 2, 3))
    with pytest.raises(AddressError, match="no unit 19 in '0': along this axis it has 19, 0 to 18"):
        connectivity(net, unit=19)
    with pytest.raises(AddressError, match="no pixel -1: along this axis the picture has 21, 0 to 20"):
        connectivity(net, pixel=-1)
    with pytest.raises(NetworkError, match="no layer up to '0' has a window: each unit sees one pixel"):
        connectivity(network(nn.Conv2d(1, 2, 1)), layer="0")
