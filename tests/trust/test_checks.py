"""Stability, agreement, pointing, fidelity: closed forms and cases worked by hand."""

from __future__ import annotations

import pytest
import torch

from striate import lenses
from striate.errors import OptionError
from striate.trust import agreement, fidelity, pointing, stability
from trust.conftest import Sum, Weighed, plain
from trust.test_curves import heatmap

# --- stability


def test_the_gradient_of_a_linear_network_feels_no_noise():
    weights = torch.randn(2, 48, generator=torch.Generator().manual_seed(0))
    net, images = plain(Weighed(weights), 6, 8), torch.rand(2, 1, 6, 8, generator=torch.Generator().manual_seed(1))
    found = stability(net, images, ["saliency", "input_x_gradient"], 1, noise=0.5, samples=3)
    assert found.similarity.shape == (2, 2, 3)
    assert (found.similarity[0] - 1).abs().max() < 1e-9
    assert found.left("input_x_gradient") < 0.9  # the picture is in it, noise and all


def test_noise_is_as_large_as_is_said_and_the_same_for_all(small, images):
    seen = []

    def remember(network, pictures, target):
        seen.append(pictures)
        return lenses.saliency(network, pictures, target)

    found = stability(small, images, remember, 0, noise=0.1, samples=2)
    clean, *noisy = (small.spec.denormalise(one) for one in seen)
    assert len(noisy) == 2
    for one in noisy:
        assert (one - clean).std().item() == pytest.approx(0.1, rel=0.05)  # of 1,440 draws
        torch.testing.assert_close(one[0] - clean[0], one[1] - clean[1], rtol=0, atol=1e-5)
    assert not torch.equal(noisy[0], noisy[1])
    again = stability(small, images, "saliency", 0, noise=0.1, samples=2)
    torch.testing.assert_close(again.similarity, found.similarity)
    assert "noise of 26 of 255 levels" in found.sentence("remember")  # 25.5


@pytest.mark.parametrize("options", [{"noise": 0.0}, {"noise": -1.0}, {"samples": 0}])
def test_no_noise_is_no_check(small, images, options):
    with pytest.raises(OptionError, match="noise must be above 0 and samples at least 1"):
        stability(small, images, "saliency", **options)


# --- agreement


def test_agreement_by_hand():
    first = torch.tensor([[[4.0, 3.0], [2.0, 1.0]]])
    maps = {"first": heatmap(first), "negative": heatmap(-first), "reversed": heatmap(first.flip(1, 2))}
    found = agreement(maps, top=0.5)
    assert found.correlation[0].flatten().tolist() == pytest.approx([1, 1, -1, 1, 1, -1, -1, -1, 1])
    # the strongest half of "first" is its first row; that of "reversed" the second
    assert found.overlap[0].flatten().tolist() == [1, 1, 0, 1, 1, 0, 0, 0, 1]
    assert found.sentence() == "first and negative agree most (1.00), first and reversed least (-1.00)."


def test_unrelated_maps_share_what_chance_gives():
    random = torch.Generator().manual_seed(0)
    maps = {name: heatmap(torch.rand(3, 60, 60, generator=random)) for name in "ab"}
    found = agreement(maps, top=0.2)
    assert found.overlap[:, 0, 1].numpy() == pytest.approx(0.2, abs=0.05)
    assert found.correlation[:, 0, 1].numpy() == pytest.approx(0, abs=0.06)


def test_what_cannot_agree():
    one, other = heatmap(torch.rand(1, 4, 4)), heatmap(torch.rand(1, 4, 4), "class:1")
    with pytest.raises(OptionError, match="at least two maps, got 1"):
        agreement({"one": one})
    with pytest.raises(OptionError, match="b is not a map of the same pictures and targets as a: 1 of class:1 against"):
        agreement({"a": one, "b": other})
    with pytest.raises(OptionError, match=r"top must lie in \(0, 1\], got 0"):
        agreement({"a": one, "b": one}, top=0)


