"""Filters drawn by lot: their length, what they answer to, and that a seed is enough to have them again."""

from __future__ import annotations

import numpy as np
import pytest

from striate.errors import OptionError
from striate.kernels import random_filters
from striate.kernels.random import RULES


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("flat", [True, False])
def test_every_filter_has_length_one_and_is_not_like_another(rule, flat):
    found = random_filters(40, 3, (5, 4), rule=rule, flat=flat, seed=3)
    assert found.shape == (40, 3, 5, 4)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.sqrt((found**2).sum((1, 2, 3))), 1, rtol=1e-6)
    alike = np.abs(found.reshape(40, -1) @ found.reshape(40, -1).T) - np.eye(40)
    assert alike.max() < 0.7  # in 60 dimensions two of 40 are seldom nearer
    assert abs(alike.mean()) > 1e-3


def test_answers_to_white_noise_have_variance_one():
    noise = np.random.default_rng(0).standard_normal((4000, 27))
    answers = noise @ random_filters(50, 3, 3).reshape(50, 27).T
    assert answers.var() == pytest.approx(1, abs=0.03)


def test_filters_that_are_not_flat_give_nothing_for_any_even_colour():
    colour = np.array([0.2, 0.9, 0.5])[None, :, None, None]
    assert np.abs((random_filters(8, 3, 7, flat=False) * colour).sum((1, 2, 3))).max() < 1e-6
    assert np.abs((random_filters(8, 3, 7) * colour).sum((1, 2, 3))).max() > 0.05


def test_signs_are_all_as_large():
    found = random_filters(6, 2, 3, rule="signs")
    np.testing.assert_allclose(np.abs(found), 1 / np.sqrt(18), rtol=1e-6)


def test_more_filters_begin_with_the_same_ones_and_another_seed_gives_others():
    few, many, others = random_filters(4, 3, 3), random_filters(9, 3, 3), random_filters(4, 3, 3, seed=1)
    np.testing.assert_array_equal(few, many[:4])
    assert np.abs(few - others).max() > 0.1


def test_a_filter_whose_signs_are_all_alike_is_drawn_again():
    found = random_filters(64, 1, (1, 2), rule="signs", flat=False)  # half of them have nothing left
    np.testing.assert_allclose(np.abs(found), np.sqrt(0.5), rtol=1e-6)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"count": 0}, "each at least 1; got 0 filters of 3 x 3"),
        ({"size": (3, 3, 3)}, "side or height and width"),
        ({"rule": "gabor"}, "no rule 'gabor' for random filters; there are gaussian, uniform, signs"),
        ({"size": 1, "flat": False}, "filters of one pixel answer to nothing but even light"),
    ],
)
def test_what_makes_no_sense_is_said(given, words):
    with pytest.raises(OptionError, match=words):
        random_filters(**{"count": 4, "channels": 3, "size": 3, **given})
