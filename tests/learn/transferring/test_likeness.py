"""How like pictures are: nearest class means against scikit-learn, and the shift against numbers set by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestCentroid
from torch import nn

from striate.errors import DataError, Stopped
from striate.learn.transferring.heads._folds import dealt
from striate.learn.transferring.likeness import likeness_of, nearest_mean, shift_of
from striate.network import Network
from striate.progress import stoppable
from striate.spec import InputSpec


def clouds(count: int = 120, classes: int = 4, width: int = 7, apart: float = 1.0, seed: int = 0):
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(count) % classes)
    middles = random.normal(0, apart, (classes, width))
    return (middles[labels] + random.normal(0, 1, (count, width))).astype(np.float32), labels.astype(np.int64)


def test_nearest_means_are_those_of_scikit_learn():
    values, labels = clouds()
    scaled = values / values.std(0)
    fold = dealt(labels, 5, 3)
    right = 0
    for one in range(5):
        held = fold == one
        truth = NearestCentroid().fit(scaled[~held], labels[~held])
        right += int((truth.predict(scaled[held]) == labels[held]).sum())
    accuracy, pictures = nearest_mean(values, labels, seed=3)
    assert pictures == 120
    assert accuracy == pytest.approx(right / 120)
    assert 0.4 < accuracy < 0.95  # or the test would not tell much


def test_no_picture_finds_itself():
    # one loud feature for each picture: means that held the picture itself would always be right
    labels = np.arange(40, dtype=np.int64) % 2
    accuracy, _ = nearest_mean(np.eye(40, dtype=np.float32), labels)
    assert accuracy < 0.7


def test_limits_are_all_and_chance():
    values, labels = clouds(apart=40)
    assert nearest_mean(values, labels)[0] == 1
    values, labels = clouds(2000, apart=0)
    assert nearest_mean(values, labels)[0] == pytest.approx(0.25, abs=0.04)


def test_a_feature_that_never_changes_changes_nothing():
    values, labels = clouds()
    wider = np.concatenate([values, np.full((len(values), 1), 7, np.float32)], 1)
    assert nearest_mean(wider, labels) == nearest_mean(values, labels)


def test_folds_hold_each_class_evenly():
    labels = np.repeat(np.arange(3), [10, 5, 7]).astype(np.int64)
    fold = dealt(labels, 5, 0)
    for index in range(3):
        counts = np.bincount(fold[labels == index], minlength=5)
        assert counts.max() - counts.min() <= 1


def test_single_pictures_are_refused():
    with pytest.raises(DataError, match="a class with two pictures"):
        nearest_mean(np.zeros((3, 2), np.float32), np.arange(3, dtype=np.int64))


def small(mean: float, variance: float) -> Network:
    norm = nn.BatchNorm2d(2, eps=0)
    norm.running_mean.fill_(mean)
    norm.running_var.fill_(variance)
    module = nn.Sequential(norm, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3))
    return Network(module.eval(), InputSpec(2, 6, 6))


def patterned() -> torch.Tensor:
    """Pictures whose every channel has mean 1 and deviation 2 exactly."""
    half = torch.tensor([-1.0, 3.0]).repeat(18).reshape(1, 1, 6, 6)
    return half.expand(5, 2, 6, 6).clone()


@pytest.mark.parametrize(
    ("mean", "variance", "shift"),
    [(1, 4, 0), (-1, 4, 1), (1, 16, 0.5), (4, 1, np.sqrt(9 + 1)), (1, 1, 1)],
)
def test_shift_by_hand(mean, variance, shift):
    found, _ = shift_of(small(mean, variance), [patterned()])
    assert found == pytest.approx(shift, abs=1e-6)


def test_shift_does_not_depend_on_how_pictures_come():
    network = small(0.3, 2)
    images = torch.randn(23, 2, 6, 6, generator=torch.Generator().manual_seed(0))
    once = shift_of(network, [images])
    assert shift_of(network, images.split(4)) == pytest.approx(once, rel=1e-9)


def test_no_statistics_no_shift_and_confidence_by_hand():
    module = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 4))
    nn.init.zeros_(module[2].weight)
    module[2].bias.data = torch.tensor([1.0, 1.0, 1.0, 3.0]).log()
    shift, confidence = shift_of(Network(module, InputSpec(2, 6, 6)), [patterned()])
    assert shift is None
    assert confidence == pytest.approx(0.5)  # 3 of 1 + 1 + 1 + 3


def test_the_network_is_as_it_was(lite0):
    images = torch.zeros(2, 3, 224, 224)
    before = lite0.weights_hash
    hooks = [part for part in lite0.module.modules() if part._forward_pre_hooks]
    with stoppable() as token:
        token.stop()
        with pytest.raises(Stopped):
            shift_of(lite0, [images])
    assert [part for part in lite0.module.modules() if part._forward_pre_hooks] == hooks == []
    assert lite0.weights_hash == before


def test_photographs_lie_nearer_than_noise(lite0, sample_photographs):
    every = sample_photographs[:: max(1, len(sample_photographs) // 12)]
    photographs = lite0.read([path for path, _ in every])
    noise = lite0.spec.normalise(torch.rand(8, 3, 224, 224, generator=torch.Generator().manual_seed(0)))
    near, sure = shift_of(lite0, [photographs])
    far, unsure = shift_of(lite0, [noise])
    assert near is not None
    assert far is not None
    assert near < 0.35 < 0.45 < far
    assert sure > 0.4 > 0.15 > unsure


def test_alike_where_the_deepest_tells_apart_as_well_as_any(lite0):
    noisy, labels = clouds(200, apart=0.5)
    clear, _ = clouds(200, apart=3)
    batch = [lite0.spec.normalise(torch.full((1, 3, 224, 224), 0.5))]
    found = likeness_of(lite0, {"blocks.1": noisy, "bn2": clear}, labels, batch)
    assert [depth.address for depth in found.depths] == ["blocks.1", "bn2"]
    assert found.best is found.deepest
    assert found.chance == 0.25
    assert found.classes == 1000
    turned = likeness_of(lite0, {"blocks.1": clear, "bn2": noisy}, labels, batch)
    assert not turned.alike
    assert turned.best.address == "blocks.1"
