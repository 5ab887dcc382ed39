"""A row of layers that knows what picture it is for, and shows its table."""

from __future__ import annotations

from collections import OrderedDict
from typing import overload

import torch
from torch import nn

from striate.layer_table import format_table
from striate.trace import trace

__all__ = ["Stack", "summary"]


class Stack(nn.Sequential):
    """Layers one after the other; `print` shows the table of shapes, weights, costs and receptive fields.

    Attributes:
        input: (C, H, W) of the pictures that it is for.
        made_as: how `striate.load` makes it again.
    """

    def __init__(self, layers: OrderedDict[str, nn.Module], input: tuple[int, int, int], made_as: str) -> None:
        super().__init__(layers)
        self.input = input
        self.made_as = made_as

    @overload
    def __getitem__(self, index: slice) -> nn.Sequential: ...
    @overload
    def __getitem__(self, index: int) -> nn.Module: ...
    def __getitem__(self, index: slice | int) -> nn.Module:
        if isinstance(index, slice):  # a part is for other pictures than the whole
            return nn.Sequential(OrderedDict(list(self.named_children())[index]))
        found: nn.Module = super().__getitem__(index)
        return found

    def summary(self) -> str:
        """Return the table that `striate layers` prints."""
        return summary(self, self.input)

    def __str__(self) -> str:
        return self.summary()


def summary(module: nn.Module, input: tuple[int, int, int]) -> str:
    """Return the table of a network's layers, as `striate layers` prints it.

    Args:
        module: any network.
        input: (C, H, W) of a picture.

    Raises:
        NetworkError: it cannot be run on such a picture.
    """
    weight = next(module.parameters(), torch.empty(0))
    graph = trace(module, torch.zeros((1, *input), device=weight.device, dtype=weight.dtype))
    return "\n".join(line for _, line in format_table(graph, width=None))
