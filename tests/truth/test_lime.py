"""LIME against answers worked by hand, Captum, and the package `lime`."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import scipy.stats
import torch
from captum._utils.models.linear_model import SkLearnLasso, SkLearnRidge
from captum.attr import Lime, LimeBase
from lime.lime_image import LimeImageExplainer
from torch import Tensor

import striate
from striate import lenses
from striate.errors import NetworkError, OptionError
from striate.perturbation.surrogates import every_mask
from truth import peers
from truth.nets import Mlp, ResNet20, randomise

EVEN = 1000.0  # a kernel so wide that all masks count alike


def line(*pixels: float) -> Tensor:
    return torch.tensor(pixels).view(1, 1, 1, -1)


def perceptron() -> striate.Network:
    return striate.Network(Mlp(), striate.InputSpec(1, 1, 3))


@pytest.fixture(scope="module")
def resnet() -> tuple[striate.Network, Tensor]:
    images = torch.randn(3, 3, 24, 30, generator=torch.Generator().manual_seed(0))
    spec = striate.InputSpec(3, 24, 30, mean=(0.5,) * 3, std=(0.25,) * 3)
    return striate.Network(randomise(ResNet20(), images).eval(), spec), images


# --- by hand


@pytest.mark.parametrize(
    ("labels", "baseline", "surrogate", "alpha", "answer"),
    [
        ([0, 1, 2], 0.0, "lasso", 1.0, (73.5, 193.5, 113.5)),
        ([0, 1, 2], 0.0, "ridge", 0.0, (77.5, 197.5, 117.5)),
        ([0, 1, 2], 0.0, "lasso", 0.0, (77.5, 197.5, 117.5)),
        ([0, 0, 1], 0.0, "ridge", 0.0, (275.0, 275.0, 115.0)),
        ([0, 0, 1], 0.0, "lasso", 1.0, (271.0, 271.0, 111.0)),
        ([0, 0, 1], 4.0, "lasso", 1.0, (244.0, 244.0, 100.0)),
    ],
)
def test_the_perceptron_with_every_mask_once(labels, baseline, surrogate, alpha, answer):
    heatmap = lenses.lime(
        perceptron(),
        line(20, 50, 30),
        "class:0",
        labels=torch.tensor([labels]),
        baseline=torch.tensor(baseline),
        surrogate=surrogate,
        alpha=alpha,
        kernel_width=EVEN,
    )
    torch.testing.assert_close(heatmap.scores.flatten(), torch.tensor(answer), rtol=0, atol=2e-3)
    assert heatmap.details["every_mask"] == [True]
    assert heatmap.details["samples"] == [2 ** len(set(labels))]


def test_the_perceptron_from_samples():
    # the three superpixels are cut up to twelve, so that masks have to be drawn
    network = striate.Network(torch.nn.Sequential(torch.nn.AvgPool2d((1, 4)), Mlp()), striate.InputSpec(1, 1, 12))
    images = line(20, 50, 30).repeat_interleave(4, 3)
    heatmap = lenses.lime(
        network, images, 0, labels=torch.arange(12).view(1, 12), baseline="black", alpha=0, kernel_width=EVEN
    )
    # almost always above the threshold: 4 times a mean
    groups = heatmap.weights[0].view(3, 4).sum(1)
    torch.testing.assert_close(groups, torch.tensor([80.0, 200.0, 120.0]), rtol=0, atol=3)
    assert heatmap.explained[0] > 0.99


# --- Captum


def masks_in_turn(design: Tensor):
    def draw(*_call: object, **_more: object):
        yield from (mask[None].float() for mask in design)

    return draw


@pytest.mark.parametrize(("surrogate", "alpha"), [("lasso", 0.01), ("ridge", 1.0)])
def test_captum_on_every_mask(resnet, surrogate, alpha):
    network, images = resnet
    image = images[:1]
    labels = (torch.arange(24)[:, None] // 12) * 3 + torch.arange(30) // 10  # 2 x 3 superpixels
    grey = network.spec.baseline("grey", image)

    def similarity(_original, _changed, mask, **_more):
        distance = 1 - mask.double().mean().sqrt()  # of cosines, in the binary space
        return torch.exp(-(distance**2) / (2 * 0.25**2))

    with peers.quiet():
        peer = LimeBase(
            network.module,
            (SkLearnLasso if surrogate == "lasso" else SkLearnRidge)(alpha=alpha),
            similarity,
            masks_in_turn(every_mask(6)),
            perturb_interpretable_space=True,
            from_interp_rep_transform=lambda mask, original, **_: torch.where(mask[0].bool()[labels], original, grey),
            to_interp_rep_transform=None,
        )
        theirs = peer.attribute(image, target=4, n_samples=64)
    ours = lenses.lime(network, image, 4, labels=labels, surrogate=surrogate, alpha=alpha)
    torch.testing.assert_close(ours.weights[0], theirs[0].float(), rtol=1e-3, atol=2e-4)


def test_captum_from_samples(resnet):
    network, images = resnet
    image = images[:1]
    ours = lenses.lime(network, image, 4, superpixels="grid", segments=12, kernel_width=EVEN, samples=900)
    with peers.quiet(), torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = Lime(network.module, SkLearnRidge(alpha=1), similarity_func=lambda *_, **__: 1.0).attribute(
            image,
            target=4,
            baselines=network.spec.baseline("grey", image),
            feature_mask=ours.labels[:, None],
            n_samples=900,
            perturbations_per_eval=50,
            return_input_shape=False,
        )
    spread = ours.weights[0].std()
    assert (ours.weights[0] - theirs[0]).abs().max() < 0.3 * spread
    assert np.corrcoef(ours.weights[0], theirs[0])[0, 1] > 0.98


# --- the package `lime`


@pytest.mark.slow
def test_lime_orders_superpixels_alike(lite0, astronaut):
    image = lite0.read(astronaut)[:, :, 48:176, 48:176]
    ours = lenses.lime(lite0, image, "class:652", superpixels="grid", segments=16, samples=300, baseline="grey")

    def classify(pictures: np.ndarray) -> np.ndarray:
        return lite0(lite0.spec.normalise(torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255)).numpy()

    theirs = LimeImageExplainer(random_state=0, kernel_width=0.25).explain_instance(
        lite0.spec.pixels(image)[0],
        classify,
        labels=(652,),
        top_labels=None,
        hide_color=127.5,
        num_features=100,
        num_samples=300,
        batch_size=20,
        segmentation_fn=lambda _: ours.labels[0].numpy(),
    )
    weights = np.array([dict(theirs.local_exp[652])[index] for index in range(16)])
    assert scipy.stats.spearmanr(weights, ours.weights[0]).statistic > 0.9
    assert ours.explained[0] == pytest.approx(
        theirs.score[652] if isinstance(theirs.score, dict) else theirs.score, abs=0.1
    )


# --- what must hold on any network


OPTIONS = {"segments": 9, "samples": 60, "superpixels": "grid"}


@pytest.mark.parametrize("surrogate", ["ridge", "lasso", "forest"])
def test_several_classes_of_one_sampling_are_each_class_alone(resnet, surrogate):
    network, images = resnet
    image = images[:1]
    passed = []
    handle = network.module.register_forward_hook(lambda *call: passed.append(len(call[1][0])))
    together = lenses.lime(network, image, [3, 7, 7, 1], surrogate=surrogate, **OPTIONS)
    handle.remove()
    assert sum(passed) < 2 * 60  # not 4 * 60
    assert together.target == ("class:3", "class:7", "class:7", "class:1")
    for row, target in enumerate([3, 7, 7, 1]):
        alone = lenses.lime(network, image, target, surrogate=surrogate, **OPTIONS)
        torch.testing.assert_close(together.scores[row], alone.scores[0], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(together.explained[row], alone.explained[0])


def test_a_batch_may_hold_a_picture_twice(resnet):
    network, images = resnet
    batch = images[[1, 0, 1]]
    together = lenses.lime(network, batch, [3, 3, 5], **OPTIONS)
    for row, target in enumerate([3, 3, 5]):
        alone = lenses.lime(network, batch[row : row + 1], target, **OPTIONS)
        torch.testing.assert_close(together.scores[row], alone.scores[0], rtol=1e-4, atol=1e-5)


def test_superpixels_of_each_picture_are_its_own(resnet):
    network, images = resnet
    labels = torch.stack([torch.arange(24)[:, None].expand(24, 30) // width for width in (3, 6)])
    together = lenses.lime(network, images[[0, 0]], 3, labels=labels, samples=40)
    assert [len(weights) for weights in together.weights] == [8, 4]
    alone = lenses.lime(network, images[:1], 3, labels=labels[1], samples=40)
    torch.testing.assert_close(together.scores[1], alone.scores[0])


@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_chunks_never_change_a_result(resnet, chunk):
    network, images = resnet
    whole = lenses.lime(network, images[:1], 3, **OPTIONS).scores
    streamed = lenses.lime(network, images[:1], 3, chunk=chunk, **OPTIONS).scores
    torch.testing.assert_close(streamed, whole, rtol=1e-3, atol=1e-4 * whole.abs().max().item())


def test_the_seed_decides(resnet):
    network, images = resnet
    first, again, other = (lenses.lime(network, images[:1], 3, seed=seed, **OPTIONS).scores for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_units_see_their_receptive_field_alone(resnet):
    # three convolutions of 3 x 3: each unit sees 7 x 7 pixels, which lie in one cell of the 3 x 3
    network, images = resnet
    targets = ["layer1.0.conv2:3@3,4", "layer1.0.conv2:2@20,26"]
    heatmap = lenses.lime(network, images[:1], targets, superpixels="grid", segments=9, samples=512, alpha=0)
    grey = network.spec.baseline("grey", images)
    for row, (target, cell) in enumerate(zip(targets, (0, 8), strict=True)):
        hidden = lenses.receptive_field(network, grey, target).values[0]
        expected = torch.zeros(9)
        expected[cell] = heatmap.score_values[row] - hidden
        assert expected[cell].abs() > 0.05
        torch.testing.assert_close(heatmap.weights[row], expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(heatmap.explained, torch.ones(2))
    assert heatmap.details["score"] == "value"


def test_probabilities_can_be_explained(resnet):
    network, images = resnet
    heatmap = lenses.lime(network, images[:1], 3, score="probability", **OPTIONS)
    torch.testing.assert_close(heatmap.score_values, network(images[:1]).softmax(1)[:, 3])
    assert heatmap.meaning == "What each superpixel adds to the probability"


@pytest.mark.gpu
@pytest.mark.parametrize("baseline", ["grey", "blur", "noise", "average"])
def test_a_gpu_gives_the_same(resnet, baseline):
    network, images = resnet
    other = striate.Network(deepcopy(network.module), network.spec).to("cuda")
    for lens in (lenses.lime, lenses.kernel_shap):
        here, there = (lens(net, images, 3, baseline=baseline, **OPTIONS) for net in (network, other))
        torch.testing.assert_close(there.scores, here.scores, rtol=1e-2, atol=1e-3 * here.scores.abs().max().item())
    if baseline != "average":
        here, there = (lenses.rise(net, images, 3, baseline=baseline, samples=90) for net in (network, other))
        torch.testing.assert_close(there.scores, here.scores, rtol=1e-2, atol=1e-3 * here.scores.abs().max().item())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "samples must be at least 1, got 0"),
        ({"segments": 1}, "at least 2 superpixels are needed"),
        ({"kernel_width": 0.0}, "kernel_width must be above 0"),
        ({"alpha": -1.0}, "alpha must be 0 or more"),
        ({"baseline": "blak"}, "no baseline 'blak'"),
        ({"superpixels": "felzenszwalb"}, "no superpixels 'felzenszwalb'; there are slic, quickshift, grid"),
        ({"surrogate": "tree"}, "no surrogate 'tree'; there are ridge, lasso, forest"),
        ({"score": "odds"}, "no score 'odds'"),
        ({"labels": torch.zeros(24, 30, dtype=torch.int64)}, "1 superpixel"),
        ({"chunk": 0}, "chunk must be at least 1"),
    ],
)
def test_what_cannot_be_done_is_explained(resnet, options, message):
    network, images = resnet
    with pytest.raises(OptionError, match=message):
        lenses.lime(network, images[:1], 3, **options)


def test_a_score_that_is_no_number_is_an_error(resnet):
    class Root(torch.nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return (images.mean((1, 2, 3)) - 0.9).sqrt()[:, None]

    network = striate.Network(Root(), striate.InputSpec(3, 8, 8))
    with pytest.raises(NetworkError, match="the score of class:0 is nan when part of the picture is hidden"):
        lenses.lime(network, torch.ones(1, 3, 8, 8), 0, superpixels="grid", segments=4)
