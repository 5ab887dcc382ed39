from __future__ import annotations

import pytest

from striate.results.words import count, number, probability, seconds, shape, span


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.0123456, "0.0123"),
        (8.3149, "8.31"),
        (-8.0, "-8"),
        (1280.0, "1,280"),
        (0.001, "0.001"),
        (0.00003114, "3.11e-05"),
        (-2e-9, "-2e-09"),
        (3.5e8, "3.5e+08"),
        (float("nan"), "not a number"),
        (float("-inf"), "minus infinite"),
    ],
)
def test_numbers_have_the_digits_they_deserve(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.8312, "0.83"), (0.9971, ">0.99"), (0.0004, "<0.01"), (1.0, ">0.99"), (0.0, "<0.01")]
)
def test_no_probability_is_written_as_certain(value, text):
    assert probability(value) == text


def test_ranges_shapes_counts_and_times():
    assert span(-0.25, 0.25) == "-0.25 to 0.25"
    assert shape((64, 56, 56)) == "64 x 56 x 56"
    assert shape(()) == "one number"
    assert (count(1, "class", "classes"), count(1000, "class", "classes")) == ("1 class", "1,000 classes")
    assert [seconds(value) for value in (0.0001, 0.0123, 3.21, 192.4)] == ["1 ms", "12 ms", "3.2 s", "3 min 12 s"]
