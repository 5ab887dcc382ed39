"""A layer that says how near each window of a picture is to each of K patterns: the triangle code of k-means.

A window is first freed of its brightness and contrast, and whitened; then its distance to each of K centroids is taken,
and each unit answers by how much nearer its centroid is than the K are on average, or not at all. Whitening is linear,
so it is folded into the filters: the layer is one convolution, the spread of each window, and some arithmetic.

The patterns come from `striate.kernels.learn_kernels`; drawn anew they are random.

Source: Coates, Lee and Ng 2011, "An analysis of single-layer networks in unsupervised feature learning", section 3.2.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.errors import OptionError
from striate.nets.layers._settings import Pair, count, pair

__all__ = ["TriangleConv2d"]

_LEAST = 1e-8
"""Squared distance below which a window counts as lying there: the root's slope stays finite."""


class TriangleConv2d(nn.Module):
    """How much nearer than on average each window is to each of K centroids.

    With p the D = C h w numbers of a window in the units in which the centroids were learned (0 to 255, less 127.5), m
    their mean and s^2 = var(p) + contrast, the window is n = (p - m) / s, whitened w = P (n - M), and unit k answers
    max(0, mean_j |w - c_j| - |w - c_k|). Because m is the same for all of a window, P c_k and the rows of P are kept as
    filters whose numbers sum to zero, and

        |w - c_k|^2 = |P n - P M|^2 - 2 (P c_k . p / s + bias_k)   with   bias_k = -P c_k . M - |c_k|^2 / 2.

    Shape:
        input (N, C, H, W); output (N, K, H', W') with H' = (H - h) // stride + 1.
        weight (K, C, h, w): the centroids, with the whitening folded in; bias (K,).
        whitening (D, C, h, w), middle (D,): P and P M.
        scale, shift (C, 1, 1): from what comes in to the units above.

    Args:
        channels: C.
        filters: K.
        kernel_size: h and w.
        stride: between windows.
        contrast: added to the variance of a window, so that flat ones are not all noise; above 0.

    Raises:
        OptionError: a setting makes no sense, or the window has a single number.
    """

    def __init__(
        self, channels: int, filters: int, kernel_size: Pair = 6, stride: Pair = 1, *, contrast: float = 10.0
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride = pair("kernel_size", kernel_size), pair("stride", stride)
        self.in_channels, self.out_channels = count("channels", channels), count("filters", filters)
        self.contrast = float(contrast)
        self.size = self.in_channels * math.prod(self.kernel_size)
        if self.size < 2:
            raise OptionError("a window of a single number has no contrast. Take a larger window.")
        if not self.contrast > 0:
            raise OptionError(f"contrast must be above 0, got {contrast}.")
        window = (self.in_channels, *self.kernel_size)
        self.weight = nn.Parameter(torch.empty(self.out_channels, *window))
        self.bias = nn.Parameter(torch.empty(self.out_channels))
        self.whitening = nn.Parameter(torch.empty(self.size, *window))
        self.middle = nn.Parameter(torch.empty(self.size))
        self.register_buffer("scale", torch.empty(self.in_channels, 1, 1))
        self.register_buffer("shift", torch.empty(self.in_channels, 1, 1))
        self.scale: Tensor
        self.shift: Tensor
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw centroids of length 1, without whitening, for pictures between 0 and 1."""
        self.weight.normal_(0, 1, generator=generator)
        self.weight.sub_(self.weight.mean((1, 2, 3), keepdim=True))
        self.weight.div_(self.weight.flatten(1).norm(dim=1).view(-1, 1, 1, 1).clamp_min(_LEAST))
        self.bias.fill_(-0.5)
        plain = torch.eye(self.size) - 1 / self.size
        self.whitening.copy_(plain.view_as(self.whitening))
        self.middle.zero_()
        self.scale.fill_(255)
        self.shift.fill_(-127.5)

    def forward(self, images: Tensor) -> Tensor:
        """Return the codes (N, K, H', W'), at least 0."""
        precise = torch.promote_types(images.dtype, torch.float32)  # small differences of large numbers follow
        values = images.to(precise) * self.scale + self.shift
        both = F.conv2d(values.to(images.dtype), torch.cat([self.weight, self.whitening]), stride=self.stride)
        both = both.to(precise)
        answers, white = both[:, : self.out_channels], both[:, self.out_channels :]
        inverse = 1 / self.spread(values)  # (N, 1, H', W')
        length = (white * inverse - self.middle[:, None, None]).square().sum(1, keepdim=True)
        squared = torch.addcmul(-2 * self.bias[:, None, None], answers, -2 * inverse) + length
        distance = squared.clamp_min(_LEAST).sqrt()
        return F.relu(distance.mean(1, keepdim=True) - distance).to(images.dtype)

    def spread(self, values: Tensor) -> Tensor:
        """Return the standard deviation of each window with the contrast added, (N, 1, H', W')."""
        area = math.prod(self.kernel_size)
        window = (self.kernel_size, self.stride)
        total = F.avg_pool2d(values.sum(1, keepdim=True), *window) * area
        squares = F.avg_pool2d(values.square().sum(1, keepdim=True), *window) * area
        variance = (squares - total.square() / self.size) / (self.size - 1)
        # rounding may leave a flat window slightly below zero; a clamp at zero would be taken for a rectifier
        return (variance + self.contrast).clamp_min(self.contrast).sqrt()

    def extra_repr(self) -> str:
        """Say what it was made with."""
        return f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
