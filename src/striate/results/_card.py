"""Lay out the card of a unit: its patches, a histogram, classes, weights and units like it. Draws what it is given."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from striate import drawing
from striate.results._gallery import DENSITY, GREY, MONOSPACE, blank
from striate.results._inches import inch_axes, rasterised, write
from striate.results._patch_cells import draw_empty, draw_patch, fitted
from striate.results._patch_rows import WIDTH, block_height, draw_block, draw_line, line_height
from striate.results.drawn import Pixels
from striate.results.patches import SIGNALS
from striate.results.words import count, number

if TYPE_CHECKING:
    from striate.results.unit_card import KernelPart, SimilarUnit, UnitCard

__all__ = ["figure", "pixels"]

_MARGIN: Final = 0.3
_TITLE: Final = 0.25
_GAP: Final = 0.28
_PANEL: Final = 1.75  # height of histogram, classes and kernel without their titles, inches
_COLUMNS: Final = (3.3, 3.5, 3.0)
_APART: Final = 0.4
_CAPTION: Final = 14.5  # letters of 8.5 points that fit in an inch
_SMALL: Final = 17.5  # of 7 points
_ALIKE: Final = 0.72  # side of the patch of a similar unit, inches
_BARS: Final = 8
_ROOM: Final = 0.45  # between two numbers below an axis, inches


def figure(card: UnitCard, *, heading: str) -> Figure:
    """Draw the card under its words."""
    lines = [line for words in (*card.place, card.answers(), card.selects()) if words for line in _wrapped(words)]
    head = 0.62 + len(lines) * 0.165 + 0.2
    made = blank(WIDTH + 2 * _MARGIN, head + _height(card) + 2 * _MARGIN)
    axes = inch_axes(made)
    write(axes, _MARGIN, _MARGIN, heading, size=9, colour=GREY, above=False)
    title = f"{card.address} ({card.called})" if card.called else card.address
    write(axes, _MARGIN, _MARGIN + 0.2, title, size=14, family=MONOSPACE, weight="bold", above=False)
    for index, line in enumerate(lines):
        write(axes, _MARGIN, _MARGIN + 0.6 + index * 0.165, line, size=8.5, above=False)
    _draw(axes, card, _MARGIN, _MARGIN + head)
    return made


def pixels(card: UnitCard) -> Pixels:
    """Draw the card without its words, at twice the screen's density: uint8, (H, W, 3)."""
    made = blank(WIDTH + 0.2, _height(card) + 0.2)
    _draw(inch_axes(made), card, 0.1, 0.1)
    return rasterised(made)


def _height(card: UnitCard) -> float:
    half = (WIDTH - _APART) / 2
    patches = _TITLE + block_height(card.top, signal=SIGNALS[card.beside]) + _GAP
    lines = _TITLE + line_height(max(len(card.bottom), len(card.strip), 1), signal="", width=half) + _GAP
    alike = _TITLE + _ALIKE + 0.35 if card.alike or card.parallel else 0.0
    return patches + lines + _TITLE + _PANEL + _GAP + alike


def _draw(axes: Axes, card: UnitCard, left: float, down: float) -> None:
    _title(axes, left, down, f"The pictures of {card.total:,} to which it answers most")
    draw_block(axes, card.top, left, down + _TITLE, signal=SIGNALS[card.beside])
    down += _TITLE + block_height(card.top, signal=SIGNALS[card.beside]) + _GAP

    half = (WIDTH - _APART) / 2
    for column, (words, patches) in enumerate(
        (("To which it answers least", card.bottom), ("From least to most, at even steps", card.strip))
    ):
        _title(axes, left + column * (half + _APART), down, words)
        draw_line(axes, patches, left + column * (half + _APART), down + _TITLE, signal="", width=half)
    down += _TITLE + line_height(max(len(card.bottom), len(card.strip), 1), signal="", width=half) + _GAP

    first, second, third = _COLUMNS
    _title(axes, left, down, "How many pictures have which answer")
    _histogram(axes, card, left, down + _TITLE, first)
    _title(axes, left + first + _APART, down, "Mean answer by class")
    _classes(axes, card, left + first + _APART, down + _TITLE, second)
    _title(axes, left + first + second + 2 * _APART, down, "What it reads")
    _kernel(axes, card.kernel, left + first + second + 2 * _APART, down + _TITLE, third)
    down += _TITLE + _PANEL + _GAP

    if card.alike or card.parallel:
        chance = f" (r; by chance at most about {number(card.chance, 2)})"
        _title(axes, left, down, "Units that answer like it" + chance * bool(card.alike))
        _alike(axes, card.alike, left, down + _TITLE, half, "r")
        _title(axes, left + half + _APART, down, "Units of its layer with weights like its own (cosine)")
        _alike(axes, card.parallel, left + half + _APART, down + _TITLE, half, "cos")


