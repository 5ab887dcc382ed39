"""Convolutions of three by three in training on a processor, with fewer multiplications. Keeps nothing.

Forward, back to the maps and back to the weights each take 16 multiplications in place of 36 (`winograd`); in bfloat16,
where what is multiplied is rounded once more by that, back to the weights alone. The weights change with every step, so
that they are made ready twice in each.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from striate.learn.lending import followed, lent
from striate.winograd import convolution as winograd

__all__ = ["Halves", "sparing_convolution", "sparing_convolutions", "suited"]

Halves = Literal["weights", "gradients", "all"]
"""What of bfloat16 takes fewer multiplications: the gradient of the weights, that of the maps too, or all."""

_TILES = 384  # of two by two outputs, in a batch, below which what is done to the weights outweighs it


def sparing_convolution(
    images: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int], halves: Halves = "weights"
) -> Tensor:
    """Convolve, as `torch.nn.functional.conv2d` does, but for rounding. Gradients of gradients are PyTorch's.

    Args:
        images: shape (N, C, H, W), float32, or bfloat16 where `winograd.can_halves`.
        weight: shape (K, C, 3, 3), float32, for which `winograd.suits` says yes, with strides of 1.
        bias: shape (K,), float32; None for zeros.
        padding: rows of zeros above and below, columns on either side.
        halves: what of bfloat16 is done here: "weights", their gradient; "gradients", that of the maps too; "all". The
            rest is PyTorch's.

    Returns:
        Shape (N, K, h, w), of the type of the images; channels last where it is done here.
    """
    found: Tensor = _Sparing.apply(images, weight, bias, padding, halves)
    return found


class _Sparing(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, images: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int], halves: Halves
    ) -> Tensor:
        half = images.dtype == torch.bfloat16
        context.padding = padding
        rounded = weight.to(images.dtype) if half and halves != "all" else None
        # what PyTorch takes to the maps is kept
        context.save_for_backward(images, weight, rounded if halves == "weights" else None)
        if rounded is not None:
            given = None if bias is None else bias.to(images.dtype)
            return nn.functional.conv2d(images, rounded, given, padding=padding)
        return winograd.convolve(images, winograd.kernels(weight, images.dtype), bias, padding=padding)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        images, weight, rounded = context.saved_tensors
        padding = context.padding
        for_images, for_weight, for_bias = context.needs_input_grad[:3]
        back = of_weight = None
        if torch.is_grad_enabled():  # somebody wants gradients of these
            wanted = for_images, for_weight
            back, of_weight = _by_pytorch(gradient, images, weight.to(gradient.dtype), padding, wanted)
            of_weight = None if of_weight is None else of_weight.to(weight.dtype)
        else:
            if for_images and rounded is not None:
                back, _ = _by_pytorch(gradient, images, rounded, padding, (True, False))
            elif for_images:
                beyond = 2 - padding[0], 2 - padding[1]
                turned = winograd.kernels(weight, gradient.dtype, turned=True)
                back = winograd.convolve(gradient, turned, padding=beyond)
            if for_weight:
                of_weight = winograd.weight_gradient(images, gradient, padding=padding)
        return back, of_weight, gradient.sum((0, 2, 3), dtype=torch.float32) if for_bias else None, None, None


def _by_pytorch(
    gradient: Tensor, images: Tensor, weight: Tensor, padding: tuple[int, int], wanted: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Return the gradients of maps and weights that are wanted."""
    given = gradient, images, weight, None, (1, 1), padding, (1, 1), False, (0, 0), 1, (*wanted, False)
    back, of_weight, _ = torch.ops.aten.convolution_backward(*given)
    return back, of_weight


def _forward(self: nn.Conv2d, input: Tensor, halves: Halves | None) -> Tensor:
    """Do what the module does, with fewer multiplications where that is faster."""
    assert isinstance(self.padding, tuple)
    above, before = self.padding
    half = torch.is_autocast_enabled("cpu")
    plain = input.dim() != 4 or input.device.type != "cpu" or input.dtype not in (torch.float32, torch.bfloat16)
    plain = plain or (halves is None or _no_halves() if half else input.dtype != torch.float32)
    plain = plain or followed()
    plain = plain or input.shape[1] != self.weight.shape[1]
    plain = plain or (self.bias is not None and self.bias.dtype != torch.float32)
    plain = plain or len(input) * _half(input.shape[2] + 2 * above) * _half(input.shape[3] + 2 * before) < _TILES
    if plain:
        found: Tensor = type(self).forward(self, input)
        return found
    if half:
        input = input.to(torch.bfloat16)
    return sparing_convolution(input, self.weight, self.bias, (above, before), halves or "weights")


def _no_halves() -> bool:
    """Tell whether autocast wants numbers other than bfloat16, or nothing would be gained."""
    return torch.get_autocast_dtype("cpu") != torch.bfloat16 or not winograd.can_halves()


def _half(length: int) -> int:
    """Return the tiles over the outputs of a padded length."""
    return max(0, length - 1) // 2


def suited(module: nn.Module) -> list[nn.Conv2d]:
    """Return the convolutions of a module that gain; those of other libraries that compute in their own way do not."""
    return [
        one
        for one in module.modules()
        if isinstance(one, nn.Conv2d)
        and type(one).forward is nn.Conv2d.forward
        and type(one)._conv_forward is nn.Conv2d._conv_forward
        and not {"forward", "_conv_forward"} & vars(one).keys()
        and one.padding_mode == "zeros"
        and _suits(one)
    ]


def _suits(convolution: nn.Conv2d) -> bool:
    weight = convolution._parameters.get("weight")  # one that is made of others with each use is left alone
    if weight is None or type(weight) is not nn.Parameter:
        return False
    stride, padding, dilation = convolution.stride, convolution.padding, convolution.dilation
    if not isinstance(stride, tuple) or not isinstance(padding, tuple) or not isinstance(dilation, tuple):
        return False
    return winograd.suits(weight, stride=stride, padding=padding, dilation=dilation, groups=convolution.groups)


@contextmanager
def sparing_convolutions(module: nn.Module, *, halves: Halves | None = "weights") -> Iterator[None]:
    """Let the convolutions of a module take fewer multiplications while this lasts, where that can be and is faster.

    Their classes, weights and hooks stay as they are.

    Args:
        module: whose convolutions they are.
        halves: what is done here of bfloat16, under autocast, see `sparing_convolution`; None for nothing.
    """
    ours = suited(module)
    with lent(ours if ours and winograd.can() else [], lambda self, input: _forward(self, input, halves)):
        yield
