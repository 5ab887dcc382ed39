"""EfficientNet-Lite, built of PyTorch's own layers alone: importing timm and torchvision takes longer than running it.

Its layers have the names that they have in timm, so that addresses, saved recipes and atlases are those of either.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["EfficientNetLite", "efficientnet_lite"]

# blocks, kernel, stride, expansion, channels of each stage; first and last keep their depth whatever the variant
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM, _HEAD = 32, 1280
_VARIANTS = {"efficientnet_lite0": (1.0, 1.0), "efficientnet_lite1": (1.0, 1.1), "efficientnet_lite2": (1.1, 1.2)}


class BatchNormAct2d(nn.BatchNorm2d):
    """Batch normalisation, and what follows it: its own statistics, then `drop` (nothing here) and `act`."""

    def __init__(self, channels: int, *, active: bool = True) -> None:
        super().__init__(channels)
        self.drop = nn.Identity()
        self.act: nn.Module = nn.ReLU6(inplace=True) if active else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        # torch.fx sends a stand-in through, which can answer no question about its shape, and must not be counted
        found: Tensor = self.act(self.drop(super().forward(x) if isinstance(x, Tensor) else self._followed(x)))
        return found

    def _followed(self, x: Tensor) -> Tensor:
        own = self.running_mean, self.running_var, self.weight, self.bias
        return functional.batch_norm(x, *own, self.training, self.momentum or 0.0, self.eps)


class DepthwiseSeparable(nn.Module):
    """A convolution of each channel by itself, then one that mixes them: the block of the first stage."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv_dw = _depthwise(channels, kernel, stride)
        self.bn1 = BatchNormAct2d(channels)
        self.aa, self.se = nn.Identity(), nn.Identity()
        self.conv_pw = nn.Conv2d(channels, out, 1, bias=False)
        self.bn2 = BatchNormAct2d(out, active=False)
        self.drop_path = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        x = self.se(self.aa(self.bn1(self.conv_dw(x))))
        found: Tensor = self.bn2(self.conv_pw(x))
        return found


class InvertedResidual(nn.Module):
    """Widen, convolve each channel by itself, narrow; what comes in is added where the shapes are the same."""

    def __init__(self, channels: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inside = channels * expansion
        self.conv_pw = nn.Conv2d(channels, inside, 1, bias=False)
        self.bn1 = BatchNormAct2d(inside)
        self.conv_dw = _depthwise(inside, kernel, stride)
        self.bn2 = BatchNormAct2d(inside)
        self.aa, self.se = nn.Identity(), nn.Identity()
        self.conv_pwl = nn.Conv2d(inside, out, 1, bias=False)
        self.bn3 = BatchNormAct2d(out, active=False)
        self.drop_path = nn.Identity()
        self.has_skip = stride == 1 and channels == out

    def forward(self, x: Tensor) -> Tensor:
        came = x
        x = self.bn1(self.conv_pw(x))
        x = self.se(self.aa(self.bn2(self.conv_dw(x))))
        x = self.bn3(self.conv_pwl(x))
        return self.drop_path(x) + came if self.has_skip else x


class GlobalPool(nn.Module):
    """The mean of each map, as a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.pool, self.flatten = nn.AdaptiveAvgPool2d(1), nn.Flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.flatten(self.pool(x))
        return found


class EfficientNetLite(nn.Module):
    """EfficientNet without squeeze and excitation, and with ReLU6 for swish.

    Args:
        width: factor of the channels of all stages.
        depth: factor of the blocks of all stages but the first and the last.

    Source: Tan and Le 2019, arXiv:1905.11946, table 1; the Lite variants are TensorFlow's (tpu/efficientnet/lite).
    """

    def __init__(self, width: float, depth: float) -> None:
        super().__init__()
        self.conv_stem = nn.Conv2d(3, _STEM, 3, stride=2, padding=1, bias=False)
        self.bn1 = BatchNormAct2d(_STEM)
        channels, stages = _STEM, []
        for place, (blocks, kernel, stride, expansion, out) in enumerate(_STAGES):
            count = blocks if place in (0, len(_STAGES) - 1) else math.ceil(blocks * depth)
            out = _eighths(out * width)
            stages.append(nn.Sequential(*_blocks(channels, out, kernel, stride, expansion, count)))
            channels = out
        self.blocks = nn.Sequential(*stages)
        self.conv_head = nn.Conv2d(channels, _HEAD, 1, bias=False)
        self.bn2 = BatchNormAct2d(_HEAD)
        self.global_pool = GlobalPool()
        self.classifier = nn.Linear(_HEAD, 1000)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        x = self.blocks(self.bn1(self.conv_stem(x)))
        x = self.bn2(self.conv_head(x))
        found: Tensor = self.classifier(self.global_pool(x))
        return found


def efficientnet_lite(name: str) -> EfficientNetLite:
    """Build a variant for pictures of 3 channels and 1,000 classes; its weights are not set as for a training.

    Args:
        name: efficientnet_lite0, efficientnet_lite1 or efficientnet_lite2.
    """
    return EfficientNetLite(*_VARIANTS[name])


def _blocks(channels: int, out: int, kernel: int, stride: int, expansion: int, count: int) -> Iterator[nn.Module]:
    for index in range(count):
        step, came = (stride, channels) if index == 0 else (1, out)
        yield (
            DepthwiseSeparable(came, out, kernel, step)
            if expansion == 1
            else InvertedResidual(came, out, kernel, step, expansion)
        )


def _depthwise(channels: int, kernel: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False)


def _eighths(channels: float) -> int:
    """Round to a multiple of 8, and not down by more than a tenth."""
    found = max(8, int(channels + 4) // 8 * 8)
    return found + 8 if found < 0.9 * channels else found
