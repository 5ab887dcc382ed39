"""Arrangements on a grid: every cell once, the best there is where that can be known, near it where not."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from striate.atlas import grid
from striate.atlas.grid import arrange, grid_size
from striate.errors import OptionError


def way(places, cells, rows, columns):
    """The sum of squared ways from the stretched places to the cells."""
    share = (places - places.min(0)) / np.ptp(places, axis=0)
    points = np.stack([(1 - share[:, 1]) * (rows - 1), share[:, 0] * (columns - 1)], axis=1)
    return ((points - cells) ** 2).sum()


@pytest.mark.parametrize(
    ("count", "aspect", "size"), [(9, 1, (3, 3)), (10, 1, (3, 4)), (1, 1, (1, 1)), (32, 2, (4, 8))]
)
def test_the_size_of_a_grid(count, aspect, size):
    assert grid_size(count, aspect) == size


def test_points_that_stand_on_a_grid_stay_there():
    down, across = np.divmod(np.arange(12), 4)
    places = np.stack([across * 3.0, -down * 0.5], axis=1)  # up is where a place's second number is large
    order = np.random.default_rng(0).permutation(12)
    cells = arrange(places[order], 3, 4)
    np.testing.assert_array_equal(cells, np.stack([down, across], axis=1)[order])


def test_no_other_arrangement_of_a_few_is_better():
    places = np.random.default_rng(1).normal(size=(6, 2))
    found = way(places, arrange(places, 2, 3), 2, 3)
    cells = np.stack(np.divmod(np.arange(6), 3), axis=1)
    best = min(way(places, cells[list(order)], 2, 3) for order in itertools.permutations(range(6)))
    assert found == pytest.approx(best)


@pytest.fixture(scope="module")
def crowded():
    """Two heaps of different size, as t-SNE leaves them."""
    random = np.random.default_rng(2)
    return np.concatenate([random.normal(size=(700, 2)), random.normal(size=(620, 2)) * 0.3 + 3])


def test_many_come_near_the_best(crowded):
    size = grid_size(len(crowded))
    cells = arrange(crowded, *size)
    assert len(np.unique(cells, axis=0)) == len(crowded)  # none lies over another
    assert cells.min() == 0
    assert (cells.max(0) < size).all()
    every = np.stack(np.divmod(np.arange(len(crowded)), size[1]), axis=1)
    share = (crowded - crowded.min(0)) / np.ptp(crowded, axis=0)
    points = np.stack([(1 - share[:, 1]) * (size[0] - 1), share[:, 0] * (size[1] - 1)], axis=1)
    cost = ((points[:, None] - every[None]) ** 2).sum(2)
    best = cost[linear_sum_assignment(cost)].sum()
    assert best <= way(crowded, cells, *size) <= 1.05 * best


def test_it_is_the_same_every_time(crowded):
    np.testing.assert_array_equal(arrange(crowded, 37, 37), arrange(crowded, 37, 37))


def test_windows_only_make_it_better(crowded, monkeypatch):
    monkeypatch.setattr(grid, "SWEEPS", 0)
    split = way(crowded, arrange(crowded, 37, 37), 37, 37)
    monkeypatch.setattr(grid, "SWEEPS", 4)
    assert way(crowded, arrange(crowded, 37, 37), 37, 37) < split


def test_points_on_one_spot():
    cells = arrange(np.zeros((7, 2)), 3, 3)
    assert len(np.unique(cells, axis=0)) == 7


def test_a_grid_that_is_too_small():
    with pytest.raises(OptionError, match="10 pictures do not fit on 3 x 3 cells"):
        arrange(np.zeros((10, 2)), 3, 3)
