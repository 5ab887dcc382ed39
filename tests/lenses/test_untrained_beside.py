"""Pictures for the same units of a network and of an untrained copy: both are really made, and told apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import striate
from striate import progress
from striate.nets.untrained import untrained

FEW = {"steps": 4, "size": 24}


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 10, 5),
        nn.BatchNorm2d(10),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(10, 6, 3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 3),
    )
    with torch.no_grad():
        module[0].weight.fill_(0.01)  # what it learned: it likes light
    return striate.Network(module.eval(), striate.InputSpec(3, 32, 32), ["ant", "bee", "crane"], name="small")


def test_both_are_those_that_synthesize_makes(network):
    found = striate.lenses.untrained_beside(network, ["0", "class:bee"], per_layer=3, seed=2, **FEW)
    assert [one.title for one in found.made[:2]] == ["0, as it is", "0, random weights"]
    copy = untrained(network, seed=2)
    for one, whose in ((network, "as it is"), (copy, "random weights")):
        alone = striate.lenses.synthesize(one, ["0", "class:bee"], per_layer=3, seed=2, **FEW)
        for made in alone.made:
            ours = next(held for held in found.made if held.title == f"{made.title}, {whose}")
            np.testing.assert_array_equal(ours.pictures, made.pictures)
            np.testing.assert_array_equal(ours.reached, made.reached)
            assert ours.numbers == made.numbers


def test_the_network_is_left_as_it_was(network):
    before = network.weights_hash
    found = striate.lenses.untrained_beside(network, "0:1", **FEW)
    assert network.weights_hash == before == found.recipe.weights
    assert found.recipe.notes[0] == "The random weights on the right were drawn by he-normal, seed 0."
    assert "mean 0 and variance 1, as in a network just built" in found.recipe.notes[1]


def test_photographs_settle_the_copy_and_nothing_else(network):
    images = torch.rand(3, 3, 32, 32)
    plain = striate.lenses.untrained_beside(network, "4:1", **FEW)
    measured = striate.lenses.untrained_beside(network, "4:1", images, **FEW)
    np.testing.assert_array_equal(plain.made[0].pictures, measured.made[0].pictures)
    assert plain.made[1].reached[0] != measured.made[1].reached[0]
    assert "measured on 3 photographs." in measured.recipe.notes[1]


def test_a_network_that_has_learned_nothing_is_not_called_trained(network):
    known = striate.lenses.untrained_beside(striate.load("striate:tiny"), "conv1:0", steps=4)
    assert "The network itself has random weights and has learned nothing yet" in known.caption()
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()
    unknown = striate.Network(module, striate.InputSpec(3, 24, 24))  # nobody can tell
    assert (
        "it was learned, if the network was trained" in striate.lenses.untrained_beside(unknown, "0:0", **FEW).caption()
    )


def test_pairs_stand_side_by_side_by_depth(network, tmp_path):
    found = striate.lenses.untrained_beside(network, ["4", "0"], per_layer=5, **FEW)
    assert [one.title for pair in found.pairs for one in pair] == [
        "0, as it is", "0, random weights", "4, as it is", "4, random weights",
    ]  # fmt: skip
    assert [drawing.title for drawing in found.drawings()] == [one.title for pair in found.pairs for one in pair]
    assert found.save(tmp_path / "beside.png").stat().st_size > 2000
    assert "What 10 units answer to most" in found.caption()
    width, height = found.figure().get_size_inches()
    assert width > 2 * 3 * 1.0  # two sheets of three
    assert height > 4


def test_stopped_it_gives_what_is_there(network, tmp_path):
    with progress.stoppable() as stop:

        def hear(event: progress.Event) -> None:
            if event.task == "synthesize 4, as it is" and event.done >= 1:
                stop.stop()

        with progress.listen(hear):
            found = striate.lenses.untrained_beside(network, ["0:1", "4:1"], **FEW)
    assert [None if other is None else other.title for _, other in found.pairs] == ["0, random weights", None]
    assert found.save(tmp_path / "beside.png").exists()
    assert any("Stopped, as asked" in note for note in found.recipe.notes)


def test_it_is_made_again_from_its_recipe(network, tmp_path):
    first = striate.lenses.untrained_beside(network, "0:1", seed=5, **FEW)
    again = striate.again(first.save(tmp_path / "beside.json"), network)
    np.testing.assert_array_equal(again.made[1].pictures, first.made[1].pictures)
