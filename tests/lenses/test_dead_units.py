"""Dead units against networks whose answers are known, and against the rectifier's own values."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import nn

import striate
from atlas.making import make_atlas
from lenses.small_atlas import make_network, pictures_of, small_atlas
from striate import tap
from striate.errors import AddressError, OptionError
from striate.lenses import dead_units


@pytest.fixture
def by_hand():
    """Four units read a grey picture of one colour: never above 0, only for white, always, and always the same."""
    module = nn.Sequential(nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([1.0, 1.0, 1.0, 0.0]).reshape(4, 1, 1, 1))
        module[0].bias.copy_(torch.tensor([-2.0, -0.95, 0.1, 3.0]))
        module[2].weight.fill_(1)
    network = striate.Network(module, striate.InputSpec(1, 4, 5), name="by hand")
    images = torch.linspace(0, 1, 11).reshape(11, 1, 1, 1).expand(-1, 1, 4, 5).contiguous()  # 0, 0.1, ..., 1
    return network, images


def test_dead_seldom_and_constant_by_hand(by_hand, tmp_path):
    network, images = by_hand
    atlas = make_atlas(tmp_path / "a", network, images, ["0", "1", "2"], keep=False)
    found = dead_units(network, atlas, threshold=0.1)
    first, rectifier, last = found.layers
    for layer in (first, rectifier):
        assert layer.final
        assert (layer.silent, layer.nearly, layer.constant) == ((0,), (1,), (3,))
        np.testing.assert_allclose(layer.fires, [0, 1 / 11, 1, 1])
        assert layer.words() == "1 dead, 1 nearly, 1 constant"
    assert (first.following, rectifier.following) == ("ReLU", "it rectifies")
    assert not last.final
    assert last.following == "the classes"
    # the units of a layer and of its own rectifier are counted once
    assert found.caption().startswith("1 of 4 units before or after a rectifier is dead: never above 0 in 11 pictures.")
    assert "a unit that fires in less than 27 % of all can pass for dead" in found.caption()  # 3 / 11
    assert "1 layer (grey) goes on with the sign" in found.caption()
    assert found.dead == {"0": (0,), "1": (0,)}


def test_a_raw_layer_has_no_dead_units(by_hand, tmp_path):
    network, images = by_hand
    with torch.no_grad():
        network.module[2].bias.copy_(torch.tensor([-1e3, 1.0]))
    found = dead_units(network, make_atlas(tmp_path / "a", network, images, ["2"], keep=False))
    assert found.layers[0].silent == (0,)
    assert found.layers[0].words() == "1 never above 0"
    assert found.dead == {}
    assert found.caption().startswith("No layer of the 1 shown is before or after a rectifier.")


def test_past_a_normalisation_the_units_of_a_convolution_die_where_those_of_its_rectifier_do(tmp_path):
    # the rectifier's own values are the truth; weights below zero turn a unit's sign around
    network = make_network(seed=5)
    with torch.no_grad():
        network.module.norm.weight.copy_(torch.tensor([1.0, 0.5, 2.0, 1.5, -1.0, 0.0]))
        network.module.norm.bias.copy_(torch.tensor([0.0, -5.0, 0.3, -0.5, -9.0, 0.2]))
    images = pictures_of(network, 50)
    found = dead_units(network, small_atlas(tmp_path / "a", network, images))
    truth = (tap.activations(network, images, ["second_relu"]).outputs["second_relu"].amax((2, 3)) > 0).double().mean(0)
    lives = {layer.address: layer for layer in found.layers}
    np.testing.assert_allclose(lives["second_relu"].fires, truth)
    second = lives["second"]
    assert second.following == "BatchNorm2d, then ReLU"
    assert second.gate == lives["norm"].gate == lives["second_relu"].gate
    rising = [0, 1, 2, 3, 5]
    # a histogram's bin is an eighth of its values wide
    np.testing.assert_allclose(second.fires[rising], truth[rising], atol=0.1)
    np.testing.assert_array_equal(second.fires[rising] == 0, truth[rising] == 0)
    assert truth[1] == 0
    assert truth[5] == 1  # without a scale the shift alone counts
    assert np.isnan(second.fires[4])
    assert truth[4] == 0
    assert "second fire is not known" in found.recipe.notes[0]


def test_layers_can_be_chosen_and_wrong_options_are_explained(by_hand, tmp_path):
    network, images = by_hand
    atlas = make_atlas(tmp_path / "a", network, images, ["0", "1"], keep=False)
    assert [layer.address for layer in dead_units(network, atlas, layers=["1"]).layers] == ["1"]
    assert [layer.address for layer in dead_units(network, atlas, layers="0").layers] == ["0"]
    with pytest.raises(AddressError, match="layer '2' is not in the atlas"):
        dead_units(network, atlas, layers=["2"])
    with pytest.raises(OptionError, match=r"a share of the pictures, from 0 to 1, got 5"):
        dead_units(network, atlas, threshold=5)


def test_it_is_saved_and_drawn(by_hand, tmp_path):
    network, images = by_hand
    found = dead_units(network, make_atlas(tmp_path / "a", network, images, ["0", "1", "2"], keep=False))
    written = json.loads(found.save(tmp_path / "dead.json").read_text())
    assert written["layers"][0]["never_above_zero"] == [0]
    assert written["layers"][2]["death"] is False
    with np.load(found.save(tmp_path / "dead.npz")) as arrays:
        assert arrays["starts"].tolist() == [0, 4, 8, 10]
    assert len(found.drawings()) == 1
    assert found.figure().get_figheight() < 4
