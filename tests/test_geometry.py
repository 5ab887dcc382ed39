"""Receptive fields of single layers, worked by hand, and of chains, against an interval kept the plain way."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from striate.geometry import (
    Field,
    Span,
    adaptive_pooled,
    collapsed,
    convolved,
    input_span,
    merged,
    shifted,
    spread,
    transposed,
    unknown_span,
    upsampled,
)
from striate.sizes import output_size

PIXELS = input_span()


def window(span: Span, unit: int) -> tuple[int, int]:
    return span.window(unit)


def test_a_three_wide_kernel_with_padding():
    span = convolved(PIXELS, kernel=3, stride=2, padding=1)
    assert [window(span, unit) for unit in range(3)] == [(-1, 1), (1, 3), (3, 5)]


def test_dilation_widens():
    assert window(convolved(PIXELS, kernel=3, dilation=4), 0) == (0, 8)


def test_vgg_grows_to_212():
    span = PIXELS
    for convolutions in (2, 2, 3, 3, 3):
        for _ in range(convolutions):
            span = convolved(span, 3, padding=1)
        span = convolved(span, 2, 2)
    assert (span.high - span.low + 1, span.jump) == (212, 32)


LAYER = st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(0, 2), st.integers(1, 3))


@given(st.lists(LAYER, min_size=1, max_size=5), st.integers(0, 4))
def test_a_chain_sees_what_its_taps_reach(layers, unit):
    span = PIXELS
    for kernel, stride, padding, dilation in layers:
        span = convolved(span, kernel, stride, padding, dilation)
    first = last = unit  # the other way round: from the unit back to the pixels
    for kernel, stride, padding, dilation in reversed(layers):
        first = first * stride - padding
        last = last * stride - padding + dilation * (kernel - 1)
    assert window(span, unit) == (first, last)


@given(st.lists(LAYER, min_size=1, max_size=5))
def test_a_receptive_field_is_the_input_that_gives_an_output_of_one(layers):
    # row C6: without padding
    span = PIXELS
    for kernel, stride, _, dilation in layers:
        span = convolved(span, kernel, stride, 0, dilation)

    def outputs(length: int) -> int:
        for kernel, stride, _, dilation in layers:
            length = output_size(length, kernel, stride, 0, dilation)
        return length

    size = int(span.high - span.low) + 1
    assert (outputs(size - 1), outputs(size)) == (0, 1)
    assert outputs(size + int(span.jump)) == 2


@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 2), st.integers(1, 2), st.integers(0, 9))
def test_a_transposed_convolution_lies_within_its_bound(kernel, stride, padding, dilation, unit):
    span = transposed(PIXELS, kernel, stride, padding, dilation)
    heard = [i for i in range(-30, 31) for tap in range(kernel) if i * stride - padding + dilation * tap == unit]
    low, high = window(span, unit)
    assert all(low <= i <= high for i in heard)
    assert span.exact == (stride == 1)


@given(st.integers(1, 12), st.integers(1, 12), st.data())
def test_adaptive_pooling_lies_within_its_bound(length, outputs, data):
    unit = data.draw(st.integers(0, outputs - 1))
    span = adaptive_pooled(PIXELS, length, outputs)
    first, last = unit * length // outputs, -(-(unit + 1) * length // outputs) - 1
    low, high = window(span, unit)
    assert low <= first
    assert high >= last
    if length % outputs == 0:
        assert (low, high) == (first, last)


@given(st.integers(1, 12), st.integers(1, 24), st.data())
def test_nearest_interpolation_lies_within_its_bound(length, outputs, data):
    unit = data.draw(st.integers(0, outputs - 1))
    low, high = window(upsampled(PIXELS, length, outputs), unit)
    assert low <= unit * length // outputs <= high


@given(st.integers(2, 12), st.integers(2, 24), st.booleans(), st.data())
def test_linear_interpolation_lies_within_its_bound(length, outputs, corners, data):
    unit = data.draw(st.integers(0, outputs - 1))
    span = upsampled(PIXELS, length, outputs, taps=2, corners=corners)
    if corners:
        place = Fraction(unit * (length - 1), outputs - 1)
    else:
        place = max(Fraction(0), Fraction((2 * unit + 1) * length, 2 * outputs) - Fraction(1, 2))
    first = int(place)
    low, high = window(span, unit)
    assert low <= first
    assert place == first or first + 1 >= length or first + 1 <= high


def test_a_merge_is_the_hull():
    joined = merged(convolved(PIXELS, 3, padding=1), convolved(PIXELS, 7, padding=3), 20)
    assert (window(joined, 5), joined.exact) == ((2, 8), True)


def test_a_merge_of_unequal_strides_is_a_bound():
    joined = merged(convolved(PIXELS, 1, stride=2), PIXELS, 10)
    assert not joined.exact
    assert all(joined.window(unit)[0] <= unit <= joined.window(unit)[1] for unit in range(10))
    assert all(joined.window(unit)[0] <= 2 * unit <= joined.window(unit)[1] for unit in range(10))


def test_a_gate_is_always_seen_besides_the_own_window():
    gated = merged(PIXELS, collapsed(convolved(PIXELS, 3, padding=1), 20), 20)
    assert gated.window(4) == (4, 4)
    assert gated.reach(4) == (-1, 20)
    assert gated.covers(20)
    assert spread(PIXELS, 20).covers(20)


def test_what_is_unknown_stays_unknown():
    assert not merged(PIXELS, unknown_span(), 5).known


def test_moved_units():
    assert window(shifted(convolved(PIXELS, 3, stride=2), 3), 0) == (6, 8)


def test_a_field_says_size_stride_centre_status_and_box():
    span = convolved(PIXELS, 11, stride=4, padding=2)
    field = Field(span, span, (224, 200))
    assert (field.size, field.stride, field.centre, field.status) == ((11, 11), (4, 4), (3, 3), "exact")
    assert field.box(0, 1) == (0, 2, 8, 12)
    assert field.box(0, 1, clipped=False) == (-2, 2, 8, 12)


def test_statuses():
    whole = Field(collapsed(PIXELS, 8), collapsed(PIXELS, 8), (8, 8))
    gated = Field(spread(PIXELS, 8), spread(PIXELS, 8), (8, 8))
    striped = Field(collapsed(PIXELS, 8), PIXELS, (8, 8))  # one direction only
    assert [field.status for field in (whole, gated, striped)] == ["whole input", "whole input", "exact"]
    assert gated.size == (1, 1)
    assert gated.box(3, 3) == (0, 0, 7, 7)
    assert gated.box(3, 3, own=True) == (3, 3, 3, 3)
    unknown = Field(unknown_span(), PIXELS, (8, 8))
    assert (unknown.status, unknown.size, unknown.box(3, 3)) == ("unknown", None, (0, 0, 7, 7))


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_the_unit_nearest_to_the_middle_of_a_window_is_the_one_of_that_window(stride):
    span = convolved(input_span(40), kernel=5, stride=stride, padding=2, dilation=1)
    field = Field(span, span, (40, 40))
    units = (40 + 4 - 5) // stride + 1
    for unit in range(units):
        low, high = span.window(unit)
        middle = (low + high + 1) / 2
        assert field.nearest(middle, middle, (units, units)) == (unit, unit)
        assert field.nearest(middle + stride / 2 - 0.01, middle - stride / 2 + 0.01, (units, units)) == (unit, unit)
    assert field.nearest(-5, 99, (units, units)) == (0, units - 1)