# --- pointing


VALUES = torch.tensor([[[0.0, 1.0, 0.0], [0.0, 6.0, 2.0], [-9.0, 0.0, 1.0]]])


def test_pointing_by_hand():
    found = pointing(heatmap(VALUES), (1, 1, 2, 2))
    assert found.hits.tolist() == [[True]]
    assert found.peaks.tolist() == [[[1, 1]]]  # -9 speaks against the target
    assert found.mass.item() == pytest.approx(9 / 10)
    assert found.area.item() == pytest.approx(4 / 9)
    assert found.sentence("map", 0) == (
        "Points inside (row 1, column 1); 0.90 of it lies in the place, which covers 0.44 of the picture."
    )


def test_a_box_and_its_mask_are_the_same_place():
    mask = torch.zeros(3, 3)
    mask[1:, 1:] = 1
    box, masked = pointing(heatmap(VALUES), (1, 1, 2, 2)), pointing(heatmap(VALUES), mask)
    assert masked.mass.item() == box.mass.item()
    assert masked.boxes == box.boxes == ((1, 1, 2, 2),)


def test_near_enough_is_a_hit():
    assert not pointing(heatmap(VALUES), (0, 0, 0, 0)).hits.any()
    assert not pointing(heatmap(VALUES), (0, 0, 0, 0), tolerance=1).hits.any()  # the corner is the root of 2 away
    assert pointing(heatmap(VALUES), (0, 0, 0, 0), tolerance=2).hits.all()


def test_each_picture_its_own_place():
    both = heatmap(VALUES.repeat(2, 1, 1))
    assert pointing(both, [(1, 1, 1, 1), (0, 0, 0, 2)]).hits.tolist() == [[True, False]]
    assert pointing(both, [torch.ones(3, 3), torch.eye(3)]).area.tolist() == pytest.approx([1, 1 / 3])


def test_a_map_of_nothing_points_nowhere():
    found = pointing(heatmap(torch.zeros(1, 3, 3)), (0, 0, 2, 2))
    assert not found.hits.any()
    assert found.sentence("map", 0) == "Has no positive value, so it points nowhere."


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ((1, 1, 3, 2), "rows 1 to 3 and columns 1 to 2, does not lie in the picture, whose rows are 0 to 2"),
        ((2, 0, 1, 2), "rows 2 to 1 and columns"),
        ((-1, 0, 1, 2), "rows -1 to 1"),
        ((1, 2, 3), r"a box is \(top, left, bottom, right\)"),
        (torch.zeros(3, 3), "the mask of picture 1 is empty"),
        (torch.ones(2, 3), "the mask of picture 1 is 2 x 3, the picture 3 x 3"),
        ([(0, 0, 1, 1), (0, 0, 1, 1)], "2 places for 1 pictures"),
    ],
)
def test_a_place_that_is_none(place, message):
    with pytest.raises(OptionError, match=message):
        pointing(heatmap(VALUES), place)


# --- fidelity


@pytest.mark.parametrize("sign", [1, -1])
def test_the_sums_of_a_linear_network_predict_every_fall(sign):
    image = torch.rand(2, 1, 6, 9, generator=torch.Generator().manual_seed(0))
    found = fidelity(plain(Sum(), 6, 9), image, heatmap(sign * image[:, 0]), samples=50)
    torch.testing.assert_close(found, torch.full((2,), float(sign), dtype=torch.float64), rtol=0, atol=1e-5)


def test_a_flat_map_predicts_nothing():
    image = torch.rand(1, 1, 6, 6)
    assert fidelity(plain(Sum(), 6, 6), image, heatmap(torch.zeros(1, 6, 6)), samples=9).isnan().all()


def test_fidelity_of_too_little():
    image = torch.rand(1, 1, 6, 6)
    with pytest.raises(OptionError, match="samples must be at least 2"):
        fidelity(plain(Sum(), 6, 6), image, heatmap(image[0]), samples=1)
