"""First layers that nobody trained: the kernels are those that they should be, and their answers of one size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import striate
from learn.small_run import stripes
from striate import dataset
from striate.errors import DataError, NetworkError, OptionError
from striate.kernels.bank import bank
from striate.kernels.learned import learn_kernels
from striate.kernels.random import random_filters
from striate.learn.freezing import wake
from striate.learn.untrained.first_layer import first_layer, set_first_layer
from striate.spec import InputSpec

SPEC = InputSpec(3, 20, 24, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))


@pytest.fixture(scope="module")
def pictures():
    values, labels = stripes(90)
    return dataset.open(values, labels=labels)


def network(layers: str = "conv 12 5x5 same relu,pool 4,flatten,dense 3", channels: int = 3) -> striate.Network:
    made = striate.load(f"striate:sequential,{channels}x20x24,{layers}")
    made.spec = SPEC if channels == 3 else made.spec
    return made


def filters(made: striate.Network) -> torch.Tensor:
    """Filters (F, D), each of length 1."""
    return F.normalize(first_layer(made)[1].weight.detach().flatten(1).double())


@pytest.mark.parametrize("how", ["by-hand", "random"])
def test_answers_have_mean_0_and_variance_1_over_the_pictures(pictures, how):
    made = network()
    assert set_first_layer(made, how, pictures) == ("conv1",)
    check_answers(made, pictures)


def check_answers(made: striate.Network, pictures: dataset.PictureSet) -> None:
    """Make sure of mean and variance without the code that brings them about."""
    layer = first_layer(made)[1]
    count, border = layer.out_channels, layer.kernel_size[0] // 2
    images = torch.stack([pictures.read(index, made.spec) for index in range(len(pictures))])
    answers = F.conv2d(images, layer.weight, layer.bias, padding=border).double()
    torch.testing.assert_close(answers.mean((0, 2, 3)), torch.zeros(count).double(), atol=1e-4, rtol=0)
    torch.testing.assert_close(answers.var((0, 2, 3), correction=0), torch.ones(count).double(), atol=1e-3, rtol=0)


def test_kernels_are_those_that_are_asked_for(pictures):
    made = network()
    hand = torch.from_numpy(bank(12, 5, 3).weights).flatten(1)
    for given in (None, pictures):  # pictures decide the size of the numbers alone
        set_first_layer(made, "by-hand", given)
        torch.testing.assert_close(filters(made), hand, atol=1e-6, rtol=0)
        set_first_layer(made, "random", given, seed=7)
        drawn = torch.from_numpy(random_filters(12, 3, 5, seed=7)).flatten(1).double()
        torch.testing.assert_close(filters(made), drawn, atol=1e-6, rtol=0)


def test_kernels_of_k_means_are_those_that_are_learned_from_the_pictures(pictures):
    made = network("conv 4 3x3 same relu,pool 4,flatten,dense 3")
    set_first_layer(made, "k-means", pictures, seed=3)
    found = learn_kernels(pictures, count=4, size=(3, 3), spec=made.spec, seed=3).convolution(made.spec)[0]
    torch.testing.assert_close(filters(made), F.normalize(found.flatten(1).double()), atol=1e-5, rtol=0)
    check_answers(made, pictures)


def test_a_seed_gives_the_same_again_and_another_gives_others(pictures):
    weights = []
    for seed in (0, 0, 1):
        made = network()
        set_first_layer(made, "random", pictures, seed=seed)
        weights.append(first_layer(made)[1].weight.clone())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_nothing_else_is_touched_and_what_is_named_stays(pictures):
    made = network("conv 6 3x3 bn relu,pool 4,flatten,dense 3")
    before = {name: value.clone() for name, value in made.module.state_dict().items()}
    frozen = set_first_layer(made, "by-hand", pictures)
    changed = {name for name, value in made.module.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"conv1.weight", "conv1.bias"}
    wake(made.module, frozen)
    assert {name for name, weight in made.module.named_parameters() if not weight.requires_grad} == changed
    for layer in made.module.modules():
        assert not layer._forward_hooks


def test_only_the_pictures_that_are_named_count(pictures):
    bright = dataset.open(np.full((2, 20, 24, 3), 255, dtype=np.uint8))
    values = np.concatenate([stripes(90)[0], bright.fitted_many(np.arange(2), SPEC)])
    both = dataset.open(values)
    weights = []
    for given, indices in ((pictures, None), (both, np.arange(90))):
        made = network()
        set_first_layer(made, "by-hand", given, indices=indices)
        weights.append(first_layer(made)[1].weight.clone())
    assert torch.equal(*weights)


def test_colours_that_no_picture_has_stay_of_length_one():
    values, labels = stripes(60, channels=1)
    grey = dataset.open(np.repeat(values, 3, axis=3), labels=labels)
    made = network()
    made.spec = SPEC.changed(mean=(0.5,) * 3, std=(0.25,) * 3)
    set_first_layer(made, "by-hand", grey)
    norms = first_layer(made)[1].weight.flatten(1).norm(dim=1)
    against = torch.tensor(["against" in title for title in bank(12, 5, 3).titles])
    assert int(against.sum()) == 4
    torch.testing.assert_close(norms[against], torch.ones(4))
    assert bool(first_layer(made)[1].weight.isfinite().all())


def test_a_network_of_a_library(pictures):
    made = striate.load("torchvision:resnet18,classes=3", pretrained=False)
    made.spec = made.spec.changed(height=64, width=64, resize=None)
    [layer] = set_first_layer(made, "by-hand", pictures)
    images = torch.stack([pictures.read(index, made.spec) for index in range(len(pictures))])
    found = dict(made.module.named_modules())[layer](images)
    assert float(found.detach().std()) == pytest.approx(1, rel=0.1)
    count, channels, *size = first_layer(made)[1].weight.shape
    assert made.graph().rows[0].address == layer
    hand = torch.from_numpy(bank(count, tuple(size), channels).weights).flatten(1)
    torch.testing.assert_close(filters(made), hand, atol=1e-5, rtol=0)


def wrap(module: nn.Module) -> striate.Network:
    return striate.Network(module, SPEC, name="own")


class Standardising(nn.Conv2d):
    """A convolution that uses its weights standardised, as some networks do."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        weight = self.weight / self.weight.flatten(1).std(1)[:, None, None, None]
        return F.conv2d(images, weight, self.bias)


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.back, self.last = nn.Conv2d(3, 6, 3), nn.Conv2d(6, 3, 1), nn.Linear(6, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        values = self.first(self.back(self.first(images).relu()))
        return self.last(values.mean((2, 3)))


def test_a_layer_that_is_called_twice_or_worked_out_is_named(pictures):
    twice = striate.Network(Twice().eval(), SPEC, ("a", "b", "c"), name="twice")
    with pytest.raises(NetworkError, match=r"first, the first layer of twice, is called 2 times in a pass"):
        set_first_layer(twice, "random", pictures)
    normed = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 3, 3))
    row = nn.Sequential(normed, nn.Conv2d(3, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    before = [weight.detach().clone() for weight in row.parameters()]
    network = striate.Network(row, SPEC, ("a", "b", "c"), name="normed")
    for given in (pictures, None):  # not the second convolution, which has plain weights and three channels
        with pytest.raises(NetworkError, match=r"weights of 0, the first layer of normed, are worked out of others"):
            set_first_layer(network, "random", given)
    assert all(torch.equal(one, other) for one, other in zip(before, row.parameters(), strict=True))


def test_networks_without_such_a_layer_are_refused(pictures):
    dense = wrap(nn.Sequential(nn.Flatten(), nn.Linear(3 * 20 * 24, 3)))
    with pytest.raises(
        NetworkError, match=r"the first layer of own with weights, 1 \(Linear\), is no convolution over"
    ):
        set_first_layer(dense, "by-hand", pictures)
    grouped = wrap(nn.Sequential(nn.Conv2d(3, 6, 3, groups=3), nn.Flatten(), nn.Linear(6 * 18 * 22, 3)))
    with pytest.raises(NetworkError, match=r"over all 3 channels of the picture"):
        set_first_layer(grouped, "random", pictures)
    single = network("conv 8 1x1 relu,pool 4,flatten,dense 3")
    with pytest.raises(NetworkError, match=r"looks at single pixels \(1 x 1\)"):
        set_first_layer(single, "by-hand", pictures)
    assert set_first_layer(single, "random", pictures) == ("conv1",)
    other = wrap(nn.Sequential(Standardising(3, 6, 3), nn.Flatten(), nn.Linear(6 * 18 * 22, 3)))
    with pytest.raises(NetworkError, match=r"does not use its weights as they are .* it is a Standardising"):
        set_first_layer(other, "random", pictures)


def test_what_makes_no_sense_is_refused(pictures):
    with pytest.raises(DataError, match=r"there is no picture to measure answers on"):
        set_first_layer(network(), "random", pictures, indices=[])
    with pytest.raises(OptionError, match=r"no first layer 'sobel'; there are by-hand, random, k-means"):
        set_first_layer(network(), "sobel", pictures)
    with pytest.raises(OptionError, match=r"k-means learns its kernels from pictures"):
        set_first_layer(network(), "k-means")
    even = dataset.open(np.full((4, 20, 24, 3), 128, dtype=np.uint8))
    made = network("conv 6 5x5 relu,pool 4,flatten,dense 3")  # without a border of zeros, which would be an edge
    with pytest.raises(DataError, match=r"no filter of conv1 answers differently .* they are of one colour"):
        set_first_layer(made, "by-hand", even)
