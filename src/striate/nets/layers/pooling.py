"""Pooling that PyTorch lacks: the L2 norm of a window, and the average weighted by distance from its centre.

Source: Goodfellow, Bengio and Courville 2016, "Deep Learning", section 9.3, which names both beside max pooling.
"""

from __future__ import annotations

from math import prod
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.errors import OptionError
from striate.nets.layers._settings import Pair, pair

__all__ = ["DistanceWeightedPool2d", "L2Pool2d"]

Falloff = Literal["inverse", "gaussian"]


def _windows(
    kernel: Pair, stride: Pair | None, padding: Pair
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Settle the settings of a pooling window; the stride is its size unless given."""
    size = pair("kernel_size", kernel)
    step = size if stride is None else pair("stride", stride)
    around = pair("padding", padding, least=0)
    if any(2 * pad > length for pad, length in zip(around, size, strict=True)):
        raise OptionError(f"padding of {around} is more than half the window {size}: some windows would see nothing.")
    return size, step, around


class L2Pool2d(nn.Module):
    """The L2 norm of each window: the root of the sum of squares.

    It lies between average and maximum, and does not care about sign. Where a whole window is zero the slope is
    taken as zero (PyTorch's `LPPool2d` gives NaN there). Half precision is squared in single, so that it does not
    overflow.

    Shape:
        input (N, C, H, W); output (N, C, H', W') with H' = (H + 2P - K) // S + 1.

    Args:
        kernel_size: of the window.
        stride: between windows; the window's size unless given.
        padding: zeros on each side, at most half the window.

    Raises:
        OptionError: a setting makes no sense.
    """

    def __init__(self, kernel_size: Pair, stride: Pair | None = None, padding: Pair = 0) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = _windows(kernel_size, stride, padding)

    def forward(self, images: Tensor) -> Tensor:
        """Return (N, C, H', W')."""
        squares = (images.float() if images.dtype in (torch.half, torch.bfloat16) else images).square()
        # the mean times its pixels: divisor_override=1 is lost on the way to ONNX
        sums = F.avg_pool2d(squares, self.kernel_size, self.stride, self.padding) * prod(self.kernel_size)
        empty = sums == 0
        roots = torch.where(empty, 1, sums).sqrt()  # masked_fill would change the order of memory
        return torch.where(empty, 0, roots).to(images.dtype)

    def extra_repr(self) -> str:
        """Say what it was made with."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class DistanceWeightedPool2d(nn.Module):
    """The average of each window, in which pixels near the centre weigh more.

    At distance d from the middle of the window, in pixels, a pixel weighs 1 / (1 + d) ("inverse") or
    exp(-d^2 / (2 sigma^2)) ("gaussian"). The weights of a window add up to 1; padding does not count, so that a
    constant map stays as it is up to its border. A 2 x 2 window has all pixels equally far: a plain average.

    Shape:
        input (N, C, H, W); output (N, C, H', W') with H' = (H + 2P - K) // S + 1.
        weight (KH, KW): not learned, and not part of the state dict.

    Args:
        kernel_size: of the window.
        stride: between windows; the window's size unless given.
        padding: pixels on each side that do not count, at most half the window.
        falloff: how weights fall with the distance.
        sigma: of the gaussian, in pixels; a quarter of the window's longer side unless given.

    Raises:
        OptionError: a setting makes no sense.
    """

    weight: Tensor

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Pair = 0,
        *,
        falloff: Falloff = "inverse",
        sigma: float | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = _windows(kernel_size, stride, padding)
        if falloff not in get_args(Falloff):
            raise OptionError(f"no falloff {falloff!r}; there are {', '.join(get_args(Falloff))}.")
        if sigma is not None and (falloff != "gaussian" or not sigma > 0):
            raise OptionError(f"sigma is the width of the gaussian falloff and above 0, got {sigma} with {falloff!r}.")
        self.falloff = falloff
        self.sigma = max(self.kernel_size) / 4 if sigma is None else sigma
        rows, columns = (torch.arange(length) - (length - 1) / 2 for length in self.kernel_size)
        distance = torch.hypot(rows[:, None].expand(self.kernel_size), columns.expand(self.kernel_size))
        weight = 1 / (1 + distance) if falloff == "inverse" else torch.exp(-0.5 * (distance / self.sigma) ** 2)
        self.register_buffer("weight", weight / weight.sum(), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return (N, C, H', W')."""
        channels = images.shape[1]
        weight = self.weight.to(images.dtype).expand(channels, 1, -1, -1)
        found = F.conv2d(images, weight, None, self.stride, self.padding, groups=channels)
        if any(self.padding):
            inside = F.conv2d(torch.ones_like(images[:1, :1]), weight[:1], None, self.stride, self.padding)
            found = found / inside
        return found

    def extra_repr(self) -> str:
        """Say what it was made with."""
        width = f", sigma={self.sigma:g}" if self.falloff == "gaussian" else ""
        text = f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, falloff={self.falloff!r}"
        return text + width
