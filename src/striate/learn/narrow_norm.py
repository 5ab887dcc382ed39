"""Batch norm in training on a processor, for maps of few channels. Changes no module for good, keeps nothing.

PyTorch's kernel takes sums over the rows of a map that lies channels last, each thread into a row of its own. With
eight channels such a row fills a quarter of a vector, and the rows of two threads lie in one cache line, which the
processors then pull to and fro: on two threads it is slower than on one. Here several places side by side are one row,
so that the same kernel has wide rows; the sums of a channel are then put together.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from striate.learn.lending import followed, lent

__all__ = ["narrow_batch_norm", "narrow_norms", "places_in_row"]

_FEW = {torch.float32: 24, torch.bfloat16: 32}  # channels from which on PyTorch's own kernel is as fast
_VECTOR = 16  # and so it is with a multiple of this: they fill vectors of float32, and cache lines
_WIDE = 128  # numbers in a row, at least
_MANY = 8_192  # places (pictures x rows x columns) below which what is done once for a map outweighs it


def places_in_row(images: Tensor) -> int:
    """Return how many places of a map are one row here; 0 where PyTorch's own kernel is as good.

    Args:
        images: shape (N, C, H, W).
    """
    if (
        images.dim() != 4
        or images.device.type != "cpu"
        or not 1 < images.shape[1] < _FEW.get(images.dtype, 0)  # one channel lies in both orders at once, and is fast
        or images.shape[1] % _VECTOR == 0
        or not images.is_contiguous(memory_format=torch.channels_last)
    ):
        return 0
    channels = images.shape[1]
    places = images.numel() // channels
    if places < _MANY:
        return 0
    many = 1
    while many * channels < _WIDE and places % (2 * many) == 0:
        many *= 2
    return many if many * channels >= _WIDE else 0


def narrow_batch_norm(
    images: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    *,
    momentum: float = 0.1,
    epsilon: float = 1e-5,
    many: int,
) -> Tensor:
    """Normalise a batch by its own mean and variance, as `torch.nn.functional.batch_norm` does in training.

    In float32 the results are those of PyTorch but for the order of sums; in bfloat16 the gradient of the maps is
    rounded twice more. Gradients of gradients are PyTorch's.

    Args:
        images: shape (N, C, H, W), channels last, float32 or bfloat16.
        weight: shape (C,), float32; None for ones.
        bias: likewise; None for zeros.
        running_mean: shape (C,), float32, moved towards the mean of the batch; None to keep none.
        running_var: likewise.
        momentum: how far they are moved, from 0 to 1.
        epsilon: added to the variance.
        many: places in a row, what `places_in_row` says.

    Returns:
        Shape, type and order of `images`.
    """
    found: Tensor = _NarrowNorm.apply(images, weight, bias, running_mean, running_var, momentum, epsilon, many)
    return found


class _NarrowNorm(torch.autograd.Function):
    """The map as rows (N * H * W / many, many * C): each of its columns belongs to one channel."""

    @staticmethod
    def forward(
        context: Any,
        images: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        momentum: float,
        epsilon: float,
        many: int,
    ) -> Tensor:
        channels = images.shape[1]
        places = images.numel() // channels
        rows = _rows(images, many)
        # the running ones here only make the kernel give its sums in float32
        nothing = torch.zeros(many * channels)
        means, variances = torch.batch_norm_update_stats(rows, nothing, nothing.clone(), 0.0)
        spread, mean = torch.var_mean(means.view(many, channels), 0, correction=0)
        variance = variances.view(many, channels).mean(0) + spread
        if running_mean is not None:
            running_mean.lerp_(mean, momentum)
        if running_var is not None:
            running_var.lerp_(variance * (places / (places - 1)), momentum)
        given = torch.ones(channels) if weight is None else weight.detach()
        added = torch.zeros(channels) if bias is None else bias.detach()
        mean, variance, given, added = torch.stack((mean, variance, given, added)).repeat(1, many).unbind()
        out = torch.native_batch_norm(rows, given, added, mean, variance, False, 0.0, epsilon)[0]
        context.save_for_backward(images, weight, mean, variance, given)
        context.epsilon, context.many = epsilon, many
        return _maps(out, images)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        images, given, mean, variance, weight = context.saved_tensors
        epsilon, many = context.epsilon, context.many
        channels = images.shape[1]
        if torch.is_grad_enabled():  # somebody wants gradients of these
            inverse = (variance[:channels] + epsilon).rsqrt()
            kept = None, None, mean[:channels], inverse, True, epsilon, list(context.needs_input_grad[:3])
            return *torch.ops.aten.native_batch_norm_backward(gradient, images, given, *kept), *(None,) * 5
        places = images.numel() // channels
        rows = _rows(images, many)
        # as if mean and variance were constants: the gradient of the maps, and the sums that are wanted
        back, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            _rows(gradient.contiguous(memory_format=torch.channels_last), many),
            rows, weight, mean, variance, None, None, False, epsilon, [True, True, True],
        )  # fmt: skip
        of_weight, of_bias = of_weight.view(many, channels).sum(0), of_bias.view(many, channels).sum(0)
        # and what goes through mean and variance: a straight line of the maps in each channel
        inverse = (variance + epsilon).rsqrt_()
        scale = inverse * weight / -places
        slope, level = scale * inverse * of_weight.repeat(many), scale * of_bias.repeat(many)
        line = torch.native_batch_norm(rows, slope, level, mean, torch.ones_like(mean), False, 0.0, 0.0)[0]
        needed = context.needs_input_grad
        found = _maps(back.add_(line), images) if needed[0] else None
        return found, of_weight if needed[1] else None, of_bias if needed[2] else None, None, None, None, None, None


def _rows(images: Tensor, many: int) -> Tensor:
    """View maps (N, C, H, W), channels last, as rows."""
    return images.permute(0, 2, 3, 1).reshape(-1, many * images.shape[1])


def _maps(rows: Tensor, images: Tensor) -> Tensor:
    """View rows as maps of the shape of others, channels last."""
    count, channels, height, width = images.shape
    found = rows.view(count, height, width, channels).permute(0, 3, 1, 2)
    # no view: a rectifier may write over what is returned
    return rows.new_empty(0).set_(rows.untyped_storage(), rows.storage_offset(), found.shape, found.stride())


def _forward(self: _BatchNorm, input: Tensor) -> Tensor:
    """Do what the module does, with wide rows where that is faster."""
    many = places_in_row(input) if self.training and _is_plain(self) and not followed() else 0
    if not many:
        found: Tensor = type(self).forward(self, input)
        return found
    factor = 0.0 if self.momentum is None else self.momentum
    if self.track_running_stats and self.num_batches_tracked is not None:
        self.num_batches_tracked.add_(1)
        if self.momentum is None:  # the mean over all batches
            factor = 1.0 / float(self.num_batches_tracked)
    mean, variance = (self.running_mean, self.running_var) if self.track_running_stats else (None, None)
    return narrow_batch_norm(
        input, self.weight, self.bias, mean, variance, momentum=factor, epsilon=self.eps, many=many
    )


def _is_plain(module: _BatchNorm) -> bool:
    """Tell whether weights and statistics are float32."""
    held = (module.weight, module.bias, module.running_mean, module.running_var)
    return all(one is None or one.dtype == torch.float32 for one in held)


@contextmanager
def narrow_norms(module: nn.Module) -> Iterator[None]:
    """Let the batch norms of a module take the faster way while this lasts, where there is one.

    Their classes, weights, statistics and hooks stay as they are. Those of other libraries that compute in their own
    way are left alone.
    """
    ours = [
        one
        for one in module.modules()
        if isinstance(one, nn.BatchNorm2d) and type(one).forward is _BatchNorm.forward and "forward" not in vars(one)
    ]
    with lent(ours, _forward):
        yield
