"""Convolve pictures with kernels: any number of channels, any padding, border, stride and dilation. Draws nothing.

Convolution turns the kernel by half a turn and lays it on the picture; cross-correlation lays it as it is. What
networks call convolution is correlation; what they compute is the same up to a kernel that is stored turned.
Channels are summed over, never turned.
"""

from __future__ import annotations

from typing import Any, Literal, get_args, overload

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from striate.errors import ImageError, OptionError
from striate.kernels.by_hand import Kernel
from striate.kernels.windows import Border, Mode, Padding, Windows, check_word, windows

__all__ = ["convolve", "laid_as"]


@overload
def convolve(
    picture: Tensor,
    kernel: Tensor | ArrayLike | Kernel,
    *,
    mode: Mode = ...,
    padding: Padding = ...,
    stride: int | tuple[int, ...] = ...,
    dilation: int | tuple[int, ...] = ...,
    groups: int = ...,
    border: Border = ...,
    channels: Literal["first", "last"] | None = ...,
) -> Tensor: ...


@overload
def convolve(
    picture: ArrayLike,
    kernel: Tensor | ArrayLike | Kernel,
    *,
    mode: Mode = ...,
    padding: Padding = ...,
    stride: int | tuple[int, ...] = ...,
    dilation: int | tuple[int, ...] = ...,
    groups: int = ...,
    border: Border = ...,
    channels: Literal["first", "last"] | None = ...,
) -> NDArray[Any]: ...


def convolve(
    picture: Tensor | ArrayLike,
    kernel: Tensor | ArrayLike | Kernel,
    *,
    mode: Mode = "convolution",
    padding: Padding = "valid",
    stride: int | tuple[int, ...] = 1,
    dilation: int | tuple[int, ...] = 1,
    groups: int = 1,
    border: Border = "zeros",
    channels: Literal["first", "last"] | None = None,
) -> Tensor | NDArray[Any]:
    """Convolve a picture, a batch of pictures or a signal with a kernel.

    The kernel's shape says what is meant:

    * (w,): a signal (L,), or the rows of anything (..., L), each by itself.
    * (h, w): every channel of every picture by itself; as many maps come out as went in.
    * (C, h, w): one filter over the full depth of C channels; one map comes out.
    * (K, C / groups, h, w): K filters, K maps, as in `torch.nn.Conv2d`.

    Args:
        picture: shape (..., H, W), and (..., C, H, W) where channels count: array or tensor, on any device. A
            tensor that requires gradients gets them.
        kernel: the weights; their scale is that of the answers.
        mode: "convolution" turns the kernel first, "correlation" does not.
        padding: "valid" (none), "same" (ceil(N / stride) answers, the odd pixel of padding on the right and at
            the bottom, as in TensorFlow), "full" (wherever kernel and picture touch), pixels on all sides,
            (height, width), or (top, bottom, left, right); (before, after) with a kernel (w,).
        stride: pixels from one answer to the next, one number or (down, across).
        dilation: pixels from one weight to the next, likewise.
        groups: for a kernel of four axes: the channels are dealt out into so many groups, each with its own filters.
        border: what padding holds: "zeros", "reflect", "replicate" or "circular".
        channels: "last" for pictures (..., H, W, C), as photographs come, and with a kernel (w,) for signals
            (..., L, C); "first" or None otherwise.

    Returns:
        The answers, of the picture's kind and with its order of axes. Numbers with decimals keep their type; whole
        numbers of up to 16 bits become float32, longer ones float64.

    Raises:
        ImageError: the picture has too few axes, its channels do not fit the kernel, it is smaller than the kernel,
            or it looks like (H, W, C) while `channels` is None.
        OptionError: an option means nothing, or the kernel is empty, not finite or has more than four axes.
    """
    check_word(mode, get_args(Mode), "mode")
    if channels is not None:
        check_word(channels, ("first", "last"), "place of the channels")
    pixels, weights = _picture(picture), _weights(kernel)
    given = pixels.dtype
    # half precision is summed in single: a blur of 9 x 9 adds up 81 numbers
    exact = torch.promote_types(given, torch.float32)
    pixels, weights = pixels.to(exact), weights.to(exact).to(pixels.device)
    front = -2 if weights.ndim == 1 else -3  # where channels stand that come first
    last = channels == "last" and pixels.ndim >= -front
    if last:
        pixels = pixels.movedim(-1, front)
    elif channels is None:
        _refuse_doubt(pixels)
    answers = _laid(pixels, laid_as(weights, mode), padding, stride, dilation, groups, border)
    if last:
        answers = answers.movedim(front, -1)
    answers = answers.to(given)
    return answers if isinstance(picture, Tensor) else answers.detach().numpy()


def laid_as(weights: Tensor, mode: Mode) -> Tensor:
    """Turn a kernel as a mode asks: height and width for convolution, nothing for correlation; channels never."""
    return weights.flip(tuple(range(max(0, weights.ndim - 2), weights.ndim))) if mode == "convolution" else weights


