"""Ways for a gradient to pass a rectifier: as it is, guided, as in the deconvnet, or to wake what is silent.

The rules act on the nodes of the autograd graph of one pass, where a rectifier is the same thing
whether it is a module, a function, in place, shared or clamped (ReLU6). The network is not touched.
What rectifiers let through on the way forward is seen likewise, below autograd (`rectified`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from striate.errors import RuleError
from striate.running import Watcher
from striate.strided import gradient_at, nodes

__all__ = ["Rectified", "Rule", "backward", "rectified", "waking"]

Rule = Literal["gradient", "guided", "deconvnet"]


def backward(scores: Tensor, leaf: Tensor, rule: Rule = "gradient") -> tuple[Tensor, int, dict[str, int]]:
    """Send ones from the scores (N,) back to a leaf tensor, by a rule.

    Returns:
        The signal that arrives, shaped like `leaf`; the number of rectifiers that followed the rule; other
        non-linear operations with counts.

    Raises:
        RuleError: a rule for rectifiers where there are none.
    """
    rectifiers = 0
    passed: Counter[str] = Counter()
    handles = []
    try:
        if rule != "gradient":
            for node in nodes(scores.grad_fn):
                if _is_rectifier(node):
                    handles.append(node.register_hook(_guided if rule == "guided" else _deconvnet))
                elif (kind := _kind(node)) in _OTHERS:
                    passed[kind] += 1
            rectifiers = len(handles)
            if not rectifiers:
                others = ", ".join(f"{count} {kind}" for kind, count in passed.items())
                raise RuleError(
                    f"the {rule} rule acts on rectifiers (ReLU, ReLU6, clamp at 0), and none lies on the way"
                    f"{f' (there are {others})' if others else ''}. "
                    "It would be the plain gradient: use rule='gradient'."
                )
        found = gradient_at(scores.sum(), leaf)
    finally:
        for handle in handles:
            handle.remove()
    return (torch.zeros_like(leaf) if found is None else found.detach()), rectifiers, dict(passed)


def waking(scores: Tensor, leaf: Tensor) -> Tensor:
    """Send ones from the scores (N,) back to a leaf tensor, through rectifiers that are silent everywhere as well.

    A unit that answers nowhere has no gradient, so nothing would ever change that. Where a rectifier lets nothing
    through of one picture's signal, what would raise its input passes; every other signal is the plain gradient.

    Returns:
        The signal that arrives, shaped like `leaf`.

    Source: lucid, `overrides/redirected_relu_grad.py`.
    """
    handles = [node.register_hook(_woken) for node in nodes(scores.grad_fn) if _is_rectifier(node)]
    try:
        (found,) = torch.autograd.grad(scores.sum(), leaf, allow_unused=True)
    finally:
        for handle in handles:
            handle.remove()
    return torch.zeros_like(leaf) if found is None else found.detach()


# names of autograd's nodes: the same whether a rectifier is a module, a function, in place or shared
_OTHERS = frozenset(
    "Gelu Silu Hardswish Hardsigmoid Elu LeakyRelu PreluKernel Mish Softplus Tanh Sigmoid Celu Hardtanh Clamp ClampMin "
    "Threshold LogSigmoid Maximum Minimum Where RreluWithNoise Abs Hardshrink Softshrink "
    "CopySlices".split()  # an operation in place on a part of a tensor, which may be a rectifier: autograd hides it
)


def _kind(node: Any) -> str:
    name: str = node.name().rpartition("::")[2]
    return name.removesuffix("0").removesuffix("1").removesuffix("Backward")


def _is_rectifier(node: Any) -> bool:
    """Tell whether a node cuts off what is below zero (and perhaps above a ceiling)."""
    kind = node.name()
    if kind == "ReluBackward0":
        return True
    if kind == "HardtanhBackward0":  # ReLU6; of something with a number added it is the gate of a hard sigmoid
        before = node.next_functions[0][0]
        gate = before is not None and before.name() == "AddBackward0" and before.next_functions[1][0] is None
        return float(node._saved_min_val) == 0 and not gate
    if kind == "LeakyReluBackward0":
        return float(node._saved_negative_slope) == 0
    if kind == "MaximumBackward0":
        return node.next_functions[1][0] is None and not bool(node._saved_other.any())
    if kind == "ThresholdBackward0":
        return float(node._saved_threshold) == 0
    if kind in ("ClampBackward1", "ClampMinBackward0"):
        return getattr(node, "_saved_min", None) == 0
    return False


def _guided(arriving: tuple[Tensor | None, ...], _leaving: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    # what arrives at the input is masked by a > 0 already, and was made by the rectifier, so it may be written into
    return (arriving[0].clamp_(min=0) if arriving[0] is not None else None, *arriving[1:])


def _deconvnet(arriving: tuple[Tensor | None, ...], leaving: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    if leaving[0] is None:
        return None, *arriving[1:]
    # written over what the rectifier made, as above; where it made nothing of its own, into new memory
    room = arriving[0]
    if room is None or room.shape != leaving[0].shape or room.data_ptr() == leaving[0].data_ptr():
        return leaving[0].clamp(min=0), *arriving[1:]
    return torch.clamp(leaving[0], min=0, out=room), *arriving[1:]


def _woken(arriving: tuple[Tensor | None, ...], leaving: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    if arriving[0] is None or leaving[0] is None:
        return arriving
    blocked = ~arriving[0].flatten(1).any(1)  # (N,)
    # where nothing came through, every input that a signal was for lies where the rectifier is flat
    raised = leaving[0].clamp(min=0)
    return (torch.where(blocked.view(-1, *[1] * (raised.dim() - 1)), raised, arriving[0]), *arriving[1:])


# --- what rectifiers let through, on the way forward

_MODULES = (nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.Threshold, nn.LeakyReLU)


@dataclass(frozen=True)
class Rectified:
    """One use of a rectifier in a run.

    Attributes:
        name: of the module in which it happens, as in ``named_modules()``; empty for the network itself.
        call: which call of that module it is, from 1.
        order: which rectifier in that call, from 1.
        own: the module is nothing but this rectifier.
    """

    name: str
    call: int
    order: int
    own: bool


class rectified(Watcher):  # noqa: N801 - is used as a function
    """See the output of every rectifier of a run that is made inside this block, whatever it is called.

    A module, a function, in place, shared, ReLU6, clamped at 0: the operations below autograd are the same.

    Args:
        module: that is going to be run.
        act: called with each rectifier and its output, which the next operation may write into.
    """

    def __init__(self, module: nn.Module, act: Callable[[Rectified, Tensor], None]) -> None:
        super().__init__()
        self._module = module
        self._act = act
        self._names = {part: name for name, part in module.named_modules()}
        self._stack: list[tuple[str, int, nn.Module]] = []
        self._calls: Counter[str] = Counter()
        self._orders: Counter[tuple[str, int]] = Counter()
        self._raised = WeakTensorKeyDictionary()  # what had a number added to it
        self._handles: list[Any] = []

    def __enter__(self) -> Any:
        for part in self._names:
            if not isinstance(part, torch.jit.ScriptModule):  # takes no hooks; what it does is seen all the same
                self._handles.append(part.register_forward_pre_hook(self._arrive))
                self._handles.append(part.register_forward_hook(self._leave))
        return super().__enter__()  # type: ignore[no-untyped-call]

    def __exit__(self, *error: Any) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        super().__exit__(*error)  # type: ignore[no-untyped-call]

    def _arrive(self, part: nn.Module, _inputs: Any) -> None:
        name = self._names[part]
        self._calls[name] += 1
        self._stack.append((name, self._calls[name], part))

    def _leave(self, _part: nn.Module, _inputs: Any, _output: Any) -> None:
        self._stack.pop()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func._schema.name.removeprefix("aten::").rstrip("_")
        if name == "add" and not (isinstance(args[1], Tensor) and args[1].dim()):
            self._raised[result] = True
        elif isinstance(result, Tensor) and self._rectifies(name, func, args, kwargs or {}):
            at, call, part = self._stack[-1] if self._stack else ("", 1, self._module)
            self._orders[at, call] += 1
            self._act(Rectified(at, call, self._orders[at, call], isinstance(part, _MODULES)), result)
        return result

    def _rectifies(self, name: str, func: Any, args: Any, kwargs: Any) -> bool:
        """Tell whether an operation cuts off what is below zero (and perhaps above a ceiling)."""
        if name == "relu":
            return True
        if name not in _CUTTING:
            return False
        # torch leaves out arguments that have their default value
        given = {argument.name: argument.default_value for argument in func._schema.arguments}
        given |= {argument.name: value for argument, value in zip(func._schema.arguments, args, strict=False)} | kwargs
        if name == "maximum":
            other = given["other"]
            return other.dim() == 0 and not bool(other)
        gate = name == "hardtanh" and args[0] in self._raised  # of a hard sigmoid
        return not gate and all(_is_zero(given.get(key)) for key in _CUTTING[name])


_CUTTING = {
    "hardtanh": ("min_val",),
    "clamp": ("min",),
    "clamp_min": ("min",),
    "threshold": ("threshold", "value"),
    "leaky_relu": ("negative_slope",),
    "maximum": (),
}


def _is_zero(value: Any) -> bool:
    return isinstance(value, int | float) and value == 0
