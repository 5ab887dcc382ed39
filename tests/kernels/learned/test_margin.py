"""The linear classifier against scikit-learn's LinearSVC, which minimises the same."""

from __future__ import annotations

import numpy as np
import pytest

from striate.errors import DataError, OptionError
from striate.kernels.learned.margin import LEAST, fit_margin, pick_strength


def made(rows: int = 500, size: int = 30, classes: int = 4):
    """Features of unlike scales, far from zero, and labels that they nearly tell."""
    generator = np.random.default_rng(0)
    scale, middle = generator.uniform(0.5, 30, size), generator.uniform(-50, 100, size)
    features = generator.standard_normal((rows, size))
    told = features @ generator.standard_normal((size, classes)) + 2 * generator.standard_normal((rows, classes))
    return (features * scale + middle).astype(np.float32), told.argmax(1)


def test_it_is_scikit_learns():
    from sklearn.svm import LinearSVC

    features, labels = made()
    found = fit_margin(features, labels, 4, strength=50.0)
    standard = (features - features.mean(0)) / np.sqrt(features.var(0, ddof=1) + LEAST)
    # a large constant feature makes the penalty on its bias small
    truth = LinearSVC(C=50 / 500, dual=False, intercept_scaling=100, tol=1e-10, max_iter=10_000).fit(standard, labels)
    np.testing.assert_allclose(found(features), truth.decision_function(standard), atol=0.01)
    slack = np.maximum(0, 1 - np.where(labels[:, None] == np.arange(4), 1, -1) * truth.decision_function(standard))
    assert found.loss == pytest.approx((truth.coef_**2).sum() / 2 + 50 * (slack**2).sum(1).mean(), rel=1e-4)


def test_rows_that_are_held_back_are_not_seen():
    features, labels = made()
    rows = np.arange(0, 500, 2)
    other = features.copy()
    other[1::2] = 0
    one, same = (fit_margin(values, labels, 4, rows=rows) for values in (features, other))
    np.testing.assert_array_equal(one.weight.numpy(), same.weight.numpy())
    direct = fit_margin(np.ascontiguousarray(features[::2]), labels[::2], 4)
    np.testing.assert_allclose(one(features), direct(features), atol=1e-3)


def test_a_constant_feature_and_an_absent_class():
    features, labels = made()
    features[:, 3] = 7
    found = fit_margin(features, labels, 6)  # nobody is of the last two
    assert np.isfinite(found(features)).all()
    assert (found(features).argmax(1) < 4).all()


def test_the_strength_that_is_chosen_was_the_best():
    features, labels = made()
    strength, right = pick_strength(features, labels, 4)
    assert right[strength] == max(right.values())
    assert len(right) == 4


def test_of_each_class_a_row_is_kept_whatever_is_held_back():
    features, labels = made(40)
    labels[:] = 0
    labels[30] = 1
    for seed in range(12):  # by lot alone the one would be held back in every third, and nothing be left to tell apart
        assert len(pick_strength(features, labels, 2, seed=seed, share=0.4)[1]) == 4


def test_what_cannot_be_learned():
    features, labels = made()
    with pytest.raises(DataError, match="all 500 rows are of one class: there is nothing to tell apart"):
        fit_margin(features, np.zeros_like(labels), 4)
    features[5, 5] = np.nan
    with pytest.raises(DataError, match="NaN or infinite"):
        fit_margin(features, labels, 4)
    with pytest.raises(OptionError, match="strength must be above 0, got 0"):
        fit_margin(features, labels, 4, strength=0)
