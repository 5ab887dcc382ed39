"""Locally connected layers: windows as in a convolution, but every place has a kernel of its own.

A batched matrix product goes over all places: at place l the windows of all pictures (N, K) meet the kernels of that
place (K, O), with K = C * kernel height * kernel width.

Source: LeCun 1989, "Generalization and network design strategies"; Goodfellow, Bengio and Courville 2016,
"Deep Learning", section 9.5 ("unshared convolution"): Z[i,j,k] = sum V[l, j+m-1, k+n-1] w[i,j,k,l,m,n].
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from striate.errors import NetworkError
from striate.nets.layers._settings import Pair, count, pair
from striate.sizes import output_size

__all__ = ["LocallyConnected1d", "LocallyConnected2d"]


class LocallyConnected2d(nn.Module):
    """A convolution whose weights are not shared: each place of the output has its own kernels.

    Use it where the same pattern means something else elsewhere (faces that stand always alike). It costs as many
    multiply-adds as a convolution, and as many times its weights as there are places. `weight[j, k]` is the weight
    of the ordinary convolution at place (j, k).

    Shape:
        input (N, C, H, W) with H x W as given; output (N, O, H', W') with H' = (H + 2P - K) // S + 1.
        weight (H', W', O, C, KH, KW), bias (H', W', O).

    Args:
        in_channels: C.
        out_channels: O.
        input_size: H and W of the maps that it will be given: the weights depend on them.
        kernel_size: of the window.
        stride: between windows.
        padding: zeros on each side.
        bias: a number for each output channel at each place.
        generator: draws the weights; PyTorch's own unless given.

    Raises:
        OptionError: a setting is not a whole number, or too small.
        NetworkError: the window does not fit the map.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        input_size: Pair,
        kernel_size: Pair,
        stride: Pair = 1,
        padding: Pair = 0,
        *,
        bias: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.in_channels = count("in_channels", in_channels)
        self.out_channels = count("out_channels", out_channels)
        self.input_size = pair("input_size", input_size)
        self.kernel_size = pair("kernel_size", kernel_size)
        self.stride = pair("stride", stride)
        self.padding = pair("padding", padding, least=0)
        windows = zip(self.input_size, self.kernel_size, self.stride, self.padding, strict=True)
        rows, columns = (output_size(*window) for window in windows)
        if not rows or not columns:
            raise NetworkError(
                f"a {_times(self.kernel_size)} window does not fit a map of {_times(self.input_size)} "
                f"with padding {_times(self.padding)}. Take a smaller window or pad more."
            )
        self.output_size = (rows, columns)
        # in memory the channels come last, as the windows are gathered
        held = torch.empty(rows, columns, out_channels, *self.kernel_size, in_channels)
        self.weight = nn.Parameter(held.permute(0, 1, 2, 5, 3, 4))
        self.bias = nn.Parameter(torch.empty(rows, columns, out_channels)) if bias else None
        self.reset_parameters(generator)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw weights and bias uniformly within 1/sqrt(K), as PyTorch does for a convolution of this window."""
        _draw(self.weight, self.bias, self.weight[0, 0, 0].numel(), generator)

    def forward(self, images: Tensor) -> Tensor:
        """Return (N, O, H', W'), channels last in memory, as convolutions do whose weights are so."""
        if not _traced() and (images.dim() != 4 or images.shape[1:] != (self.in_channels, *self.input_size)):
            wanted = " x ".join(map(str, (self.in_channels, *self.input_size)))
            raise NetworkError(
                f"a locally connected layer for {wanted} was given {' x '.join(map(str, images.shape[1:]))}: "
                "its weights belong to places, so the size of its maps cannot change."
            )
        rows, columns = self.padding
        if rows or columns:
            images = F.pad(images, (columns, columns, rows, rows))
        weight = self.weight.permute(0, 1, 2, 4, 5, 3)  # (H', W', O, KH, KW, C)
        found = _connected(images.permute(0, 2, 3, 1), weight, self.stride)  # (N, H', W', O)
        if self.bias is not None:
            found = found + self.bias
        return found.permute(0, 3, 1, 2)

    def extra_repr(self) -> str:
        """Say what it was made with."""
        text = f"{self.in_channels}, {self.out_channels}, input_size={self.input_size}, kernel_size={self.kernel_size}"
        return text + f", stride={self.stride}, padding={self.padding}, bias={self.bias is not None}"


class LocallyConnected1d(nn.Module):
    """The same along one axis: `LocallyConnected2d` on maps of one row.

    Shape:
        input (N, C, L); output (N, O, L') with L' = (L + 2P - K) // S + 1. weight (L', O, C, K), bias (L', O).

    Args:
        in_channels: C.
        out_channels: O.
        input_size: L.
        kernel_size: of the window.
        stride: between windows.
        padding: zeros on each side.
        bias: a number for each output channel at each place.
        generator: draws the weights; PyTorch's own unless given.

    Raises:
        OptionError: a setting is not a whole number, or too small.
        NetworkError: the window does not fit.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        input_size: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        *,
        bias: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.in_channels = count("in_channels", in_channels)
        self.out_channels = count("out_channels", out_channels)
        self.input_size = count("input_size", input_size)
        self.kernel_size = count("kernel_size", kernel_size)
        self.stride = count("stride", stride)
        self.padding = count("padding", padding, least=0)
        self.output_size = output_size(input_size, kernel_size, stride, padding)
        if not self.output_size:
            raise NetworkError(
                f"a window of {kernel_size} does not fit a length of {input_size} with padding {padding}. "
                "Take a smaller window or pad more."
            )
        held = torch.empty(self.output_size, out_channels, kernel_size, in_channels)
        self.weight = nn.Parameter(held.permute(0, 1, 3, 2))
        self.bias = nn.Parameter(torch.empty(self.output_size, out_channels)) if bias else None
        self.reset_parameters(generator)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw weights and bias uniformly within 1/sqrt(K), as PyTorch does for a convolution of this window."""
        _draw(self.weight, self.bias, self.weight[0, 0].numel(), generator)

    def forward(self, signals: Tensor) -> Tensor:
        """Return (N, O, L')."""
        if not _traced() and (signals.dim() != 3 or signals.shape[1:] != (self.in_channels, self.input_size)):
            raise NetworkError(
                f"a locally connected layer for {self.in_channels} x {self.input_size} was given "
                f"{' x '.join(map(str, signals.shape[1:]))}: its weights belong to places."
            )
        if self.padding:
            signals = F.pad(signals, (self.padding, self.padding))
        weight = self.weight.permute(0, 1, 3, 2)[None, :, :, None]  # (1, L', O, 1, K, C)
        found = _connected(signals.permute(0, 2, 1)[:, None], weight, (1, self.stride))[:, 0]  # (N, L', O)
        if self.bias is not None:
            found = found + self.bias
        return found.permute(0, 2, 1).contiguous()

    def extra_repr(self) -> str:
        """Say what it was made with."""
        text = f"{self.in_channels}, {self.out_channels}, input_size={self.input_size}, kernel_size={self.kernel_size}"
        return text + f", stride={self.stride}, padding={self.padding}, bias={self.bias is not None}"


def _draw(weight: Tensor, bias: Tensor | None, taps: int, generator: torch.Generator | None) -> None:
    bound = 1 / math.sqrt(taps)
    with torch.no_grad():
        weight.uniform_(-bound, bound, generator=generator)
        if bias is not None:
            bias.uniform_(-bound, bound, generator=generator)


def _times(sizes: tuple[int, int]) -> str:
    return f"{sizes[0]} x {sizes[1]}"


def _connected(images: Tensor, weight: Tensor, stride: tuple[int, int]) -> Tensor:
    """Multiply every window with the kernels of its place.

    Args:
        images: (N, H, W, C), padded.
        weight: (H', W', O, KH, KW, C).
        stride: between windows.

    Returns:
        (N, H', W', O).
    """
    images = images.contiguous()  # a window's rows are in one piece then
    if _by_rows(images, weight):
        found: Tensor = _ByRows.apply(images, weight, stride)
        return found
    return _at_once(images, weight, stride)


def _traced() -> bool:
    """Tell whether `torch.jit.trace` watches, to which sizes are not numbers."""
    return bool(torch.jit.is_tracing())  # type: ignore[attr-defined,no-untyped-call]  # torch leaves it untyped


def _by_rows(images: Tensor, weight: Tensor) -> bool:
    """Tell whether to go row by row: on a processor, for several pictures or where slopes will be asked for."""
    # what follows operations (with one picture) wants to see PyTorch's own, and a GPU wants few large ones
    followed = _traced() or torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu")
    if followed or images.device.type != "cpu" or images.dtype != weight.dtype:
        return False
    learning = torch.is_grad_enabled() and (images.requires_grad or weight.requires_grad)
    return learning or len(images) > 1


def _at_once(images: Tensor, weight: Tensor, stride: tuple[int, int]) -> Tensor:
    """Gather all windows, then multiply them all, by operations that can be traced and differentiated."""
    rows, columns, outputs, height, width, _ = weight.shape
    taken = images.unfold(1, height, stride[0]).unfold(2, width, stride[1])  # (N, H', W', C, KH, KW)
    windows = taken.permute(1, 2, 0, 4, 5, 3).reshape(rows * columns, images.shape[0], -1)  # (H' W', N, K)
    kernels = weight.reshape(rows * columns, outputs, -1).transpose(1, 2)  # (H' W', K, O)
    found = torch.bmm(windows, kernels)  # (H' W', N, O)
    return found.permute(1, 0, 2).contiguous().view(images.shape[0], rows, columns, outputs)


class _ByRows(torch.autograd.Function):
    """The same, one row of places and one row of the kernel at a time, without gathering any windows.

    One row of a window lies in one piece in memory, and windows may overlap where they are only read: so a matrix
    product can read them where they are. Keeping all windows would take KH * KW times the memory of the input.
    """

    @staticmethod
    def forward(images: Tensor, weight: Tensor, stride: tuple[int, int]) -> Tensor:
        rows, columns, outputs, height, _, _ = weight.shape
        kernels = weight.flatten(4)  # (H', W', O, KH, KW * C)
        found = images.new_empty(len(images), rows, columns, outputs)
        answer = images.new_empty(columns, len(images), outputs)
        for place in range(rows):
            for line in range(height):
                windows = _row_windows(images, weight, stride, place, line)
                kernel = kernels[place, :, :, line].transpose(1, 2)  # (W', KW * C, O)
                if line == 0:
                    torch.bmm(windows, kernel, out=answer)
                else:
                    torch.baddbmm(answer, windows, kernel, out=answer)
            found[:, place] = answer.transpose(0, 1)
        return found

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        images, weight, ctx.stride = inputs
        ctx.save_for_backward(images, weight)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        images, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad[:2]
        if torch.is_grad_enabled():  # a second derivative is asked for
            asked = [tensor for tensor, needed in zip((images, weight), wanted, strict=True) if needed]
            found = iter(torch.autograd.grad(_at_once(images, weight, ctx.stride), asked, slopes, create_graph=True))
            return next(found) if wanted[0] else None, next(found) if wanted[1] else None, None
        rows, columns, _, height, width, channels = weight.shape
        kernels = weight.flatten(3)  # (H', W', O, K)
        of_images = torch.zeros_like(images)
        of_kernels = torch.empty_like(weight.flatten(4), memory_format=torch.contiguous_format)
        row = images.new_empty(columns, len(images), height, width, channels)
        down, across = ctx.stride
        arriving = slopes[0].contiguous()
        for place in range(rows):
            slope = arriving[:, place].transpose(0, 1).contiguous()  # (W', N, O)
            if wanted[1]:
                for line in range(height):
                    windows = _row_windows(images, weight, ctx.stride, place, line)
                    of_kernels[place, :, :, line] = torch.bmm(slope.transpose(1, 2), windows)
            if wanted[0]:
                torch.bmm(slope, kernels[place], out=row.flatten(2))
                part = of_images[:, place * down : place * down + height]  # (N, KH, W, C)
                for tap in range(width):
                    part[:, :, tap : tap + across * (columns - 1) + 1 : across] += row[:, :, :, tap].permute(1, 2, 0, 3)
        return of_images if wanted[0] else None, of_kernels.view(weight.shape) if wanted[1] else None, None


def _row_windows(images: Tensor, weight: Tensor, stride: tuple[int, int], place: int, line: int) -> Tensor:
    """View one line of the windows of one row of places, (W', N, KW * C), in contiguous images (N, H, W, C)."""
    columns, width = weight.shape[1], weight.shape[4]
    # worked out, since the stride that PyTorch tells of a dimension of one is any number
    _, high, wide, channels = images.shape
    return images.as_strided(
        (columns, len(images), width * channels),
        (channels * stride[1], high * wide * channels, 1),
        images.storage_offset() + (place * stride[0] + line) * wide * channels,
    )
