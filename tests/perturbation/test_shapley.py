from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from striate.perturbation.shapley import coalitions, shapley_values
from striate.perturbation.surrogates import every_mask


def game(count: int, seed: int = 0, scores: int = 2) -> Tensor:
    """Draw a value for every coalition, in the order of `every_mask`: (2 ** count, scores)."""
    return torch.randn(2**count, scores, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def number(coalition: Tensor) -> Tensor:
    """Return where coalitions (M, S) stand in `every_mask`."""
    return (coalition.long() * 2 ** torch.arange(coalition.shape[1])).sum(1)


def by_definition(values: Tensor, count: int) -> Tensor:
    """Average what each player adds over all orders in which they could come: (scores, count)."""
    found = torch.zeros(values.shape[1], count, dtype=torch.float64)
    for order in itertools.permutations(range(count)):
        there = 0
        for player in order:
            found[:, player] += values[there + 2**player] - values[there]
            there += 2**player
    return found / math.factorial(count)


def solve(values: Tensor, count: int, samples: int, seed: int = 0) -> Tensor:
    found = coalitions(count, samples, seed)
    return shapley_values(found, values[number(found.design)], values[-1], values[0])


@pytest.mark.parametrize("count", [2, 3, 4, 6])
def test_all_coalitions_give_the_shapley_values(count):
    values = game(count)
    assert coalitions(count, 2**count - 2, 0).exact
    torch.testing.assert_close(solve(values, count, 2**count - 2), by_definition(values, count), rtol=1e-9, atol=1e-9)


def test_all_coalitions_are_taken_once_or_not_all():
    found = coalitions(7, 126, 0)
    assert torch.equal(number(found.design).sort().values, torch.arange(1, 127))
    assert float(found.weights.sum()) == pytest.approx(1)
    assert not coalitions(7, 125, 0).exact


@pytest.mark.parametrize("samples", [2, 3, 20, 40, 60, 300])
@pytest.mark.parametrize("count", [9, 12])
def test_the_sum_is_the_whole_change_however_few_the_samples(count, samples):
    values = game(count)
    found = solve(values, count, samples)
    torch.testing.assert_close(found.sum(1), values[-1] - values[0])
    assert len(coalitions(count, samples, 0).design) <= samples


@pytest.mark.parametrize("samples", [60, 100, 500])
def test_what_only_adds_up_is_found_exactly_from_few_samples(samples):
    worth = torch.randn(12, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    values = every_mask(12).double() @ worth + 5
    assert coalitions(12, samples, 0).determined
    torch.testing.assert_close(solve(values, 12, samples), worth.T, rtol=1e-8, atol=1e-8)


def test_too_few_samples_are_noticed():
    assert not coalitions(12, 4, 0).determined
    assert not coalitions(12, 12, 0).determined


def test_a_size_is_taken_whole_or_drawn_in_pairs():
    found = coalitions(12, 100, 0)  # 24 coalitions of 1 or 11; the 132 of 2 or 10 are too many
    sizes = found.design.sum(1)
    assert torch.equal(number(found.design[:12]).sort().values, 2 ** torch.arange(12))
    assert (sizes[:24].bincount()[[1, 11]] == 12).all()
    drawn = found.design[24:]
    assert torch.equal(drawn[0::2], ~drawn[1::2])
    assert ((sizes[24:] > 1) & (sizes[24:] < 11)).all()
    kernel = [11 / (size * (12 - size)) for size in range(1, 12)]
    assert float(found.weights[:24].sum()) == pytest.approx((kernel[0] + kernel[-1]) / sum(kernel))


def test_drawn_sizes_follow_the_kernel():
    drawn = coalitions(60, 8000, 0).design[120:]  # after those of 1 and 59
    shares = drawn.sum(1).bincount(minlength=61)[2:59].double() / len(drawn)
    kernel = torch.tensor([1 / (size * (60 - size)) for size in range(2, 59)], dtype=torch.float64)
    np.testing.assert_allclose(shares, kernel / kernel.sum(), rtol=0, atol=0.015)
    assert (drawn.double().mean(0) - 0.5).abs().max() < 1e-9  # pairs are balanced


def test_estimates_come_nearer_with_more_samples_and_depend_on_the_seed_alone():
    values = game(10)
    exact = solve(values, 10, 2**10)
    errors = [
        float(torch.stack([(solve(values, 10, samples, seed) - exact).square().mean() for seed in range(8)]).mean())
        for samples in (60, 240, 960)
    ]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]
    assert torch.equal(solve(values, 10, 240, 5), solve(values, 10, 240, 5))
