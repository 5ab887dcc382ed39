"""The lens `connectivity`: which units a unit hangs on, and which ones a pixel reaches, layer by layer."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

from striate.errors import AddressError, NetworkError, OptionError
from striate.geometry import Span, input_span
from striate.graph import Graph, Row
from striate.lenses._lens import lens
from striate.network import Network
from striate.results import CrossSection, Level

__all__ = ["connectivity"]

WIDEST = 48  # pixels that the last layer sees at most, where no layer is named: more dots would not be told apart
MOST = 400  # pixels, beyond which nothing can be drawn


@lens
def connectivity(
    network: Network,
    *,
    layer: str | None = None,
    depth: int = 4,
    unit: int | None = None,
    pixel: int | None = None,
    axis: Literal["across", "down"] = "across",
) -> CrossSection:
    """Draw a cross-section of a network: the pixels that one unit sees, and the units that one pixel reaches.

    A unit of a convolution hangs on few units below it, and a unit above that on a few of those: from the output's
    side a field that grows with depth. From the input's side the same is a fan: a pixel reaches few units of the
    first layer, and more of each that follows.

    Args:
        network: that is asked; it is not run on a picture.
        layer: the last one that is drawn; unless given, the first few are taken.
        depth: layers that are drawn at most, those with windows, when no layer is named.
        unit: of the last layer, by its place along the axis; the middle one unless given.
        pixel: by its place along the axis; the middle of what the unit sees unless given.
        axis: across a row of the picture, or down a column.

    Raises:
        AddressError: no such layer, unit or pixel.
        NetworkError: the layer has no map, or a step before it is no window.
        OptionError: depth is below 1.

    Source: Goodfellow, Bengio and Courville 2016, "Deep Learning", figures 9.2 to 9.4.
    """
    if depth < 1:
        raise OptionError(f"depth must be at least 1, got {depth}.")
    graph = network.graph()
    label = 1 if axis == "across" else 0
    last = graph.last_map() if layer is None else graph.layer(layer)
    if last.row is None or last.map_size is None:
        raise NetworkError(f"layer {last.address!r} gives no map, so its units have no place. Choose one with maps.")
    rows, shortcuts = _way(graph, last.row, label)
    levels = [Level("picture", f"{graph.picture[1 + label]} pixels", graph.picture[1 + label], 0.0, 1.0)]
    span = input_span(graph.picture[1 + label])
    met = 0
    for index, row in enumerate(rows):
        following = row.field.spans[label]
        if _same(span, following):
            continue
        if layer is None and len(levels) > 1 and (len(levels) > depth or _width(following) > WIDEST):
            break
        levels.append(_level(row, span, following, label))
        span = following
        met = shortcuts[index if layer is None else -1]
    if len(levels) == 1:
        raise NetworkError(f"no layer up to {last.address!r} has a window: each unit sees one pixel.")
    if _width(span) > MOST:
        raise OptionError(
            f"a unit of {levels[-1].name} sees {_width(span)} pixels, too many to draw. Name a layer before it."
        )
    return _chosen(levels, unit, pixel, axis, met)


def _chosen(levels: list[Level], unit: int | None, pixel: int | None, axis: str, met: int) -> CrossSection:
    """Choose unit and pixel, or check those that were asked for."""
    top, length = levels[-1], levels[0].length
    unit = top.length // 2 if unit is None else unit
    if not 0 <= unit < top.length:
        raise AddressError(
            f"no unit {unit} in {top.name!r}: along this axis it has {top.length}, 0 to {top.length - 1}."
        )
    pixel = min(max(round(top.place(unit)), 0), length - 1) if pixel is None else pixel
    if not 0 <= pixel < length:
        raise AddressError(f"no pixel {pixel}: along this axis the picture has {length}, 0 to {length - 1}.")
    return CrossSection(levels=tuple(levels), unit=unit, pixel=pixel, axis=axis, shortcuts=met)


def _way(graph: Graph, end: int, label: int) -> tuple[list[Row], list[int]]:
    """Return the steps from the picture to a step, and how many merges lie before each of them.

    Where several ways meet, the one whose units see most is followed: the others see no more in most networks.
    """
    rows: list[Row] = []
    index = end
    merges: list[bool] = []
    while index >= 0:
        row = graph.rows[index]
        rows.append(row)
        placed = [one for one in row.inputs if one < 0 or graph.rows[one].field.spans[label].jump > 0]
        merges.append(len(placed) > 1)
        if not placed:
            raise NetworkError(f"{row.address or row.kind!r} takes its values from something that has no place.")
        index = max(placed, key=lambda one: (_width(graph.rows[one].field.spans[label]) if one >= 0 else 1, one))
    rows.reverse()
    merges.reverse()
    return rows, [sum(merges[: place + 1]) for place in range(len(rows))]


def _level(row: Row, span: Span, following: Span, label: int) -> Level:
    """Read off two spans how the units of one map hang on those of another."""
    name = row.address or row.kind
    if not following.known or following.jump <= 0 or span.jump <= 0:
        raise NetworkError(f"the units of {name!r} have no place of their own, or none that is known.")
    stride = following.jump / span.jump
    padding = (span.low - following.low) / span.jump
    reach = ((following.high - following.low) - (span.high - span.low)) / span.jump
    if any(value.denominator != 1 for value in (stride, padding, reach)) or reach < 0:
        raise NetworkError(
            f"{name!r} ({row.kind}) is no window that slides in whole steps, so its connections cannot be drawn. "
            "Name a layer before it."
        )
    kernel, dilation = int(reach) + 1, 1
    if (
        row.kernel is not None
        and len(row.kernel) > label
        and row.kernel[label] > 1
        and reach % (row.kernel[label] - 1) == 0
    ):
        kernel, dilation = row.kernel[label], int(reach) // (row.kernel[label] - 1)
    words = f"{row.kind} {kernel} wide" if label else f"{row.kind} {kernel} high"
    words += f", stride {stride}" if stride != 1 else ""
    words += f", dilation {dilation}" if dilation != 1 else ""
    return Level(
        name=name,
        words=words,
        length=row.shape[-1] if label else row.shape[-2],
        first=float((following.low + following.high) / 2),
        jump=float(following.jump),
        kernel=kernel,
        stride=int(stride),
        padding=int(padding),
        dilation=dilation,
    )


def _same(first: Span, second: Span) -> bool:
    return (first.jump, first.low, first.high) == (second.jump, second.low, second.high)


def _width(span: Span) -> int:
    return int(span.high - span.low + Fraction(1))
