"""A small network of many channels, whose convolutions gain by fewer multiplications, and means to see it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import striate
from striate import network
from striate.winograd import convolution as winograd

__all__ = ["SIZE", "Wide", "able", "made", "sparing"]

SIZE = (36, 32)

able = pytest.mark.skipif(not winograd.can(), reason="no numba, or a processor without vectors of eight numbers")


class Wide(nn.Module):
    """A stem, a residual block of 64 channels, and a convolution to 80; after each batch norm and a rectifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 64, 5, stride=2, padding=2), nn.BatchNorm2d(64), nn.ReLU(inplace=True))
        self.first = nn.Sequential(nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU6())
        self.second = nn.Sequential(nn.Conv2d(64, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64))
        self.third = nn.Sequential(nn.Conv2d(64, 80, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2))
        self.last = nn.Linear(80, 4)

    def forward(self, images: Tensor) -> Tensor:
        found = self.stem(images)
        found = torch.relu_(found + self.second(self.first(found)))
        return self.last(self.third(found).mean((2, 3)))


def made() -> striate.Network:
    torch.manual_seed(0)
    module = Wide()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias)
            part.running_mean.normal_()
            part.running_var.uniform_(0.5, 2)
    return striate.Network(module.eval(), striate.InputSpec(3, *SIZE))


def sparing(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let every job count as large; return a list to which the pictures of each such convolution are added."""
    counts: list[int] = []
    right = winograd.convolve

    def convolve(images: Tensor, *given: Any, **options: Any) -> Tensor:
        counts.append(len(images))
        return right(images, *given, **options)

    monkeypatch.setattr(winograd, "convolve", convolve)
    monkeypatch.setattr(network, "WORTH", 0)
    return counts
