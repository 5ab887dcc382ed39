"""PCA, t-SNE, UMAP and trustworthiness against scikit-learn; the seed; a missing extra."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from sklearn import manifold
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from striate.atlas import projection
from striate.atlas.projection import principal, project, trustworthiness
from striate.errors import MissingExtraError, OptionError, Stopped
from striate.progress import stoppable


@pytest.fixture(scope="module")
def digits():
    return load_digits().data


@pytest.fixture(scope="module")
def few(digits):
    return digits[:400]


def test_the_components_of_scikit_learn_signs_and_all(digits):
    ours, theirs = principal(digits, 6), PCA(6, svd_solver="full").fit(digits)
    np.testing.assert_allclose(ours.directions, theirs.components_, atol=1e-9)
    np.testing.assert_allclose(ours.places, theirs.transform(digits), atol=1e-9)
    np.testing.assert_allclose(ours.variance, theirs.explained_variance_, rtol=1e-9)
    np.testing.assert_allclose(ours.share, theirs.explained_variance_ratio_, rtol=1e-9)


def test_blocks_of_float16_do_not_matter(digits, monkeypatch):
    half = digits.astype(np.float16)  # whole numbers up to 16: exact
    whole = principal(digits, 3)
    monkeypatch.setattr(projection, "ROWS", 100)
    np.testing.assert_allclose(principal(half, 3).places, whole.places, atol=1e-9)


def test_more_numbers_than_vectors():
    wide = np.random.default_rng(0).normal(size=(5, 40))
    found = principal(wide, 5)
    assert found.share.sum() == pytest.approx(1)
    assert found.variance[4] == pytest.approx(0, abs=1e-12)  # five points span four directions


def test_vectors_that_are_all_alike():
    places = project(np.ones((6, 3)), "pca")
    np.testing.assert_array_equal(places, 0)
    np.testing.assert_array_equal(principal(np.ones((6, 3))).share, 0)


def test_one_number_a_vector_lies_on_a_line():
    places = project(np.arange(5.0)[:, None], "pca")
    np.testing.assert_allclose(places, [[-2, 0], [-1, 0], [0, 0], [1, 0], [2, 0]])


def test_tsne_is_as_trustworthy_as_that_of_scikit_learn(digits):
    some = digits[:700]
    ours = project(some, "tsne")
    theirs = manifold.TSNE(random_state=0, n_jobs=1).fit_transform(some)
    judged = [manifold.trustworthiness(some, places) for places in (ours, theirs)]
    assert judged[0] >= judged[1] - 1e-4  # of 700 digits both have 0.9960
    assert judged[0] > 0.99


@pytest.mark.parametrize("method", ["tsne", "umap"])
def test_the_same_seed_gives_the_same_picture(few, method):
    first, again = (project(few, method, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (400, 2)
    assert trustworthiness(few, first) > 0.95
    # very few vectors; here, since umap compiles itself anew in every process
    for count in (3, 4):
        assert np.isfinite(project(np.random.default_rng(0).normal(size=(count, 3)), method)).all()


@pytest.mark.parametrize("layout", ["good", "random", "line"])
def test_trustworthiness_is_that_of_scikit_learn(few, layout):
    random = np.random.default_rng(0)
    vectors = few + 1e-3 * random.normal(size=few.shape)  # without ties, which scikit-learn breaks as it comes
    line = np.c_[np.cumsum(random.random(400)), np.zeros(400)]
    places = {"good": principal(vectors).places, "random": random.normal(size=(400, 2)), "line": line}[layout]
    assert trustworthiness(vectors, places) == pytest.approx(manifold.trustworthiness(vectors, places), abs=1e-9)


def test_trustworthiness_of_many_is_judged_by_some(digits):
    places = principal(digits).places
    assert trustworthiness(digits, places) == pytest.approx(manifold.trustworthiness(digits, places), abs=5e-3)
    assert np.isnan(trustworthiness(digits[:4], places[:4]))


@pytest.mark.parametrize(
    ("method", "package", "name"), [("tsne", "openTSNE", "openTSNE"), ("umap", "umap", "umap-learn")]
)
def test_an_extra_that_is_missing_is_named(few, method, package, name, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        MissingExtraError, match=rf"needs {name}, which is not installed: pip install 'striate\[embed\]'"
    ):
        project(few, method)


def test_what_cannot_be_laid_out_is_refused(few):
    with pytest.raises(OptionError, match="2 vectors cannot be laid out; 3 are the least"):
        project(few[:2])
    with pytest.raises(OptionError, match="65 components of 400 vectors of 64 numbers: there are 64"):
        principal(few, 65)
    with pytest.raises(OptionError, match="not finite"):
        principal(np.array([[1.0, np.nan], [0, 0], [1, 1]]))


def test_tsne_can_be_stopped(few):
    with stoppable() as token:
        token.stop()
        with pytest.raises(Stopped):
            project(few, "tsne")
