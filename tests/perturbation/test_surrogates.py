from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso, Ridge
from sklearn.metrics import pairwise_distances, r2_score

from striate.errors import OptionError
from striate.perturbation.surrogates import closeness, every_mask, explained, fit, neighbourhood, penalty

DESIGN = neighbourhood(12, 200, seed=0)
WEIGHTS = closeness(DESIGN, 0.25)
TRUTH = torch.randn(12, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
VALUES = DESIGN.double() @ TRUTH + 4 + 0.3 * torch.randn(200, 3, generator=torch.Generator().manual_seed(2))


def test_every_mask_is_there_once():
    assert every_mask(3).int().tolist() == [
        [0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1], [1, 0, 1], [0, 1, 1], [1, 1, 1]
    ]  # fmt: skip
    assert len(every_mask(8).unique(dim=0)) == 256


def test_the_neighbourhood_begins_with_the_picture_and_hides_half():
    design = neighbourhood(40, 1000, seed=0)
    assert design.shape == (1000, 40)
    assert design[0].all()
    shares = design[1:].double().mean(0)
    assert (shares - 0.5).abs().max() < 0.08  # 5 standard deviations
    assert torch.equal(design, neighbourhood(40, 1000, seed=0))
    assert not torch.equal(design, neighbourhood(40, 1000, seed=1))


def test_few_superpixels_are_enumerated():
    assert torch.equal(neighbourhood(5, 32, seed=0), every_mask(5))
    assert len(neighbourhood(5, 31, seed=0)) == 31
    assert neighbourhood(5, 1, seed=0).all()


@pytest.mark.parametrize("width", [0.25, 1.0])
def test_closeness_is_that_of_the_cosine_distance(width):
    # as the package `lime` weighs its samples
    design = torch.cat([DESIGN, torch.zeros(1, 12, dtype=torch.bool)])
    distances = pairwise_distances(design.double(), np.ones((1, 12)), metric="cosine").ravel()
    np.testing.assert_allclose(closeness(design, width), np.sqrt(np.exp(-(distances**2) / width**2)), rtol=1e-12)


@pytest.mark.parametrize("alpha", [1.0, 0.05, 30.0])
def test_ridge_is_that_of_scikit_learn(alpha):
    found = fit(DESIGN, VALUES, WEIGHTS, "ridge", alpha=alpha, seed=0)
    for index, values in enumerate(VALUES.T.numpy()):
        model = Ridge(alpha=alpha).fit(DESIGN.numpy(), values, sample_weight=WEIGHTS.numpy())
        np.testing.assert_allclose(found.weights[index], model.coef_, rtol=1e-9, atol=1e-12)
        score = model.score(DESIGN.numpy(), values, sample_weight=WEIGHTS.numpy())
        assert found.explained[index] == pytest.approx(score, rel=1e-9)


@pytest.mark.parametrize("alpha", [0.01, 0.1])
def test_lasso_is_that_of_scikit_learn(alpha):
    # with an intercept, which ours has taken out before
    found = fit(DESIGN, VALUES, WEIGHTS, "lasso", alpha=alpha, seed=0)
    for index, values in enumerate(VALUES.T.numpy()):
        model = Lasso(alpha=alpha, tol=1e-8).fit(DESIGN.double().numpy(), values, sample_weight=WEIGHTS.numpy())
        np.testing.assert_allclose(found.weights[index], model.coef_, rtol=0, atol=1e-4)
        np.testing.assert_array_equal(found.weights[index] == 0, model.coef_ == 0)
    assert (found.weights == 0).any()


@pytest.mark.parametrize("kind", ["ridge", "lasso"])
def test_without_a_penalty_a_sum_is_found_exactly(kind):
    values = DESIGN.double() @ TRUTH + 4
    found = fit(DESIGN, values, WEIGHTS, kind, alpha=0, seed=0)
    torch.testing.assert_close(found.weights, TRUTH.T, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.explained, torch.ones(3, dtype=torch.float64))


def test_fewer_samples_than_superpixels_give_the_shortest_solution():
    found = fit(DESIGN[:5], VALUES[:5], torch.ones(5), "ridge", alpha=0, seed=0)
    centred = (DESIGN[:5].double() - DESIGN[:5].double().mean(0)).numpy()
    expected = np.linalg.lstsq(centred, (VALUES[:5] - VALUES[:5].mean(0)).numpy(), rcond=None)[0]
    np.testing.assert_allclose(found.weights.T, expected, rtol=1e-8, atol=1e-10)


def test_a_forest_finds_what_adds_and_what_works_together():
    alone = DESIGN[:, 0].double() * 3 - DESIGN[:, 1].double() * 2
    together = 4.0 * (DESIGN[:, 0] ^ DESIGN[:, 1]).double()  # each alone explains nothing of it
    values = torch.stack([alone, together], dim=1)
    forest = fit(DESIGN, values, WEIGHTS, "forest", alpha=0, seed=0)
    weights = forest.weights[0]
    assert weights[0] == pytest.approx(3, rel=0.25)
    assert weights[1] == pytest.approx(-2, rel=0.25)
    assert weights[2:].abs().max() < 0.2
    ridge = fit(DESIGN, values, WEIGHTS, "ridge", alpha=1, seed=0)
    assert ridge.explained[1] < 0.3 < 0.6 < forest.explained[1]


def test_a_forest_is_the_same_for_one_seed_and_for_each_score_by_itself():
    first, second = (fit(DESIGN, VALUES, WEIGHTS, "forest", alpha=0, seed=3) for _ in range(2))
    assert torch.equal(first.weights, second.weights)
    alone = fit(DESIGN, VALUES[:, 1:2], WEIGHTS, "forest", alpha=0, seed=3)
    assert torch.equal(alone.weights[0], first.weights[1])
    assert not torch.equal(first.weights, fit(DESIGN, VALUES, WEIGHTS, "forest", alpha=0, seed=4).weights)


@pytest.mark.parametrize("kind", ["ridge", "lasso", "forest"])
@pytest.mark.parametrize("samples", [1, 2, 5])
def test_hardly_any_samples_are_no_error(kind, samples):
    found = fit(DESIGN[:samples], VALUES[:samples], WEIGHTS[:samples], kind, alpha=1, seed=0)
    assert found.weights.isfinite().all()
    assert found.explained.isfinite().all()


def test_explained_is_the_weighted_r_squared():
    guess = VALUES + torch.randn(VALUES.shape, generator=torch.Generator().manual_seed(4))
    expected = r2_score(VALUES, guess, sample_weight=WEIGHTS, multioutput="raw_values")
    np.testing.assert_allclose(explained(VALUES, guess, WEIGHTS), expected)


def test_a_score_that_never_changes_is_explained_by_nothing():
    constant = torch.full((200, 1), 8.1)
    found = fit(DESIGN, constant, WEIGHTS, "ridge", alpha=1, seed=0)
    assert found.weights.abs().max() < 1e-9
    assert found.explained.tolist() == [0]


def test_penalties():
    assert [penalty(kind, None) for kind in ("ridge", "lasso")] == [1.0, 0.01]
    assert penalty("lasso", 0.5) == 0.5
    with pytest.raises(OptionError, match=r"alpha must be 0 or more, got -1\.0"):
        penalty("ridge", -1.0)
    with pytest.raises(OptionError, match=r"a forest has none, got 0\.5"):
        penalty("forest", 0.5)
