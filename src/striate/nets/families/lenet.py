"""LeNet-5: as it was in 1998, and as it is built today.

Two things differ from the paper. Its last layer compared with drawings of the digits (radial basis functions); here
it is a dense layer that gives logits. And C5 takes the whole map that is left, so that other sizes than 32 work.

Source: LeCun, Bottou, Bengio and Haffner 1998, "Gradient-based learning applied to document recognition", section
II.B and table I.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from striate.nets.design import Design
from striate.nets.layers import ScaledAveragePool2d, ScaledTanh, TableConv2d

__all__ = ["DESIGNS", "TABLE", "LeNet5"]

# which maps of S2 each map of C3 sees: three neighbours, four, four with a gap, and one that sees all
TABLE = (
    *((first, (first + 1) % 6, (first + 2) % 6) for first in range(6)),
    *((first, (first + 1) % 6, (first + 2) % 6, (first + 3) % 6) for first in range(6)),
    *((first, first + 1, (first + 3) % 6, (first + 4) % 6) for first in range(3)),
    (0, 1, 2, 3, 4, 5),
)


class LeNet5(nn.Module):
    """Two rounds of 5x5 convolution and 2x2 pooling, then three layers that take all of the map.

    Layers are called as in the paper: c1, s2, c3, s4, c5, f6, output.

    Shape:
        input (N, C, H, W), 32 x 32 in the paper, where digits of 20 x 20 lie in the middle; output (N, classes).

    Args:
        classes: logits.
        channels: C.
        size: H and W.
        modern: rectifiers and max pooling; otherwise the scaled tanh, and averages with a learned scale and shift.
        table: each map of C3 sees some of those before, as in table I of the paper; otherwise all.
    """

    def __init__(
        self, classes: int, channels: int, size: tuple[int, int], *, modern: bool = False, table: bool = True
    ) -> None:
        super().__init__()
        activation: Callable[[], nn.Module] = nn.ReLU if modern else ScaledTanh
        left = [((length - 4) // 2 - 4) // 2 for length in size]
        self.c1 = nn.Conv2d(channels, 6, 5)
        self.activation1 = activation()
        self.s2 = nn.MaxPool2d(2) if modern else ScaledAveragePool2d(6, 2)
        self.activation2 = nn.Identity() if modern else activation()
        self.c3 = TableConv2d(6, TABLE, 5) if table else nn.Conv2d(6, 16, 5)
        self.activation3 = activation()
        self.s4 = nn.MaxPool2d(2) if modern else ScaledAveragePool2d(16, 2)
        self.activation4 = nn.Identity() if modern else activation()
        self.c5 = nn.Conv2d(16, 120, (left[0], left[1]))
        self.activation5 = activation()
        self.flatten = nn.Flatten()
        self.f6 = nn.Linear(120, 84)
        self.activation6 = activation()
        self.output = nn.Linear(84, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes)."""
        maps = self.activation2(self.s2(self.activation1(self.c1(images))))  # (N, 6, 14, 14)
        maps = self.activation4(self.s4(self.activation3(self.c3(maps))))  # (N, 16, 5, 5)
        features = self.flatten(self.activation5(self.c5(maps)))  # (N, 120)
        logits: Tensor = self.output(self.activation6(self.f6(features)))
        return logits


def _design(name: str, summary: str, also: tuple[str, ...] = (), *, modern: bool = False, table: bool = True) -> Design:
    return Design(
        name,
        summary,
        partial(LeNet5, modern=modern, table=table),
        classes=10,
        channels=1,
        size=(32, 32),
        smallest=16,
        initial="he-normal" if modern else "lecun-normal",
        colours=((0.1307,), (0.3081,)),
        also=also,
    )


DESIGNS = (
    _design("lenet-5", "LeNet-5 of 1998: tanh, scaled averages, C3 connected by a table.", ("lenet", "lenet5")),
    _design("lenet-5-full", "LeNet-5 of 1998, but every map of C3 sees all maps before it.", table=False),
    _design(
        "lenet-5-modern", "LeNet-5 with rectifiers and max pooling, as it is built today.", modern=True, table=False
    ),
)
