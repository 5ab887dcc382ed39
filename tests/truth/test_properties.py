"""What must hold on any network: one picture or many, one chunk or many, and any way to write a rectifier."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import striate
from striate import lenses
from striate.errors import RuleError
from truth.calls import HEATMAPS
from truth.nets import CLAMPED, RECTIFIERS, Gelu, Rectified, ResNet20, randomise


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def network_of(module: torch.nn.Module, images: Tensor) -> striate.Network:
    _, channels, height, width = images.shape
    spec = striate.InputSpec(
        channels=channels, height=height, width=width, mean=(0.5,) * channels, std=(0.25,) * channels
    )
    return striate.Network(module.eval(), spec=spec)


@pytest.fixture(scope="module")
def resnet() -> tuple[striate.Network, Tensor]:
    images = noise(3, 3, 24, 32)
    return network_of(randomise(ResNet20(), images), images), images


@pytest.mark.parametrize("name", HEATMAPS)
def test_a_row_of_a_batch_is_the_picture_alone(resnet, name):
    network, images = resnet
    together = HEATMAPS[name](network, images, "class:4").scores
    if name.startswith("smoothgrad"):
        # each picture has its own noise, wherever it stands in the batch: the first has the noise of a batch of one
        images = images[:1]
    for index in range(len(images)):
        alone = HEATMAPS[name](network, images[index : index + 1], "class:4").scores[0]
        torch.testing.assert_close(together[index], alone, rtol=1e-3, atol=1e-4 * alone.abs().max().item())


@pytest.mark.parametrize("name", HEATMAPS)
def test_the_same_call_gives_the_same_numbers(resnet, name):
    network, images = resnet
    first, second = (HEATMAPS[name](network, images, None).scores for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("name", HEATMAPS)
def test_no_target_is_the_best_class_and_a_list_is_one_each(resnet, name):
    network, images = resnet
    best = [f"class:{index}" for index in network(images).argmax(1).tolist()]
    without, listed = HEATMAPS[name](network, images, None), HEATMAPS[name](network, images, best)
    assert torch.equal(without.scores, listed.scores)
    assert len(without.target) == len(images)
    torch.testing.assert_close(without.score_values, network(images).amax(1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("chunk", [1, 2, 5, 7, 100])
def test_chunks_never_change_a_result(resnet, chunk):
    network, images = resnet
    whole = lenses.integrated_gradients(network, images, steps=7).scores
    streamed = lenses.integrated_gradients(network, images, steps=7, chunk=chunk).scores
    torch.testing.assert_close(streamed, whole, rtol=1e-3, atol=1e-4 * whole.abs().max().item())


@pytest.mark.parametrize("variant", ["mean", "square", "variance"])
@pytest.mark.parametrize("chunk", [1, 2, 5, 100])
def test_chunks_never_change_smoothgrad(resnet, chunk, variant):
    network, images = resnet
    whole = lenses.smoothgrad(network, images, samples=5, variant=variant).scores
    streamed = lenses.smoothgrad(network, images, samples=5, variant=variant, chunk=chunk).scores
    torch.testing.assert_close(streamed, whole, rtol=1e-3, atol=1e-4 * whole.abs().max().item())


def test_smoothgrad_without_noise_is_the_gradient(resnet):
    network, images = resnet
    gradient = lenses.saliency(network, images).scores
    smooth = lenses.smoothgrad(network, images, samples=3, noise=0.0).scores
    torch.testing.assert_close(smooth, gradient, rtol=1e-4, atol=1e-5 * gradient.abs().max().item())
    variance = lenses.smoothgrad(network, images, samples=3, noise=0.0, variant="variance").scores
    assert (variance >= 0).all()
    assert variance.max() < 1e-8 * gradient.square().max()


class Squares(torch.nn.Module):
    """Half the sum of squares of the pixels: its gradient is the picture itself."""

    def forward(self, images: Tensor) -> Tensor:
        return 0.5 * images.square().sum((1, 2, 3))[:, None]


def test_noise_has_the_promised_size():
    # The gradient is the noisy picture: its mean is the picture, its variance that of the noise, (0.2 * range)^2.
    images = noise(2, 1, 9, 11) + 5
    network = network_of(Squares(), images)
    spread = 0.2 * (images.amax((1, 2, 3)) - images.amin((1, 2, 3)))
    options = {"samples": 400, "noise": 0.2, "chunk": 100}
    mean = lenses.smoothgrad(network, images, **options).scores
    assert ((mean - images[:, 0]).abs().amax((1, 2)) < 5 * spread / 20).all()
    variance = lenses.smoothgrad(network, images, variant="variance", **options).scores
    torch.testing.assert_close(variance.mean((1, 2)), spread.square(), rtol=0.05, atol=0)
    square = lenses.smoothgrad(network, images, variant="square", **options).scores
    torch.testing.assert_close(square, mean.square() + variance * 399 / 400, rtol=1e-4, atol=0)  # E[g^2] = E[g]^2 + Var


def test_a_variance_is_never_negative(resnet):
    # E[g^2] - E[g]^2 in single precision falls below zero; Welford's sum cannot
    network, images = resnet
    for noise_level in (1e-6, 1e-3, 0.3):
        assert (lenses.smoothgrad(network, images, samples=4, noise=noise_level, variant="variance").scores >= 0).all()


def test_integrated_gradients_are_complete(resnet):
    network, images = resnet
    heatmap = lenses.integrated_gradients(network, images, "class:2", steps=200, baseline="black")
    black = torch.full_like(images, -2.0)  # (0 - mean) / std
    difference = (network(images) - network(black))[:, 2]
    gap = heatmap.scores.sum((1, 2)) - difference
    assert (gap.abs() < 0.02 * difference.abs() + 0.02).all()
    torch.testing.assert_close(torch.tensor(heatmap.details["completeness_error"]), gap, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("clamped", [False, True], ids=["relu", "relu6"])
@pytest.mark.parametrize("rule", ["gradient", "guided", "deconvnet"])
def test_rectifiers_agree_however_they_are_written(rule, clamped):
    images = noise(2, 2, 14, 17, seed=1)
    ways = CLAMPED if clamped else RECTIFIERS
    expected = None
    for way in ways:
        module = Rectified(way, clamped=clamped)
        heatmap = lenses.saliency(network_of(module, images), images, "class:1", rule=rule)
        if expected is None:
            expected = heatmap.scores
            assert expected.abs().max() > 0
        torch.testing.assert_close(heatmap.scores, expected, rtol=1e-5, atol=1e-6, msg=f"written as {way}")
        if rule != "gradient":
            assert heatmap.details["rectifiers"] == 2, way


def test_the_rules_differ():
    images = noise(2, 2, 14, 17, seed=1)
    network = network_of(Rectified("module"), images)
    gradient, guided, deconvnet = (
        lenses.saliency(network, images, "class:1", rule=rule).scores for rule in ("gradient", "guided", "deconvnet")
    )
    for first, second in ((gradient, guided), (guided, deconvnet), (gradient, deconvnet)):
        assert (first - second).abs().max() > 0.05 * first.abs().max()


@pytest.mark.parametrize("rule", ["guided", "deconvnet"])
def test_a_network_without_rectifiers_is_refused(rule):
    images = noise(1, 3, 12, 12)
    network = network_of(Gelu(), images)
    with pytest.raises(RuleError, match="acts on rectifiers"):
        lenses.saliency(network, images, rule=rule)
    assert lenses.saliency(network, images).scores.abs().max() > 0


@pytest.mark.parametrize("channels", [1, 4, 7])
def test_any_number_of_channels_and_oblong_pictures(channels):
    images = noise(2, channels, 21, 33)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(channels, 5, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
        torch.nn.Linear(5, 3),
    )  # fmt: skip
    network = network_of(module, images)
    for name, call in HEATMAPS.items():
        scores = call(network, images, None).scores
        assert scores.shape == (2, 21, 33), name
        assert scores.isfinite().all(), name


def test_double_precision_is_kept(resnet):
    images = noise(1, 2, 14, 17).double()
    network = network_of(Rectified("functional").double(), images)
    assert lenses.saliency(network, images).scores.dtype in (torch.float32, torch.float64)
