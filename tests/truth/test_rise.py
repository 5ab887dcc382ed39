"""RISE against a naive loop, and against its closed form on a linear network."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import striate
from striate import lenses
from striate.errors import OptionError
from striate.perturbation.masks import smooth_masks
from truth.nets import ResNet20, randomise


@pytest.fixture(scope="module")
def resnet() -> tuple[striate.Network, Tensor]:
    images = torch.randn(2, 3, 24, 31, generator=torch.Generator().manual_seed(0))
    spec = striate.InputSpec(3, 24, 31, mean=(0.5,) * 3, std=(0.25,) * 3)
    return striate.Network(randomise(ResNet20(), images).eval(), spec), images


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("score", ["probability", "logit"])
def test_a_naive_loop(resnet, centred, score):
    network, images = resnet
    samples, keep = 12, 0.4
    heatmap = lenses.rise(
        network, images[:1], 4, samples=samples, cells=3, keep=keep, centred=centred, score=score, seed=7
    )
    masks = smooth_masks(samples, (24, 31), cells=3, keep=keep, seed=7).on(torch.device("cpu"))(0, samples)
    black = (0 - 0.5) / 0.25
    scores = []
    for mask in masks:
        logits = network(images[:1] * mask + black * (1 - mask))[0]
        scores.append(float(logits.softmax(0)[4] if score == "probability" else logits[4]))
    mean = sum(scores) / samples if centred else 0
    expected = torch.zeros(24, 31)
    for row in range(24):
        for column in range(31):
            for value, mask in zip(scores, masks, strict=True):
                expected[row, column] += (value - mean) * mask[row, column] / (samples * keep)
    torch.testing.assert_close(heatmap.scores[0], expected, rtol=1e-3, atol=1e-5)
    assert heatmap.details["mean_masked_score"][0] == pytest.approx(sum(scores) / samples, rel=1e-4)


def covariance(length: int, cells: int) -> tuple[Tensor, Tensor]:
    """Average over the shifts, along one axis, of what two pixels have of the same cell: (L, L) and (L, L).

    Returns the mean of sum_k a_k b_k, and the mean of (sum_k a_k)(sum_k b_k), which is 1.
    """
    cell = -(-length // cells)
    size = (cells + 1) * cell
    total = torch.zeros(length, length, dtype=torch.float64)
    for shift in range(cell):
        places = torch.arange(shift, shift + length)
        position = ((places + 0.5) * cells / size - 0.5).clamp(0, cells - 1)
        weights = (1 - (position[:, None] - torch.arange(cells)).abs()).clamp(min=0).double()
        total += weights @ weights.T / cell
    return total, torch.ones_like(total)


def test_the_expected_map_of_a_linear_network():
    # f = sum(w x), hidden pixels 0: the map tends to sum_b w_b x_b cov(mask_b, mask_a) / p.
    # A cell is open with p (1 - p) of variance, apart from the others; the shifts of rows and columns are drawn apart.
    height, width, cells, keep = 9, 12, 3, 0.5
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(height * width, generator=generator)
    module = nn.Sequential(nn.Flatten(), nn.Linear(height * width, 1, bias=False))
    with torch.no_grad():
        module[1].weight.copy_(weights)
    network = striate.Network(module, striate.InputSpec(1, height, width))
    image = torch.rand(1, 1, height, width, generator=generator)
    down, across = covariance(height, cells)[0], covariance(width, cells)[0]
    parts = (weights.view(height, width) * image[0, 0]).double()
    expected = keep * (1 - keep) * (down @ parts @ across) / keep
    samples = 40_000
    heatmap = lenses.rise(
        network, image, 0, samples=samples, cells=cells, keep=keep, baseline="black", score="logit", chunk=2000
    )
    # the standard error of a mean of products, for scores and masks of these spreads
    score_spread = (keep * (1 - keep) * (parts * (down @ parts @ across)).sum()).sqrt()
    error = float(score_spread) * 0.5 / keep / samples**0.5
    assert expected.abs().max() > 20 * error
    torch.testing.assert_close(heatmap.scores[0].double(), expected, rtol=0, atol=5 * error)


def test_the_papers_map_is_the_centred_one_and_the_mean(resnet):
    network, images = resnet
    options = {"samples": 200, "cells": 4, "score": "logit"}
    centred = lenses.rise(network, images, 2, **options)
    paper = lenses.rise(network, images, 2, centred=False, **options)
    masks = smooth_masks(200, (24, 31), cells=4, keep=0.5, seed=0).on(torch.device("cpu"))(0, 200)
    mean = torch.tensor(paper.details["mean_masked_score"]).view(2, 1, 1)
    torch.testing.assert_close(paper.scores, centred.scores + mean * masks.mean(0) / 0.5, rtol=1e-3, atol=1e-4)
    assert centred.signed


@pytest.mark.parametrize("chunk", [1, 5, 64])
def test_chunks_never_change_a_result(resnet, chunk):
    network, images = resnet
    whole = lenses.rise(network, images, 1, samples=30).scores
    streamed = lenses.rise(network, images, 1, samples=30, chunk=chunk).scores
    torch.testing.assert_close(streamed, whole, rtol=1e-3, atol=1e-4 * whole.abs().max().item())


def test_several_classes_and_pictures_are_each_alone(resnet):
    network, images = resnet
    options = {"samples": 30, "baseline": "blur"}
    classes = lenses.rise(network, images[:1], [3, 7], **options)
    batch = lenses.rise(network, images, [3, 7], **options)
    for row, target in enumerate([3, 7]):
        alone = lenses.rise(network, images[:1], target, **options)
        torch.testing.assert_close(classes.scores[row], alone.scores[0], rtol=1e-4, atol=1e-7)
        alone = lenses.rise(network, images[row : row + 1], target, **options)
        torch.testing.assert_close(batch.scores[row], alone.scores[0], rtol=1e-3, atol=1e-6)


def test_what_is_seen_is_found():
    # the score is the brightness of one corner
    class Corner(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images[:, :, :8, :8].mean((1, 2, 3))[:, None]

    network = striate.Network(Corner(), striate.InputSpec(3, 32, 32))
    heatmap = lenses.rise(network, torch.ones(1, 3, 32, 32), 0, samples=500, score="logit")
    row, column = divmod(int(heatmap.scores[0].argmax()), 32)
    assert max(row, column) < 8
    assert heatmap.scores[0, 16:, 16:].abs().max() < 0.25 * heatmap.scores.max()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "samples must be at least 1, got 0"),
        ({"cells": 0}, "cells must be at least 1, got 0"),
        ({"keep": 0.0}, r"keep must lie between 0 and 1, got 0\.0"),
        ({"keep": 1.0}, "keep must lie between 0 and 1"),
        ({"baseline": "average"}, "mean colour of each superpixel, and there are none here"),
    ],
)
def test_what_cannot_be_done_is_explained(resnet, options, message):
    network, images = resnet
    with pytest.raises(OptionError, match=message):
        lenses.rise(network, images, 0, **options)
