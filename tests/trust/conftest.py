from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from striate.network import Network
from striate.spec import InputSpec
from truth.nets import ResNet20

CIFAR = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


class Sum(nn.Module):
    """One logit: the sum of all pixels."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1).sum(1, keepdim=True)


class Weighed(nn.Module):
    """Logits that are linear in the pixels."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.register_buffer("weights", weights)  # (K, pixels)

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) @ self.weights.T


def plain(module: nn.Module, height: int, width: int, names: list[str] | None = None) -> Network:
    """A network of one channel whose pixels are taken as they are: black, and the mean colour, is 0."""
    return Network(module.eval(), InputSpec(1, height, width), names, name="plain")


@pytest.fixture
def summing() -> Network:
    return plain(Sum(), 2, 2)


@pytest.fixture
def small() -> Network:
    """Three classes, 20 x 24 pixels, batch normalisation and a branch, random weights."""

    class Branched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 6, 3, padding=1)
            self.norm = nn.BatchNorm2d(6)
            self.left = nn.Conv2d(6, 8, 3, padding=1)
            self.right = nn.Conv2d(6, 8, 1)
            self.head = nn.Linear(8, 3)
            self.relu = nn.ReLU()

        def forward(self, images: Tensor) -> Tensor:
            maps = self.relu(self.norm(self.stem(images)))
            return self.head(self.relu(self.left(maps) + self.right(maps)).mean((2, 3)))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = Branched()
        with torch.no_grad():
            module.norm.weight.uniform_(0.5, 1.5)
            module.norm.bias.uniform_(-0.2, 0.2)
            module.norm.running_mean.uniform_(-0.2, 0.2)
            module.norm.running_var.uniform_(0.5, 1.5)
    spec = InputSpec(3, 20, 24, mean=(0.5,), std=(0.25,))
    return Network(module, spec, ["tabby", "tiger cat", "lynx"], name="small")


@pytest.fixture
def images() -> Tensor:
    """Two pictures for `small`."""
    return torch.randn(2, 3, 20, 24, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="session")
def resnet20(shared_data) -> Network:
    module = ResNet20()
    module.load_state_dict(load_file(shared_data / "models" / "resnet20-cifar10.safetensors"))
    return Network(module.eval(), InputSpec(3, 32, 32, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), CIFAR)


@pytest.fixture(scope="session")
def six(resnet20, sample_photographs) -> Tensor:
    """Six photographs as the CIFAR network takes them."""
    return resnet20.read([path for path, _ in sample_photographs[::170]])
