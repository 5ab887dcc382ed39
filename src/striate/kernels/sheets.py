"""Sheets of a picture under kernels: the lecture's comparison, one kernel, the gradient. Convolves; draws nothing."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import striate
from striate.errors import ImageError, OptionError
from striate.files import shown
from striate.images import read_image
from striate.kernels import by_hand
from striate.kernels.answers import Gradient, found, gradient
from striate.kernels.by_hand import Kernel
from striate.kernels.convolving import convolve
from striate.results.base import Recipe
from striate.results.kernel_sheet import KernelSheet, Panel, Strip
from striate.results.words import number

__all__ = ["COMPASS", "Photograph", "brightness", "compare", "look", "photograph", "rotations", "slopes"]

Photograph = str | os.PathLike[str] | Image.Image | NDArray[Any]

SIDE: Final = 500
"""Pixels of a picture's longer side in a sheet: one for each that is drawn."""

THRESHOLD: Final = 0.1
"""Share of the strongest answer from which on a pattern counts as found."""

UNIT: Final = "share of the strongest answer"

COMPASS: Final = ("kirsch", "sobel", "prewitt", "edge")
"""The kernels of 3 x 3 that are turned by eighths."""


def photograph(source: Photograph, side: int | None = SIDE) -> tuple[NDArray[np.float32], str]:
    """Read a picture as numbers between 0 (black) and 1 (white).

    Args:
        source: a file, a Pillow image, or an array (H, W) or (H, W, 3), uint8 or float in [0, 1].
        side: the longer side is made smaller to so many pixels, never larger; None leaves it.

    Returns:
        Shape (H, W, 3), float32, and the picture's name (empty without a file).

    Raises:
        ImageError: it cannot be read, or is no picture.
        OptionError: the side is below 1.
    """
    if side is not None and (isinstance(side, bool) or not isinstance(side, int) or side < 1):
        raise OptionError(f"the longer side of a picture is a whole number of pixels from 1, got {side}.")
    name = ""
    if isinstance(source, Image.Image):
        image = source.convert("RGB")
    elif isinstance(source, np.ndarray):
        image = Image.fromarray(_bytes(source)).convert("RGB")
    else:
        image, name = read_image(source), shown(Path(source).name)
    if side is not None and max(image.size) > side:
        share = side / max(image.size)
        size = (max(1, round(image.width * share)), max(1, round(image.height * share)))
        image = image.resize(size, Image.Resampling.LANCZOS)
    return np.asarray(np.asarray(image) / 255, dtype=np.float32), name