def _title(axes: Axes, left: float, down: float, words: str) -> None:
    write(axes, left, down, words, size=8.5, weight="bold", above=False)


def _histogram(axes: Axes, card: UnitCard, left: float, down: float, width: float) -> None:
    """Draw bars over the answers: those that fire in the accent, the others grey, and the border between."""
    base, height = down + _PANEL - 0.3, _PANEL - 0.45
    low, high = float(card.edges[0]), float(card.edges[-1])
    most = max(int(card.counts.max(initial=0)), 1)
    scale = width / (high - low) if high > low else 0.0
    for counted, start, end in zip(card.counts, card.edges[:-1], card.edges[1:], strict=True):
        fires = not card.border > (start + end) / 2  # so written that an unknown border counts as none
        across = left + (start - low) * scale if scale else left + width / 2 - 0.1
        bar = (end - start) * scale if scale else 0.2
        axes.add_patch(
            Rectangle(
                (across + 0.008, base),
                max(bar - 0.016, 0.004),
                -height * counted / most,
                facecolor=drawing.PARTNER if fires else GREY,
                alpha=0.85 if fires else 0.45,
                lw=0,
            )
        )
    axes.plot([left, left + width], [base, base], color=GREY, lw=0.6)
    across = left + (card.border - low) * scale
    inside = low < card.border < high
    if inside:
        axes.plot([across] * 2, [base - height - 0.05, base], color=drawing.ACCENT, lw=1, ls=(0, (3, 2)))
        words = number(card.border, 2)
        write(axes, across, base + 0.05, words, size=7, colour=drawing.ACCENT, align="center", above=False)
    if not inside or across - left > _ROOM:
        write(axes, left, base + 0.05, number(low), size=7, colour=GREY, above=False)
    if high > low and (not inside or left + width - across > _ROOM):
        write(axes, left + width, base + 0.05, number(high), size=7, colour=GREY, align="right", above=False)
    words = f"highest bar: {count(most, 'picture')}"
    write(axes, left + width, base - height - 0.06, words, size=7, colour=GREY, align="right")


def _classes(axes: Axes, card: UnitCard, left: float, down: float, width: float) -> None:
    """Draw a bar for each class to which it answers most, and the mean of the others as a line."""
    if not card.classes:
        write(axes, left, down + 0.05, "The atlas has no labels.", size=7.5, colour=GREY, above=False)
        return
    shown = card.classes[:_BARS]
    names, track = 1.45, width - 1.45 - 0.45
    values = [answer.mean for answer in shown]
    low, high = min(0.0, card.others, *values), max(0.0, card.others, *values)
    scale = track / (high - low) if high > low else 0.0
    zero = left + names - low * scale
    step = min(0.21, _PANEL / (len(shown) + 1))
    for index, answer in enumerate(shown):
        middle = down + (index + 0.5) * step
        write(axes, left, middle, _shortened(answer.name, 24), size=7.5, centre=True)
        colour = drawing.ACCENT if index == 0 else drawing.PARTNER
        bar = answer.mean * scale
        axes.add_patch(Rectangle((min(zero, zero + bar), middle - 0.05), abs(bar), 0.1, facecolor=colour, lw=0))
        write(axes, left + width, middle, number(answer.mean, 2), size=7, colour=GREY, align="right", centre=True)
    end = down + len(shown) * step
    if np.isfinite(card.others):
        across = zero + card.others * scale
        axes.plot([across] * 2, [down, end + 0.04], color=drawing.INK, lw=0.8, ls=(0, (2, 2)))
        words = f"other classes: {number(card.others, 2)}"
        aligned = "left" if across < left + width - 1.2 else "right"
        write(axes, across, end + 0.07, words, size=7, colour=GREY, align=aligned, above=False)


