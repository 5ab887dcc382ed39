"""The residual networks for CIFAR: 20, 32, 44, 56 and 110 layers, with two ways around a block that changes shape.

Source: He, Zhang, Ren and Sun 2015, "Deep residual learning for image recognition", arXiv:1512.03385, section 4.2;
shortcuts A and B are those of section 4.1.
"""

from __future__ import annotations

from functools import partial
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from striate.nets.design import Design

__all__ = ["DESIGNS", "CifarResNet", "PaddedShortcut"]


class PaddedShortcut(nn.Module):
    """Shortcut A: every second pixel, and maps of zeros for the channels that come new, half before and half after.

    Shape:
        input (N, C, H, W); output (N, C + growth, ceil(H / 2), ceil(W / 2)).

    Args:
        growth: channels to add.
    """

    def __init__(self, growth: int) -> None:
        super().__init__()
        self.growth = growth

    def forward(self, images: Tensor) -> Tensor:
        """Return (N, C + growth, ceil(H / 2), ceil(W / 2))."""
        before = self.growth // 2
        return F.pad(images[:, :, ::2, ::2], (0, 0, 0, 0, before, self.growth - before))

    def extra_repr(self) -> str:
        """Say what it was made with."""
        return f"growth={self.growth}"


class _Block(nn.Module):
    """Two 3x3 convolutions and the way around them."""

    def __init__(self, inputs: int, width: int, shortcut: Literal["A", "B"]) -> None:
        super().__init__()
        grows = inputs != width
        self.conv1 = nn.Conv2d(inputs, width, 3, 2 if grows else 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut: nn.Module = nn.Identity()
        if grows and shortcut == "A":
            self.shortcut = PaddedShortcut(width - inputs)
        elif grows:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, width, 1, 2, bias=False), nn.BatchNorm2d(width))
        self.relu2 = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        """Return maps (N, width, H or H / 2, W or W / 2)."""
        found = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(images)))))
        joined: Tensor = self.relu2(found + self.shortcut(images))
        return joined


class CifarResNet(nn.Module):
    """Three stages of residual blocks, 16, 32 and 64 wide.

    Shape:
        input (N, C, H, W) of any size, 32 x 32 in CIFAR; output (N, classes).

    Args:
        classes: logits.
        channels: C.
        size: not needed: the last map is averaged.
        depth: layers with weights, 6n + 2.
        shortcut: "A" pads with zeros, "B" projects, where a block changes shape.
    """

    def __init__(
        self, classes: int, channels: int, size: tuple[int, int], *, depth: int, shortcut: Literal["A", "B"]
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        inputs = 16
        for stage, width in enumerate((16, 32, 64), start=1):
            layers = []
            for _ in range((depth - 2) // 6):
                layers.append(_Block(inputs, width, shortcut))
                inputs = width
            self.add_module(f"layer{stage}", nn.Sequential(*layers))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(64, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes)."""
        maps = self.relu(self.bn1(self.conv1(images)))
        for stage in (1, 2, 3):
            maps = self.get_submodule(f"layer{stage}")(maps)
        logits: Tensor = self.linear(self.avgpool(maps).flatten(1))
        return logits


def _design(depth: int, shortcut: Literal["A", "B"]) -> Design:
    words = {"A": "pads with zeros", "B": "projects"}
    return Design(
        f"resnet-{depth}-cifar" + ("" if shortcut == "A" else "-b"),
        f"Residual network of {depth} layers, for CIFAR; its shortcut {words[shortcut]}.",
        partial(CifarResNet, depth=depth, shortcut=shortcut),
        classes=10,
        size=(32, 32),
        also=(f"resnet{depth}", f"resnet-{depth}") if shortcut == "A" else (),
    )


_DEPTHS = (20, 32, 44, 56, 110)
DESIGNS = (*(_design(depth, "A") for depth in _DEPTHS), *(_design(depth, "B") for depth in _DEPTHS))
