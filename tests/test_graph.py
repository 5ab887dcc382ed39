"""Which layer stands for the end of a network, and which for its depths."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from striate.errors import NetworkError
from striate.trace import trace

ENDS = {  # of torchvision; the last map that all ways lead through, before pooling
    "vgg11_bn": "features.27",
    "alexnet": "features.11",
    "resnet18": "layer4",
    "densenet121": "features",
    "googlenet": "inception5b",
    "mobilenet_v2": "features",
    "shufflenet_v2_x0_5": "conv5",
    "efficientnet_b0": "features",
    "squeezenet1_1": "classifier.2",
}


@pytest.mark.parametrize("name", ENDS)
def test_ends_of_well_known_networks(name):
    models = pytest.importorskip("torchvision.models")
    settings = {"init_weights": False} if name == "googlenet" else {}
    module = getattr(models, name)(weights=None, **settings)
    assert trace(module, torch.rand(1, 3, 128, 128)).last_map().address == ENDS[name]


def test_depths_of_a_network_are_its_blocks():
    models = pytest.importorskip("torchvision.models")
    graph = trace(models.efficientnet_b0(weights=None), torch.rand(1, 3, 224, 224))
    stages = [layer.address for layer in graph.stages()]
    assert stages == ["features.1", "features.2", "features.3", "features.5", "features"]


class IdentityBlock(nn.Module):
    """A residual block by the name that tutorials give it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        return torch.relu(maps + self.conv(maps))


class Masked(nn.Module):
    """A map weighed by a mask of one channel, a side output that the classes do not depend on, pooling at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.block = nn.Conv2d(3, 4, 3), IdentityBlock()
        self.mask, self.decoder = nn.Conv2d(4, 1, 1), nn.ConvTranspose2d(4, 3, 3)
        self.pool, self.head = nn.MaxPool2d(2), nn.Linear(4, 2)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.block(self.stem(images))
        weighed = self.pool(maps * torch.sigmoid(self.mask(maps)))
        return self.head(weighed.mean((2, 3))), self.decoder(maps)


def test_side_outputs_masks_and_pooling_are_passed_over():
    assert trace(Masked(), torch.rand(1, 3, 12, 12)).last_map().address == "block"


def test_a_network_without_maps_says_so():
    graph = trace(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), torch.rand(1, 3, 2, 2))
    with pytest.raises(NetworkError, match="no layer of this network gives a feature map"):
        graph.last_map()
