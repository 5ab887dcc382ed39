"""How often a window fits along an axis, and what padding and rounding do to that. Needs no torch and no model.

Four rules are in use. Without padding what does not fit at the end is dropped (TensorFlow's VALID). With stated
padding it is dropped too (PyTorch), or, with ceil, a last window may hang over the end. SAME pads as much as makes
the output ceil(N / S) long, and puts the odd element at the end.

Source: Dumoulin and Visin 2016, arXiv:1603.07285, relations 6 and 14; PyTorch's documentation of MaxPool2d (ceil);
TensorFlow's of tf.nn (VALID and SAME).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from operator import index
from typing import Literal

from striate.errors import OptionError

__all__ = ["Fit", "Padding", "fit", "fits", "output_size", "pair", "same_padding"]

Padding = int | tuple[int, int] | Literal["valid", "same"]


def pair(value: int | Sequence[int]) -> tuple[int, int]:
    """Read a setting for rows and columns that may be given once for both.

    Raises:
        OptionError: it is neither one number nor two.
    """
    values = tuple(value) if isinstance(value, Sequence) else (value,)
    if len(values) not in (1, 2):
        raise OptionError(f"{value} is neither one number nor two, for height and width.")
    return values[0], values[-1]


@dataclass(frozen=True)
class Fit:
    """How a window fits along one axis.

    Attributes:
        length: elements of the input.
        kernel: taps of the window.
        stride: elements from one window to the next.
        dilation: elements from one tap to the next.
        before: elements of padding before the first.
        after: elements of padding after the last.
        outputs: windows that are taken.
        positions: windows that would fit, as the formula (N - F + 2P) / S + 1 has it; no whole number where
            they do not fit.
    """

    length: int
    kernel: int
    stride: int
    dilation: int
    before: int
    after: int
    outputs: int
    positions: Fraction

    @property
    def extent(self) -> int:
        """Elements from the first to the last tap of a window."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def padded(self) -> int:
        """Elements with their padding."""
        return self.before + self.length + self.after

    @property
    def used(self) -> int:
        """Elements from the start of the padded input to the end of the last window."""
        return (self.outputs - 1) * self.stride + self.extent

    @property
    def dropped(self) -> int:
        """Elements at the end of the padded input that no window reaches."""
        return max(0, self.padded - self.used)

    @property
    def overhang(self) -> int:
        """Elements by which the last window hangs over the end of the padded input (ceil)."""
        return max(0, self.used - self.padded)

    @property
    def exact(self) -> bool:
        """Whether the windows fit: nothing is dropped, nothing hangs over."""
        return self.used == self.padded

    def sentence(self, side: str = "wide") -> str:
        """Say in words whether the windows fit, and what would make them fit.

        Args:
            side: what the axis measures: "wide", "high" or "long".
        """
        window = f"{_article(self.kernel)} {self.kernel}-{side} kernel"
        window += f" with dilation {self.dilation}" if self.dilation > 1 and self.kernel > 1 else ""
        window += f" at stride {self.stride}"
        over = _input(self.length, self.before, self.after, side)
        times = f"{self.outputs} position{'' if self.outputs == 1 else 's'}"
        if self.exact:
            return f"{window} fits {over}: {times}"
        text = f"{window} does not fit {over}: {_decimal(self.positions)} positions"
        rest = (self.padded - self.extent) % self.stride
        if self.padded < self.extent:
            rest = 0
            advice = f"pad {self.extent - self.padded} more on the {_END[side]}"
        else:
            advice = f"pad {self.stride - rest} more on the {_END[side]} or crop {rest}"
        done = (
            f"{times}, the last hangs over by {self.overhang}" if self.overhang else f"{times}, {self.dropped} dropped"
        )
        return f"{text}; {advice} (as it is: {done})"


_END = {"wide": "right", "high": "bottom", "long": "end"}


