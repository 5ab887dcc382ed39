"""Networks of our own for small pictures, made to learn much from few pictures shown: what the fast recipes train.

Each stage halves the map between its two convolutions, so that the wide one works on few places; convolutions start
as the identity ("dirac"), so that a deep stage passes on what comes in from the first step; the first layer's filters
are given, not learned (see `WhiteningConv2d`).

Source: our own constants; the shape follows what is known to learn fast on CIFAR-10: Page 2018, "How to train your
    ResNet", and Jordan 2024, "94% on CIFAR-10 in 3.29 seconds on a single GPU", arXiv:2404.00498.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

from torch import Tensor, nn

from striate.nets.design import Colours, Design
from striate.nets.layers import WhiteningConv2d

__all__ = ["DESIGNS", "Swift"]

_MEMORY = 0.3
"""Share of each batch in the running statistics of batch norm: trainings are too short for PyTorch's 0.1."""


class Swift(nn.Module):
    """A whitening layer, stages of two 3x3 convolutions, the largest answer of each map, a dense layer.

    Shape:
        input (N, C, H, W), at least 9 x 9 for three stages; output (N, classes).

    Args:
        classes: logits.
        channels: C.
        size: not needed: of the last maps only the largest value counts.
        widths: filters of each stage.
    """

    def __init__(self, classes: int, channels: int, size: tuple[int, int], *, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.whiten = WhiteningConv2d(channels)
        self.gelu = nn.GELU()
        inputs = self.whiten.out_channels
        self.stages = nn.Sequential()
        for number, width in enumerate(widths, start=1):
            self.stages.add_module(f"stage{number}", _stage(inputs, width))
            inputs = width
        self.pool = nn.AdaptiveMaxPool2d(1)
        self.dense = nn.Linear(inputs, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes)."""
        maps = self.stages(self.gelu(self.whiten(images)))
        logits: Tensor = self.dense(self.pool(maps).flatten(1))
        return logits


def _stage(inputs: int, width: int) -> nn.Sequential:
    layers = [
        ("conv1", nn.Conv2d(inputs, width, 3, padding=1, bias=False)),
        ("pool", nn.MaxPool2d(2)),  # before the norm and the rectifier, which then have a quarter of the work
        ("bn1", nn.BatchNorm2d(width, momentum=_MEMORY)),
        ("gelu1", nn.GELU()),
        ("conv2", nn.Conv2d(width, width, 3, padding=1, bias=False)),
        ("bn2", nn.BatchNorm2d(width, momentum=_MEMORY)),
        ("gelu2", nn.GELU()),
    ]
    return nn.Sequential(OrderedDict(layers))


def _design(name: str, summary: str, widths: tuple[int, ...], channels: int, side: int, colours: Colours) -> Design:
    return Design(
        name,
        summary,
        partial(Swift, widths=widths),
        classes=10,
        channels=channels,
        size=(side, side),
        smallest=2 ** len(widths) + 1,
        initial="dirac",
        colours=colours,
    )


_CIFAR = ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
_MNIST = ((0.1307,), (0.3081,))
DESIGNS = (
    _design("swift", "Eight layers for small colour pictures, made to learn fast.", (64, 256, 256), 3, 32, _CIFAR),
    _design("swift-grey", "Eight narrow layers for small grey pictures.", (32, 64, 128), 1, 28, _MNIST),
)
