"""Convolution whose output is as large as its input divided by the stride, whatever the kernel (TensorFlow's SAME).

Source: TensorFlow, "tf.nn", section "Notes on padding": out = ceil(in / stride), and the zeros that this takes are
put half before and half after, the odd one after.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from striate.nets.layers._settings import Pair, count, pair
from striate.sizes import same_padding

__all__ = ["SameConv2d"]


class SameConv2d(nn.Conv2d):
    """A convolution with SAME padding for any stride, kernel (even ones too) and dilation.

    PyTorch's own ``padding="same"`` knows stride 1 only. The zeros depend on the size of the input; with an even
    kernel, or a stride, there may be one more after than before. State dicts are those of `nn.Conv2d`.

    Shape:
        input (N, C, H, W); output (N, O, ceil(H / S), ceil(W / S)).

    Args:
        in_channels: C.
        out_channels: O.
        kernel_size: of the window.
        stride: between windows.
        dilation: between taps.
        groups: as in `nn.Conv2d`.
        bias: a number for each output channel.

    Raises:
        OptionError: a setting is not a whole number of at least 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = 1,
        dilation: Pair = 1,
        groups: int = 1,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            count("in_channels", in_channels),
            count("out_channels", out_channels),
            pair("kernel_size", kernel_size),
            pair("stride", stride),
            0,
            pair("dilation", dilation),
            count("groups", groups),
            bias,
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return (N, O, ceil(H / S), ceil(W / S))."""
        (top, bottom), (left, right) = (
            same_padding(images.shape[2 + axis], self.kernel_size[axis], self.stride[axis], self.dilation[axis])
            for axis in (0, 1)
        )
        found: Tensor = self._conv_forward(F.pad(images, (left, right, top, bottom)), self.weight, self.bias)
        return found

    def extra_repr(self) -> str:
        """Say what it was made with."""
        return f"{super().extra_repr()}, padding=same"  # type: ignore[no-untyped-call]  # torch leaves it untyped
