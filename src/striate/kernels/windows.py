"""Where the windows of a convolution lie along one axis: padding, places, what each tap reads. Arithmetic only.

One description serves the convolution itself and its matrix, so that both mean the same by every word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from striate.errors import ImageError, OptionError
from striate.sizes import output_size, same_padding

__all__ = ["Border", "Mode", "Padding", "Windows", "check_word", "pair", "windows"]

Mode = Literal["convolution", "correlation"]
Border = Literal["zeros", "reflect", "replicate", "circular"]
Padding = Literal["valid", "same", "full"] | int | Sequence[int]

_NUMPY_NAMES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}
OUTSIDE = -1  # a tap that reads a zero beside the picture


@dataclass(frozen=True)
class Windows:
    """The windows of a kernel along one axis.

    Args:
        length: elements of the input.
        taps: weights of the kernel along this axis.
        stride: elements from one window to the next.
        dilation: elements from one tap to the next.
        before: elements of padding before the first one.
        after: elements of padding after the last one.
        border: what stands there.
    """

    length: int
    taps: int
    stride: int = 1
    dilation: int = 1
    before: int = 0
    after: int = 0
    border: Border = "zeros"

    @property
    def reach(self) -> int:
        """Elements from the first tap to the last, both counted."""
        return self.dilation * (self.taps - 1) + 1

    @property
    def count(self) -> int:
        """How many windows there are; 0 when the kernel is longer than the padded input."""
        return output_size(self.length + self.before + self.after, self.taps, self.stride, 0, self.dilation)

    def padded(self) -> NDArray[np.intp]:
        """Return which element stands at each place of the padded input, `OUTSIDE` for a zero."""
        places = np.arange(self.length, dtype=np.intp)
        sides = (self.before, self.after)
        if self.border == "zeros":
            return np.pad(places, sides, constant_values=OUTSIDE)
        return np.asarray(np.pad(places, sides, mode=_NUMPY_NAMES[self.border]))  # type: ignore[call-overload]

    def sources(self) -> NDArray[np.intp]:
        """Return which element each tap of each window reads, shape (count, taps), `OUTSIDE` for a zero."""
        first = np.arange(self.count) * self.stride
        return np.asarray(self.padded()[first[:, None] + np.arange(self.taps) * self.dilation])


def windows(
    size: Sequence[int],
    kernel: Sequence[int],
    *,
    padding: Padding = "valid",
    stride: int | Sequence[int] = 1,
    dilation: int | Sequence[int] = 1,
    border: Border = "zeros",
) -> tuple[Windows, ...]:
    """Lay a kernel over an input: one `Windows` for each axis.

    "same" gives ceil(N / S) windows and pads as evenly as it can, the odd one on the right and at the bottom
    (TensorFlow's rule, for kernels of any size and any stride). "full" takes every window that touches the input.

    Args:
        size: of the input, one or two lengths.
        kernel: of the kernel, as many lengths.
        padding: "valid" (none), "same", "full", one number for all sides, (height, width), or each side by
            itself: (top, bottom, left, right), along one axis (before, after).
        stride: elements from one window to the next, one number or one for each axis, at least 1.
        dilation: elements from one tap to the next, likewise.
        border: what the padding holds: "zeros"; "reflect" mirrors at the middle of the outermost pixel;
            "replicate" repeats it; "circular" goes on at the other side.

    Raises:
        OptionError: a word or number that means none of this.
        ImageError: the kernel is larger than the padded input.
    """
    check_word(border, get_args(Border), "border")
    axes = len(size)
    strides, dilations = pair(stride, axes, "stride"), pair(dilation, axes, "dilation")
    made = []
    sides = _sides(padding, axes)
    for index, (length, taps, step, spread) in enumerate(zip(size, kernel, strides, dilations, strict=True)):
        reach = spread * (taps - 1) + 1
        if padding == "same":
            before, after = same_padding(length, taps, step, spread)
        elif padding == "full":
            before = after = reach - 1
        else:
            before, after = sides[index]
        made.append(Windows(length, taps, step, spread, before, after, border))
    if any(axis.count == 0 for axis in made):
        raise ImageError(_does_not_fit(made))
    return tuple(made)


def pair(value: int | Sequence[int], axes: int, name: str) -> tuple[int, ...]:
    """Read one number, or one for each axis, each at least 1.

    Raises:
        OptionError: it is something else.
    """
    values: tuple[Any, ...] = tuple(value) if isinstance(value, (tuple, list)) else (value,) * axes
    if len(values) != axes or not all(_whole(one) and one >= 1 for one in values):
        several = ", or one for the height and one for the width" if axes == 2 else ""
        raise OptionError(f"the {name} is a whole number of at least 1{several}, got {value}.")
    return tuple(int(one) for one in values)


def check_word(word: object, allowed: Sequence[str], name: str) -> None:
    """Refuse a word that is none of those allowed.

    Raises:
        OptionError: with the words that are.
    """
    if word not in allowed:
        raise OptionError(f"the {name} is one of {', '.join(allowed)}, got {word!r}.")


def _sides(padding: Padding, axes: int) -> tuple[tuple[int, int], ...]:
    """Read padding in numbers as (before, after) for each axis; nothing is added for a word."""
    if isinstance(padding, str):
        check_word(padding, ("valid", "same", "full"), "padding")
        return ((0, 0),) * axes
    values: list[Any] = list(padding) if isinstance(padding, (tuple, list)) else [padding]
    if values and all(isinstance(one, (tuple, list)) for one in values):
        values = [number for one in values for number in one]  # ((top, bottom), (left, right))
        values = values if len(values) == 2 * axes else []
    if len(values) not in (1, axes, 2 * axes) or not all(_whole(one) and one >= 0 for one in values):
        sides = "(top, bottom, left, right)" if axes == 2 else "(before, after)"
        both = "(height, width), " if axes == 2 else ""
        raise OptionError(
            f"padding is valid, same, full, a whole number of pixels from 0, {both}or {sides}, got {padding}."
        )
    if len(values) == 2 * axes:
        return tuple((values[2 * axis], values[2 * axis + 1]) for axis in range(axes))
    each = values * axes if len(values) == 1 else values
    return tuple((one, one) for one in each)


def _whole(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _does_not_fit(axes: Sequence[Windows]) -> str:
    def written(lengths: Sequence[int]) -> str:
        return " x ".join(map(str, lengths))

    kernel = written([axis.taps for axis in axes])
    reach = [axis.reach for axis in axes]
    spread = f" (which reaches over {written(reach)} when dilated)" if any(axis.dilation > 1 for axis in axes) else ""
    size = written([axis.length for axis in axes])
    padded = written([axis.length + axis.before + axis.after for axis in axes])
    with_padding = f" ({padded} with its padding)" if padded != size else ""
    return (
        f"a kernel of {kernel}{spread} does not fit into a picture of {size}{with_padding}: there is no place for a "
        "single window. Take a smaller kernel, a larger picture, or padding='same'."
    )
