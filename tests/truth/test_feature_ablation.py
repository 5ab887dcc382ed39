"""Hiding one superpixel at a time against answers worked by hand, and Captum."""

from __future__ import annotations

import pytest
import torch
from captum import attr
from torch import Tensor, nn

import striate
from striate import lenses
from striate.errors import NetworkError, OptionError
from truth import peers
from truth.cases import case
from truth.nets import Mlp


@pytest.mark.parametrize(
    ("labels", "baseline", "answer"),
    [
        ([0, 1, 2], 0.0, (80.0, 200.0, 120.0)),
        ([0, 0, 1], 0.0, (280.0, 280.0, 120.0)),
        ([0, 0, 1], 4.0, (248.0, 248.0, 104.0)),
    ],
)
def test_the_perceptron_by_hand(labels, baseline, answer):
    network = striate.Network(Mlp(), striate.InputSpec(1, 1, 3))
    image = torch.tensor([20.0, 50.0, 30.0]).view(1, 1, 1, 3)
    blank = torch.full_like(image, baseline)
    found = lenses.feature_ablation(network, image, "class:0", labels=torch.tensor([labels]), baseline=blank)
    assert found.scores.flatten().tolist() == pytest.approx(answer, abs=1e-4)


@pytest.mark.parametrize("incremental", [True, False])
def test_ragged_superpixels_are_captums(incremental):
    it = case("resnet20-cifar10")
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randint(0, 9, (8, 8), generator=generator)
    groups = coarse.repeat_interleave(4, 0).repeat_interleave(4, 1)
    groups[5:9, 3:30] = 4  # one that lies across others
    covers = it.network.spec.baseline("grey", it.images)
    with peers.quiet(), torch.no_grad():
        theirs = attr.FeatureAblation(it.plain).attribute(
            it.images, baselines=covers.expand_as(it.images), target=it.targets, feature_mask=groups[None, None]
        )
    found = lenses.feature_ablation(it.network, it.images, it.targets, labels=groups, incremental=incremental)
    assert found.details["incremental"] == incremental
    assert peers.deviation(found.scores.double(), theirs[:, 0].double()) < 1e-5


def test_superpixels_of_a_photograph(lite0, astronaut):
    images = lite0.read([astronaut])
    quick = lenses.feature_ablation(lite0, images, segments=12)
    plain = lenses.feature_ablation(lite0, images, segments=12, incremental=False)
    torch.testing.assert_close(quick.scores, plain.scores, rtol=0, atol=2e-4)
    for index, weight in enumerate(quick.weights[0]):
        assert (quick.scores[0][quick.labels[0] == index] == weight).all()
    assert "by itself" in quick.trust(0)
    assert "explained" not in quick.numbers()["pictures"][0]
    assert "explained" not in quick.arrays()


class Logarithm(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.log().mean((2, 3))


def test_bad_input_is_explained():
    network = striate.Network(Logarithm(), striate.InputSpec(1, 6, 6))
    halves = (torch.arange(6) // 3).expand(6, 6)
    with pytest.raises(NetworkError, match=r"the score of class:0 is -inf when superpixel 0 is hidden\. Try another"):
        lenses.feature_ablation(network, torch.ones(1, 1, 6, 6), 0, labels=halves, baseline="black")
    with pytest.raises(OptionError, match="superpixel"):
        lenses.feature_ablation(network, torch.ones(1, 1, 6, 6), 0, labels=torch.zeros(6, 6, dtype=torch.long))
