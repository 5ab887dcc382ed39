"""Draw a sum as it would stand on paper: windows, kernels, products, and a column of what each channel adds.

Everything is placed in inches, and letters stay letters. Knows the numbers of a window; runs no network.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from striate import drawing
from striate.geometry import Box
from striate.results._cells import Scale, Window, draw_window, window_size
from striate.results._gallery import GREY, MONOSPACE, blank
from striate.results._inches import draw_frame, draw_image, inch_axes, rasterised, write
from striate.results.drawn import Pixels

if TYPE_CHECKING:
    from striate.results.arithmetic import Computed

__all__ = ["Sheet", "figure", "pixels"]

Values = NDArray[Any]

_MARGIN: Final = 0.3
_STRIP: Final = 1.75  # height of the pictures at the top, inches
_GAP: Final = 0.34  # for a sign between two grids
_LABEL: Final = 0.95
_SUM: Final = 1.0  # width of the column of sums
_LINE: Final = 0.2
_CHANNELS: Final = (("red", "#c8322b"), ("green", "#2f9a49"), ("blue", "#3560c0"))
_FAINT: Final = "#c4c4c2"


@dataclass(frozen=True)
class Sheet:
    """What is drawn for one picture."""

    title: str
    sentence: str
    computed: Computed
    picture: Pixels
    box: Box | None
    colour: bool

    @property
    def taps(self) -> tuple[int, int]:
        """Height and width of the window."""
        return self.computed.values.shape[1], self.computed.values.shape[2]

    @property
    def grid(self) -> tuple[float, float]:
        """Height and width of one window as drawn, inches."""
        return window_size(self.taps)

    @property
    def grids(self) -> int:
        """Windows side by side: what it reads, the kernel, the products; of a maximum only the first."""
        return 1 if self.computed.kernel is None else 3

    @property
    def thumbs(self) -> bool:
        """Whether each channel's map is drawn before its window."""
        return not self.colour and max(self.computed.given[1:]) > 1

    @property
    def row(self) -> float:
        """Height of one channel's row, inches."""
        return max(self.grid[0], 0.72 if self.thumbs else 0.0, 0.3)

    @property
    def thumb(self) -> float:
        """Width of a channel's map with the space after it, inches."""
        if not self.thumbs:
            return 0.0
        height, width = self.computed.given[1:]
        return float(self.thumb_height * min(width / height, 1.6) + 0.2)

    @property
    def thumb_height(self) -> float:
        """Height of a channel's map, inches."""
        return min(self.row, 1.4)

    @property
    def width(self) -> float:
        """Of all, inches, without margins."""
        rows = _LABEL + self.thumb + self.grids * (self.grid[1] + _GAP) - _GAP + _SUM
        aspect = self.picture.shape[1] / self.picture.shape[0]
        return float(max(rows, _STRIP * aspect + 4.4, 5.5))

    @property
    def ends(self) -> int:
        """Lines below the rows: other channels, bias, sum, the network's own."""
        left_out = len(self.computed.channels) > len(self.computed.shown)
        return 2 + left_out + (self.computed.bias is not None) + len(self.computed.steps)

    @property
    def height(self) -> float:
        """Of all, inches, without margins."""
        rows = len(self.computed.shown) * (self.row + 0.12)
        return 0.25 + _STRIP + 0.4 + rows + self.ends * _LINE + 0.05


def figure(sheets: Sequence[Sheet], *, heading: str, caption: str) -> Figure:
    """Put the sheets of all pictures on one figure, under a heading and a caption."""
    width = max(sheet.width for sheet in sheets) + 2 * _MARGIN
    lines = textwrap.wrap(caption, round((width - 2 * _MARGIN) * 14.5))
    head = (0.35 if heading else 0.0) + len(lines) * 0.165 + 0.2
    height = 2 * _MARGIN + head + sum(sheet.height for sheet in sheets) + 0.35 * (len(sheets) - 1)
    made = blank(width, height)
    axes = inch_axes(made)
    down = _MARGIN
    if heading:
        write(axes, _MARGIN, down, heading, size=13, weight="bold", above=False)
        down += 0.35
    for line in lines:
        write(axes, _MARGIN, down, line, size=8.5, above=False)
        down += 0.165
    down = _MARGIN + head
    for sheet in sheets:
        _draw(axes, sheet, _MARGIN, down)
        down += sheet.height + 0.35
    return made


def pixels(sheet: Sheet) -> Pixels:
    """Draw one sheet by itself at twice the screen's density: uint8, (H, W, 3)."""
    made = blank(sheet.width + 0.2, sheet.height + 0.2)
    _draw(inch_axes(made), sheet, 0.1, 0.1)
    return rasterised(made)


