"""The same explanations by Captum, and the rewriting of a network that Captum needs. No test stands here.

Captum changes the backward rule of `nn.ReLU` modules only: a functional rectifier and a ReLU6 keep their plain
gradient there, without a word. So the comparison runs Captum on a copy in which every rectifier is a module of
its own, and is an instance of `nn.ReLU`. The copy computes the same logits; the tests check that.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import contextmanager
from copy import deepcopy

import torch
from captum import attr
from torch import Tensor, fx, nn
from torch.nn import functional as F

__all__ = ["attribute", "deviation", "quiet", "rewritten"]


class _Rectifier6(nn.ReLU):
    """min(max(x, 0), 6), in the only guise in which Captum sees it."""

    def forward(self, values: Tensor) -> Tensor:
        return F.relu6(values)


def rewritten(module: nn.Module, *, functional: bool = False) -> nn.Module:
    """Copy a network so that each of its rectifiers is an `nn.ReLU`.

    Args:
        module: left as it is.
        functional: it rectifies in functions too; those are found by symbolic tracing, and containers of the
            copy are then no longer called (ask for leaf layers only).
    """
    copy = deepcopy(module).eval().requires_grad_(False)
    for name, part in list(copy.named_modules()):
        if isinstance(part, nn.Hardtanh):  # nn.ReLU6 is one
            assert (part.min_val, part.max_val) == (0, 6)
            owner, _, attribute_name = name.rpartition(".")
            setattr(copy.get_submodule(owner), attribute_name, _Rectifier6())
        elif isinstance(part, nn.ReLU):
            part.inplace = False
    if not functional:
        return copy
    traced = fx.symbolic_trace(copy)
    rectifiers = {F.relu: nn.ReLU, torch.relu: nn.ReLU, "relu": nn.ReLU, "relu_": nn.ReLU, F.relu6: _Rectifier6}
    for number, node in enumerate(list(traced.graph.nodes)):
        if node.op in ("call_function", "call_method") and node.target in rectifiers:
            name = f"rectifier_{number}"
            traced.add_submodule(name, rectifiers[node.target]())
            with traced.graph.inserting_after(node):
                replacement = traced.graph.call_module(name, (node.args[0],))
            node.replace_all_uses_with(replacement)
            traced.graph.erase_node(node)
    traced.recompile()
    return traced


@contextmanager
def quiet():
    """Let Captum warn about its own hooks without stopping the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def attribute(method: str, module: nn.Module | Callable[[Tensor], Tensor], images: Tensor, target, **options) -> Tensor:
    """Run one of Captum's pixel attributions; `layer=` and `neuron=` make it one of a channel or unit.

    Returns:
        Captum's numbers, shape (N, C, H, W), without its own absolute value.
    """
    layer, neuron = options.pop("layer", None), options.pop("neuron", None)
    images = images.clone().requires_grad_()
    with quiet():
        if layer is not None:
            kinds = {"gradient": attr.NeuronGradient, "guided": attr.NeuronGuidedBackprop}
            kind = kinds.get(method, attr.NeuronDeconvolution)
            return kind(module, layer).attribute(images, neuron_selector=neuron).detach()
        if method == "gradient":
            return attr.Saliency(module).attribute(images, target, abs=False).detach()
        kind = {
            "guided": attr.GuidedBackprop,
            "deconvnet": attr.Deconvolution,
            "input_x_gradient": attr.InputXGradient,
            "integrated_gradients": attr.IntegratedGradients,
        }[method]
        return kind(module).attribute(images, target=target, **options).detach()


def deviation(ours: Tensor, theirs: Tensor) -> float:
    """Return the largest difference, relative to the largest magnitude of the peer's numbers."""
    assert ours.shape == theirs.shape, f"shapes differ: {tuple(ours.shape)} and {tuple(theirs.shape)}"
    assert ours.isfinite().all()
    largest = theirs.abs().max().item()
    assert largest > 0, "the peer's answer is all zero: no comparison"
    return (ours - theirs).abs().max().item() / largest
