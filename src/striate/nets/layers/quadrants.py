"""Sums over the parts of a map, such as its four quadrants: what a dense layer can read of maps of any size."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.errors import NetworkError
from striate.nets.layers._settings import Pair, pair

__all__ = ["QuadrantSum2d", "part_size"]


class QuadrantSum2d(nn.Module):
    """The sum of each part of a map cut into rows and columns of parts that do not overlap.

    All parts are of one size but the last ones, which have what is left: 27 rows become 14 and 13.

    Shape:
        input (N, C, H, W); output (N, C, rows, columns).

    Args:
        parts: rows and columns of parts.

    Raises:
        OptionError: a number of parts is not a whole number of at least 1.

    Source: Coates, Lee and Ng 2011, "An analysis of single-layer networks in unsupervised feature learning",
        section 3.2.2.
    """

    def __init__(self, parts: Pair = 2) -> None:
        super().__init__()
        self.parts = pair("parts", parts)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the sums (N, C, rows, columns).

        Raises:
            NetworkError: the map cannot be cut so.
        """
        size = maps.shape[-2], maps.shape[-1]
        height, width = (-(-length // many) for length, many in zip(size, self.parts, strict=True))
        if not torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]  # sizes are no numbers then
            part_size(size, self.parts)
        below, right = height * self.parts[0] - size[0], width * self.parts[1] - size[1]
        # a plain average of whole parts, which every format knows, of zeros where the last ones lack something
        return F.avg_pool2d(F.pad(maps, (0, right, 0, below)), (height, width)) * (height * width)

    def extra_repr(self) -> str:
        """Say what it was made with."""
        return f"parts={self.parts}"


def part_size(size: tuple[int, int], parts: tuple[int, int]) -> tuple[int, int]:
    """Return height and width of the parts of a map, all but the last ones.

    Args:
        size: height and width of the map.
        parts: rows and columns of parts.

    Raises:
        NetworkError: nothing would be left for the last ones.
    """
    height, width = (-(-length // many) for length, many in zip(size, parts, strict=True))
    if (parts[0] - 1) * height >= size[0] or (parts[1] - 1) * width >= size[1]:
        raise NetworkError(
            f"a map of {size[0]} x {size[1]} cannot be cut into {parts[0]} x {parts[1]} parts: parts of "
            f"{height} x {width} leave nothing for the last. Take fewer parts."
        )
    return height, width
