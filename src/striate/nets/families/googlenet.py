"""GoogLeNet: as in the paper, and with batch norm as in torchvision. The side classifiers of training are left out.

Source: Szegedy et al. 2014, "Going deeper with convolutions", arXiv:1409.4842, table 1; Ioffe and Szegedy 2015,
arXiv:1502.03167, for batch norm in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn

from striate.nets.design import Design
from striate.nets.layers import LocalResponseNorm

__all__ = ["DESIGNS", "GoogLeNet", "Inception"]

# table 1: 1x1; before 3x3, 3x3; before 5x5, 5x5; after pooling
_MODULES = {
    "inception3a": (64, 96, 128, 16, 32, 32),
    "inception3b": (128, 128, 192, 32, 96, 64),
    "inception4a": (192, 96, 208, 16, 48, 64),
    "inception4b": (160, 112, 224, 24, 64, 64),
    "inception4c": (128, 128, 256, 24, 64, 64),
    "inception4d": (112, 144, 288, 32, 64, 64),
    "inception4e": (256, 160, 320, 32, 128, 128),
    "inception5a": (256, 160, 320, 32, 128, 128),
    "inception5b": (384, 192, 384, 48, 128, 128),
}


class _Convolution(nn.Sequential):
    """A convolution that keeps the size, perhaps batch norm, and a rectifier: conv, bn, relu."""

    def __init__(self, inputs: int, outputs: int, side: int, stride: int = 1, *, norm: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, side, stride, side // 2, bias=not norm)
        if norm:
            self.bn = nn.BatchNorm2d(outputs, eps=0.001)
        self.relu = nn.ReLU()


class Inception(nn.Module):
    """Four branches side by side: 1x1, 3x3, 5x5 (3x3 in torchvision's) and pooling, narrowed by 1x1 before.

    Shape:
        input (N, C, H, W); output (N, sum of the four widths, H, W).

    Args:
        inputs: C.
        widths: a row of table 1.
        norm: with batch norm, and 3x3 where the paper has 5x5, as torchvision's.
    """

    def __init__(self, inputs: int, widths: tuple[int, int, int, int, int, int], *, norm: bool) -> None:
        super().__init__()
        one, before_three, three, before_five, five, pooled = widths
        wide = 3 if norm else 5  # torchvision's weights were made with 3 by mistake, and have to be run with it
        self.branch1 = _Convolution(inputs, one, 1, norm=norm)
        self.branch2 = nn.Sequential(
            _Convolution(inputs, before_three, 1, norm=norm), _Convolution(before_three, three, 3, norm=norm)
        )
        self.branch3 = nn.Sequential(
            _Convolution(inputs, before_five, 1, norm=norm), _Convolution(before_five, five, wide, norm=norm)
        )
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1), _Convolution(inputs, pooled, 1, norm=norm))

    def forward(self, images: Tensor) -> Tensor:
        """Return the maps of all branches, one after the other."""
        return torch.cat([self.branch1(images), self.branch2(images), self.branch3(images), self.branch4(images)], 1)


class GoogLeNet(nn.Module):
    """Nine inception modules between three convolutions and one dense layer; names are torchvision's.

    Shape:
        input (N, C, H, W) of any size; output (N, classes).

    Args:
        classes: logits.
        channels: C.
        size: not needed: the last map is averaged.
        norm: batch norm, and 3x3 where the paper has 5x5, as torchvision's; otherwise response normalisation.
    """

    def __init__(self, classes: int, channels: int, size: tuple[int, int], *, norm: bool = False) -> None:
        super().__init__()
        self.conv1 = _Convolution(channels, 64, 7, 2, norm=norm)
        self.maxpool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.norm1 = nn.Identity() if norm else LocalResponseNorm()
        self.conv2 = _Convolution(64, 64, 1, norm=norm)
        self.conv3 = _Convolution(64, 192, 3, norm=norm)
        self.norm2 = nn.Identity() if norm else LocalResponseNorm()
        self.maxpool2 = nn.MaxPool2d(3, 2, ceil_mode=True)
        inputs = 192
        for name, widths in _MODULES.items():
            self.add_module(name, Inception(inputs, widths, norm=norm))
            inputs = widths[0] + widths[2] + widths[4] + widths[5]
        self.maxpool3 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.maxpool4 = nn.MaxPool2d(2 if norm else 3, 2, ceil_mode=True)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.2 if norm else 0.4)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes)."""
        maps = self.norm1(self.maxpool1(self.conv1(images)))  # (N, 64, 56, 56)
        maps = self.maxpool2(self.norm2(self.conv3(self.conv2(maps))))  # (N, 192, 28, 28)
        for name in _MODULES:
            if name == "inception4a":
                maps = self.maxpool3(maps)  # (N, 480, 14, 14)
            if name == "inception5a":
                maps = self.maxpool4(maps)  # (N, 832, 7, 7)
            maps = self.get_submodule(name)(maps)
        logits: Tensor = self.fc(self.dropout(self.avgpool(maps).flatten(1)))
        return logits


def _without_sides(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out torchvision's side classifiers, which only training uses."""
    return {key: value for key, value in state.items() if not key.startswith(("aux1.", "aux2."))}


DESIGNS = (
    Design(
        "googlenet",
        "GoogLeNet as in the paper: nine inception modules with 5x5 branches.",
        GoogLeNet,
        smallest=31,
        also=("inception-v1",),
    ),
    Design(
        "googlenet-bn",
        "GoogLeNet as in torchvision: batch norm, and 3x3 where the paper has 5x5.",
        partial(GoogLeNet, norm=True),
        smallest=15,
        # torchvision's weights come from TensorFlow; its own network turns the usual colours into these at its entry
        colours=((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        renamed=_without_sides,
    ),
)