def _laid(
    pixels: Tensor,
    weights: Tensor,
    padding: Padding,
    stride: int | tuple[int, ...],
    dilation: int | tuple[int, ...],
    groups: int,
    border: Border,
) -> Tensor:
    """Correlate; pixels (..., H, W) or (..., L), weights of one to four axes, both of one type."""
    axes = 1 if weights.ndim == 1 else 2
    deep = weights.ndim > 2
    if pixels.ndim < axes + deep:
        shape = "a picture (H, W)" if not deep else "channels (C, H, W)"
        raise ImageError(f"{_of_shape(weights, 'a kernel')} needs {shape}, got {_of_shape(pixels, 'an array')}.")
    if 0 in pixels.shape:
        raise ImageError(f"the picture is empty: {_of_shape(pixels, 'an array')}.")
    lain = windows(
        pixels.shape[-axes:],
        weights.shape[-axes:],
        padding=padding,
        stride=stride,
        dilation=dilation,
        border=border,
    )
    if deep:
        kept, bank = pixels.shape[:-3], weights[None] if weights.ndim == 3 else weights
        _check_channels(pixels, bank, groups)
        batch = pixels.reshape(-1, *pixels.shape[-3:])  # (N, C, H, W)
    else:
        if groups != 1:
            raise OptionError(f"groups are of a kernel (K, C, h, w), which this one of {weights.ndim} axes is not.")
        kept = pixels.shape[:-axes]
        batch = pixels.reshape(-1, 1, *((1,) if axes == 1 else ()), *pixels.shape[-axes:])  # each map by itself
        bank = weights.reshape(1, 1, *((1,) if axes == 1 else ()), *weights.shape)
    if axes == 1:  # a row is a picture of height 1
        lain = (Windows(1, 1), *lain)
    answers = torch.nn.functional.conv2d(
        _padded(batch, lain),
        bank,
        stride=[axis.stride for axis in lain],
        dilation=[axis.dilation for axis in lain],
        groups=groups,
    )
    if deep:
        return answers.reshape(*kept, *answers.shape[-3:])
    return answers.reshape(*kept, *answers.shape[-axes:])


def _padded(batch: Tensor, lain: tuple[Windows, ...]) -> Tensor:
    """Stand the pixels beside the picture that the border asks for."""
    if not any(axis.before or axis.after for axis in lain):
        return batch
    if lain[-1].border == "zeros":
        down, across = lain
        return torch.nn.functional.pad(batch, (across.before, across.after, down.before, down.after))
    for axis, place in zip(lain, (-2, -1), strict=True):
        if axis.before or axis.after:  # torch's own borders go no further than one picture's width
            batch = batch.index_select(place, torch.from_numpy(axis.padded()).to(batch.device))
    return batch


def _picture(picture: Tensor | ArrayLike) -> Tensor:
    """Read pixels as a tensor of numbers with decimals."""
    if not isinstance(picture, Tensor):
        array = np.asarray(picture)
        if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
            raise ImageError(f"a picture is made of numbers, got an array of {array.dtype}.")
        if array.dtype.kind != "f":
            array = array.astype(np.result_type(array.dtype, np.float32))
        # a copy where the memory is not in order (or may not be written to, of which torch would warn)
        return torch.from_numpy(np.require(array, dtype=array.dtype.newbyteorder("="), requirements=["C", "W"]))
    if picture.is_complex():
        raise ImageError("a picture is made of real numbers, got a complex tensor.")
    if picture.is_floating_point():
        return picture
    return picture.to(torch.float32 if picture.dtype.itemsize <= 2 else torch.float64)


def _weights(kernel: Tensor | ArrayLike | Kernel) -> Tensor:
    """Read a kernel, and refuse what is none."""
    if isinstance(kernel, Tensor):
        weights = kernel
    else:
        array = np.asarray(kernel)
        if array.dtype.kind not in "fiub":
            raise OptionError(f"a kernel is made of numbers, got an array of {array.dtype}.")
        weights = torch.from_numpy(np.array(array, dtype=np.float64))
    if not 1 <= weights.ndim <= 4 or weights.numel() == 0:
        raise OptionError(
            f"a kernel has the shape (w,), (h, w), (C, h, w) or (K, C, h, w), none of them zero, got "
            f"{tuple(weights.shape)}."
        )
    if not bool(torch.isfinite(weights).all()):
        raise OptionError("a kernel is made of finite numbers; this one holds not-a-number or infinity.")
    return weights


def _check_channels(pixels: Tensor, bank: Tensor, groups: int) -> None:
    found, filters, depth = pixels.shape[-3], bank.shape[0], bank.shape[1]
    if isinstance(groups, bool) or not isinstance(groups, int) or groups < 1 or filters % groups:
        raise OptionError(f"groups is a whole number of at least 1 that divides the {filters} filters, got {groups}.")
    if found != depth * groups:
        each = f" in each of {groups} groups" if groups > 1 else ""
        raise ImageError(
            f"the kernel is {depth} channels deep{each}, the picture has {found} ({_of_shape(pixels, 'shape')}). A "
            "filter spans the full depth; a kernel (h, w) goes over every channel by itself."
        )


def _refuse_doubt(pixels: Tensor) -> None:
    """Do not take the three colours of (H, W, 3) for columns, silently."""
    if pixels.ndim >= 3 and pixels.shape[-1] in (3, 4) and pixels.shape[-3] > 4 and pixels.shape[-2] > 4:
        raise ImageError(
            f"{_of_shape(pixels, 'an array')} may be a picture whose channels come last, or one that is "
            f"{pixels.shape[-1]} pixels wide: say channels='last' or channels='first'."
        )


def _of_shape(pixels: Tensor, what: str) -> str:
    return f"{what} of shape {tuple(pixels.shape)}" if what != "shape" else f"shape {tuple(pixels.shape)}"
