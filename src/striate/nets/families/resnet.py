"""The residual networks for ImageNet: 18, 34, 50, 101 and 152 layers.

In those with bottlenecks the 3x3 convolution has the stride, as in torchvision and timm; in the paper it is the
first 1x1. Weights and shapes are the same.

Source: He, Zhang, Ren and Sun 2015, "Deep residual learning for image recognition", arXiv:1512.03385, table 1.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from striate.nets.design import Design

__all__ = ["DESIGNS", "ResNet"]

_BLOCKS = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}


class _Block(nn.Module):
    """Two 3x3 convolutions and the way around them."""

    widening = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _around(inputs, width, stride)
        self.relu2 = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        """Return maps (N, width, H / stride, W / stride)."""
        found = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(images)))))
        passed = images if self.downsample is None else self.downsample(images)
        joined: Tensor = self.relu2(found + passed)
        return joined


class _Bottleneck(nn.Module):
    """A 3x3 convolution between two of 1x1, which narrow and widen, and the way around them."""

    widening = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = _around(inputs, 4 * width, stride)
        self.relu3 = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        """Return maps (N, 4 * width, H / stride, W / stride)."""
        found = self.relu2(self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(images))))))
        passed = images if self.downsample is None else self.downsample(images)
        joined: Tensor = self.relu3(self.bn3(self.conv3(found)) + passed)
        return joined


def _around(inputs: int, outputs: int, stride: int) -> nn.Module | None:
    """Return what the way around a block needs: nothing, or a projection to its shape."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class ResNet(nn.Module):
    """Four stages of residual blocks; names are torchvision's.

    Shape:
        input (N, C, H, W) of any size; output (N, classes).

    Args:
        classes: logits.
        channels: C.
        size: not needed: the last map is averaged.
        blocks: in each stage.
        bottleneck: blocks of three convolutions instead of two.
    """

    def __init__(
        self,
        classes: int,
        channels: int,
        size: tuple[int, int],
        *,
        blocks: tuple[int, int, int, int],
        bottleneck: bool,
    ) -> None:
        super().__init__()
        block = _Bottleneck if bottleneck else _Block
        self.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = 64
        for stage, count in enumerate(blocks):
            width = 64 * 2**stage
            layers = []
            for index in range(count):
                layers.append(block(inputs, width, 2 if stage and index == 0 else 1))
                inputs = width * block.widening
            self.add_module(f"layer{stage + 1}", nn.Sequential(*layers))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes)."""
        maps = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        for stage in range(1, 5):
            maps = self.get_submodule(f"layer{stage}")(maps)
        logits: Tensor = self.fc(self.avgpool(maps).flatten(1))
        return logits


DESIGNS = tuple(
    Design(
        f"resnet-{depth}",
        f"Residual network of {depth} layers, for ImageNet.",
        partial(ResNet, blocks=blocks, bottleneck=bottleneck),
        also=(f"resnet{depth}",),
    )
    for depth, (blocks, bottleneck) in _BLOCKS.items()
)
