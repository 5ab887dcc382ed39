"""The table of the lectures: each square, and what it says."""

from __future__ import annotations

import pytest

from striate.learn.transferring.strategy import choose_strategy
from striate.results.likeness import Amount, Depth, Likeness

FEW, MANY = Amount(300, 3, 100, 100, 100), Amount(9000, 3, 3000, 3000, 3000)


def likeness(shallow: float, deep: float, shift: float | None = 0.2) -> Likeness:
    depths = (Depth("Conv1", 8, 5.0, shallow, 0.01), Depth("conv4", 64, 90.0, deep, 0.01))
    return Likeness(depths, 1 / 3, 300, shift, 0.6, 10)


@pytest.mark.parametrize(
    ("amount", "like", "several", "stages"),
    [
        (FEW, likeness(0.5, 0.8), False, 0),
        (FEW, likeness(0.8, 0.5), True, 0),
        (MANY, likeness(0.5, 0.8), False, 2),
        (MANY, likeness(0.8, 0.5), True, 3),
        (MANY, likeness(0.81, 0.8), False, 2),  # as good within two standard errors
        (MANY, likeness(0.5, 0.8, shift=0.7), True, 3),  # as far off as noise
        (FEW, likeness(0.5, 0.8, shift=None), False, 0),
    ],
)
def test_squares(amount, like, several, stages):
    found = choose_strategy(amount, like)
    assert (found.several, found.stages) == (several, stages)


def test_a_narrow_difference_needs_no_shift():
    depths = (Depth("conv1", 8, 5.0, 0.8, 0.01), Depth("conv4", 64, 90.0, 0.765, 0.01))  # 3.5 of 2.8 and of 4 points
    found = choose_strategy(FEW, Likeness(depths, 1 / 3, 300, None, None, 10))
    assert found.several
    assert "conv1, 80.0 %" in found.why


def test_the_reason_has_the_numbers():
    why = choose_strategy(FEW, likeness(0.8, 0.5)).why
    assert "300 pictures of 3 classes" in why
    assert why.startswith("Little to learn from")
    assert "Conv1, 80.0 %" in why  # an address keeps its capitals
    assert "conv4, 50.0 %" in why
    assert "0.70 standard deviations" in choose_strategy(MANY, likeness(0.5, 0.8, shift=0.7)).why
