"""Where a unit's gradient is not zero, found by running the network itself: the judge of receptive fields.

The copy that is run has every obstacle to a gradient removed: weights positive, rectifiers and gates open, maxima
replaced by means over the same windows, normalisations by nothing. What then has a gradient is what the geometry
lets a unit see, no more and no less. No test stands here.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

__all__ = ["boxes", "opened"]

_OPEN = {
    "relu", "relu_", "relu6", "hardtanh", "hardtanh_", "hardswish", "hardsigmoid", "silu", "gelu", "mish", "elu",
    "leaky_relu", "sigmoid", "sigmoid_", "tanh", "clamp", "clamp_", "clamp_min", "softmax", "dropout", "batch_norm",
    "layer_norm",
}  # fmt: skip


class _Open(TorchFunctionMode):
    """Let every function that could stop a gradient pass it on."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in _OPEN:
            return args[0]
        if "max_pool2d" in name and "adaptive" not in name:
            names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
            options = dict(zip(names, args[1:], strict=False)) | kwargs
            assert options.pop("dilation", 1) in (1, (1, 1))
            options.pop("return_indices", None)
            options["padding"] = options.get("padding", 0)
            return F.avg_pool2d(args[0], **options)
        if "adaptive_max_pool2d" in name:
            return F.adaptive_avg_pool2d(args[0], args[1])
        if name == "amax":
            return args[0].mean(*args[1:], **kwargs)
        if name in ("mul", "mul_") and all(isinstance(factor, Tensor) and factor.requires_grad for factor in args):
            return torch.add(*args)  # a gate joins the same maps; products of products would vanish
        return func(*args, **kwargs)


def opened(module: nn.Module) -> nn.Module:
    """Copy a network in double precision with positive weights that average."""
    copy = deepcopy(module).eval().double()
    with torch.no_grad():
        for parameter in copy.parameters():
            parameter.fill_(1 / max(parameter[0].numel(), 1) if parameter.dim() > 1 else 0)
    return copy.requires_grad_(False)


def boxes(
    module: nn.Module, size: tuple[int, int], channels: int, asked: dict[str, Sequence[tuple[int, int]]]
) -> dict[tuple[str, int, int], tuple[int, int, int, int]]:
    """Find the box of pixels that reach each unit, as (top, left, bottom, right), inclusive.

    Args:
        module: already `opened`.
        size: height and width of the picture.
        channels: of the picture.
        asked: by address (a layer, or the k-th call of it as layer~k), rows and columns of units.
    """
    kept: dict[str, Tensor] = {}
    calls: dict[str, int] = {}

    def keep(layer: str):
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            calls[layer] = calls.get(layer, 0) + 1
            kept[layer] = kept[f"{layer}~{calls[layer]}"] = output

        return hook

    handles = [
        module.get_submodule(layer).register_forward_hook(keep(layer))
        for layer in {address.partition("~")[0] for address in asked}
    ]
    images = torch.ones(1, channels, *size, dtype=torch.float64, requires_grad=True)
    try:
        with _Open():
            module(images)
    finally:
        for handle in handles:
            handle.remove()
    found = {}
    for address, units in asked.items():
        for row, column in units:
            # all channels of the place: in a concatenation each has a field of its own, the layer has their hull
            (gradient,) = torch.autograd.grad(kept[address][0, :, row, column].sum(), images, retain_graph=True)
            hit = gradient[0].abs().sum(0) > 0
            down, across = hit.any(1).nonzero().flatten(), hit.any(0).nonzero().flatten()
            found[address, row, column] = (int(down[0]), int(across[0]), int(down[-1]), int(across[-1]))
    return found
