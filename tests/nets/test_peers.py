"""The same network in torchvision and timm: its state dict fits, and the answers are the same."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import striate
from striate import nets
from striate.nets.wrapped import renamed


def filled(make) -> nn.Module:
    """Build a network and fill it with living numbers, without drawing its first weights before."""
    with torch.device("meta"):
        module = make()
    module.to_empty(device="cpu").eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in module.state_dict().items():
            if value.dim() > 1:
                value.uniform_(-1, 1, generator=generator).mul_((6 / value[0].numel()) ** 0.5)
            elif name.endswith("num_batches_tracked"):
                value.zero_()
            elif name.endswith(("running_mean", "bias")):
                value.uniform_(-0.1, 0.1, generator=generator)
            else:  # scales of norms, and their variances
                value.uniform_(0.5, 1.5, generator=generator)
    return module.requires_grad_(False)


def compare(name: str, theirs: nn.Module, sizes: list[tuple[int, int]]) -> None:
    with torch.device("meta"):
        ours = nets.create(name)
    state = renamed(ours, theirs.state_dict())
    ours.load_state_dict(state, strict=True, assign=True)
    ours.eval()
    for size in sizes:
        images = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            expected, found = theirs(images), ours(images)
        assert expected.std() > 0
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * expected.abs().max().item())


TORCHVISION = {
    "alexnet-2014": ("alexnet", {}, [(96, 128)]),
    "vgg-a": ("vgg11", {"init_weights": False}, [(64, 96)]),
    "vgg-b": ("vgg13", {"init_weights": False}, [(64, 64)]),
    "vgg-d": ("vgg16", {"init_weights": False}, [(64, 64)]),
    "vgg-e": ("vgg19", {"init_weights": False}, [(64, 64)]),
    "googlenet-bn": ("googlenet", {"init_weights": False, "aux_logits": True}, [(64, 96), (224, 224)]),
    "resnet-18": ("resnet18", {}, [(64, 96)]),
    "resnet-34": ("resnet34", {}, [(64, 64)]),
    "resnet-50": ("resnet50", {}, [(64, 96)]),
    "resnet-101": ("resnet101", {}, [(64, 64)]),
    "resnet-152": ("resnet152", {}, [(64, 64)]),
}


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvisions_state_dict_gives_torchvisions_answers(name):
    models = pytest.importorskip("torchvision.models")
    theirs, options, sizes = TORCHVISION[name]
    compare(name, filled(lambda: models.get_model(theirs, weights=None, **options)), sizes)


@pytest.mark.parametrize(("name", "theirs"), [("vgg-a", "vgg11"), ("resnet-18", "resnet18"), ("resnet-50", "resnet50")])
def test_timms_state_dict_gives_timms_answers(name, theirs):
    timm = pytest.importorskip("timm")
    module = filled(lambda: timm.create_model(theirs, pretrained=False))
    compare(name, module, [(64, 96)])


def test_a_file_of_torchvisions_weights_loads(tmp_path):
    models = pytest.importorskip("torchvision.models")
    theirs = filled(lambda: models.googlenet(weights=None, init_weights=False, aux_logits=True))
    torch.save(theirs.state_dict(), tmp_path / "googlenet.pth")
    network = striate.load(tmp_path / "googlenet.pth", factory="striate:googlenet-bn")
    images = torch.randn(1, 3, 64, 64)
    expected = theirs(images)
    torch.testing.assert_close(network(images), expected, rtol=0, atol=1e-5 * expected.abs().max().item())
    assert any("belong to parts that are left out here (first: aux1." in note for note in network.notes)


def test_torchvisions_googlenet_wants_pictures_from_minus_one_to_one(tmp_path):
    """Its own network has a step at its entry that turns the usual colours into these; the file does not say so."""
    models = pytest.importorskip("torchvision.models")
    theirs = filled(lambda: models.googlenet(weights=None, init_weights=False, transform_input=True))
    torch.save(theirs.state_dict(), tmp_path / "googlenet.pth")
    network = striate.load(tmp_path / "googlenet.pth", factory="striate:googlenet-bn")
    pixels = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    usual = striate.InputSpec(3, 64, 64, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    with torch.no_grad():
        expected, found = theirs(usual.normalise(pixels)), network(network.spec.normalise(pixels))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * expected.abs().max().item())


def test_the_trained_cifar_network_is_ours(shared_data):
    """Against the same network written for the tests, on random pictures."""
    from safetensors.torch import load_file

    from truth.nets import ResNet20

    path = shared_data / "models" / "resnet20-cifar10.safetensors"
    network = striate.load(path, factory="striate:resnet-20-cifar")
    other = ResNet20().eval()
    other.load_state_dict(load_file(path), strict=False)
    images = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(network(images), other(images))
