"""What LeNet-5 of 1998 has between its convolutions: a scaled tanh, and averaging with a learned scale and shift.

Source: LeCun, Bottou, Bengio and Haffner 1998, "Gradient-based learning applied to document recognition",
sections II.B and appendix A.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.nets.layers._settings import Pair, count, pair

__all__ = ["ScaledAveragePool2d", "ScaledTanh"]


class ScaledTanh(nn.Module):
    """1.7159 tanh(2x/3): its value at 1 is 1, and its bend is strongest there.

    Shape:
        any; output the same.
    """

    def forward(self, values: Tensor) -> Tensor:
        """Return values of the same shape, between -1.7159 and 1.7159."""
        return 1.7159 * torch.tanh(values * (2 / 3))


class ScaledAveragePool2d(nn.Module):
    """The average of each window, times one learned number a channel, plus another.

    The paper adds the four pixels up; here they are averaged, so its coefficient is a quarter of this one.

    Shape:
        input (N, C, H, W); output (N, C, H', W') with H' = (H - K) // S + 1. weight (C,), bias (C,).

    Args:
        channels: C.
        kernel_size: of the window.
        stride: between windows; the window's size unless given.

    Raises:
        OptionError: a setting is not a whole number of at least 1.
    """

    def __init__(self, channels: int, kernel_size: Pair = 2, stride: Pair | None = None) -> None:
        super().__init__()
        self.kernel_size = pair("kernel_size", kernel_size)
        self.stride = self.kernel_size if stride is None else pair("stride", stride)
        self.weight = nn.Parameter(torch.empty(count("channels", channels)))
        self.bias = nn.Parameter(torch.empty(channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set scales to 1 and shifts to 0: a plain average."""
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return (N, C, H', W')."""
        return (
            F.avg_pool2d(images, self.kernel_size, self.stride) * self.weight[:, None, None] + self.bias[:, None, None]
        )

    def extra_repr(self) -> str:
        """Say what it was made with."""
        return f"{self.weight.numel()}, kernel_size={self.kernel_size}, stride={self.stride}"
