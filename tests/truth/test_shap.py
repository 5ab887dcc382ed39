"""Kernel SHAP against answers worked by hand and Captum's Shapley values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum.attr import KernelShap, ShapleyValues
from torch import Tensor

import striate
from striate import lenses
from striate.errors import OptionError
from truth import peers
from truth.nets import Mlp, ResNet20, randomise


@pytest.fixture(scope="module")
def resnet() -> tuple[striate.Network, Tensor]:
    images = torch.randn(2, 3, 24, 30, generator=torch.Generator().manual_seed(0))
    spec = striate.InputSpec(3, 24, 30, mean=(0.5,) * 3, std=(0.25,) * 3)
    return striate.Network(randomise(ResNet20(), images).eval(), spec), images


@pytest.mark.parametrize(
    ("labels", "baseline", "answer"),
    [
        ([0, 1, 2], (0.0, 0.0, 0.0), (230 / 3, 590 / 3, 350 / 3)),
        ([0, 0, 1], (0.0, 0.0, 0.0), (275.0, 275.0, 115.0)),
        ([0, 1, 2], (10.0, 20.0, 10.0), (40.0, 120.0, 80.0)),
    ],
)
def test_the_perceptron(labels, baseline, answer):
    network = striate.Network(Mlp(), striate.InputSpec(1, 1, 3))
    images = torch.tensor([20.0, 50, 30]).view(1, 1, 1, 3)
    blank = torch.tensor(baseline).view(1, 1, 3)
    heatmap = lenses.kernel_shap(network, images, 0, labels=torch.tensor([labels]), baseline=blank)
    torch.testing.assert_close(heatmap.scores.flatten(), torch.tensor(answer), rtol=1e-6, atol=1e-4)
    assert heatmap.details["exact"] == [True]
    assert heatmap.details["baseline_scores"] == [network(blank[None])[0, 0].item()]


def test_captums_shapley_values_are_ours(resnet):
    network, images = resnet
    image = images[:1]
    ours = lenses.kernel_shap(network, image, 4, labels=torch.arange(30).expand(24, 30) // 6)
    with peers.quiet():
        theirs = ShapleyValues(network.module).attribute(
            image,
            target=4,
            baselines=network.spec.baseline("grey", image),
            feature_mask=ours.labels[:, None],
            perturbations_per_eval=5,
        )
    assert ours.details["exact"] == [True]
    torch.testing.assert_close(ours.scores[0], theirs[0, 0], rtol=1e-3, atol=1e-4)


def test_captums_kernel_shap_is_ours_within_its_sampling(resnet):
    network, images = resnet
    image = images[:1]
    ours = lenses.kernel_shap(network, image, 4, superpixels="grid", segments=9)
    with peers.quiet(), torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = KernelShap(network.module).attribute(
            image,
            target=4,
            baselines=network.spec.baseline("grey", image),
            feature_mask=ours.labels[:, None],
            n_samples=1500,
            perturbations_per_eval=50,
            return_input_shape=False,
        )
    assert (ours.weights[0] - theirs[0]).abs().max() < 0.4 * ours.weights[0].std()
    assert np.corrcoef(ours.weights[0], theirs[0])[0, 1] > 0.97


def test_samples_come_near_the_exact_values(resnet):
    network, images = resnet
    exact = lenses.kernel_shap(network, images, [1, 4], superpixels="grid", segments=10)
    some = lenses.kernel_shap(network, images, [1, 4], superpixels="grid", segments=10, samples=400)
    assert (exact.details["exact"], some.details["exact"]) == ([True, True], [False, False])
    for row in range(2):
        assert np.corrcoef(exact.weights[row], some.weights[row])[0, 1] > 0.98
    assert "estimated" in some.meaning
    assert "estimated" not in exact.meaning


@pytest.mark.parametrize("score", ["logit", "probability"])
@pytest.mark.parametrize("samples", [2, 30, 1024])
def test_the_values_sum_to_the_whole_change(resnet, samples, score):
    network, images = resnet
    heatmap = lenses.kernel_shap(network, images, 3, superpixels="grid", segments=9, samples=samples, score=score)
    grey = network.spec.baseline("grey", images).expand_as(images)
    before, after = network(grey), network(images)
    if score == "probability":
        before, after = before.softmax(1), after.softmax(1)
    change = (after - before)[:, 3]
    sums = torch.stack([weights.sum() for weights in heatmap.weights])
    torch.testing.assert_close(sums, change, rtol=1e-4, atol=1e-5)
    assert bool(heatmap.recipe.notes) == (samples == 2)
    if samples == 2:
        assert "2 samples cannot tell 9 superpixels apart" in heatmap.recipe.notes[0]


def test_several_classes_of_one_sampling_are_each_class_alone(resnet):
    network, images = resnet
    options = {"superpixels": "grid", "segments": 12, "samples": 80}
    together = lenses.kernel_shap(network, images[:1], [3, 7], **options)
    for row, target in enumerate([3, 7]):
        alone = lenses.kernel_shap(network, images[:1], target, **options)
        torch.testing.assert_close(together.scores[row], alone.scores[0], rtol=1e-5, atol=1e-5)


def test_a_superpixel_that_changes_nothing_has_no_share(resnet):
    # one half of the picture is what hides it
    network, images = resnet
    image = images[:1].clone()
    image[..., 16:] = 0
    labels = torch.arange(30).expand(24, 30) // 8
    heatmap = lenses.kernel_shap(network, image, 3, labels=labels, baseline=torch.zeros(3))
    assert heatmap.weights[0][2:].abs().max() < 1e-5 < heatmap.weights[0][:2].abs().min()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 1}, "samples must be at least 2, got 1"),
        ({"segments": 1}, "at least 2 superpixels are needed"),
        ({"baseline": "blak"}, "no baseline 'blak'"),
    ],
)
def test_what_cannot_be_done_is_explained(resnet, options, message):
    network, images = resnet
    with pytest.raises(OptionError, match=message):
        lenses.kernel_shap(network, images[:1], 3, **options)
