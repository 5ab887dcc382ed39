"""Convolutions of three by three, of many channels, with 16 multiplications in place of 36: the same but for rounding.

On a processor. What rounding does to the outputs is no more than in PyTorch's own convolution in float32, whose sums
are longer, and about twice as much in bfloat16. `compiled` and `halves` do the work; numba, which they need, is loaded
with the first convolution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from striate.threads import borders, compiled, in_threads

__all__ = [
    "WORTH",
    "Kernels",
    "can",
    "can_halves",
    "convolve",
    "kernels",
    "suits",
    "weight_gradient",
]

WORTH = 2**38
"""Multiply-adds of a whole job from which on it pays to load numba: about a second of work on two cores."""

_FEWEST = 64  # channels in and out: of fewer, the sums before and behind take what the products spare
_CHANNELS = 16  # of which they are a multiple
_PIECE = 2**22  # multiply-adds that are worth waking a thread for
_WEIGHTS = 2**13  # likewise, to make ready
_NOTHING = np.zeros((0, 0, 0, 0), np.float32)


@cache
def _compiled() -> ModuleType | None:
    """Return the compiled operations; None where there is no numba, or no processor for them."""
    found = compiled("striate.winograd.compiled")
    return found if found is not None and found.can() else None


@cache
def _of_halves() -> ModuleType | None:
    """Return the compiled operations on bfloat16; None where there is no numba, or no processor that gains by them."""
    found = compiled("striate.winograd.halves")
    return found if found is not None and found.can() else None


def can_halves() -> bool:
    """Tell whether numba is there, and a processor that gains by all this in bfloat16; loads numba."""
    return _of_halves() is not None


def can() -> bool:
    """Tell whether numba is there, and a processor with what it needs; loads numba."""
    return _compiled() is not None


def suits(
    weight: Tensor, *, stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int], groups: int
) -> bool:
    """Tell whether a convolution may be done here, where `can`, and gains by it.

    Args:
        weight: (K, C / groups, h, w).
        stride, padding, dilation: down and across.
        groups: of the convolution.
    """
    return (
        weight.dim() == 4
        and weight.shape[2:] == (3, 3)
        and all(count >= _FEWEST and count % _CHANNELS == 0 for count in weight.shape[:2])
        and weight.dtype == torch.float32
        and weight.device.type == "cpu"
        and tuple(stride) == tuple(dilation) == (1, 1)
        and groups == 1
        and all(0 <= zeros <= 2 for zeros in padding)
    )


@dataclass(frozen=True, eq=False)
class Kernels:
    """The kernels of a convolution, made ready (`kernels`).

    Attributes:
        products: (16, C * K) float32; (16, C / 2 * K) int32 for bfloat16, of which each holds two.
        inputs: channels, C.
        outputs: channels, K.
    """

    products: Tensor
    inputs: int
    outputs: int


def kernels(weight: Tensor, dtype: torch.dtype = torch.float32, *, turned: bool = False) -> Kernels:
    """Make the weights of a convolution ready.

    Args:
        weight: (K, C, 3, 3) float32, for which `suits` says yes.
        dtype: of the maps, float32, or bfloat16 where `can_halves`.
        turned: for the way back, from outputs to inputs.
    """
    outputs, inputs = weight.shape[:2]
    ends = (outputs, inputs) if turned else (inputs, outputs)
    parts = min(torch.get_num_threads(), inputs * outputs // _WEIGHTS)
    operations = _operations(dtype)
    if dtype == torch.bfloat16:
        pairs = torch.empty(16, inputs * outputs // 2, dtype=torch.int32)
        with in_threads(max(parts, 1)) as threads:
            operations.lay(weight.detach().permute(0, 2, 3, 1).contiguous().numpy(), turned, pairs.numpy(), threads)
        return Kernels(pairs, *ends)
    laid = weight.detach().permute(0, 2, 3, 1) if turned else weight.detach().permute(1, 2, 3, 0)
    products = torch.empty(16, inputs * outputs)
    given = laid.contiguous().numpy(), turned, products.numpy()
    if parts < 2:
        operations.lay(*given)
    else:
        with in_threads(parts) as threads:
            operations.lay_in_parts(*given, borders(len(laid), threads))
    return Kernels(products, *ends)


def convolve(
    images: Tensor,
    kernels: Kernels,
    bias: Tensor | None = None,
    *,
    padding: Sequence[int],
    added: Tensor | None = None,
    low: float = -math.inf,
    high: float = math.inf,
) -> Tensor:
    """Convolve maps, add up and clamp; no gradient is kept.

    In bfloat16 what is multiplied is rounded once more than in PyTorch's own convolution, after sums of a few numbers;
    all sums that follow are float32.

    Args:
        images: (N, C, H, W) float32, or bfloat16 where `can_halves`.
        kernels: of the convolution, made ready for the type of the images.
        bias: (K,) float32; None for zeros.
        padding: rows of zeros above and below, columns on either side: at most 2.
        added: (N, K, h, w), what is added. For float32 alone, as the two that follow.
        low: the smallest number that comes out.
        high: the largest.

    Returns:
        (N, K, h, w), of the type of the images, channels last in memory. A number that is not finite spoils the three
        beside it in its tile, of two by two, as well.

    Raises:
        ValueError: they are not of the channels or the size of the kernels and of what is added.

    Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016, section 4.1.
    """
    operations = _operations(images.dtype)
    count, inputs, height, width = images.shape
    shape = count, kernels.outputs, height + 2 * padding[0] - 2, width + 2 * padding[1] - 2
    if inputs != kernels.inputs or min(shape[2:]) < 1 or (added is not None and added.shape != shape):
        raise ValueError(f"maps {tuple(images.shape)} for kernels from {kernels.inputs} channels to {kernels.outputs}.")
    # no view: what is returned from within autograd may be written to by a rectifier
    output = torch.empty(shape, dtype=images.dtype, memory_format=torch.channels_last)
    tiles = count * -(-shape[2] // 2) * -(-shape[3] // 2)
    shift = np.zeros(kernels.outputs, np.float32) if bias is None else bias.detach().float().contiguous().numpy()
    parts = _parts(16 * tiles * inputs * kernels.outputs)
    ready = _rows(images), kernels.products.numpy(), shift
    if images.dtype == torch.bfloat16:
        if added is not None or low > -math.inf or high < math.inf:
            raise ValueError("in bfloat16 nothing is added or clamped on the way.")
        with in_threads(max(parts, 1)) as threads:
            operations.convolve(*ready, *padding, _rows(output), threads)
        return output
    others = _NOTHING if added is None else _rows(added)
    given = *ready, np.float32(low), np.float32(high), others, *padding, output.permute(0, 2, 3, 1).numpy()
    if parts < 2:
        operations.convolve(*given)
    else:
        with in_threads(parts) as threads:
            operations.convolve_in_parts(*given, borders(tiles, threads))
    return output


def weight_gradient(images: Tensor, gradient: Tensor, *, padding: Sequence[int]) -> Tensor:
    """Return the gradient of a convolution's weights.

    Args:
        images: (N, C, H, W), what was convolved: float32, or bfloat16 where `can_halves`. Of bfloat16 what is
            multiplied is rounded once more, after sums of a few numbers; all sums that follow are float32.
        gradient: (N, K, h, w), of what came out, of the same type.
        padding: as in `convolve`.

    Returns:
        (K, C, 3, 3), float32, channels last in memory, the same whatever the number of threads.
    """
    operations = _operations(images.dtype)
    maps, back = _rows(images), _rows(gradient)
    if len(maps) != len(back) or images.dtype != gradient.dtype:
        kinds = images.dtype, gradient.dtype
        raise ValueError(f"{len(maps)} maps ({kinds[0]}) and gradients of {len(back)} ({kinds[1]}).")
    if not back.size:
        return torch.zeros(back.shape[3], maps.shape[3], 3, 3)
    found = np.empty((back.shape[3], 3, 3, maps.shape[3]), np.float32)
    tiles = len(back) * -(-back.shape[1] // 2) * -(-back.shape[2] // 2)
    with in_threads(max(1, _parts(16 * tiles * maps.shape[3] * back.shape[3]))) as threads:
        operations.weight_gradient(maps, back, *padding, found, threads)
    return torch.from_numpy(found).permute(0, 3, 1, 2)


def _operations(dtype: torch.dtype) -> Any:
    """Return the compiled operations on maps of a type."""
    found = _of_halves() if dtype == torch.bfloat16 else _compiled()
    assert found is not None
    return found


def _rows(images: Tensor) -> np.ndarray[tuple[int, ...], Any]:
    """Return maps (N, C, H, W) as (N, H, W, C), one number behind the other in memory; bfloat16 as uint16."""
    rows = images.detach().permute(0, 2, 3, 1).contiguous()
    if images.dtype == torch.bfloat16:
        halves: np.ndarray[tuple[int, ...], Any] = rows.view(torch.int16).numpy().view(np.uint16)
        return halves
    found: np.ndarray[tuple[int, ...], Any] = rows.numpy()
    return found


def _parts(multiply_adds: int) -> int:
    return min(torch.get_num_threads(), multiply_adds // _PIECE)
