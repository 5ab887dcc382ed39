"""Deletion and insertion: the golden cases of torch-cam and xplique, closed forms on linear networks, and errors."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from striate import lenses
from striate.errors import OptionError
from striate.results import Heatmap
from striate.trust import curves
from striate.trust.curves import order
from trust.conftest import Sum, Weighed, plain


def heatmap(scores: Tensor, target: str = "class:0", **more: object) -> Heatmap:
    """A map (N, H, W) of one target."""
    return Heatmap(
        scores=scores,
        native=scores,
        target=(target,) * len(scores),
        score_values=torch.zeros(len(scores)),
        signed=False,
        pictures=np.zeros((*scores.shape, 3), dtype=np.uint8),
        **more,  # type: ignore[arg-type]
    )


def test_four_pixels_in_two_steps(summing):
    values = torch.tensor([[[0.4, 0.3], [0.2, 0.1]]])
    found = curves(
        summing, values[:, None], heatmap(values), steps=2, deletion="black", insertion="black", score="logit"
    )
    assert found.fractions.tolist() == [0, 0.5, 1]
    assert found.deletion[0, 0].tolist() == pytest.approx([1, 0.3, 0], abs=1e-6)
    assert found.insertion[0, 0].tolist() == pytest.approx([0, 0.7, 1], abs=1e-6)
    assert found.deletion_areas.item() == pytest.approx(0.4, abs=1e-6)
    assert found.insertion_areas.item() == pytest.approx(0.6, abs=1e-6)
    assert found.sentence("map", 0) == "Deletion 0.4, insertion 0.6."


def test_five_pixels_in_three_steps():
    values = torch.tensor([[[0.3, 0.25, 0.2, 0.15, 0.1]]])
    net = plain(Sum(), 1, 5)
    found = curves(net, values[:, None], heatmap(values), steps=3, deletion="black", insertion="black", score="logit")
    assert found.fractions.tolist() == pytest.approx([0, 0.4, 0.8, 1])
    assert found.deletion_areas.item() == pytest.approx(0.41, abs=1e-6)
    assert found.insertion_areas.item() == pytest.approx(0.59, abs=1e-6)


class AllThere(nn.Module):
    """1 when no pixel is zero."""

    def forward(self, images: Tensor) -> Tensor:
        return (images.flatten(1) != 0).all(1, keepdim=True).float()


class AnyThere(nn.Module):
    """1 when some pixel is not zero."""

    def forward(self, images: Tensor) -> Tensor:
        return (images.flatten(1) != 0).any(1, keepdim=True).float()


def test_a_network_that_misses_every_pixel_and_one_that_needs_any():
    image = torch.rand(1, 1, 6, 6, generator=torch.Generator().manual_seed(0)) + 0.1
    options = {"steps": 9, "deletion": "black", "insertion": "black", "score": "logit"}
    deleted = curves(plain(AllThere(), 6, 6), image, heatmap(image[0]), **options)
    # 1 at first, 0 from the first pixels on: half of the first step
    assert deleted.deletion_areas.item() == pytest.approx(0.5 / 9)
    inserted = curves(plain(AnyThere(), 6, 6), image, heatmap(image[0]), **options)
    assert inserted.insertion_areas.item() == pytest.approx(1 - 0.5 / 9)
    # with a pixel missing from the beginning, and with a start that is not empty, nothing is left of the halves
    image[0, 0, 2, 3] = 0
    assert curves(plain(AllThere(), 6, 6), image, heatmap(image[0]), **options).deletion_areas.item() == 0
    options["insertion"] = "white"
    assert curves(plain(AnyThere(), 6, 6), image, heatmap(image[0]), **options).insertion_areas.item() == 1


def test_the_shares_of_a_linear_network_are_the_best_order():
    weights = torch.tensor([[2.0, -1.0, 0.5, -3.0]])
    net, image = plain(Weighed(weights), 2, 2), torch.tensor([[[[1.0, 2.0], [3.0, 1.0]]]])
    shares = lenses.input_x_gradient(net, image, "class:0")
    maps = {"shares": shares}
    for index, places in enumerate(permutations([1.0, 2.0, 3.0, 4.0])):
        maps[str(index)] = heatmap(torch.tensor(places).view(1, 2, 2))
    found = curves(net, image, maps, steps=4, deletion="black", insertion="black", score="logit")
    assert shares.scores.flatten().tolist() == [2, -2, 1.5, -3]
    # without 2, then 1.5, -2, -3 of a score of -1.5
    assert found.deletion[0, 0].tolist() == pytest.approx([-1.5, -3.5, -5, -3, 0])
    assert found.insertion[0, 0].tolist() == pytest.approx([0, 2, 3.5, 1.5, -1.5])
    assert found.deletion_areas[0, 0] == found.deletion_areas[1:, 0].min()
    assert found.insertion_areas[0, 0] == found.insertion_areas[1:, 0].max()


def test_probabilities_equal_those_of_pictures_masked_by_hand(small, images):
    found_map = lenses.saliency(small, images, "class:lynx")
    found = curves(small, images, found_map, steps=5, deletion="black", insertion="mean")
    black = small.spec.baseline("black", images)
    ranked = found_map.scores.flatten(1).argsort(dim=1, descending=True)
    taken = [0, 96, 192, 288, 384, 480]
    assert (found.fractions * 480).round().int().tolist() == taken
    for picture in range(2):
        for step, count in enumerate(taken):
            gone = torch.zeros(480, dtype=torch.bool)
            gone[ranked[picture, :count]] = True
            gone = gone.view(1, 20, 24)
            deleted, inserted = torch.where(gone, black[0], images[picture]), torch.where(gone, images[picture], 0.0)
            both = small(torch.stack([deleted, inserted])).softmax(1)[:, 2]
            torch.testing.assert_close(found.deletion[0, picture, step], both[0], rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(found.insertion[0, picture, step], both[1], rtol=1e-5, atol=1e-6)
    assert found.measure == "probability"
    np.testing.assert_allclose(
        found.deletion_areas.numpy(), np.trapezoid(found.deletion.double().numpy(), found.fractions.numpy())
    )


def test_neither_the_chunk_nor_the_neighbours_change_a_curve(small, images):
    found_map = lenses.saliency(small, images, 1)
    whole = curves(small, images, found_map, steps=7)
    pieces = curves(small, images, found_map, steps=7, chunk=3)
    torch.testing.assert_close(pieces.deletion, whole.deletion, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(pieces.insertion, whole.insertion, rtol=1e-5, atol=1e-6)
    alone = curves(small, images[1:], lenses.saliency(small, images[1:], 1), steps=7)
    torch.testing.assert_close(alone.insertion[:, 0], whole.insertion[:, 1], rtol=1e-5, atol=1e-6)


def test_a_unit_counts_with_its_value(small, images):
    found_map = lenses.saliency(small, images, "right:2@3,4")
    found = curves(small, images, found_map, steps=4)
    assert found.measure == "score"
    torch.testing.assert_close(found.deletion[0, :, 0], found_map.score_values, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.insertion[0, :, -1], found_map.score_values, rtol=1e-5, atol=1e-6)


def test_one_picture_explained_for_several_classes(small, images):
    both = lenses.occlusion(small, images[:1], ["class:0", "class:2"], patch=5, stride=5)
    found = curves(small, images[:1], both, steps=4)
    chances = small(images[:1]).softmax(1)[0]
    assert found.target == ("class:tabby", "class:lynx")
    torch.testing.assert_close(found.deletion[0, :, 0], chances[[0, 2]], rtol=1e-5, atol=1e-6)


def test_pixels_of_equal_value_come_in_no_order_of_lines():
    flat = order(torch.ones(8, 9), seed=0)
    assert sorted(flat.flatten().tolist()) == list(range(72))
    assert not torch.equal(flat, torch.arange(72).view(8, 9))
    assert not torch.equal(flat, order(torch.ones(8, 9), seed=1))
    assert torch.equal(flat, order(torch.ones(8, 9), seed=0))


def test_negative_values_go_last():
    assert order(torch.tensor([[-5.0, 1.0], [0.0, 3.0]]), seed=0).tolist() == [[3, 1], [2, 0]]


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda one: one, {"steps": 0}, "steps must be at least 1, got 0"),
        (lambda one: one, {"deletion": "pink elephants"}, "no baseline 'pink elephants'"),
        (lambda one: replace(one, scores=one.scores[:, :-1]), {}, "holds maps of 2 x 19 x 24 for pictures of 2 x 3"),
        (lambda one: replace(one, scores=one.scores / 0), {}, r"\d+ values of saliency are NaN or infinite"),
        (lambda one: {}, {}, "no heatmap was given"),
        (
            lambda one: {"one": one, "other": replace(one, target=("class:tabby", "class:lynx"))},
            {},
            "in picture 2 other explains class:lynx, but one explains class:tabby",
        ),
    ],
)
def test_what_cannot_be_judged_is_said(small, images, change, options, message):
    with pytest.raises(OptionError, match=message):
        curves(small, images, change(lenses.saliency(small, images, 0)), **options)