def output_size(length: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """Count the places where a kernel fits: floor((N + 2P - D(K - 1) - 1) / S) + 1; 0 when it fits nowhere."""
    return max(0, (length + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1)


def same_padding(length: int, kernel: int, stride: int = 1, dilation: int = 1) -> tuple[int, int]:
    """Return how many zeros stand before and after an axis, so that the output has ceil(length / stride) places.

    An axis of 13 with a kernel of 6 at stride 5 gets 1 before and 2 after, for 3 places.

    Args:
        length: elements of the axis.
        kernel: taps.
        stride: between windows.
        dilation: between taps.
    """
    places = (length + stride - 1) // stride
    missing = (places - 1) * stride + dilation * (kernel - 1) + 1 - length
    total = (missing + abs(missing)) // 2  # max(missing, 0), without a comparison that a trace would settle for good
    return total // 2, total - total // 2


def fit(
    length: int,
    kernel: int,
    stride: int = 1,
    *,
    padding: Padding = 0,
    dilation: int = 1,
    ceil: bool = False,
    side: str = "wide",
) -> Fit:
    """Count the windows along one axis.

    Args:
        length: elements of the input, at least 1.
        kernel: taps of the window, at least 1.
        stride: elements from one window to the next, at least 1.
        padding: elements on both sides, or (before, after), 0 or more; "valid" for none; "same" for an output of
            ceil(length / stride), the odd element after.
        dilation: elements from one tap to the next, at least 1.
        ceil: let a last window hang over the end, as long as it starts before the padding there.
        side: what the axis measures, for the text of an error: "wide", "high" or "long".

    Returns:
        How they fit. That they do not fit exactly is no error here: see `fits`.

    Raises:
        OptionError: a number that makes no sense, or an input that is smaller than one window.
    """
    given = {"length": length, "kernel": kernel, "stride": stride, "dilation": dilation}
    length, kernel, stride, dilation = (_whole(name, value, least=1) for name, value in given.items())
    if padding == "same":
        before, after = same_padding(length, kernel, stride, dilation)
    else:
        before, after = _pads(padding)
    extent = dilation * (kernel - 1) + 1
    space = length + before + after - extent
    if ceil:
        outputs = -(-space // stride) + 1
        if (outputs - 1) * stride >= length + before:  # a window of nothing but padding
            outputs -= 1
    else:
        outputs = output_size(length + before + after, kernel, stride, 0, dilation)
    if outputs < 1:
        reach = "" if extent == kernel else f", which spans {extent} with dilation {dilation},"
        raise OptionError(
            f"{_article(kernel)} {kernel}-{side} kernel{reach} does not fit {_input(length, before, after, side)}, "
            f"not even once. Pad {-space} more, or take a smaller kernel."
        )
    return Fit(length, kernel, stride, dilation, before, after, outputs, Fraction(space, stride) + 1)


def fits(
    length: int, kernel: int, stride: int = 1, *, padding: Padding = 0, dilation: int = 1, side: str = "wide"
) -> Fit:
    """Count the windows along one axis, and refuse what does not fit exactly; as `fit` otherwise.

    Raises:
        OptionError: something would be dropped; the text says how much to pad or to crop.
    """
    found = fit(length, kernel, stride, padding=padding, dilation=dilation, side=side)
    if not found.exact:
        raise OptionError(f"{found.sentence(side)}.")
    return found


def _pads(padding: Padding) -> tuple[int, int]:
    """Return the padding before and after, where it does not depend on the input."""
    if padding == "valid":
        return 0, 0
    sides = tuple(padding) if isinstance(padding, tuple | list) else (padding, padding)
    if isinstance(padding, str) or len(sides) != 2:
        raise OptionError(f"no padding {padding!r}; there are valid, same, a number, or two (before, after).")
    before, after = (_whole("padding", one) for one in sides)
    if before < 0 or after < 0:
        raise OptionError(f"padding must be 0 or more, got {min(before, after)}. To crop, take a smaller input.")
    return before, after


def _whole(name: str, value: object, *, least: int | None = None) -> int:
    """Read a whole number, NumPy's too."""
    try:
        number = index(value)  # type: ignore[arg-type]  # what has no index is what is caught
    except TypeError:
        raise OptionError(f"{name} must be a whole number, got {value!r}.") from None
    if least is not None and number < least:
        raise OptionError(f"{name} must be at least {least}, got {number}.")
    return number


def _decimal(number: Fraction) -> str:
    """Write a number with two decimals at most, and never as a whole number when it is none."""
    text = f"{float(number):.2f}".rstrip("0").rstrip(".")
    return text if "." in text or number.denominator == 1 else f"about {text}"


def _input(length: int, before: int, after: int, side: str) -> str:
    text = f"{_article(length)} {length}-{side} input"
    return text if not before + after else f"{text} padded to {before + length + after}"


def _article(number: int) -> str:
    return "an" if str(number).startswith("8") or number in (11, 18) else "a"