def brightness(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Weigh red, green and blue as the eye does (ITU-R BT.601): (H, W, 3) becomes (H, W)."""
    return np.asarray(pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32), dtype=np.float32)


def compare(picture: Photograph, *, direction: str = "right", side: int | None = SIDE) -> KernelSheet:
    """Compare the kernels of the lecture on one picture: four that find edges, two that blur, two that sharpen.

    Edges are looked for in brightness; blurred and sharpened is each colour by itself. Beyond its border the picture
    goes on as it ends.

    Args:
        picture: a file, a Pillow image or an array, as in `photograph`.
        direction: of the bright side of the edges, one of `by_hand.DIRECTIONS`.
        side: pixels of the longer side; None takes the picture as it is.

    Raises:
        ImageError: the picture cannot be read.
        OptionError: there is no such direction.
    """
    start = time.perf_counter()
    pixels, name = photograph(picture, side)
    grey = brightness(pixels)
    sobel = by_hand.sobel(direction)
    first = Strip(
        "",
        (
            Panel("picture", "As it was convolved.", pixels, "picture"),
            *_gradient_panels(gradient(grey), "sobel"),
            _found_panel(grey, sobel),
        ),
        "length of both answers",
    )
    edges = tuple(
        _answer_panel(grey, kernel)
        for kernel in (by_hand.edge(direction), sobel, by_hand.prewitt(direction), by_hand.kirsch(direction))
    )
    changed = tuple(
        _answer_panel(pixels, kernel)
        for kernel in (by_hand.blur(3), by_hand.blur(9), by_hand.sharpen(2), by_hand.sharpen(8))
    )
    words = (
        "Each kernel is drawn as it is laid on the picture. Edges are looked for in brightness; blur and sharpening "
        "work on each colour by itself."
    )
    heading = f"Edges: {sobel.finds.removeprefix('an edge that is ')}"
    rows = (first, Strip(heading, edges, UNIT), Strip("Blur and sharpen", changed))
    options = {"picture": name, "direction": direction, "side": side}
    return _sheet(rows, pixels, name, "Kernels by hand", words, "kernels.compare", options, start)


def look(
    picture: Photograph, kernel: Kernel | NDArray[Any], *, threshold: float = THRESHOLD, side: int | None = SIDE
) -> KernelSheet:
    """Lay one kernel on a picture: the answers, and where its pattern and the opposite are.

    Args:
        picture: a file, a Pillow image or an array, as in `photograph`.
        kernel: by hand, or any array (h, w).
        threshold: share of the largest answer there can be from which on the pattern counts as found, in (0, 1].
        side: pixels of the longer side; None takes the picture as it is.

    Raises:
        ImageError: the picture cannot be read.
        OptionError: the kernel is none, or the threshold lies outside (0, 1].
    """
    start = time.perf_counter()
    pixels, name = photograph(picture, side)
    kernel = _kernel(kernel)
    panels = [Panel("picture", "As it was convolved.", pixels, "picture")]
    if kernel.balanced:
        grey = brightness(pixels)
        panels += [_answer_panel(grey, kernel), _found_panel(grey, kernel, threshold)]
    else:
        panels.append(_answer_panel(pixels, kernel))
    words = f"The kernel {'answers to' if kernel.balanced else 'gives'} {kernel.finds}." if kernel.finds else ""
    options = {"picture": name, "kernel": kernel.name, **kernel.parameters, "threshold": threshold, "side": side}
    rows = (Strip("", tuple(panels), UNIT),)
    return _sheet(rows, pixels, name, kernel.title, words, "kernels.look", options, start)


def rotations(
    picture: Photograph, kernel: Literal["kirsch", "sobel", "prewitt", "edge"] = "kirsch", *, side: int | None = SIDE
) -> KernelSheet:
    """Lay all eight rotations of a kernel on a picture: each by itself, and which of them answers most.

    The strongest of the eight is Kirsch's own measure of an edge. All answers are drawn on one scale.

    Args:
        picture: a file, a Pillow image or an array, as in `photograph`.
        kernel: whose eight directions are taken, in the order of `by_hand.DIRECTIONS` (Kirsch's g1 to g8).
        side: pixels of the longer side; None takes the picture as it is.

    Raises:
        ImageError: the picture cannot be read.
        OptionError: the kernel does not come in eight directions.

    Source: Kirsch 1971, "Computer determination of the constituent structure of biological images".
    """
    start = time.perf_counter()
    name_of_kernel = str(kernel).strip().lower()
    if name_of_kernel not in COMPASS:
        by_hand.parameters(name_of_kernel)  # raises where there is no such kernel, and proposes one
        raise OptionError(
            f"{name_of_kernel} does not come in eight directions. Take {', '.join(COMPASS[:-1])} or {COMPASS[-1]}."
        )
    pixels, name = photograph(picture, side)
    grey = brightness(pixels)
    kernels = [by_hand.named(name_of_kernel, direction=way) for way in by_hand.DIRECTIONS]
    panels = [_answer_panel(grey, one) for one in kernels]
    answers = np.stack([panel.values for panel in panels])  # (8, H, W)
    strongest = answers.max(axis=0)  # at least 0: the eight kernels sum to zero
    angles = np.pi / 2 + np.pi / 4 * np.arange(len(kernels))  # the first is up, each an eighth against the clock
    first = answers >= strongest * (1 - 1e-5)  # several that answer alike: the middle of their directions
    up, right = (np.tensordot(part(angles), first, axes=1) for part in (np.sin, np.cos))
    top = (
        Panel("picture", "As it was convolved.", pixels, "picture"),
        Panel(f"{name_of_kernel} strongest", "The largest of the eight answers at each pixel.", strongest, "strength"),
        Panel(
            f"{name_of_kernel} direction",
            "Whose answer that is: where the bright side lies, as on the ring; the paler, the weaker.",
            np.stack([np.arctan2(up, right), strongest]).astype(np.float32),
            "direction",
        ),
    )
    highest = max(panel.reach() for panel in panels)
    half = len(panels) // 2
    rows = (
        Strip("", top, UNIT),
        Strip("Eight directions, each an eighth of a turn against the clock", tuple(panels[:half]), UNIT, highest),
        Strip("", tuple(panels[half:]), UNIT, highest),
    )
    words = (
        "Each kernel is the one before it with its outer weights moved on along the ring, and is drawn as it is laid."
    )
    options = {"picture": name, "kernel": name_of_kernel, "side": side}
    return _sheet(rows, pixels, name, f"All directions of {name_of_kernel}", words, "kernels.rotations", options, start)


def slopes(
    picture: Photograph,
    kernel: Literal["sobel", "prewitt", "edge", "difference"] = "sobel",
    *,
    side: int | None = SIDE,
) -> KernelSheet:
    """Show how steeply and which way the brightness of a picture changes.

    Args:
        picture: a file, a Pillow image or an array, as in `photograph`.
        kernel: whose pair is taken, to the right and downwards.
        side: pixels of the longer side; None takes the picture as it is.

    Raises:
        ImageError: the picture cannot be read.
        OptionError: the kernel does not come in pairs.
    """
    start = time.perf_counter()
    pixels, name = photograph(picture, side)
    slope = gradient(brightness(pixels), kernel)
    pair = [by_hand.named(kernel, direction=way) for way in ("right", "down")]
    parts = tuple(
        Panel(one.title, f"Accent: {one.finds}. Blue: the other way round.", values, "signed", (one.values,))
        for one, values in zip(pair, (slope.right, slope.down), strict=True)
    )
    top = (Panel("picture", "As it was convolved.", pixels, "picture"), *parts)
    words = "Steepness is the length of the two answers together, direction their angle."
    rows = (Strip("", (*top, *_gradient_panels(slope, kernel)), "answer of the kernel"),)
    options = {"picture": name, "kernel": kernel, "side": side}
    return _sheet(rows, pixels, name, f"Gradient by {kernel}", words, "kernels.slopes", options, start)


def _answer_panel(pixels: NDArray[np.float32], kernel: Kernel) -> Panel:
    """Lay a kernel on brightness (H, W), or on each colour of (H, W, 3)."""
    answers = convolve(
        pixels, kernel, mode="correlation", padding="same", border="replicate",
        channels="last" if pixels.ndim == 3 else "first",
    )  # fmt: skip
    values = (kernel.values,)
    if kernel.balanced:
        caption = f"Accent: {kernel.finds}. Blue: the opposite."
        return Panel(kernel.title, caption, answers / np.float32(kernel.strongest or 1), "signed", values)
    caption = f"{kernel.finds[:1].upper()}{kernel.finds[1:]}." if kernel.finds else ""
    cut = float(((answers < 0) | (answers > 1)).mean())
    if cut > 0.0005:
        caption += f" {_percent(cut)} of the numbers lie beyond black or white, and are drawn so."
    return Panel(kernel.title, caption, answers, "picture", values)


def _found_panel(grey: NDArray[np.float32], kernel: Kernel, threshold: float = THRESHOLD) -> Panel:
    answers = convolve(grey, kernel, mode="correlation", padding="same", border="replicate")
    marks = found(answers, kernel, threshold)
    here, opposite = (_percent(float((marks == sign).mean())) for sign in (1, -1))
    caption = (
        f"Where {kernel.title} answers at least {number(threshold)} of the strongest there can be: "
        f"{here} of the pixels, its opposite in {opposite}."
    )
    return Panel(f"{kernel.title}, found", caption, marks.astype(np.float32), "found", (kernel.values,))


def _gradient_panels(slope: Gradient, kernel: str) -> tuple[Panel, Panel]:
    pair = tuple(by_hand.named(kernel, direction=way).values for way in ("right", "down"))
    steep = slope.magnitude
    return (
        Panel(f"{kernel} magnitude", "How steeply brightness changes.", steep, "strength", pair),
        Panel(
            f"{kernel} direction",
            "Which way it gets brighter, as on the ring; the paler, the less steep.",
            np.stack([slope.direction, steep]),
            "direction",
        ),
    )


def _percent(share: float) -> str:
    return f"{number(100 * share, 2)}\N{NO-BREAK SPACE}%"


def _kernel(kernel: Kernel | NDArray[Any]) -> Kernel:
    if isinstance(kernel, Kernel):
        return kernel
    values = np.asarray(kernel)
    if values.ndim != 2 or values.size == 0 or values.dtype.kind not in "fiub" or not np.isfinite(values).all():
        raise OptionError(f"a kernel to look through is an array (h, w) of finite numbers, got shape {values.shape}.")
    own = Kernel("own", values.astype(np.float64))
    return replace(own, finds="the pattern that it looks like") if own.balanced else own


def _bytes(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Read an array as a picture."""
    flat = pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[-1] == 1 else pixels
    if not (flat.ndim == 2 or (flat.ndim == 3 and flat.shape[-1] in (3, 4))) or flat.size == 0:
        raise ImageError(f"a picture is an array (H, W), (H, W, 3) or (H, W, 4), got shape {pixels.shape}.")
    if flat.dtype == np.uint8:
        return np.ascontiguousarray(flat)
    if flat.dtype.kind != "f" or not (flat.min() >= 0 and flat.max() <= 1):
        raise ImageError(
            f"a picture is made of uint8 (0 to 255) or of numbers from 0 to 1, got {flat.dtype} from "
            f"{flat.min():.6g} to {flat.max():.6g}. Scale it first."
        )
    return np.asarray(np.rint(flat * 255).astype(np.uint8))


def _sheet(
    rows: tuple[Strip, ...],
    pixels: NDArray[np.float32],
    name: str,
    heading: str,
    words: str,
    function: str,
    options: dict[str, Any],
    start: float,
) -> KernelSheet:
    recipe = Recipe(
        lens=function, options=options, version=striate.__version__, seconds=time.perf_counter() - start, device="cpu"
    )
    picture = np.rint(pixels * 255).astype(np.uint8)
    return KernelSheet(rows=rows, picture=picture, name=name, heading=heading, words=words, recipe=recipe)
