"""A small network and its atlas by brute force, for the tests of the lenses on an atlas. No test stands here."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

import striate
from atlas.making import make_atlas
from striate.atlas.opened import Atlas

__all__ = ["PLACES", "SmallNet", "make_network", "pictures_of", "small_atlas"]

PLACES = ("first", "first_relu", "second", "norm", "second_relu", "deep", "head")
NAMES = ("ant", "bee", "crane")


class SmallNet(nn.Module):
    """Two rectified convolutions, a third that sees everything, and three classes; for pictures of 26 x 22."""

    def __init__(self, channels: int = 3, rectifier: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, 5, 3, stride=2, padding=1)
        self.first_relu = rectifier()
        self.second = nn.Conv2d(5, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.second_relu = rectifier()
        self.pool = nn.MaxPool2d(2)
        self.deep = nn.Conv2d(6, 7, 7, padding=3)
        self.head = nn.Linear(7, 3)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.first_relu(self.first(images))
        maps = self.pool(self.second_relu(self.norm(self.second(maps))))
        return self.head(self.deep(maps).relu().mean((2, 3)))


def make_network(channels: int = 3, rectifier: type[nn.Module] = nn.ReLU, seed: int = 0) -> striate.Network:
    """Return the network with random weights, and running statistics that are not those of a new one."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = SmallNet(channels, rectifier)
        nn.init.normal_(module.norm.weight)  # some below zero
        nn.init.normal_(module.norm.bias, std=0.5)
        nn.init.normal_(module.norm.running_mean, std=0.2)
        nn.init.uniform_(module.norm.running_var, 0.5, 1.5)
    mean, std = (0.5,) * channels, (0.25,) * channels
    return striate.Network(module, striate.InputSpec(channels, 26, 22, mean, std), NAMES, name="small")


def pictures_of(network: striate.Network, count: int, seed: int = 1) -> Tensor:
    """Return pictures whose pixels are whole numbers, so that a copy in the atlas is exact; (N, C, 26, 22)."""
    draw = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, network.spec.channels, 7, 6, generator=draw)
    smooth = nn.functional.interpolate(coarse, (26, 22), mode="bilinear")
    noise = torch.rand(count, network.spec.channels, 26, 22, generator=draw)
    return network.spec.normalise((0.7 * smooth + 0.3 * noise).mul(255).round() / 255)


def small_atlas(folder: Path, network: striate.Network, images: Tensor, **options: object) -> Atlas:
    """Write an atlas of all layers of the small network, with labels in turn."""
    labels = [index % 3 for index in range(len(images))]
    return make_atlas(folder, network, images, PLACES, **{"labels": labels, **options})  # type: ignore[arg-type]
