"""Contrast and whitening against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from striate.kernels.learned.whitening import normalise, whiten


def test_normalised_by_hand():
    # 0, 2: mean 1, variance 2 (of one degree of freedom), 10 added; a flat patch stays zero
    found, spread = normalise(np.array([[0, 2], [7, 7]], dtype=np.float32), 10.0)
    np.testing.assert_allclose(found, [[-1 / math.sqrt(12), 1 / math.sqrt(12)], [0, 0]], rtol=1e-6)
    assert spread == pytest.approx(math.sqrt((12 + 10) / 2))


def test_whitened_patches_have_the_covariance_that_the_formula_gives():
    generator = np.random.default_rng(0)
    patches = (generator.standard_normal((25_000, 6)) @ generator.standard_normal((6, 6)) + 3).astype(np.float32)
    white = whiten(patches, 0.1)
    values, vectors = np.linalg.eigh(np.cov(patches.T.astype(np.float64)))
    expected = (vectors * (values / (values + 0.1))) @ vectors.T
    np.testing.assert_allclose(np.cov(white(patches).T), expected, atol=1e-4)
    np.testing.assert_allclose(white.matrix, white.matrix.T, atol=1e-12)  # zero phase: as near as can be to the patch
    np.testing.assert_allclose(white(patches).mean(0), 0, atol=1e-4)


def test_nothing_added_leaves_patches_as_they_are():
    patches = np.random.default_rng(0).standard_normal((30, 4)).astype(np.float32)
    np.testing.assert_array_equal(whiten(patches, 0)(patches), patches)
