"""A random network with a trained last layer: nothing else is moved, and it is a network like any other."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import striate
from learn.striped import arrays, stripes_with_broken_ones
from striate import dataset
from striate.errors import DataError, NetworkError
from striate.learn.pictures.split import split
from striate.learn.starting.start import start
from striate.learn.untrained import last_layer
from striate.learn.untrained.last_layer import fit_last_layer, read_features, settle_norms
from striate.learn.untrained.random_features import pictures_for, random_features, source_of
from striate.learn.untrained.ranking import rank_nets
from striate.network import Network
from striate.spec import InputSpec

ROW = "conv 6 3x3 bn relu, pool 2, flatten, dense"


@pytest.fixture(autouse=True)
def _same_weights():
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def parts():
    images, labels = arrays(90)
    return split(dataset.open(images, labels=labels), share=0.3)


def module(*layers: nn.Module) -> Network:
    return Network(nn.Sequential(*layers).eval(), InputSpec(1, 9, 9), ("a", "b", "c"), name="small")


def test_only_the_last_layer_is_trained(parts):
    network = random_features(ROW, parts, seed=5, device="cpu")
    plain = start(source_of(ROW, 3), classes=3, channels=1, size=9, seed=5)
    own, before = network.module.state_dict(), plain.module.state_dict()
    moved = {name for name in own if not torch.equal(own[name], before[name])}
    assert moved == {"dense1.weight", "dense1.bias", "bn1.running_mean", "bn1.running_var", "bn1.num_batches_tracked"}
    assert "All weights of sequential are random (seed 5) but those of dense1" in network.notes[-1]
    assert "batch norms are those of the training pictures" in network.notes[-1]
    assert network.class_names == parts.class_names


def test_the_pictures_are_told_apart_and_the_note_says_how_well(parts):
    network = random_features(ROW, parts, device="cpu")
    images = torch.stack([parts.validation.read(int(index), network.spec) for index in parts.validation_indices])
    right = float((network(images).argmax(1).numpy() == parts.validation_labels).mean())
    assert right > 0.9
    assert f"{100 * right:.1f} % of 27 validation pictures" in network.notes[-1]


def test_it_is_saved_and_loaded_and_looked_at(parts, tmp_path):
    network = random_features(ROW, parts, device="cpu")
    again = striate.load(network.save(tmp_path / "random.safetensors"))
    images = torch.rand(2, 1, 9, 9)
    torch.testing.assert_close(again(images), network(images), rtol=0, atol=0)
    assert again.spec == network.spec
    assert striate.lenses.grad_cam(again, images, 0).scores.shape == (2, 9, 9)


def test_rows_of_layers_are_told_from_names():
    assert source_of("flatten,  dense", 3) == "striate:sequential,1x1x1,flatten, dense 3"
    assert source_of("conv 8 3x3 relu, flatten, dense 5", 3).endswith("1x1x1,conv 8 3x3 relu, flatten, dense 5")
    for name in (
        "swift",
        "timm:resnet18",
        "striate:sequential,1x9x9,flatten,dense",
        "sequential,1x9x9,flatten,dense 3",
    ):
        assert source_of(name, 3) == name


def test_a_network_without_convolutions_is_taken(parts):
    network = random_features("flatten, dense 300 relu, dense", parts, device="cpu")
    assert float(network.notes[-1].split(": ")[-1].split(" %")[0]) > 90


def test_seeds_give_the_same_network_again_and_others_another(parts):
    first, again, other = (random_features(ROW, parts, seed=seed, device="cpu").weights_hash for seed in (1, 1, 2))
    assert first == again != other


def test_batch_norm_measures_the_pictures_as_they_are(parts):
    network = start(source_of("conv 4 3x3 bn relu, flatten, dense", 3), classes=3, channels=1, size=9)
    with pictures_for(network, parts, "train") as fed:
        assert settle_norms(network, fed) == 1
        images = torch.cat([one.images for one in fed.epoch(1)])
    answers = network.module.conv1(images)
    torch.testing.assert_close(network.module.bn1.running_mean, answers.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(network.module.bn1.running_var, answers.var((0, 2, 3)), rtol=1e-3, atol=1e-5)
    assert network.module.bn1.momentum == 0.1
    assert not network.module.bn1.training


def test_what_the_last_layer_reads_is_what_stands_before_it(parts):
    network = start(source_of(ROW, 3), classes=3, channels=1, size=9)
    with pictures_for(network, parts, "train") as fed:
        features, labels, first = read_features(network, fed)
        order = fed.order(1)
    assert torch.equal(labels, torch.from_numpy(parts.train_labels[order]))
    read = network.module[:-1](first)
    torch.testing.assert_close(features[: len(first)], read, rtol=1e-5, atol=1e-6)


def test_a_convolution_whose_map_is_averaged_is_solved_for_too(parts):
    network = module(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pictures_for(network, parts, "train") as fed:
        found = fit_last_layer(network, fed, 3)
    assert (found.name, found.features, found.pictures) == ("2", 8, len(parts.train_indices))
    assert found.left_out > 0.6
    dense = module(network.module[0], nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    with pictures_for(dense, parts, "train") as fed:
        averaged, _, _ = read_features(dense, fed)
        features, _, first = read_features(network, fed)
    torch.testing.assert_close(features, averaged, rtol=1e-5, atol=1e-6)
    solved = network.module[2]
    expected = features[: len(first)] @ solved.weight.flatten(1).T + solved.bias
    torch.testing.assert_close(network(first), expected, rtol=1e-3, atol=1e-3)


def test_a_last_layer_without_bias_keeps_none(parts):
    network = module(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(392, 3, bias=False))
    with pictures_for(network, parts, "train") as fed:
        assert fit_last_layer(network, fed, 3).left_out > 0.9


def test_what_stands_behind_the_last_layer_must_leave_the_order_of_the_logits(parts):
    softmax = module(nn.Flatten(), nn.Linear(81, 3), nn.Softmax(1))
    with pictures_for(softmax, parts, "train") as fed:
        assert fit_last_layer(softmax, fed, 3).left_out > 0.9

    class Turned(nn.Module):
        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return values.relu() * torch.tensor([-1.0, 1.0, 1.0])

    turned = module(nn.Flatten(), nn.Linear(81, 3), Turned())
    with pictures_for(turned, parts, "train") as fed, pytest.raises(NetworkError, match="changes which logit is"):
        fit_last_layer(turned, fed, 3)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ((nn.Conv2d(1, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), "0, the last layer .* over several places"),
        ((nn.Linear(9, 3), nn.AdaptiveAvgPool2d((1, 3)), nn.Flatten()), "is given 63 x 1 x 9 x 9 for 63 pictures"),
    ],
)
def test_a_last_layer_that_cannot_be_solved_for_is_named(parts, layers, words):
    network = module(*layers)
    with pictures_for(network, parts, "train") as fed, pytest.raises(NetworkError, match=words):
        fit_last_layer(network, fed, 3)


def test_features_that_do_not_fit_are_refused_before_they_are_read(parts, monkeypatch):
    monkeypatch.setattr(last_layer, "_LARGEST", 1000)
    network = start(source_of(ROW, 3), classes=3, channels=1, size=9)
    with (
        pictures_for(network, parts, "train") as fed,
        pytest.raises(DataError, match=r"dense1 of sequential reads 54 numbers of each of 63 pictures: 14 kB"),
    ):
        fit_last_layer(network, fed, 3)


def test_nothing_is_left_behind_in_the_module(parts):
    network = random_features(ROW, parts, device="cpu")
    hooks = [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in network.module.modules()]
    assert sum(hooks) == 0
    assert not any(part.training for part in network.module.modules())
    assert not any(weight.requires_grad for weight in network.module.parameters())


def test_pictures_that_cannot_be_read_are_not_counted_and_said(tmp_path):
    source = stripes_with_broken_ones(tmp_path / "stripes")
    network = random_features(ROW, source, device="cpu")
    made, unread = network.notes[-1], network.notes[-2]
    assert "was trained on 23 pictures" in made
    share = float(made.split(": ")[-1].split(" % of 22 validation pictures")[0]) / 100
    assert 22 * share == pytest.approx(round(22 * share), abs=0.02)
    assert unread.startswith("3 pictures could not be read and not counted. The first: ")
    assert "val" not in unread  # those to learn from come first
    ranked = [rank_nets(source, [ROW], out=tmp_path / "out", seeds=1, device="cpu") for _ in range(2)]
    for one in ranked:  # done, and found done
        assert (one.pictures, one.judged) == (23, 22)
        assert one.recipe.notes[0] == unread


def test_a_single_class_is_refused():
    images, _ = arrays(12)
    with pytest.raises(DataError, match="one class only"):
        random_features(ROW, dataset.open(images, labels=np.zeros(12, dtype=np.int64)), device="cpu")
