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
        images: (N, H, W, C), padded, in any order of memory.
        weight: (H', W', O, KH, KW, C).
        stride: between windows.

    Returns:
        (N, H', W', O).
    """
    if not _by_rows(images, weight):
        return _at_once(images, weight, stride)
    if not torch.is_grad_enabled():
        return _ByRows.forward(images, weight, stride)
    found: Tensor = _ByRows.apply(images.contiguous(), weight, stride)
    return found


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
    rows, columns, outputs, height, width, channels = weight.shape
    taps = height * width * channels  # written out: it cannot be guessed where there is no picture
    taken = images.unfold(1, height, stride[0]).unfold(2, width, stride[1])  # (N, H', W', C, KH, KW)
    windows = taken.permute(1, 2, 0, 4, 5, 3).reshape(rows * columns, images.shape[0], taps)  # (H' W', N, K)
    kernels = weight.reshape(rows * columns, outputs, taps).transpose(1, 2)  # (H' W', K, O)
    found = torch.bmm(windows, kernels)  # (H' W', N, O)
    return found.permute(1, 0, 2).contiguous().view(images.shape[0], rows, columns, outputs)


class _ByRows(torch.autograd.Function):
    """The same, one row of places at a time, without gathering any windows.

    With the channels last a line of a window lies in one piece in memory, and windows may overlap where they are only
    read: so a matrix product reads them where they are, and a row of places is the sum of KH products, one for each
    line of the windows (`_line_by_line`). Small products are slow: then, and for the slope of the weights, the lines
    of the pictures are first laid out so that the whole window lies in one piece (`_lines`), which takes KW * W' / W
    times the memory of the pictures; all windows would take KH times as much again. A row makes a product that stays
    in the cache and is large enough to be shared by a few threads; calls around it are few, since threads wait for
    one another at the end of each (so other work on the same processors slows this more than one large product).
    """

    @staticmethod
    def forward(images: Tensor, weight: Tensor, stride: tuple[int, int]) -> Tensor:
        rows, columns, outputs = weight.shape[:3]
        answers = images.new_empty(rows, columns, len(images), outputs)
        if _by_line(images, weight):
            _line_by_line(images, weight, stride, answers)
        else:
            kernels = weight.flatten(3).transpose(2, 3)  # (H', W', K, O)
            for windows, kernel, answer in zip(
                _lines(images, weight, stride), kernels.unbind(), answers.unbind(), strict=True
            ):
                torch.bmm(windows, kernel, out=answer)
        return answers.permute(2, 0, 1, 3).contiguous()  # once for all rows: threads wait for each call

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
        arriving = _by_places(slopes[0])
        of_images = _slope_of_images(images, weight, ctx.stride, arriving) if wanted[0] else None
        of_weight = _slope_of_weight(images, weight, ctx.stride, arriving) if wanted[1] else None
        return of_images, of_weight, None


def _by_line(images: Tensor, weight: Tensor) -> bool:
    """Tell whether products of single lines of the windows are large enough to be as fast as those of whole ones."""
    # where it was measured to pay; half floats are left whole, since each sum of two products would be rounded
    enough = math.prod(weight.shape[4:]) >= 48 and len(images) >= 32
    return enough and images.dtype in (torch.float32, torch.float64)


def _line_by_line(images: Tensor, weight: Tensor, stride: tuple[int, int], answers: Tensor) -> None:
    """Write the answers (H', W', N, O): the sum of the products of each line of the windows."""
    columns, (height, width, channels) = weight.shape[1], weight.shape[3:]
    count, high, wide, _ = images.shape
    down, across = stride
    size, strides = (columns, count, width * channels), (across * channels, high * wide * channels, 1)
    images = images.contiguous()
    lines = [line.as_strided(size, strides, line.storage_offset()) for line in images.unbind(1)]  # H of (W', N, KW C)
    kernels = weight.flatten(4).permute(0, 3, 1, 4, 2)  # (H', KH, W', KW C, O)
    for row, (kernel, answer) in enumerate(zip(kernels.unbind(), answers.unbind(), strict=True)):
        parts = zip(lines[row * down : row * down + height], kernel.unbind(), strict=True)
        torch.bmm(*next(parts), out=answer)
        for part in parts:
            answer.baddbmm_(*part)


def _slope_of_weight(images: Tensor, weight: Tensor, stride: tuple[int, int], arriving: Tensor) -> Tensor:
    found = weight.new_empty(*weight.shape[:3], math.prod(weight.shape[3:]))  # (H', W', O, K)
    slopes = arriving.transpose(2, 3)  # (H', W', O, N)
    for windows, slope, place in zip(_lines(images, weight, stride), slopes.unbind(), found.unbind(), strict=True):
        torch.bmm(slope, windows, out=place)
    return found.view(weight.shape)


def _slope_of_images(images: Tensor, weight: Tensor, stride: tuple[int, int], arriving: Tensor) -> Tensor:
    columns, (height, width, channels) = weight.shape[1], weight.shape[3:]
    count, high, wide, _ = images.shape
    down, across = stride
    found = images.new_zeros(high, wide, count, channels)
    row = images.new_empty(columns, count, height, width, channels)
    flat, taps = row.flatten(2), row.permute(3, 2, 0, 1, 4).unbind()  # taps: KW of (KH, W', N, C)
    last = across * (columns - 1) + 1
    # where the taps belong, KW of (KH, W', N, C) for each row of places: views that are made before threads wait
    parts = zip(
        *(found[:, tap : tap + last : across].unfold(0, height, down).movedim(4, 1).unbind() for tap in range(width)),
        strict=True,
    )
    for slope, kernel, part in zip(arriving.unbind(), weight.flatten(3).unbind(), parts, strict=True):
        torch.bmm(slope, kernel, out=flat)
        for place, tap in zip(part, taps, strict=True):
            place.add_(tap)
    return found.permute(2, 0, 1, 3).contiguous()


def _by_places(slopes: Tensor) -> Tensor:
    """Lay out slopes (N, H', W', O) as (H', W', N, O)."""
    count, rows, columns, outputs = slopes.shape
    if slopes.stride(3) == 1:  # whole runs of O are moved
        return slopes.permute(1, 2, 0, 3).contiguous()
    # each number comes from another line of the cache: so few pictures at once that the lines stay for the next place
    few = max(1, 512 // outputs)
    found = slopes.new_empty(rows, columns, count, outputs)
    for first in range(0, count, few):
        found[:, :, first : first + few] = slopes[first : first + few].permute(1, 2, 0, 3)
    return found


def _lines(images: Tensor, weight: Tensor, stride: tuple[int, int]) -> list[Tensor]:
    """Lay out pictures (N, H, W, C) so that windows lie in one piece, and view those of each row: (W', N, K)."""
    rows, columns, _, height, width, channels = weight.shape
    count, high, wide, _ = images.shape
    down, across = stride
    lines = images.new_empty(columns, count, high, width, channels)  # a line of a window follows the line above it
    line, picture = wide * channels, high * wide * channels
    # in another order: so few at once that they stay in the cache while they are turned
    few = count if images.is_contiguous() else max(1, 2**17 // picture)
    for first in range(0, count, few or 1):
        some = images[first : first + few].contiguous()
        # strides worked out, since the one that PyTorch tells of a dimension of one is any number
        lines[:, first : first + few] = some.as_strided(
            (columns, len(some), high, width, channels), (across * channels, picture, line, channels, 1)
        )
    step = width * channels
    size, strides = (columns, count, height * step), (count * high * step, high * step, 1)
    return [lines.as_strided(size, strides, place * down * step) for place in range(rows)]
