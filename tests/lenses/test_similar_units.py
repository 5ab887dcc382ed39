"""Similar units against numpy's own correlation, and against units that are known to be alike."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from lenses.small_atlas import PLACES, make_network, pictures_of, small_atlas
from striate import tap
from striate.errors import AddressError, OptionError
from striate.lenses import similar_units
from striate.lenses._alike import by_weights, chance
from striate.lenses._atlas import Unit


@pytest.fixture(scope="module")
def network():
    network = make_network(seed=2)
    with torch.no_grad():  # unit 4 is 3 times unit 0, and unit 2 is deaf
        network.module.first.weight[4] = 3 * network.module.first.weight[0]
        network.module.first.bias[4] = 3 * network.module.first.bias[0]
        network.module.first.weight[2] = 0
    return network


@pytest.fixture(scope="module")
def images(network):
    return pictures_of(network, 60)


@pytest.fixture(scope="module")
def atlas(network, images, tmp_path_factory):
    return small_atlas(tmp_path_factory.mktemp("atlas") / "a", network, images)


def answers(network, images, place):
    output = tap.activations(network, images, [place]).outputs[place]
    return (output if output.dim() == 2 else output.amax((2, 3))).double().numpy()


def test_correlations_are_those_of_numpy(network, images, atlas):
    found = similar_units(network, atlas, "deep:3", units=50, top=1, beside="none")
    own = answers(network, images, "deep")[:, 3]
    truth = {}
    for place in PLACES:
        for channel, values in enumerate(answers(network, images, place).T):
            if values.std() > 0 and (place, channel) != ("deep", 3):
                truth[f"{place}:{channel}"] = np.corrcoef(own, values)[0, 1]
    order = sorted(truth, key=lambda address: -truth[address])
    # of those that are equally alike, as a layer and its normalisation are, either may come first
    assert sorted(row.address for row in found.rows[1:]) == sorted(order)
    np.testing.assert_allclose(found.correlations[1:], [truth[address] for address in order], rtol=1e-4, atol=1e-6)
    assert found.compared == len(truth)
    assert not any(address in ("first:2", "first_relu:2") for address in order)  # deaf units are like none


def test_the_same_unit_after_its_rectifier_is_passed_over_and_its_twin_is_found(network, atlas):
    found = similar_units(network, atlas, "first:0", units=2, top=1, beside="none")
    assert found.rows[1].address == "first:4"
    assert found.correlations[1] == pytest.approx(1)
    assert all(row.address != "first_relu:0" for row in found.rows)
    inside = similar_units(network, atlas, "first:0", units=9, within="layer", top=1, beside="none")
    assert [row.address.split(":")[0] for row in inside.rows] == ["first"] * 4  # 0, 4 and two that hear
    assert "(first)" in inside.caption()


def test_weights_in_the_same_direction(network):
    first, *others = by_weights(network, Unit("first", 0), 9)
    assert first.unit == Unit("first", 4)
    assert first.likeness == pytest.approx(1)
    flat = network.module.first.weight.detach().flatten(1).double().numpy()
    for other in others:
        one, two = flat[0], flat[other.unit.channel]
        assert other.likeness == pytest.approx(one @ two / np.linalg.norm(one) / np.linalg.norm(two))
    assert len(others) == 2  # the deaf unit has no direction
    assert by_weights(network, Unit("first", 2), 9) == []
    assert by_weights(network, Unit("first_relu", 0), 9) == []


def test_chance_is_what_unrelated_answers_reach():
    draw = np.random.default_rng(0)
    best = []
    for _ in range(20):
        values = draw.standard_normal((100, 501))
        values -= values.mean(0)
        values /= np.linalg.norm(values, axis=0)
        best.append((values[:, 0] @ values[:, 1:]).max())
    assert np.mean(best) == pytest.approx(chance(500, 100), rel=0.2)


def test_a_unit_that_answers_alike_to_all_has_no_likes(network, atlas):
    found = similar_units(network, atlas, "first:2", top=1, beside="none")
    assert len(found) == 0
    assert "its answers are all the same" in found.caption()
    assert found.figure() is not None


def test_what_cannot_be_is_explained(network, atlas):
    with pytest.raises(AddressError, match="'first' is a whole layer"):
        similar_units(network, atlas, "first")
    with pytest.raises(OptionError, match="units must be at least 1"):
        similar_units(network, atlas, "first:0", units=0)
    with pytest.raises(OptionError, match="no within 'network'"):
        similar_units(network, atlas, "first:0", within="network")


def test_it_is_made_again_from_its_recipe(network, atlas, tmp_path):
    first = similar_units(network, atlas, "class:bee", units=3, top=2)
    recipe = json.loads(first.save(tmp_path / "one.json").read_text())["recipe"]
    again = similar_units(network, target=recipe["target"][0], **recipe["options"])
    for key, array in first.arrays().items():
        np.testing.assert_array_equal(array, again.arrays()[key], err_msg=key)
    assert first.rows[0].title == "head:1 (bee)"
    assert len(first.drawings()) == 4