def _draw(axes: Axes, sheet: Sheet, left: float, down: float) -> None:
    """Draw one sheet with its top left corner at a place."""
    one = sheet.computed
    write(axes, left, down, sheet.title, size=9, family=MONOSPACE, above=False)
    down += 0.25
    _draw_strip(axes, sheet, left, down)
    down += _STRIP + 0.4
    grid_left = left + _LABEL + sheet.thumb
    products = one.products
    read, factor = ("input", "weight") if one.dense else ("window", "kernel")
    columns: list[tuple[str, str, Values]] = [("", read, one.values)]
    if products is not None and one.kernel is not None:
        columns += [("×", factor, one.kernel), ("=", "product" if one.dense else "products", products)]
    scales = [Scale.of(values[list(one.shown)], signed=index > 0) for index, (_, _, values) in enumerate(columns)]
    for index, ((_, name, _), scale) in enumerate(zip(columns, scales, strict=True)):
        place = grid_left + index * (sheet.grid[1] + _GAP)
        write(axes, place, down - 0.06, name + scale.words, size=7.5, colour=GREY)
    sums_right = grid_left + sheet.grids * (sheet.grid[1] + _GAP) - _GAP + _SUM
    digits = _decimals([*(float(one.sums[place]) for place in one.shown), one.total])
    write(axes, sums_right, down - 0.06, "largest" if products is None else "sum", size=7.5, colour=GREY, align="right")
    for order, place in enumerate(one.shown):
        middle = down + sheet.row / 2
        _draw_label(axes, sheet, order, place, left, middle)
        if sheet.thumbs:
            _draw_thumb(axes, sheet, order, left + _LABEL, middle)
        for index, ((sign, _, values), scale) in enumerate(zip(columns, scales, strict=True)):
            at = grid_left + index * (sheet.grid[1] + _GAP)
            if sign:
                write(axes, at - _GAP / 2, middle, sign, size=11, align="center", centre=True)
            window = _window(sheet, place, values[place], scale, read=index == 0)
            draw_window(axes, window, at, middle - sheet.grid[0] / 2)
        _draw_sum(axes, sums_right, middle, _signed(float(one.sums[place]), digits))
        down += sheet.row + 0.12
    _draw_end(axes, sheet, sums_right, down + 0.1, digits)


def _draw_strip(axes: Axes, sheet: Sheet, left: float, down: float) -> None:
    """Draw the picture with what the unit sees framed, that part by itself, and the kernel where it has colours."""
    right = draw_image(axes, sheet.picture, left, down, _STRIP, smooth=True)
    if sheet.box is not None:
        scale = _STRIP / sheet.picture.shape[0]
        draw_frame(axes, sheet.box, (left, down), scale, (right, down + _STRIP))
    left = right + 0.25
    lines = textwrap.wrap(sheet.sentence, 46)
    if sheet.box is not None:
        top, first, bottom, last = sheet.box
        if sheet.colour:
            patch, words = _patch(sheet), "the window"
        else:
            patch, words = sheet.picture[top : bottom + 1, first : last + 1], "what the unit sees"
        side = _STRIP * 0.62
        side = min(side, 2.4 * patch.shape[0] / patch.shape[1])  # what is wide stays narrow
        right = draw_image(axes, patch, left, down, side, smooth=not sheet.colour)
        write(axes, left, down + side + 0.05, words, size=7.5, colour=GREY, above=False)
        if sheet.colour and sheet.computed.kernel is not None and len(sheet.computed.channels) == 3:
            kernel = np.moveaxis(sheet.computed.kernel, 0, -1)
            reach = float(np.abs(kernel).max()) or 1.0
            coloured = np.rint((kernel / (2 * reach) + 0.5) * 255).astype(np.uint8)
            draw_image(axes, coloured, right + 0.25, down, side, smooth=False)
            write(axes, right + 0.25, down + side + 0.05, "the kernel", size=7.5, colour=GREY, above=False)
    for index, line in enumerate(lines):
        write(axes, left, down + _STRIP - (len(lines) - 1 - index) * 0.16, line, size=8.5)


def _patch(sheet: Sheet) -> Pixels:
    """Return the pixels of the window in the picture; padding in a pale grey."""
    one = sheet.computed
    height, width = sheet.picture.shape[:2]
    rows, columns = np.clip(one.rows, 0, height - 1), np.clip(one.columns, 0, width - 1)
    patch = sheet.picture[rows][:, columns].copy()
    patch[one.padding] = drawing.rgb(_FAINT)
    return np.asarray(patch)


