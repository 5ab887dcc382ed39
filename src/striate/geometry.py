"""Which pixels a unit can see: the arithmetic of receptive fields. Needs no torch and no model.

Along one axis of the picture a whole feature map is described by one `Span`: its unit u sees the
pixels ``low + jump * u`` to ``high + jump * u``. Every layer turns the spans of its inputs into the
span of its output, so one sweep in the order of execution gives every layer of a network, branches
and merges included.

Source: Araujo, Norris and Sim 2019, "Computing receptive fields of convolutional neural networks",
distill.pub/2019/computing-receptive-fields (the recurrences; there they run backwards along one path).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, floor
from typing import Any

__all__ = [
    "Box",
    "Field",
    "Span",
    "adaptive_pooled",
    "bounded",
    "collapsed",
    "convolved",
    "dilated_to",
    "input_span",
    "merged",
    "mirrored",
    "shifted",
    "spread",
    "strided",
    "transposed",
    "unknown_span",
    "upsampled",
]

_NOTHING = (Fraction(0), Fraction(0))
Box = tuple[int, int, int, int]  # top, left, bottom, right; pixels, all inclusive


@dataclass(frozen=True)
class Span:
    """What the units of one feature map see along one axis of the picture, in pixels.

    Attributes:
        jump: pixels between the windows of neighbouring units; 0 when the axis has been averaged away.
        low: first pixel that unit 0 sees; negative when padding is seen.
        high: last pixel that unit 0 sees.
        exact: both ends are reached; otherwise the true window lies within this one.
        always: first and last pixel that every unit sees besides its own window (through a gate such
            as squeeze-and-excitation, or through a normalisation over the map), or None.
        known: False when some operation on the way could not be followed: anything may be seen.
        mirrored: elements by which the map was padded with its own, mirrored or repeated, as long as no window
            wide enough has taken them in.
        limits: first and last pixel that any unit of the map sees; what a window holds beyond them is
            padding somewhere on the way. None where lengths were not given.
    """

    jump: Fraction
    low: Fraction
    high: Fraction
    exact: bool = True
    always: tuple[Fraction, Fraction] | None = None
    known: bool = True
    limits: tuple[Fraction, Fraction] | None = None
    mirrored: int = 0

    def window(self, unit: int) -> tuple[int, int]:
        """Return the first and last pixel of the unit's own window, without what it always sees."""
        return ceil(self.low + self.jump * unit), floor(self.high + self.jump * unit)

    def seen(self, unit: int) -> tuple[int, int]:
        """Return the first and last pixel of the unit's own window, cut where nothing but padding lies."""
        low, high = self.window(unit)
        if self.limits is not None:
            first, last = ceil(self.limits[0]), floor(self.limits[1])
            # a unit that sees nothing but padding keeps the nearest pixel, so that it can be drawn
            low, high = min(max(low, first), last), max(min(high, last), first)
        return low, high

    def reach(self, unit: int) -> tuple[int, int]:
        """Return the first and last pixel that the unit sees in any way."""
        low, high = self.seen(unit)
        if self.always is not None:
            low, high = min(low, ceil(self.always[0])), max(high, floor(self.always[1]))
        return low, high

    def covers(self, length: int) -> bool:
        """Tell whether every unit sees all of a picture that is `length` pixels long."""
        if self.jump == 0 and self.exact and self.low <= 0 and self.high >= length - 1:
            return True
        return self.always is not None and self.always[0] <= 0 and self.always[1] >= length - 1


def input_span(length: int | None = None) -> Span:
    """Return the span of the picture itself, `length` pixels long: pixel u sees pixel u."""
    return bounded(Span(Fraction(1), Fraction(0), Fraction(0)), length) if length else Span(Fraction(1), *_NOTHING)


def bounded(span: Span, length: int) -> Span:
    """Note that the map has `length` units: beyond what they see there is only padding."""
    first, last = 0, length - 1
    if span.limits is not None and span.jump > 0:  # units that see nothing but padding set no limit
        first = max(first, ceil((span.limits[0] - span.high) / span.jump))
        last = min(last, floor((span.limits[1] - span.low) / span.jump))
    low, high = span.low + span.jump * first, span.high + span.jump * last
    if span.limits is not None:
        low, high = max(low, span.limits[0]), min(high, span.limits[1])
    return replace(span, limits=(low, high))


def unknown_span() -> Span:
    """Return the span of a map about which nothing can be said."""
    return Span(Fraction(0), Fraction(0), Fraction(0), exact=False, known=False)


def _unmirrored(span: Span) -> Span:
    """Widen the windows so that they hold what mirrored padding repeats: a bound."""
    if not span.mirrored:
        return span
    reach = span.jump * 2 * span.mirrored  # from as far outside to as far inside
    return replace(span, low=span.low - reach, high=span.high + reach, exact=False, mirrored=0)


def mirrored(span: Span, elements: int) -> Span:
    """Note that the map is padded with its own elements, up to `elements` from where they are repeated."""
    return replace(_unmirrored(span), mirrored=elements)


