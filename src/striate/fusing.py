"""A program whose convolutions do what stands behind them as well: the sum with another map, and the rectifier.

oneDNN does both while it writes a convolution's output, so that a map is neither read nor written again. That pays
where convolutions are cheap for the maps they make: of one pixel, of one channel each. For a job that is large enough,
convolutions of three by three are done with fewer multiplications (`winograd`), which take in the same steps.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from striate.program import Program, Ref, Step
from striate.winograd import convolution as winograd

__all__ = ["NAME", "Fused", "can_fuse", "fused"]

NAME = "fused_convolution"
"""What the steps are called in which a convolution has taken in others."""

_PICTURES = 8  # for which weights are laid out; other batches are done with them as fast
_BEHIND_SUMS = ("relu",)  # activations that oneDNN does there by way of PyTorch
_SIZES = 4  # of maps for which weights are laid out
_Attribute = tuple[str, list[Any], str]  # name, numbers and algorithm, as oneDNN's operations in PyTorch take them


@dataclass(frozen=True, eq=False)
class Fused:
    """A convolution, the sum with another map, and an activation, called as one operation.

    Attributes:
        weight: (O, C / groups, h, w).
        bias: (O,), or None.
        stride, padding, dilation, groups: of the convolution.
        activation: what is done at last; None for nothing.
        sparing: it is done with fewer multiplications.
    """

    weight: Tensor
    bias: Tensor | None
    stride: list[int]
    padding: list[int]
    dilation: list[int]
    groups: int
    activation: _Attribute | None = None
    sparing: bool = False

    def __call__(self, images: Tensor, added: Tensor | None = None, *, padding: Sequence[int] | None = None) -> Tensor:
        """Return (N, O, h, w).

        Args:
            images: (N, C, H, W).
            added: (N, O, h, w), what is added before the activation.
            padding: in the place of the convolution's own.
        """
        if self.sparing:
            low, high = self._clamped
            given = self._kernels, self.bias
            zeros = self.padding if padding is None else padding
            return winograd.convolve(images, *given, padding=zeros, added=added, low=low, high=high)
        images = images.contiguous(memory_format=torch.channels_last)  # the picture of one may stand for many
        weight = self._laid(tuple(images.shape[2:]), self.padding if padding is None else list(padding))
        geometry = self.padding if padding is None else list(padding), self.stride, self.dilation, self.groups
        name, numbers, algorithm = self.activation or ("none", [], "")
        operation: Callable[..., Any] = torch.ops.mkldnn._convolution_pointwise
        if added is None:
            found = operation(images, weight, self.bias, *geometry, name, numbers, algorithm)
        else:
            added = added.contiguous(memory_format=torch.channels_last)
            after = (None, [], None) if self.activation is None else (name, numbers, algorithm)
            found = operation(images, added, weight, self.bias, *geometry, "add", 1.0, *after)
        assert isinstance(found, Tensor)
        return found

    def _laid(self, size: tuple[int, ...], padding: list[int]) -> Tensor:
        """Return the weights as oneDNN wants them for maps of a size: in another order it takes a slow way at times."""
        known = self._known
        if size not in known and len(known) < _SIZES:
            lay: Callable[..., Tensor] = torch.ops.mkldnn._reorder_convolution_weight
            given = [_PICTURES, self.weight.shape[1] * self.groups, *size]
            known[size] = lay(self.weight, padding, self.stride, self.dilation, self.groups, given)
        return known.get(size, self.weight)

    @property
    def can_spare(self) -> bool:
        """Whether it can be done with fewer multiplications, and gains by it."""
        suits = winograd.suits(
            self.weight, stride=self.stride, padding=self.padding, dilation=self.dilation, groups=self.groups
        )
        return suits and (self.activation is None or self.activation[0] in ("relu", "hardtanh")) and winograd.can()

    @property
    def _clamped(self) -> tuple[float, float]:
        """The smallest and the largest number that come out."""
        if self.activation is None:
            return -math.inf, math.inf
        low, high = self.activation[1] or (0.0, math.inf)
        return low, high

    @cached_property
    def _kernels(self) -> winograd.Kernels:
        return winograd.kernels(self.weight)

    @cached_property
    def _known(self) -> dict[tuple[int, ...], Tensor]:
        return {}


def can_fuse(image: Tensor) -> bool:
    """Tell whether this PyTorch has oneDNN, and its operations for such pictures: on a processor, in float32."""
    if image.device.type != "cpu" or image.dtype != torch.float32 or torch.is_autocast_enabled("cpu"):
        return False
    operations = torch.ops.mkldnn
    return bool(torch.backends.mkldnn.is_available()) and all(  # type: ignore[no-untyped-call]
        hasattr(operations, name) for name in ("_convolution_pointwise", "_reorder_convolution_weight")
    )


def fused(program: Program, ends: Collection[int], *, sparing: bool = False) -> Program:
    """Return a program that gives the same values, up to rounding, in fewer steps; on the processor, in float32.

    Its convolutions can not be differentiated. Call it under ``torch.no_grad``; where
    not `can_fuse`, it is the program itself.

    Args:
        program: is left as it is; batch norm is best folded into its convolutions before.
        ends: values that will be asked for.
        sparing: use fewer multiplications where that is possible. Only for large jobs: what it takes is made first.
    """
    if not can_fuse(program.values[0]):
        return program
    readers: Counter[int | None] = Counter(index for step in program.steps for index in step.inputs)
    steps: list[Step | None] = []
    gives: dict[int | None, int] = {}  # value -> its step, by place in the new list

    def mine(index: int) -> Step | None:
        """Return the convolution that gives a value which nobody else wants, and that ends with a number as it is."""
        before = steps[gives[index]] if index in gives and index not in ends and readers[index] == 1 else None
        free = before is not None and isinstance(before.op, Fused) and before.op.activation is None
        return before if free else None

    for step in program.steps:
        if (convolution := _taken(step, program)) is not None:
            step = replace(step, name=NAME, op=convolution, args=(step.arguments["input"],), kwargs={})
        elif step.name == "add" and _plain_sum(step, program):
            one, other = step.inputs
            if gives.get(one, -1) < gives.get(other, -1):  # the later one takes in the earlier
                one, other = other, one
            before = mine(one)
            if before is not None and len(before.args) == 1:
                steps[gives[one]] = None
                step = replace(before, args=(*before.args, Ref(other)), outs=step.outs)
        elif len(step.inputs) == 1 and (attribute := _attribute(step)) is not None:
            before = mine(step.inputs[0])
            if before is not None and (len(before.args) == 1 or attribute[0] in _BEHIND_SUMS):
                at = gives[step.inputs[0]]
                assert isinstance(before.op, Fused)
                steps[at] = replace(before, op=replace(before.op, activation=attribute), outs=step.outs)
                gives[step.outs[0]] = at
                continue
        gives |= {out: len(steps) for out in step.outs}
        steps.append(step)
    found = (step for step in steps if step is not None)
    return replace(program, steps=tuple(_spared(step) for step in found) if sparing else tuple(found))


def _spared(step: Step) -> Step:
    if isinstance(step.op, Fused) and step.op.can_spare:
        return replace(step, op=replace(step.op, sparing=True))
    return step


def _taken(step: Step, program: Program) -> Fused | None:
    """Return a convolution of maps with weights of the network, as oneDNN does it."""
    if step.name != "convolution":
        return None
    given = step.arguments
    weight, bias = given["weight"], given["bias"]
    if given["transposed"] or not isinstance(given["input"], Ref) or isinstance(bias, Ref):
        return None
    if not isinstance(weight, Tensor) or weight.dim() != 4 or weight.dtype != torch.float32:
        return None
    size = program.values[given["input"].index].shape
    if len(size) != 4 or weight.device.type != "cpu":
        return None
    stride, padding, dilation = (_pair(given[name]) for name in ("stride", "padding", "dilation"))
    bias = None if bias is None else bias.detach().contiguous()  # oneDNN reads one number behind the other
    return Fused(weight.detach(), bias, stride, padding, dilation, given["groups"])


def _pair(numbers: Sequence[int]) -> list[int]:
    return list(numbers) if len(numbers) == 2 else [*numbers, *numbers]


def _plain_sum(step: Step, program: Program) -> bool:
    """Tell whether two maps of one size are added as they are."""
    if len(step.inputs) != 2 or step.arguments.get("alpha", 1) != 1 or len(set(step.inputs)) != 2:
        return False
    one, other = (program.values[index] for index in step.inputs)
    batched = set(step.inputs) <= program.batched
    return batched and one.shape == other.shape and one.dtype == other.dtype == torch.float32


def _attribute(step: Step) -> _Attribute | None:
    """Return what oneDNN calls an activation; None for what is none, or one that it does in another way."""
    name, given = step.name, step.arguments
    if name == "relu":
        return "relu", [], ""
    if name == "hardtanh":
        return "hardtanh", [float(given["min_val"]), float(given["max_val"])], ""
    if name == "clamp" and all(isinstance(given[end], int | float) for end in ("min", "max")):
        return "hardtanh", [float(given["min"]), float(given["max"])], ""
    if name in ("clamp", "clamp_min") and _is_zero(given["min"]) and given.get("max") is None:
        return "relu", [], ""
    if name == "leaky_relu":
        return "leaky_relu", [float(given["negative_slope"])], ""
    plain = {"silu": "swish", "hardswish": "hardswish"}
    return (plain[name], [], "") if name in plain else None


def _is_zero(number: object) -> bool:
    return isinstance(number, int | float) and number == 0
