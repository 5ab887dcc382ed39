"""AlexNet: as the lecture has it, as the paper has it, and as torchvision has it.

Source: Krizhevsky, Sutskever and Hinton 2012, "ImageNet classification with deep convolutional neural networks";
Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks", arXiv:1404.5997 (torchvision's).
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from striate.nets.builder import sequential
from striate.nets.design import Design
from striate.sizes import output_size

__all__ = ["DESIGNS", "OneTowerAlexNet"]

_DENSE = "flatten, dense 4096 relu, dropout 0.5, dense 4096 relu, dropout 0.5"
_LECTURE = (
    "conv 96 11x11 /4 relu, pool 3 /2, lrn, conv 256 5x5 pad 2 relu, pool 3 /2, lrn, conv 384 3x3 pad 1 relu, "
    f"conv 384 3x3 pad 1 relu, conv 256 3x3 pad 1 relu, pool 3 /2, {_DENSE}"
)
_PAPER = (
    "conv 96 11x11 /4 relu, lrn, pool 3 /2, conv 256 5x5 pad 2 groups 2 relu, lrn, pool 3 /2, conv 384 3x3 pad 1 relu, "
    f"conv 384 3x3 pad 1 groups 2 relu, conv 256 3x3 pad 1 groups 2 relu, pool 3 /2, {_DENSE}"
)


def _layers(text: str) -> Callable[[int, int, tuple[int, int]], nn.Module]:
    def build(classes: int, channels: int, size: tuple[int, int]) -> nn.Module:
        return sequential(f"{text}, dense {classes}", (channels, *size))

    return build


class OneTowerAlexNet(nn.Module):
    """AlexNet in one tower with 64 first filters and no normalisation; names are torchvision's.

    Shape:
        input (N, C, H, W); output (N, classes). Pictures of other sizes are averaged to the map that dense layers take.

    Args:
        classes: logits.
        channels: C.
        size: H and W that the dense layers are made for.
    """

    def __init__(self, classes: int, channels: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, 64, 11, 4, 2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
        )
        left = []
        for length in size:
            length = output_size(length, 11, 4, 2)
            for _ in range(3):
                length = output_size(length, 3, 2)
            left.append(length)
        self.avgpool = nn.AdaptiveAvgPool2d((left[0], left[1]))
        self.classifier = nn.Sequential(
            nn.Dropout(0.5),
            nn.Linear(256 * left[0] * left[1], 4096),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes)."""
        logits: Tensor = self.classifier(self.avgpool(self.features(images)).flatten(1))
        return logits


DESIGNS = (
    Design(
        "alexnet",
        "AlexNet as in the lecture: one tower, norm after pooling.",
        _layers(_LECTURE),
        size=(227, 227),
        smallest=67,
    ),
    Design(
        "alexnet-2012",
        "AlexNet as in the paper: norm before pooling, convolutions in two groups.",
        _layers(_PAPER),
        size=(227, 227),
        smallest=67,
    ),
    Design("alexnet-2014", "AlexNet as in torchvision: 64 first filters, no norm.", OneTowerAlexNet, smallest=63),
)