def _draw_label(axes: Axes, sheet: Sheet, order: int, place: int, left: float, middle: float) -> None:
    """Name a channel, in its colour where it is one of the picture's."""
    if sheet.colour:
        name, colour = _CHANNELS[sheet.computed.channels[place]]
        write(axes, left, middle, name, size=9, colour=colour, weight="bold", centre=True)
    elif max(sheet.computed.given[1:]) > 1:
        write(axes, left, middle, f"channel {sheet.computed.channels[place]}", size=8.5, centre=True)
    else:
        write(axes, left, middle, f"feature {sheet.computed.channels[place]}", size=8.5, centre=True)


def _draw_thumb(axes: Axes, sheet: Sheet, order: int, left: float, middle: float) -> None:
    """Draw the map of a channel with the window framed."""
    one = sheet.computed
    values = one.maps[order]
    low, high = float(one.maps.min()), float(one.maps.max())
    coloured = drawing.colour(values, signed=low < 0, low=min(low, 0.0), high=max(high, 0.0))
    rows, columns = values.shape
    scale = min(sheet.thumb_height / rows, (sheet.thumb - 0.2) / columns)  # inches a unit
    top = middle - rows * scale / 2
    right = draw_image(axes, coloured, left, top, rows * scale, smooth=False)
    window = (min(one.rows), min(one.columns), max(one.rows), max(one.columns))
    draw_frame(axes, window, (left, top), scale, (right, top + rows * scale))


def _draw_sum(
    axes: Axes, right: float, middle: float, words: str, colour: str = drawing.INK, weight: str = "normal"
) -> None:
    write(
        axes, right, middle, words, size=9, family=MONOSPACE, colour=colour, align="right", weight=weight, centre=True
    )


def _draw_end(axes: Axes, sheet: Sheet, right: float, down: float, digits: int) -> None:
    """Add up: the other channels, the bias, a line, the sum, what follows it, and the network's own value."""
    one = sheet.computed
    words_right = right - 0.95
    entries: list[tuple[str, str]] = []
    left_out = len(one.channels) - len(one.shown)
    if left_out:
        kind = "channel" if max(one.given[1:]) > 1 else "feature"
        entries.append((f"{left_out:,} other {kind}{'' if left_out == 1 else 's'}", _signed(one.rest, digits)))
    if one.bias is not None:
        entries.append(("bias", _signed(one.bias, digits)))
    for words, written in entries:
        write(axes, words_right, down, words, size=8.5, align="right", centre=True)
        _draw_sum(axes, right, down, written)
        down += _LINE
    axes.plot([right - 0.85, right], [down - _LINE / 2 + 0.01] * 2, color=drawing.INK, lw=0.9)
    results = [("largest" if one.kernel is None else "sum", one.total), *one.steps]
    for index, (words, value) in enumerate(results):
        last = index == len(results) - 1
        write(axes, words_right, down, words, size=8.5, align="right", centre=True)
        colour, weight = (drawing.ACCENT, "bold") if last else (drawing.INK, "normal")
        _draw_sum(axes, right, down, _signed(value, digits), weight=weight, colour=colour)
        down += _LINE
    write(axes, words_right, down, "the network's own", size=8.5, align="right", colour=GREY, centre=True)
    _draw_sum(axes, right, down, _signed(one.own, digits), colour=GREY)


def _window(sheet: Sheet, place: int, values: Values, scale: Scale, *, read: bool) -> Window:
    """Prepare one window to be drawn; `read` is what the unit reads, the others follow from it."""
    one = sheet.computed
    marked: tuple[int, int] | None = None
    if one.kernel is None:  # the largest value is the answer
        row, column = np.unravel_index(int(np.where(one.padding, -np.inf, values).argmax()), values.shape)
        marked = (int(row), int(column))
    return Window(
        values=values,
        colours=_tinted(sheet, place) if sheet.colour and read else scale.colours(values),
        factor=scale.factor,
        hatched=one.padding & read,  # the kernel is a kernel there too
        framed=read,
        marked=marked,
    )


def _tinted(sheet: Sheet, place: int) -> Pixels:
    """Colour one channel of the window from dark to its own colour, as bright as the picture is in it."""
    channel = sheet.computed.channels[place]  # a pooling, or a group, reads one of the three
    share = _patch(sheet)[:, :, channel, None] / 255
    dark, own = (np.array(drawing.rgb(colour), dtype=float) for colour in (drawing.INK, _CHANNELS[channel][1]))
    return np.asarray(np.rint(dark + share * (own - dark)).astype(np.uint8))


def _decimals(values: Sequence[float]) -> int:
    """Choose the decimals of a column, so that its largest number has four digits."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    return 3 if largest == 0 else min(max(0, 3 - math.floor(math.log10(largest))), 9)


def _signed(value: float, decimals: int) -> str:
    """Write a number with its sign, and as many decimals as the others of its column."""
    return f"{value:+,.{decimals}f}" if value else f"{0:.{decimals}f}"
