"""Modules that random networks are made of, where torch has only functions. No test stands here."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["FUNCTIONS", "HEADS", "Calling", "Gate", "Head", "Joined", "Norm", "Residual", "Shape", "Shuffle", "Twice"]

Shape = tuple[int, int, int]  # channels, rows, columns


class Calling(nn.Module):
    """A function by name, so that printing the network says what it does."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def extra_repr(self) -> str:
        return self.name

    def forward(self, values: Tensor) -> Tensor:
        return FUNCTIONS[self.name](values)


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "F.relu": F.relu,
    "F.relu in place": lambda values: F.relu(values * 1.0, inplace=True),
    "torch.relu": torch.relu,
    "method relu_": lambda values: (values + 0.0).relu_(),
    "clamp": lambda values: values.clamp(-1.0, 2.0),
    "clamp_min": lambda values: torch.clamp_min(values, -0.2),
    "swish by hand": lambda values: values * torch.sigmoid(values),
    "swish shifted": lambda values: values * (F.relu6(values + 3) / 6),
    "affine": lambda values: values * 1.5 + 0.25,
    "one minus": lambda values: 1 - values,
    "negative": lambda values: -values,
    "half in place": lambda values: (values + 1).mul_(0.5),
    "abs": torch.abs,
    "square root": lambda values: (values.abs() + 0.5).sqrt(),
    "exp": lambda values: torch.exp(-values.abs()),
    "softmax of channels": lambda values: values.softmax(1),
    "norm of channels": lambda values: values / (values.square().mean(1, keepdim=True) + 0.1).sqrt(),
    "take every second": lambda values: values[:, :, ::2, ::2],
    "cut edges": lambda values: values[:, :, 1:-1, 1:-1] if min(values.shape[2:]) > 4 else values,
    "half of the channels": lambda values: values[:, : (values.shape[1] + 1) // 2],
    "chunks swapped": lambda values: torch.cat(values.chunk(2, dim=1)[::-1], dim=1),
    "repeat channels": lambda values: torch.cat([values, values], dim=1),
    "gate of means": lambda values: values * values.mean((2, 3), keepdim=True).sigmoid(),
    "minus means": lambda values: values - values.mean((2, 3), keepdim=True),
    "gate of channels": lambda values: values * values.mean(1, keepdim=True).sigmoid(),
    "gate of maxima": lambda values: values * F.adaptive_max_pool2d(values, 1).sigmoid(),
    "flip": lambda values: values.flip(3),
    "roll": lambda values: values.roll(1, 2),
    "turn": lambda values: values.permute(0, 1, 3, 2).contiguous(),
    "channels last and back": lambda values: values.permute(0, 2, 3, 1).permute(0, 3, 1, 2),
    "softmax of positions": lambda values: (
        values.flatten(2).softmax(2).reshape(values.shape) * values.shape[2] * values.shape[3]
    ),
    "sums along rows": lambda values: values.cumsum(3) / values.shape[3],
}


