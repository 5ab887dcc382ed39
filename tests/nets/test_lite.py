"""EfficientNet-Lite against timm's: the same layers, the same answers, and neither timm nor torchvision is imported."""

from __future__ import annotations

import pytest
import torch

from lightness import imported_by
from striate.nets.lite import efficientnet_lite
from striate.zoo import BUILT_IN, imagenet_names

VARIANTS = sorted(BUILT_IN)


@pytest.mark.parametrize("name", VARIANTS)
def test_layers_weights_and_answers_are_those_of_timm(name):
    timm = pytest.importorskip("timm", reason="needs the extra zoo: timm")
    torch.manual_seed(0)
    theirs, ours = timm.create_model(name, pretrained=False).eval(), efficientnet_lite(name).eval()
    assert [address for address, _ in ours.named_modules()] == [address for address, _ in theirs.named_modules()]
    ours.load_state_dict(theirs.state_dict())
    for normalised in (theirs, ours):  # weights as drawn hardly tell layers apart
        torch.manual_seed(1)
        for part in normalised.modules():
            if isinstance(part, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(part.weight, 0.5, 1.5)
                torch.nn.init.normal_(part.bias)
    images = torch.randn(2, 3, 96, 64)
    with torch.no_grad():
        assert torch.equal(ours(images), theirs(images))


def test_the_demo_network_takes_neither_timm_nor_torchvision_along():
    found = imported_by("import striate; assert striate.load('efficientnet_lite0').class_names[281] == 'tabby'")
    assert "torch" in found
    assert found.isdisjoint({"timm", "torchvision", "sympy"})


def test_a_saved_one_is_made_again_without_timm(lite0, tmp_path):
    path = lite0.save(tmp_path / "net.safetensors")
    found = imported_by(f"import striate; assert striate.load({str(path)!r}).weights_hash == {lite0.weights_hash!r}")
    assert found.isdisjoint({"timm", "torchvision"})


def test_the_class_names_are_those_that_torchvision_has():
    models = pytest.importorskip("torchvision.models", reason="needs the extra zoo: torchvision")
    assert imagenet_names() == tuple(models.ResNet18_Weights.DEFAULT.meta["categories"])


@pytest.mark.parametrize("training", [False, True])
def test_torch_fx_can_follow_it_and_changes_nothing(training):
    torch.manual_seed(0)
    net = efficientnet_lite("efficientnet_lite0").train(training)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    followed = torch.fx.symbolic_trace(net)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(followed(images), net(images))


def test_torchvision_takes_features_from_the_middle():
    extraction = pytest.importorskip("torchvision.models.feature_extraction", reason="needs the extra zoo: torchvision")
    net = efficientnet_lite("efficientnet_lite0").eval()
    found = extraction.create_feature_extractor(net, ["blocks.2", "bn2.act"])(torch.randn(1, 3, 64, 64))
    assert {name: tuple(value.shape) for name, value in found.items()} == {
        "blocks.2": (1, 40, 8, 8),
        "bn2.act": (1, 1280, 2, 2),
    }
