"""Large jobs, whose convolutions take fewer multiplications, get the scores that the network itself gives."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from perturbation.random_nets import random_patches
from striate import network as networks
from striate.perturbation.masks import mask_scores
from striate.perturbation.patches import Patches, patch_scores
from striate.perturbation.readout import spread
from wide import SIZE, able, made, sparing

pytestmark = able

TARGETS: list[list[int | str]] = [[2, 0], ["second:3@2,1", "second:60@7,0"]]


def noise(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, *SIZE, generator=torch.Generator().manual_seed(seed))


def by_hand(network, pictures: Tensor, target: list[int | str]) -> Tensor:
    """Score whole pictures, without the library."""
    kept: list[Tensor] = []
    handle = network.module.second.register_forward_hook(lambda *given: kept.append(given[2].clone()))
    with torch.no_grad():
        logits = network.module(pictures)
    handle.remove()
    if isinstance(target[0], int):
        return logits[:, target]
    return torch.stack([kept[0][:, 3, 2, 1], kept[0][:, 60, 7, 0]], dim=1)


@pytest.mark.parametrize("target", TARGETS)
def test_masks(monkeypatch, target):
    network, image, fill = made(), noise(1), noise(1, seed=1)[0]
    masks = torch.rand(70, *SIZE, generator=torch.Generator().manual_seed(2))
    _, targets, _ = spread(network, image, target)
    counts = sparing(monkeypatch)
    scored = mask_scores(
        network, image, lambda start, stop: masks[start:stop], 70, fill, targets, score="logit", task="test"
    )
    expected = by_hand(network, torch.lerp(fill[None], image, masks[:, None]), target)
    torch.testing.assert_close(scored.values, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
    assert sum(counts) >= 2 * 70  # in two convolutions at least


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("chunk", [None, 7])
def test_patches(monkeypatch, target, chunk):
    network, image = made(), network_batch(noise(1))
    boxes, fill, masks = random_patches(3, image, count=70)
    patches = Patches(boxes, fill, masks)
    _, targets, _ = spread(network, image, target)
    counts = sparing(monkeypatch)
    scored = patch_scores(network, image, patches, targets, chunk=chunk)
    assert scored.details["incremental"]
    assert sum(counts) >= 70
    pictures = image.repeat(70, 1, 1, 1)
    for index, (top, left, bottom, right) in enumerate(boxes.tolist()):
        part = pictures[index, :, top:bottom, left:right]
        where = masks[index, : bottom - top, : right - left] if masks is not None else torch.ones(part.shape[1:]) > 0
        part.copy_(torch.where(where, fill[:, top:bottom, left:right], part))
    expected = by_hand(network, pictures, target)
    torch.testing.assert_close(scored.values, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def network_batch(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("count", "worth", "large"), [(70, 1.0, True), (70, 1.01, False), (63, 0.0, False)])
def test_what_counts_as_a_large_job(monkeypatch, count, worth, large):
    network = made()
    monkeypatch.setattr(networks, "WORTH", int(worth * 70 * network.graph().macs))
    assert network.spares(SIZE, count) == large
    assert not network.to("meta").spares(SIZE, count)


def test_many_pictures_in_one_call(monkeypatch):
    network, pictures = made(), noise(70)
    counts = sparing(monkeypatch)
    with torch.no_grad():
        expected = network.module(pictures)
    torch.testing.assert_close(network(pictures), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
    assert sum(counts) >= 3 * 70
