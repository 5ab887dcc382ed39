"""Ways for a gradient to pass a rectifier: as it is, guided, as in the deconvnet, or to wake what is silent.

The rules act on the nodes of the autograd graph of one pass, where a rectifier is the same thing
whether it is a module, a function, in place, shared or clamped (ReLU6). The network is not touched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor

from striate.errors import RuleError

__all__ = ["Rule", "backward", "waking"]

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
            for node in _nodes(scores.grad_fn):
                if _is_rectifier(node):
                    handles.append(node.register_hook(_guided if rule == "guided" else _deconvnet))
                elif (kind := node.name().removesuffix("0").removesuffix("1").removesuffix("Backward")) in _OTHERS:
                    passed[kind] += 1
            rectifiers = len(handles)
            if not rectifiers:
                others = ", ".join(f"{count} {kind}" for kind, count in passed.items())
                raise RuleError(
                    f"the {rule} rule acts on rectifiers (ReLU, ReLU6, clamp at 0), and none lies on the way"
                    f"{f' (there are {others})' if others else ''}. "
                    "It would be the plain gradient: use rule='gradient'."
                )
        (found,) = torch.autograd.grad(scores.sum(), leaf, allow_unused=True)
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
    handles = [node.register_hook(_woken) for node in _nodes(scores.grad_fn) if _is_rectifier(node)]
    try:
        (found,) = torch.autograd.grad(scores.sum(), leaf, allow_unused=True)
    finally:
        for handle in handles:
            handle.remove()
    return torch.zeros_like(leaf) if found is None else found.detach()


# names of autograd's nodes: the same whether a rectifier is a module, a function, in place or shared
_OTHERS = frozenset(
    "Gelu Silu Hardswish Hardsigmoid Elu LeakyRelu PreluKernel Mish Softplus Tanh Sigmoid Celu Hardtanh Clamp ClampMin "
    "Threshold LogSigmoid Maximum Minimum Where RreluWithNoise Abs Hardshrink Softshrink".split()
)


def _nodes(root: Any) -> Iterator[Any]:
    """Walk the autograd graph, each node once."""
    seen, stack = set(), [root]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        stack.extend(following for following, _ in node.next_functions)


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
    return (leaving[0].clamp(min=0) if leaving[0] is not None else None, *arriving[1:])


def _woken(arriving: tuple[Tensor | None, ...], leaving: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    if arriving[0] is None or leaving[0] is None:
        return arriving
    blocked = ~arriving[0].flatten(1).any(1)  # (N,)
    # where nothing came through, every input that a signal was for lies where the rectifier is flat
    raised = leaving[0].clamp(min=0)
    return (torch.where(blocked.view(-1, *[1] * (raised.dim() - 1)), raised, arriving[0]), *arriving[1:])
