"""Objectives: the algebra, what addresses stand for, and what is read off one run, each against numbers by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import striate
from striate import tap
from striate.errors import AddressError, OptionError
from striate.synthesis import Objective, Term, direction, objective
from striate.synthesis.reading import Reading


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.Tanh(), nn.Conv2d(6, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, 5),
    )  # fmt: skip
    return striate.Network(module, striate.InputSpec(3, 12, 10), ["ant", "bee", "cat", "dog", "tiger cat"])


@pytest.fixture(scope="module")
def images():
    return torch.rand(3, 3, 12, 10, generator=torch.Generator().manual_seed(1))


def values(network, images, objectives):
    reading = Reading(objectives, network.device)
    return reading.values(tap.follow(network, images, reading.places, logits=reading.logits))


def test_addresses_by_hand(network, images):
    maps = tap.activations(network, images, ["0", "2"], logits=True)
    first, second, logits = maps.outputs["0"], maps.outputs["2"], maps.logits
    by_hand = {
        "0:4": lambda one: first[one, 4].mean(),
        "2:1@3,5": lambda one: second[one, 1, 3, 5],
        "2:1@max": lambda one: second[one, 1].max(),
        "0": lambda one: (first[one] ** 2).sum() / 2,
        "class:bee": lambda one: logits[one, 1],
        "class:tiger cat - 0.5*class:3": lambda one: logits[one, 4] - 0.5 * logits[one, 3],
        "-2*0:4 + 2:1@max": lambda one: -2 * first[one, 4].mean() + second[one, 1].max(),
    }
    for text, value in by_hand.items():
        goal = objective(network, text)
        found = values(network, images, [goal] * 3)
        torch.testing.assert_close(found, torch.stack([value(one) for one in range(3)]), msg=text)


def test_a_batch_of_different_objectives_reads_each_off_its_own_picture(network, images):
    texts = ["2:1", "0:4 - class:bee", "0"]
    together = values(network, images, [objective(network, text) for text in texts])
    for row, text in enumerate(texts):
        alone = values(network, images[row : row + 1], [objective(network, text)])
        torch.testing.assert_close(together[row], alone[0])


def test_the_algebra_is_linear_and_says_what_it_is(network, images):
    one, other = objective(network, "0:4"), objective(network, "class:bee")
    both = 2 * one - other * 3 + (-one)
    assert both.label == "2*0:4 - 3*class:bee - 0:4"
    first, second = values(network, images, [one] * 3), values(network, images, [other] * 3)
    torch.testing.assert_close(values(network, images, [both] * 3), first - 3 * second)
    assert objective(network, both.label).label == both.label
    assert objective(network, 1).label == "class:bee"


def test_a_label_is_read_back_as_the_same_objective(network, images):
    for text in ("-0:4 + 0.25*2:1@max", "class:tiger cat - class:ant", "0"):
        goal = objective(network, text)
        assert goal.label == text
        again = objective(network, goal.label)
        torch.testing.assert_close(values(network, images, [goal] * 3), values(network, images, [again] * 3))


def test_a_direction_by_hand():
    # two positions with the vectors (3, 4) and (0, -2); the wanted direction is (1, 0)
    network = striate.Network(nn.Sequential(nn.Identity(), nn.Flatten()), striate.InputSpec(2, 1, 2))
    picture = torch.tensor([[[[3.0, 0.0]], [[4.0, -2.0]]]])
    wanted = torch.tensor([1.0, 0.0])
    # dot products 3 and 0; cosines 0.6 and 0
    plain = values(network, picture, [direction(network, "0", wanted, power=0)])
    torch.testing.assert_close(plain, torch.tensor([1.5]))
    squared = values(network, picture, [direction(network, "0", wanted)])
    torch.testing.assert_close(squared, torch.tensor([3 * 0.36 / 2]))
    # of the opposite direction the cosine counts as 0.1: -3 * 0.01 / 2
    torch.testing.assert_close(
        values(network, picture, [direction(network, "0", -wanted)]), torch.tensor([-3 * 0.01 / 2])
    )


def test_likeness_is_one_for_equal_pictures_and_zero_for_orthogonal_ones():
    network = striate.Network(nn.Sequential(nn.Identity(), nn.Flatten()), striate.InputSpec(2, 1, 2))
    goal = objective(network, "0:0").diverse(strength=0.5)
    reading = Reading([goal] * 3, network.device)
    # the first two have all in channel 0, the third in channel 1: Gram matrices that share nothing
    pictures = torch.tensor([[[[2.0, 2.0]], [[0.0, 0.0]]], [[[1.0, 3.0]], [[0.0, 0.0]]], [[[0.0, 0.0]], [[1.0, 1.0]]]])
    tapped = tap.follow(network, pictures, reading.places)
    found = reading.values(tapped)
    torch.testing.assert_close(found, torch.tensor([2.0, 2.0, 0.0]))
    # strength times the mean size of the values (4 / 3), times the mean likeness with the two others
    torch.testing.assert_close(reading.likeness(tapped, found), torch.tensor([0.5, 0.5, 0.0]) * 0.5 * 4 / 3)


def test_vectors_are_kept_apart_as_maps_are():
    network = striate.Network(nn.Sequential(nn.Flatten(), nn.Identity()), striate.InputSpec(1, 1, 2))
    reading = Reading([objective(network, "1:0").diverse()] * 2, network.device)
    for second, likeness in (([2.0, 0.0], 1.0), ([0.0, 2.0], 0.0)):
        pictures = torch.tensor([[1.0, 0.0], second]).view(2, 1, 1, 2)
        tapped = tap.follow(network, pictures, reading.places)
        found = reading.values(tapped)
        torch.testing.assert_close(reading.likeness(tapped, found), likeness * found.abs().mean().expand(2))


def test_only_pictures_of_the_same_objective_are_kept_apart(network, images):
    goals = [objective(network, "0:1").diverse(), objective(network, "0:2").diverse(), objective(network, "0:3")]
    reading = Reading(goals, network.device)
    tapped = tap.follow(network, images, reading.places)
    assert reading.likeness(tapped, reading.values(tapped)) is None


def test_peaks_are_the_largest_values_of_single_channels(network, images):
    goals = [objective(network, text) for text in ("0:4", "class:dog", "0:1 + 0:2")]
    reading = Reading(goals, network.device)
    tapped = tap.follow(network, images, reading.places, logits=True)
    peaks = reading.peaks(tapped)
    torch.testing.assert_close(peaks[0], tapped.outputs["0"][0, 4].max())
    torch.testing.assert_close(peaks[1], tapped.logits[1, 3])
    assert peaks[2].isnan()


def test_what_is_no_objective_is_explained(network):
    with pytest.raises(AddressError, match=r"no channel 9 in '0': it has 6"):
        objective(network, "0:1 - 0:9")
    with pytest.raises(AddressError, match="no layer '7'"):
        objective(network, "7:1")
    with pytest.raises(AddressError, match=r"no unit 40,2 in '0': its map is 40 x 30"):
        objective(network, "0:1@40,2", (40, 30))
    with pytest.raises(AddressError, match="no sum of addresses"):
        objective(network, " ")
    with pytest.raises(OptionError, match=r"a direction of 5 for '0', which has 6 channels"):
        direction(network, "0", torch.ones(5))
    with pytest.raises(OptionError, match="it points nowhere"):
        direction(network, "0", torch.zeros(6))
    with pytest.raises(OptionError, match="lies at no layer"):
        objective(network, "class:bee").diverse()


def test_an_objective_can_be_put_together_by_hand(network, images):
    goal = Objective((Term("0", "channel", "mine", weight=2.0, channel=3),))
    torch.testing.assert_close(
        values(network, images, [goal] * 3), 2 * tap.activations(network, images, ["0"]).outputs["0"][:, 3].mean((1, 2))
    )