class Shuffle(nn.Module):
    """Mix the channels of two groups, as ShuffleNet does."""

    def forward(self, values: Tensor) -> Tensor:
        count, channels, height, width = values.shape
        return values.view(count, 2, channels // 2, height, width).transpose(1, 2).reshape(values.shape)


class Norm(nn.Module):
    """Layer norm over the channels of each position, by way of channels last, as ConvNeXt does."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)

    def forward(self, values: Tensor) -> Tensor:
        return self.norm(values.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Gate(nn.Module):
    """A squeeze-and-excitation gate."""

    def __init__(self, channels: int, way: str) -> None:
        super().__init__()
        hidden = max(1, channels // 2)
        self.way = way
        part = nn.Linear if way == "linear" else lambda inputs, outputs: nn.Conv2d(inputs, outputs, 1)
        self.reduce, self.expand = part(channels, hidden), part(hidden, channels)

    def extra_repr(self) -> str:
        return self.way

    def forward(self, values: Tensor) -> Tensor:
        if self.way == "linear":
            means = F.adaptive_avg_pool2d(values, 1).flatten(1)
            factors = self.expand(F.relu(self.reduce(means))).sigmoid()
            return values * factors.view(*factors.shape, 1, 1)
        means = values.mean((2, 3), keepdim=True) if self.way == "mean" else F.adaptive_avg_pool2d(values, 1)
        factors = F.hardsigmoid(self.expand(F.silu(self.reduce(means))))
        return factors * values if self.way == "mean" else values.mul_(factors)


class Residual(nn.Module):
    """A body and a shortcut, joined in one of several ways."""

    def __init__(self, body: nn.Module, shortcut: nn.Module, way: str) -> None:
        super().__init__()
        self.body, self.shortcut, self.way = body, shortcut, way

    def extra_repr(self) -> str:
        return self.way

    def forward(self, values: Tensor) -> Tensor:
        straight = self.shortcut(values)
        changed = self.body(values)
        match self.way:
            case "+":
                return changed + straight
            case "+=":
                changed = changed * 1.0
                changed += straight
                return changed
            case "relu":
                return F.relu(straight + changed, inplace=True)
            case "scaled":
                return torch.add(straight, changed, alpha=0.5)
            case "-":
                return straight - changed
            case "*":
                return straight * changed.tanh()
            case "max":
                return torch.maximum(straight, changed)
        raise AssertionError(self.way)


class Joined(nn.Module):
    """Branches side by side, concatenated over the channels."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, values: Tensor) -> Tensor:
        return torch.cat([branch(values) for branch in self.branches], dim=1)


class Twice(nn.Module):
    """One module called twice in a row."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, values: Tensor) -> Tensor:
        return self.body(self.body(values))


class Head(nn.Module):
    """From maps to logits, in one of the usual ways."""

    def __init__(self, way: str, shape: Shape, classes: int) -> None:
        super().__init__()
        channels, height, width = shape
        self.way = way
        self.grid = (min(2, height), min(3, width))
        inputs = {
            "flatten": channels * height * width, "view": channels * height * width,
            "grid": channels * self.grid[0] * self.grid[1], "both": 2 * channels,
        }.get(way, channels)  # fmt: skip
        if way in ("maps", "conv"):
            self.last: nn.Module = nn.Conv2d(channels, classes, 1)
        elif way == "deep":
            self.last = nn.Sequential(nn.Linear(channels, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, classes))
        else:
            self.last = nn.Linear(inputs, classes)

    def extra_repr(self) -> str:
        return self.way

    def forward(self, values: Tensor) -> Tensor:
        match self.way:
            case "pool" | "deep":
                return self.last(F.adaptive_avg_pool2d(values, 1).flatten(1))
            case "mean":
                return self.last(values.mean((2, 3)))
            case "mean twice":
                return self.last(values.mean(3).mean(2))
            case "mean of rows":
                return self.last(values.flatten(2).mean(2))
            case "whole window":
                return self.last(F.avg_pool2d(values, values.shape[2:]).view(values.size(0), -1))
            case "amax":
                return self.last(values.amax((2, 3)))
            case "max":
                return self.last(torch.flatten(F.adaptive_max_pool2d(values, 1), 1))
            case "both":
                means, maxima = F.adaptive_avg_pool2d(values, 1), F.adaptive_max_pool2d(values, 1)
                return self.last(torch.cat([means, maxima], dim=1).flatten(1))
            case "flatten":
                return self.last(torch.flatten(values, 1))
            case "view":
                return self.last(values.view(-1, values[0].numel()) if values.is_contiguous() else values.flatten(1))
            case "grid":
                return self.last(F.adaptive_avg_pool2d(values, self.grid).reshape(values.shape[0], -1))
            case "conv":
                return F.adaptive_avg_pool2d(self.last(values), 1).squeeze(3).squeeze(2)
            case "maps":
                return self.last(values)  # the network is averaged from outside
        raise AssertionError(self.way)


HEADS = (
    "pool", "pool", "mean", "mean twice", "mean of rows", "whole window", "amax", "max", "both", "flatten", "flatten",
    "view", "grid", "conv", "maps", "deep",
)  # fmt: skip
