"""A small network with all that can be made leaner, kinds of it that cannot, and means to see which way was taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import striate
from striate import lean
from striate.program import Program

__all__ = [
    "SIZE", "Choosing", "Measuring", "MeasuringPictures", "Noisy", "Normed", "count_runs", "made", "noise", "plainly",
]  # fmt: skip

SIZE = (20, 24)


class Normed(nn.Module):
    """Convolutions with batch norm that has seen something, a residual, a rectifier in place, a last map."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.second = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=2, bias=False), nn.BatchNorm2d(8))
        self.third = nn.Sequential(nn.Conv2d(8, 12, 3), nn.BatchNorm2d(12))
        self.last = nn.Linear(12, 4)
        self.louder = 1.0

    def forward(self, images: Tensor) -> Tensor:
        found = self.first(images)
        found = torch.relu_(found + self.second(found))
        return self.louder * self.last(self.behind(self.third(found)))

    def behind(self, maps: Tensor) -> Tensor:
        return maps.relu().mean((2, 3))


def made(kind: type[nn.Module] = Normed) -> striate.Network:
    torch.manual_seed(0)
    module = kind()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.weight)
            nn.init.normal_(part.bias)
            part.running_mean.normal_()
            part.running_var.uniform_(0.2, 3)
    return striate.Network(module.eval(), striate.InputSpec(3, *SIZE))


def noise(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, *SIZE, generator=torch.Generator().manual_seed(seed))


class Noisy(Normed):
    def behind(self, maps: Tensor) -> Tensor:
        return maps.relu().mean((2, 3)) + torch.rand(1)


class Choosing(Normed):
    def behind(self, maps: Tensor) -> Tensor:
        return maps.relu().mean((2, 3)) if maps.sum() > 0 else maps.amax((2, 3))


class Measuring(Normed):
    """Measures the maps where PyTorch does not see it."""

    def behind(self, maps: Tensor) -> Tensor:
        return maps.relu().mean((2, 3)) / float(abs(maps.detach().numpy()).max())


class MeasuringPictures(Normed):
    """What is measured is the same of a mirrored picture."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) / float(abs(images.detach().numpy()).max())


def count_runs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list to which the number of pictures is added at each run of a program."""
    counts: list[int] = []
    right = Program.run

    def run(self: Program, given: Any, ends: Any, count: int) -> Any:
        counts.append(count)
        return right(self, given, ends, count)

    monkeypatch.setattr(Program, "run", run)
    return counts


def plainly(monkeypatch: pytest.MonkeyPatch, call: Callable[[], Any]) -> Any:
    """Call something with the network run as it is."""
    with monkeypatch.context() as patch:
        patch.setattr(lean, "pays", lambda *_: False)
        return call()