def convolved(span: Span, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> Span:
    """Pass a span through a convolution or a pooling window of `kernel` taps.

    `padding` is what stands before the first element; it may be negative (a crop).
    """
    # a window that reaches as far inside as the padding reaches outside holds what the padding repeats
    span = replace(span, mirrored=0) if dilation * (kernel - 1) >= 2 * span.mirrored else _unmirrored(span)
    first = span.low - span.jump * padding
    last = span.high + span.jump * (dilation * (kernel - 1) - padding)
    return replace(span, jump=span.jump * stride, low=first, high=last)


def transposed(span: Span, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> Span:
    """Pass a span through a transposed convolution.

    Output o hears input i where o = i*stride - padding + dilation*tap, so the ends fall between
    pixels for stride above 1: a bound, less than one jump too wide.
    """
    span = _unmirrored(span)
    step = span.jump / stride
    return replace(
        span,
        jump=step,
        low=span.low + step * (padding - dilation * (kernel - 1)),
        high=span.high + step * padding,
        exact=span.exact and stride == 1,
    )


def adaptive_pooled(span: Span, length: int, outputs: int) -> Span:
    """Pass a span through pooling from `length` elements to `outputs` nearly equal windows."""
    if length % outputs == 0:
        return convolved(span, length // outputs, length // outputs)
    span = _unmirrored(span)
    # window u runs from floor(u*length/outputs) to ceil((u+1)*length/outputs) - 1
    jump, slack = Fraction(length, outputs), Fraction(outputs - 1, outputs)
    return replace(
        span,
        jump=span.jump * jump,
        low=span.low - span.jump * slack,
        high=span.high + span.jump * (jump - 1 + slack),
        exact=False,
    )


def upsampled(
    span: Span, length: int, outputs: int, *, taps: int = 1, corners: bool = False, step: Fraction | None = None
) -> Span:
    """Pass a span through interpolation from `length` to `outputs` elements: a bound.

    Args:
        span: of the map before.
        length: elements before.
        outputs: elements after.
        taps: neighbours that one output mixes: 1 nearest, 2 linear, 4 cubic.
        corners: the outermost elements keep their places (``align_corners=True``).
        step: inputs between neighbouring outputs, where it is not length/outputs (``scale_factor``).
    """
    if length == outputs and step is None:
        return span
    span = _unmirrored(span)
    if corners:
        step, shift = Fraction(length - 1, outputs - 1) if outputs > 1 else Fraction(0), Fraction(0)
    else:
        step = Fraction(length, outputs) if step is None else step
        shift = step / 2 - Fraction(1, 2)
    if taps == 1:  # output o takes input floor(o*step)
        before, after = Fraction(step.denominator - 1, step.denominator), Fraction(0)
    else:  # output o stands at o*step + shift, between its neighbours
        before, after = Fraction(taps, 2) - shift, Fraction(taps, 2) + shift
    return replace(
        span,
        jump=span.jump * step,
        low=span.low - span.jump * before,
        high=span.high + span.jump * after,
        exact=False,
    )


def shifted(span: Span, elements: int) -> Span:
    """Renumber the units so that the new unit 0 is the old unit `elements` (negative: padding before)."""
    move = span.jump * elements
    return replace(span, low=span.low + move, high=span.high + move)


def strided(span: Span, step: int) -> Span:
    """Keep every `step`-th unit."""
    return replace(span, jump=span.jump * step)


def dilated_to(span: Span, factor: int) -> Span:
    """Spread each unit over `factor` neighbours, as depth-to-space does: a bound."""
    step = span.jump / factor
    return replace(span, jump=step, low=span.low - step * (factor - 1), exact=False)


def collapsed(span: Span, length: int) -> Span:
    """Average or sum away an axis of `length` units: all that any of them sees is seen."""
    span = _unmirrored(span)
    low, high = span.low, span.high + span.jump * (length - 1)
    if span.limits is not None:
        low, high = max(low, span.limits[0]), min(high, span.limits[1])
    if span.always is not None:
        low, high = min(low, span.always[0]), max(high, span.always[1])
    return replace(span, jump=Fraction(0), low=low, high=high, always=None, limits=None)


def spread(span: Span, length: int) -> Span:
    """Let every unit see what all `length` of them see, and keep its own window (normalisation, softmax)."""
    return merged(span, collapsed(span, length), length)


def merged(first: Span, second: Span, length: int) -> Span:
    """Join two spans that meet in one map of `length` units (sum, product, concatenation of channels).

    With equal jumps the hull is exact. A span without jump (averaged away before) becomes what every
    unit always sees. Unequal jumps have no common grid: the hull over all units is a bound.
    """
    if not (first.known and second.known):
        return unknown_span()
    if first.mirrored != second.mirrored:
        first, second = _unmirrored(first), _unmirrored(second)
    if first.jump == 0 and second.jump != 0:
        first, second = second, first
    always = _hull(first.always, second.always)
    if second.jump == 0 and first.jump != 0:
        exact = first.exact and second.exact
        return replace(first, exact=exact, always=_hull(always, (second.low, second.high)))
    drift = (second.jump - first.jump) * max(length - 1, 0)
    return Span(
        jump=first.jump,
        low=min(first.low, second.low + min(drift, Fraction(0))),
        high=max(first.high, second.high + max(drift, Fraction(0))),
        exact=first.exact and second.exact and drift == 0 and (_nested(first, second) or _nested(second, first)),
        always=always,
        limits=None if first.limits is None or second.limits is None else _hull(first.limits, second.limits),
        mirrored=first.mirrored,
    )


def _nested(inner: Span, outer: Span) -> bool:
    """Tell whether one window lies in the other at the borders of the map too, so that their hull is the outer."""
    if inner.limits is None or outer.limits is None or inner.limits == outer.limits:
        return True
    within = outer.low <= inner.low and inner.high <= outer.high
    return within and outer.limits[0] <= inner.limits[0] and inner.limits[1] <= outer.limits[1]


def _hull(
    first: tuple[Fraction, Fraction] | None, second: tuple[Fraction, Fraction] | None
) -> tuple[Fraction, Fraction] | None:
    if first is None or second is None:
        return first if second is None else second
    return min(first[0], second[0]), max(first[1], second[1])


@dataclass(frozen=True)
class Field:
    """The receptive fields of all units of one layer, on a picture of given size.

    Attributes:
        vertical: span along the rows of the picture.
        horizontal: span along its columns.
        picture: height and width of the picture in pixels.
    """

    vertical: Span
    horizontal: Span
    picture: tuple[int, int]

    @property
    def spans(self) -> tuple[Span, Span]:
        """The vertical and the horizontal span."""
        return self.vertical, self.horizontal

    @property
    def status(self) -> str:
        """How far to trust the box.

        "exact": its borders are reached (where padding cuts a window with gaps, from dilation or a stride
        wider than the kernel, the tap before the gap may be the last). "bound": the true field lies within.
        "whole input": every unit sees all of the picture (its own window may still be smaller, see `size`).
        "unknown": some operation was not followed.
        """
        if not all(span.known for span in self.spans):
            return "unknown"
        if all(span.covers(length) for span, length in zip(self.spans, self.picture, strict=True)):
            return "whole input"
        if any(span.always is not None or not span.exact for span in self.spans):
            return "bound"
        return "exact"

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width in pixels of one unit's own window, padding included; None when unknown."""
        if self.status == "unknown":
            return None
        height, width = (floor(span.high) - ceil(span.low) + 1 for span in self.spans)
        return height, width

    @property
    def stride(self) -> tuple[float, float] | None:
        """Pixels between neighbouring units, down and across; 0 where the axis is averaged away."""
        return None if self.status == "unknown" else (float(self.vertical.jump), float(self.horizontal.jump))

    @property
    def centre(self) -> tuple[float, float] | None:
        """Row and column, in pixels, of the middle of unit (0, 0)'s window."""
        if self.status == "unknown":
            return None
        row, column = (float(span.low + span.high) / 2 for span in self.spans)
        return row, column

    def to_dict(self) -> dict[str, Any]:
        """Return status, size, stride and first centre as JSON-able values."""
        return {"status": self.status, "size": self.size, "stride": self.stride, "first_centre": self.centre}

    def box(self, row: int, column: int, *, clipped: bool = True, own: bool = False) -> Box:
        """Return the pixels that the unit at `row`, `column` sees, as (top, left, bottom, right), inclusive.

        Args:
            row: of the unit in its map.
            column: of the unit in its map.
            clipped: cut where only padding lies; otherwise padding is counted.
            own: only the unit's own window, without what every unit always sees.
        """
        height, width = self.picture
        if self.status == "unknown":
            return 0, 0, height - 1, width - 1
        if clipped:
            ways = [span.seen if own else span.reach for span in self.spans]
        else:
            ways = [span.window for span in self.spans]
        (top, bottom), (left, right) = ways[0](row), ways[1](column)
        if clipped:
            top, bottom = min(max(top, 0), height - 1), min(max(bottom, 0), height - 1)
            left, right = min(max(left, 0), width - 1), min(max(right, 0), width - 1)
        return top, left, bottom, right

    def nearest(self, row: float, column: float, size: tuple[int, int]) -> tuple[int, int]:
        """Return the unit whose window has its middle nearest to a place in the picture.

        Args:
            row: of the place, pixels; 0 is the upper edge of the picture.
            column: likewise; 0 is the left edge.
            size: height and width of the map.

        Returns:
            Row and column of the unit; where fields are unknown, the one at the same share of the map.
        """
        found = []
        for span, place, units, pixels in zip(self.spans, (row, column), size, self.picture, strict=True):
            if self.status == "unknown":
                unit = floor(place / pixels * units)
            elif span.jump == 0:
                unit = 0
            else:  # pixel p reaches from p to p + 1
                middle = float(span.low + span.high) / 2 + 0.5
                unit = floor((place - middle) / float(span.jump) + 0.5)
            found.append(min(max(unit, 0), units - 1))
        return found[0], found[1]
