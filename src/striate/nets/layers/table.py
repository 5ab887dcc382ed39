"""A convolution whose filters each see some of the maps before, by a table, as between S2 and C3 of LeNet-5.

Source: LeCun, Bottou, Bengio and Haffner 1998, "Gradient-based learning applied to document recognition", table I.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.errors import OptionError
from striate.nets.layers._settings import Pair, count, pair

__all__ = ["TableConv2d"]


class TableConv2d(nn.Module):
    """A convolution in which filter o sees the maps of row o of a table, and no others.

    Only the weights that are used are learned and counted: a filter that sees m maps has m * KH * KW of them.

    Shape:
        input (N, C, H, W); output (N, O, H', W') with H' = H - KH + 1.
        weight (connections, KH, KW), filter after filter in the order of the table; bias (O,).

    Args:
        in_channels: C.
        table: for each filter the indices of the maps that it sees.
        kernel_size: of the window.

    Raises:
        OptionError: a row is empty, repeats a map, or names one that is not there.
    """

    place: Tensor

    def __init__(self, in_channels: int, table: Sequence[Sequence[int]], kernel_size: Pair) -> None:
        super().__init__()
        self.in_channels, self.out_channels = count("in_channels", in_channels), len(table)
        self.kernel_size = pair("kernel_size", kernel_size)
        for number, row in enumerate(table):
            if not row or len(set(row)) < len(row) or not all(0 <= index < in_channels for index in row):
                raise OptionError(
                    f"row {number} of the table is {list(row)}: it must name at least one of the maps 0 to "
                    f"{in_channels - 1}, each once."
                )
        self.table = tuple(tuple(row) for row in table)
        places = [number * in_channels + index for number, row in enumerate(self.table) for index in row]
        self.register_buffer("place", torch.tensor(places), persistent=False)
        self.weight = nn.Parameter(torch.empty(len(places), *self.kernel_size))
        self.bias = nn.Parameter(torch.empty(self.out_channels))
        self.reset_parameters()

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw weights uniformly within 2.4 over the inputs of a unit, as the paper does; the bias is 0."""
        with torch.no_grad():
            start = 0
            for row in self.table:
                bound = 2.4 / (len(row) * self.kernel_size[0] * self.kernel_size[1])
                self.weight[start : start + len(row)].uniform_(-bound, bound, generator=generator)
                start += len(row)
            self.bias.zero_()

    def dense(self) -> Tensor:
        """Return the kernels as of a convolution (O, C, KH, KW), zero where the table has no connection."""
        whole = self.weight.new_zeros(self.out_channels * self.in_channels, *self.kernel_size)
        return whole.index_copy(0, self.place, self.weight).view(-1, self.in_channels, *self.kernel_size)

    def forward(self, images: Tensor) -> Tensor:
        """Return (N, O, H', W')."""
        return F.conv2d(images, self.dense(), self.bias)

    def extra_repr(self) -> str:
        """Say what it was made with."""
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, connections={len(self.weight)}"
        )
