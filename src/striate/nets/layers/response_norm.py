"""Local response normalisation, as in the lecture: AlexNet's formula.

PyTorch's `nn.LocalResponseNorm` divides alpha by the number of channels in the window; the paper does not. So the
same settings mean different things: this layer with alpha is PyTorch's with alpha * size.

Source: Krizhevsky, Sutskever and Hinton 2012, "ImageNet classification with deep convolutional neural networks",
section 3.3: b_i = a_i / (k + alpha * sum_j a_j^2)^beta, j from max(0, i - n/2) to min(N - 1, i + n/2).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.errors import OptionError
from striate.nets.layers._settings import count

__all__ = ["LocalResponseNorm"]


class LocalResponseNorm(nn.Module):
    """Divide every number by what the neighbouring channels say at the same place: bright ones damp the others.

    Shape:
        input (N, C, H, W); output the same.

    Args:
        size: n, channels in the window, itself in the middle; odd.
        alpha: weight of the sum of squares, not divided by `size`.
        beta: the power.
        k: what is added, so that nothing is divided by zero.

    Raises:
        OptionError: `size` is even or below 1.
    """

    def __init__(self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0) -> None:
        super().__init__()
        self.size = count("size", size)
        if size % 2 == 0:
            raise OptionError(f"size is the number of channels around and with the middle one, so odd; got {size}.")
        self.alpha, self.beta, self.k = alpha, beta, k

    def forward(self, images: Tensor) -> Tensor:
        """Return (N, C, H, W)."""
        exact = images.float() if images.dtype in (torch.half, torch.bfloat16) else images
        squares = F.pad(exact.square(), (0, 0, 0, 0, self.size // 2, self.size // 2))  # of channels before and after
        sums = squares[:, : images.shape[1]]
        for step in range(1, self.size):
            sums = sums + squares[:, step : step + images.shape[1]]
        return (exact / (self.k + self.alpha * sums) ** self.beta).to(images.dtype)

    def extra_repr(self) -> str:
        """Say what it was made with."""
        return f"{self.size}, alpha={self.alpha:g}, beta={self.beta:g}, k={self.k:g}"
