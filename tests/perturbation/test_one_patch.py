"""One patch: against pixels written by hand, and against the lens that slides it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import striate
from striate.errors import OptionError
from striate.perturbation.one_patch import Covering, cover_patch


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(6 * 12 * 10, 4)
    )
    return striate.Network(module, striate.InputSpec(3, 24, 20, mean=(0.4,), std=(0.2,)))


@pytest.fixture(scope="module")
def image(network):
    return network.spec.normalise(torch.rand(1, 3, 24, 20, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("target", [None, 2, "1:3", "1:3@5,6", "1:3@max"])
def test_the_same_as_pixels_written_by_hand(network, image, target):
    by_hand = image.clone()
    by_hand[:, :, 4:12, 0:6] = (0.0 - 0.4) / 0.2  # black
    found = cover_patch(network, image, (8.0, 2.0), target, size=8, baseline="black")
    assert found.box == (4, 0, 12, 6)
    logits = network(torch.cat([image, by_hand]))
    torch.testing.assert_close(torch.stack([found.before, found.after]), logits)
    if target in (None, 2):
        chosen = int(logits[0].argmax()) if target is None else target
        assert found.target == f"class:{chosen}"
        assert found.drop == pytest.approx(float(logits[0, chosen] - logits[1, chosen]), abs=1e-6)
    else:
        maps = network.module[:2](torch.cat([image, by_hand])).detach()[:, 3]
        row, column = divmod(int(maps[0].argmax()), 20) if target.endswith("max") else (5, 6)
        scores = maps[:, row, column] if "@" in target else maps.mean((1, 2))
        assert (found.score_before, found.score_after) == pytest.approx(tuple(scores.tolist()), abs=1e-6)


def test_the_drop_is_that_of_the_sliding_lens(network, image):
    native = striate.lenses.occlusion(network, image, 1, patch=8, stride=4).native[0]
    found = cover_patch(network, image, (4 + 4, 8 + 4), 1, size=8, baseline="black")  # second row, third column
    assert found.drop == pytest.approx(float(native[1, 2]), abs=1e-5)


def test_classes_come_in_the_order_of_before(network, image):
    chances = cover_patch(network, image, (12, 10), size=10).chances(3)
    before = network(image).softmax(1)[0]
    assert [index for index, *_ in chances] == before.argsort(descending=True)[:3].tolist()
    assert [p for _, p, _ in chances] == pytest.approx(before.sort(descending=True)[0][:3].tolist())


def test_a_place_outside_and_a_size_below_one_are_refused(network, image):
    with pytest.raises(OptionError, match="lies outside the 24 x 20 pixels"):
        cover_patch(network, image, (8, 30), size=8)
    with pytest.raises(OptionError, match="at least 1 pixel, got 0"):
        cover_patch(network, image, (8, 8), size=0)


@pytest.fixture(scope="module")
def deep():
    """Convolutions one after the other, so that a patch reaches little of the first maps and all of the last."""
    torch.manual_seed(2)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 5),
    )  # fmt: skip
    return striate.Network(module, striate.InputSpec(3, 64, 48))


@pytest.mark.parametrize("windows", [False, True])
def test_a_picture_that_is_kept_answers_as_one_that_is_not(deep, windows, monkeypatch):
    image = torch.randn(1, 3, 64, 48, generator=torch.Generator().manual_seed(3))
    kept = Covering(deep, image)
    if windows:
        seconds = iter([1.0, 0.5])  # plainly, and on windows
        monkeypatch.setattr("striate.perturbation.one_patch._seconds", lambda call: (call(), next(seconds))[1])
        assert kept.prepare() == ""
        assert kept.on_windows
    for place in ((30, 20), (1, 1), (63, 47), (40, 3)):
        for baseline in ("grey", "noise", "blur"):
            for target in (None, 3, "4:2"):
                expected = cover_patch(deep, image, place, target, size=12, baseline=baseline)
                found = kept.cover(place, target, size=12, baseline=baseline)
                assert (found.box, found.target) == (expected.box, expected.target)
                torch.testing.assert_close(found.after, expected.after, rtol=1e-4, atol=1e-5)
                torch.testing.assert_close(found.before, expected.before, rtol=1e-4, atol=1e-5)
                assert found.drop == pytest.approx(expected.drop, abs=1e-5)


def test_windows_are_not_used_where_they_take_longer_or_cannot_be_followed(deep, monkeypatch):
    image = torch.randn(1, 3, 64, 48, generator=torch.Generator().manual_seed(3))
    kept = Covering(deep, image)
    seconds = iter([0.5, 1.0])
    monkeypatch.setattr("striate.perturbation.one_patch._seconds", lambda call: next(seconds))
    assert kept.prepare() == "windows alone are no faster"
    assert not kept.on_windows
