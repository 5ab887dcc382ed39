"""Units that never fire: the lecture's two weights, every kind of rectifier, and the rectifier's own values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import striate
from striate import tap
from striate.errors import NetworkError, OptionError
from striate.lenses import dead_relus
from striate.rectifiers import rectified


@pytest.fixture
def lecture():
    """y = max(w x, 0) with w = (.1, -.1)."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(2, 1, bias=False), nn.ReLU())
    with torch.no_grad():
        module[1].weight.copy_(torch.tensor([[0.1, -0.1]]))
    return striate.Network(module, striate.InputSpec(1, 1, 2), name="lecture")


@pytest.mark.parametrize(("x", "slope", "dead"), [((1.0, 20.0), 0.0, (0,)), ((20.0, 10.0), 10.0, ())])
def test_no_gradient_reaches_the_weights_of_a_silent_unit(lecture, x, slope, dead):
    images = torch.tensor(x).view(1, 1, 1, 2)
    found = dead_relus(lecture, images)
    assert found.layers[0].silent == dead
    weight = lecture.module[1].weight
    weight.requires_grad_(True)
    lecture.module(images).sum().backward()
    assert float(weight.grad[0, 1]) == pytest.approx(slope)


class Kinds(nn.Module):
    """Every way to cut off what is below zero, and what only looks like one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 1)
        self.relu = nn.ReLU()
        self.six = nn.ReLU6(inplace=True)
        self.leaky = nn.LeakyReLU(0.1)
        self.inner = Inner()

    def forward(self, images):
        maps = self.conv(images)
        maps = self.relu(maps) - 0.1
        maps = self.six(maps) - 0.1
        maps = self.relu(maps) - 0.1  # the same module once more
        maps = F.relu(maps) - 0.1
        maps = torch.clamp(maps, min=0) - 0.1
        maps = maps.clamp_min_(0) - 0.1
        maps = self.inner(maps)
        gate = F.relu6(maps + 3) / 6  # a hard sigmoid
        return self.leaky(maps * gate).clamp(-1, 1).mean((2, 3))


class Inner(nn.Module):
    def forward(self, maps):
        return F.threshold(F.relu(maps) - 0.1, 0.0, 0.0)


def test_every_kind_of_rectifier_is_seen_and_nothing_else():
    torch.manual_seed(0)
    network = striate.Network(Kinds().eval(), striate.InputSpec(1, 4, 5), name="kinds")
    found = dead_relus(network, torch.rand(3, 1, 4, 5))
    names = [layer.address for layer in found.layers]
    assert names == ["relu~1", "six", "relu~2", "relu 1", "relu 2", "relu 3", "inner: relu 1", "inner: relu 2"]
    assert all(len(layer.fires) == 3 for layer in found.layers)


def test_shares_are_those_of_the_rectifiers_own_values(shared_data):
    path = shared_data / "models" / "resnet20-cifar10.safetensors"
    network = striate.load(path, factory="striate:resnet-20-cifar")
    images = torch.randn(24, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found = dead_relus(network, images)
    assert len(found.layers) == 19
    places = [layer.address for layer in found.layers]
    outputs = tap.activations(network, images, places).outputs
    for index, (place, layer) in enumerate(zip(places, found.layers, strict=True)):
        above = outputs[place] > 0
        np.testing.assert_allclose(layer.fires, above.flatten(2).any(2).double().mean(0))
        np.testing.assert_allclose(found.active[index], above.double().mean((0, 2, 3)), atol=1e-6)
    assert found.dead == {layer.address: layer.silent for layer in found.layers if layer.silent}
    assert found.dead


def test_random_weights_are_those_of_the_rule_with_the_statistics_of_the_pictures():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 4, 2))
    with torch.no_grad():
        module[1].bias.fill_(-100.0)  # every unit of the network itself is dead
    network = striate.Network(module.eval(), striate.InputSpec(1, 4, 4), name="dead")
    images = torch.rand(16, 1, 4, 4)
    hash_before = network.weights_hash
    found = dead_relus(network, images, seed=3)
    assert found.share(0) == 1.0
    assert found.random_share(0) == 0.0  # batch norm with statistics of its own silences no unit
    fresh = nn.Conv2d(1, 8, 3)
    striate.nets.initialise(fresh, "he-normal", torch.Generator().manual_seed(3))
    values = fresh(images)
    above = (values > values.mean((0, 2, 3), keepdim=True)).flatten(2).any(2).double().mean(0)
    np.testing.assert_allclose(found.random[0], above)
    assert network.weights_hash == hash_before
    assert "8 of 8 units behind 1 rectifier never fire on 16 pictures (100 %)" in found.caption()
    assert "all would fire" in found.caption()


@pytest.mark.parametrize("count", [2, 33, 1057])
def test_no_picture_is_left_alone_with_its_statistics(count):
    """Batch norm refuses a single value for each channel, and 33 pictures are 32 and one."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2)).eval()
    network = striate.Network(module, striate.InputSpec(1, 2, 2))
    found = dead_relus(network, torch.rand(count, 1, 2, 2, generator=torch.Generator().manual_seed(0)))
    assert found.random[0] is not None
    assert found.recipe.notes == ()


def test_without_rule_for_the_weights_there_is_no_comparison():
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, images):
            return F.relu(images * self.weight).flatten(1)

    network = striate.Network(Own(), striate.InputSpec(1, 2, 2), name="own")
    found = dead_relus(network, torch.ones(2, 1, 2, 2))
    assert found.random == (None,)
    assert "Without comparison" in found.recipe.notes[0]
    assert "random" not in found.caption()
    assert found.figure()


def test_what_has_no_rectifier_and_wrong_options(lecture):
    plain = striate.Network(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), striate.InputSpec(1, 2, 2), name="plain")
    with pytest.raises(NetworkError, match="plain has no rectifier"):
        dead_relus(plain, torch.ones(1, 1, 2, 2))
    with pytest.raises(OptionError, match="from 0 to 1, got 2"):
        dead_relus(lecture, torch.ones(1, 1, 1, 2), threshold=2)


def test_hooks_are_gone_after_an_exception():
    module = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU())

    def fail(place, output):
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"), rectified(module, fail):
        module(torch.ones(1, 1, 2, 2))
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


def test_it_is_saved_and_drawn(lecture, tmp_path):
    found = dead_relus(lecture, torch.tensor([[1.0, 20.0], [20.0, 10.0]]).view(2, 1, 1, 2))
    np.testing.assert_allclose(found.layers[0].fires, [0.5])
    with np.load(found.save(tmp_path / "dead.npz")) as arrays:
        assert arrays["fires"].tolist() == [0.5]
    assert found.save(tmp_path / "dead.png").stat().st_size > 5000
    assert len(found.drawings()) == 1