def _kernel(axes: Axes, kernel: KernelPart | None, left: float, down: float, width: float) -> None:
    """Draw the weights: as pictures where they have an extent, as bars where each input has a single one."""
    if kernel is None:
        write(axes, left, down + 0.05, "It has no weights of its own.", size=7.5, colour=GREY, above=False)
        return
    if kernel.weights.shape[1:] == (1, 1):
        _weights(axes, kernel, left, down, width)
        return
    shown = [kernel.weights] if kernel.colour else [one[None] for one in kernel.weights]
    columns = 1 if len(shown) == 1 else 4
    gap = 0.08
    side = min(1.2, (width - gap * (columns - 1)) / columns, 1.2 if len(shown) == 1 else 0.62)
    for index, weights in enumerate(shown):
        row, column = divmod(index, columns)
        corner = left + column * (side + gap), down + 0.02 + row * (side + 0.18)
        if kernel.colour:
            middle = np.moveaxis(weights, 0, -1) / (2 * (kernel.largest or 1.0)) + 0.5
            colours = np.rint(np.clip(middle, 0, 1) * 255).astype(np.uint8)
        else:
            colours = drawing.colour(weights[0], signed=True, low=-kernel.largest, high=kernel.largest)
        height, across = (side * length / max(colours.shape[:2]) for length in colours.shape[:2])
        axes.imshow(
            fitted(colours, round(side * DENSITY)),
            extent=(corner[0], corner[0] + across, corner[1] + height, corner[1]),
            interpolation="nearest",
            aspect="auto",
            zorder=1,
        )
        axes.add_patch(Rectangle(corner, across, height, fill=False, edgecolor="#c4c4c2", lw=0.5, zorder=3))
        if len(shown) > 1:
            words = f"{kernel.channels[index]}"
            write(axes, corner[0], corner[1] + height + 0.02, words, size=6.5, colour=GREY, above=False)
    write(axes, left, down + _PANEL - 0.05, _kernel_words(kernel), size=7, colour=GREY)


def _weights(axes: Axes, kernel: KernelPart, left: float, down: float, width: float) -> None:
    """Draw single weights as bars from zero in the middle."""
    values, step = kernel.weights[:, 0, 0], 0.17
    zero, scale = left + 0.55 + (width - 1.1) / 2, (width - 1.1) / 2 / (kernel.largest or 1.0)
    for index, (channel, value) in enumerate(zip(kernel.channels, values.tolist(), strict=True)):
        middle = down + (index + 0.5) * step
        write(axes, left, middle, f"{channel}", size=7, colour=GREY, centre=True)
        colour = drawing.ACCENT if value > 0 else drawing.PARTNER
        bar = value * scale
        axes.add_patch(Rectangle((min(zero, zero + bar), middle - 0.045), abs(bar), 0.09, facecolor=colour, lw=0))
        write(axes, left + width, middle, number(value, 2), size=7, colour=GREY, align="right", centre=True)
    axes.plot([zero] * 2, [down, down + len(values) * step], color=GREY, lw=0.6)
    write(axes, left, down + _PANEL - 0.05, _kernel_words(kernel), size=7, colour=GREY)


def _kernel_words(kernel: KernelPart) -> str:
    if kernel.colour:
        return "Its kernel over red, green and blue; mid-grey is zero."
    if len(kernel.channels) < kernel.inputs:
        return (
            f"The strongest {len(kernel.channels)} of {count(kernel.inputs, 'input')}, to ±{number(kernel.largest, 2)}."
        )
    return f"Its weights, to ±{number(kernel.largest, 2)}; paper is zero."


def _alike(axes: Axes, units: Sequence[SimilarUnit], left: float, down: float, width: float, sign: str) -> None:
    if not units:
        write(axes, left, down + 0.05, "None is known.", size=7.5, colour=GREY, above=False)
        return
    step = width / max(len(units), 5)
    for index, unit in enumerate(units):
        corner = (left + index * step, down)
        if unit.patch is None or (shown := unit.patch.pixels) is None:
            draw_empty(axes, "not found", corner, _ALIKE)
        else:
            draw_patch(axes, shown, unit.patch.missing, corner, _ALIKE)
        words = f"{sign} {number(unit.likeness, 2)}"
        write(axes, corner[0], down + _ALIKE + 0.03, words, size=7.5, above=False)
        name = unit.called or unit.address
        letters = round((step - 0.06) * (_SMALL if unit.called else 15))
        family = "sans-serif" if unit.called else MONOSPACE
        write(
            axes,
            corner[0],
            down + _ALIKE + 0.17,
            _ending(name, letters),
            size=6.5,
            colour=GREY,
            family=family,
            above=False,
        )


def _wrapped(words: str) -> list[str]:
    return textwrap.wrap(words, round(WIDTH * _CAPTION))


def _shortened(words: str, letters: int) -> str:
    return words if len(words) <= letters else f"{words[: max(letters - 1, 1)].rstrip()}…"


def _ending(words: str, letters: int) -> str:
    """Keep the end of an address, which tells units apart."""
    return words if len(words) <= letters else f"…{words[-max(letters - 1, 1) :]}"
