"""As many kernels by hand as a layer has filters, of its size and for its channels. Numbers only: reads no picture.

A bank begins with what matters most and goes on to finer distinctions: edges of light, blurs of light and colour, the
other edges, spots, lines, edges of colour, sharpening; then all of that in a smaller window in the middle, where the
layer's window is large; then directions between those that there are, for as long as filters are wanted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from striate.errors import OptionError
from striate.kernels.by_hand import DIRECTIONS, Kernel, laplacian, rotated, sharpen, sobel

__all__ = ["Bank", "bank", "fitted"]

Numbers = NDArray[np.float64]

_LINE: Final = np.array([[-1.0, -1.0, -1.0], [2.0, 2.0, 2.0], [-1.0, -1.0, -1.0]])  # lies across; Gonzalez and Woods
_LINES: Final = ("across", "falling", "upright", "rising")  # each an eighth of a turn with the clock from the last
_OPPOSED: Final = (("red against green", (1.0, -1.0, 0.0)), ("blue against yellow", (-0.5, -0.5, 1.0)))
_FINE: Final = 3  # the smallest window that patterns are fitted to inside a larger one
_FAINT: Final = 1e-9  # norm below which a pattern has vanished in a window that is too small for it
_ALIKE: Final = 9  # digits after which two kernels of norm 1 are the same


@dataclass(frozen=True, eq=False)
class Bank:
    """Kernels by hand, as the weights of a layer.

    Args:
        weights: shape (F, C, h, w), float64, each of Euclidean norm 1.
        titles: what each is, F strings: "edge up-left", "spot, red against green, turned over".
    """

    weights: Numbers
    titles: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.titles)


def bank(count: int, size: int | tuple[int, int], channels: int = 1) -> Bank:
    """Make a bank of kernels by hand.

    Where a rectifier follows, what falls below zero is lost; so each pattern that has a sign is there with both.

    Patterns are the 3 x 3 kernels of the literature, fitted to the window (see `fitted`). Over three channels, which
    are taken for red, green and blue, they are laid on light (all three alike), on red against green and on blue
    against yellow, as the eye does; over another number, on all channels alike and on the waves of a cosine transform
    across them.

    Args:
        count: filters, at least 1.
        size: pixels along each side of the window, or (height, width).
        channels: of the pictures, at least 1.

    Raises:
        OptionError: numbers below 1, or a window without room for so many: in a single pixel there is no pattern.

    Source: Gonzalez and Woods, "Digital image processing", chapter 10 (edges, lines, the Laplacian).
    """
    height, width = (size, size) if isinstance(size, int) else size
    if min(count, height, width, channels) < 1:
        raise OptionError(
            f"a bank has at least one filter of one pixel and one channel, got {count} of {height} x {width} over "
            f"{channels}."
        )
    if height == width == 1:
        raise OptionError("in a window of 1 x 1 pixel there is no edge and no line to see: kernels by hand need 2 x 2.")
    found: dict[bytes, tuple[str, Numbers]] = {}
    rounds = 0
    while len(found) < count:
        before = len(found)
        for title, pattern, colour in _patterns((height, width), channels, rounds):
            whole = colour[:, None, None] * pattern  # (C, h, w)
            norm = float(np.linalg.norm(whole))
            if norm > _FAINT and len(found) < count:
                whole /= norm
                # in a narrow window patterns may vanish, or become the same
                found.setdefault(np.round(whole + 0.0, _ALIKE).tobytes(), (title, whole))
        rounds += 1
        if len(found) == before:
            raise OptionError(
                f"{count} kernels by hand are wanted, and {before} different ones are all that there is room for in a "
                f"window of {height} x {width} over {channels}. Give a larger window."
            )
    return Bank(np.stack([whole for _, whole in found.values()]), tuple(title for title, _ in found.values()))


def fitted(kernel: Kernel | Numbers, size: int | tuple[int, int]) -> Numbers:
    """Bring a kernel to another size: enlarged by straight lines between its weights, made smaller by averaging.

    What summed to zero does so afterwards. A kernel of the right size stays as it is.

    Args:
        kernel: shape (h, w).
        size: pixels along each side, or (height, width), at least 1.

    Returns:
        Shape (height, width), float64.
    """
    values = np.asarray(kernel, dtype=np.float64)
    height, width = (size, size) if isinstance(size, int) else size
    found: Numbers = _brought(values.shape[0], height) @ values @ _brought(values.shape[1], width).T
    if abs(values.sum()) < 1e-9 * np.abs(values).sum():
        found -= found.mean()
    return found


def _brought(old: int, new: int) -> Numbers:
    """Return the matrix (new, old) that brings a row of `old` numbers to `new`."""
    if new < old:  # each new place averages the old ones that it covers
        edges = np.arange(new + 1) * old / new
        covered = np.minimum(edges[1:, None], np.arange(old) + 1) - np.maximum(edges[:-1, None], np.arange(old))
        return np.asarray(np.clip(covered, 0, None) * new / old)
    places = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    return np.asarray(np.clip(1 - np.abs(places[:, None] - np.arange(old)), 0, None))


# --- what stands in a bank, in its order

_Pattern = tuple[str, Numbers, Numbers]
_Colour = tuple[str, Numbers]


def _patterns(size: tuple[int, int], channels: int, rounds: int) -> Iterator[_Pattern]:
    """Yield name, window (h, w) and colour (C,) of what stands in a round: the first, or directions in between."""
    colours = _colours(channels)
    for window in _windows(size):
        fine = "" if window == size else f", {window[0]} x {window[1]}"
        for name, values, (words, colour), both in _first(colours) if rounds == 0 else _between(colours, rounds):
            laid = _centred(fitted(values, window), size)
            yield f"{name}{fine}{words}", laid, colour
            if both:
                yield f"{name}{fine}{words}, turned over", -laid, colour


def _first(colours: list[_Colour]) -> Iterator[tuple[str, Numbers, _Colour, bool]]:
    """Yield name, kernel (3, 3), colour, and whether it is wanted with the other sign too."""
    light, *opposed = colours
    straight, aslant = DIRECTIONS[::2], DIRECTIONS[1::2]
    spot = -laplacian(8).values
    yield from ((f"edge {one}", sobel(one).values, light, False) for one in straight)
    yield from (("blur", np.ones((3, 3)), colour, True) for colour in colours)
    yield from ((f"edge {one}", sobel(one).values, light, False) for one in aslant)
    yield "spot", spot, light, True
    yield from ((f"line {one}", rotated(_LINE, -turn), light, True) for turn, one in enumerate(_LINES))
    for colour in opposed:
        yield from ((f"edge {one}", sobel(one).values, colour, False) for one in (*straight, *aslant))
    yield "sharpen", sharpen(1.0).values, light, True
    yield from (("spot", spot, colour, True) for colour in opposed)


def _between(colours: list[_Colour], rounds: int) -> Iterator[tuple[str, Numbers, _Colour, bool]]:
    """Yield edges and lines in the directions halfway between those of the rounds before, likewise."""
    parts = 2**rounds
    edges = [sobel(direction).values for direction in DIRECTIONS]
    lines = [rotated(_LINE, -turn) for turn in range(len(_LINES))]
    for name, kernels, first, turn, around in (("edge", edges, 90, 45, 360), ("line", lines, 0, -45, 180)):
        for colour in colours:
            for step in range(1, len(kernels) * parts, 2):
                start, share = step // parts, step % parts / parts
                mixed = (1 - share) * kernels[start] + share * kernels[(start + 1) % len(kernels)]
                angle = (first + turn * step / parts) % around
                yield f"{name} at {angle:g} degrees", mixed, colour, name == "line"


def _windows(size: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the whole window, and smaller ones in its middle: half as large each time, 3 at least."""
    found = [size]
    while True:
        last = found[-1]
        # as even or odd as the whole, so that the middle is a middle
        smaller = tuple(
            min(side, max(_FINE + (whole - _FINE) % 2, side // 2 + (whole - side // 2) % 2))
            for side, whole in zip(last, size, strict=True)
        )
        if smaller == last or min(smaller) < _FINE:
            return found
        found.append((smaller[0], smaller[1]))


def _centred(values: Numbers, size: tuple[int, int]) -> Numbers:
    """Put a small window into the middle of a larger one of zeros."""
    whole = np.zeros(size)
    top, left = ((large - small) // 2 for large, small in zip(size, values.shape, strict=True))
    whole[top : top + values.shape[0], left : left + values.shape[1]] = values
    return whole


def _colours(channels: int) -> list[_Colour]:
    """Return ways to weigh the channels, with what to write for them: all alike first, then contrasts."""
    alike = ("", np.full(channels, 1 / math.sqrt(channels)))
    if channels == 3:
        return [alike, *((f", {name}", np.array(weights)) for name, weights in _OPPOSED)]
    places = np.arange(channels) + 0.5
    waves = [np.cos(math.pi / channels * wave * places) for wave in range(1, channels)]
    return [alike, *((f", contrast {number}", wave) for number, wave in enumerate(waves, start=1))]
