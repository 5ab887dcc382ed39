"""First weights: named rules, drawn by a generator. Knows layers, no network."""

from __future__ import annotations

import inspect
import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from striate.errors import NetworkError, OptionError
from striate.nets.layers import LocallyConnected1d, LocallyConnected2d, WhiteningConv2d

__all__ = ["Initial", "initialise"]

Initial = Literal[
    "he-normal",
    "he-uniform",
    "glorot-normal",
    "glorot-uniform",
    "lecun-normal",
    "lecun-uniform",
    "gaussian",
    "pytorch",
    "dirac",
]


def initialise(module: nn.Module, rule: Initial = "he-normal", generator: torch.Generator | None = None) -> nn.Module:
    """Draw all weights of a network anew, in place.

    Every rule but the last two draws with mean 0 and a variance that depends on how many numbers a unit reads (fan-in)
    and how many read it (fan-out), and sets biases to 0: "he" 2 / fan-in, made for rectifiers; "glorot"
    2 / (fan-in + fan-out); "lecun" 1 / fan-in; "gaussian" 0.01^2, as AlexNet had it. "pytorch" is what each layer
    does by itself: uniform within 1 / sqrt(fan-in), biases too. "dirac" does the same, and then makes the first filters
    of each convolution pass one channel each on as it is: at first no layer loses what came in. Normalisations start as
    if they were not there, and a `WhiteningConv2d` has its filters whatever the rule.
    Rules are for dense layers, convolutions and locally connected ones; any other layer draws as it does by itself.

    Args:
        module: any network of PyTorch's layers and those of `striate.nets.layers`.
        rule: how to draw.
        generator: what draws; PyTorch's own, which `torch.manual_seed` sets, unless given.

    Returns:
        The module.

    Raises:
        OptionError: no such rule.
        NetworkError: a layer with weights that is not known here; nothing is left half done silently.

    Source: He et al. 2015, arXiv:1502.01852; Glorot and Bengio 2010, "Understanding the difficulty of training deep
        feedforward neural networks"; LeCun et al. 1998, "Efficient BackProp"; Krizhevsky et al. 2012, section 5;
        for "dirac", Zagoruyko and Komodakis 2017, "DiracNets", arXiv:1706.00388.
    """
    if rule not in get_args(Initial):
        raise OptionError(f"no rule {rule!r} for first weights; there are {', '.join(get_args(Initial))}.")
    with torch.no_grad():
        for name, part in module.named_modules():
            if any(True for _ in part.parameters(recurse=False)):
                _initialise(name, part, rule, generator)
    return module


def _initialise(name: str, part: nn.Module, rule: Initial, generator: torch.Generator | None) -> None:
    fans = _fans(part)
    if fans is None:
        reset = getattr(part, "reset_parameters", None)
        if reset is None:
            raise NetworkError(
                f"layer {name!r} is {type(part).__name__}, whose first weights are not known here. "
                "Give it a method reset_parameters(generator)."
            )
        takes = "generator" in inspect.signature(reset).parameters
        reset(generator) if takes else reset()
        return
    weight, fan_in, fan_out = fans
    bias = part.bias
    if rule in ("pytorch", "dirac"):
        bound = 1 / math.sqrt(fan_in)
        weight.uniform_(-bound, bound, generator=generator)
        if rule == "dirac" and isinstance(part, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            _pass_on(part)
        if isinstance(bias, Tensor):
            bias.uniform_(-bound, bound, generator=generator)
        return
    kind, _, shape = rule.partition("-")
    variance = {"he": 2 / fan_in, "glorot": 2 / (fan_in + fan_out), "lecun": 1 / fan_in, "gaussian": 1e-4}[kind]
    if shape == "uniform":
        bound = math.sqrt(3 * variance)
        weight.uniform_(-bound, bound, generator=generator)
    else:
        weight.normal_(0, math.sqrt(variance), generator=generator)
    if isinstance(bias, Tensor):
        bias.zero_()


def _pass_on(part: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> None:
    """Make the first filters of a convolution pass one channel on each, as far as there are both."""
    inputs, outputs = part.in_channels // part.groups, part.out_channels // part.groups
    for group in part.weight.chunk(part.groups):
        nn.init.dirac_(group[: min(inputs, outputs)])


def _fans(part: nn.Module) -> tuple[Tensor, int, int] | None:
    """Return weights with how many numbers a unit reads, and how many units read one; None for other layers."""
    if isinstance(part, WhiteningConv2d):
        return None  # draws nothing
    if isinstance(part, nn.Linear):
        return part.weight, part.in_features, part.out_features
    if isinstance(part, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        window = math.prod(part.kernel_size)
        return part.weight, part.in_channels // part.groups * window, part.out_channels // part.groups * window
    if isinstance(part, LocallyConnected1d | LocallyConnected2d):
        window = part.kernel_size if isinstance(part, LocallyConnected1d) else math.prod(part.kernel_size)
        return part.weight, part.in_channels * window, part.out_channels * window
    return None
