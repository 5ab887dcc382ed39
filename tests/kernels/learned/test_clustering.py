"""Centroids against clusters that are known, and against the definition."""

from __future__ import annotations

import numpy as np
import pytest

from striate import progress
from striate.errors import Stopped
from striate.kernels.learned.clustering import k_means, nearest, spherical


def clouds(count: int, size: int, many: int, *, seed: int = 0):
    generator = np.random.default_rng(seed)
    middles = generator.normal(0, 10, (count, size))
    labels = generator.integers(count, size=many)
    return middles, labels, (middles[labels] + generator.normal(0, 0.1, (many, size))).astype(np.float32)


def test_centroids_settle_where_a_round_changes_nothing():
    _, _, patches = clouds(5, 4, 3000)
    centroids, counts = k_means(patches, 12, rounds=200)
    far = ((patches[:, None] - centroids) ** 2).sum(2)  # by definition
    labels = nearest(patches, centroids)
    np.testing.assert_allclose(np.take_along_axis(far, labels[:, None], 1)[:, 0], far.min(1), atol=1e-3)
    np.testing.assert_array_equal(np.bincount(labels, minlength=12), counts)
    means = np.stack([patches[labels == one].mean(0, dtype=np.float64) for one in range(12) if counts[one]])
    np.testing.assert_allclose(centroids[counts > 0], means, atol=1e-4)


@pytest.mark.parametrize("engine", ["scikit-learn", "faiss"])
def test_it_is_as_good_as_scikit_learns_own(engine):
    from sklearn.cluster import KMeans

    patches = np.random.default_rng(1).standard_normal((6000, 5)).astype(np.float32)
    spread = lambda centroids: ((patches[:, None] - centroids) ** 2).sum(2).min(1).mean()  # noqa: E731
    truth = KMeans(20, n_init=3, random_state=0).fit(patches).cluster_centers_
    assert spread(k_means(patches, 20, rounds=30, engine=engine)[0]) < 1.02 * spread(truth)


def test_faiss_finds_the_clouds_and_their_means():
    middles, _, patches = clouds(5, 4, 3000)
    centroids, counts = k_means(patches, 25, rounds=100, engine="faiss")
    found = nearest(patches, centroids)
    np.testing.assert_array_equal(np.bincount(found, minlength=25), counts)
    assert counts.sum() == 3000
    means = np.stack([patches[found == one].mean(0, dtype=np.float64) for one in range(25)])
    np.testing.assert_allclose(centroids, means, atol=0.01)
    near = ((middles[:, None] - centroids) ** 2).sum(2).argmin(1)
    np.testing.assert_allclose(centroids[near], middles, atol=0.2)


def test_faiss_gives_the_same_for_the_same_seed_and_can_be_stopped():
    _, _, patches = clouds(6, 4, 2000)
    (one, _), (same, _), (other, _) = (k_means(patches, 6, rounds=2, seed=seed, engine="faiss") for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    with progress.stoppable() as stop:
        stop.stop()
        with pytest.raises(Stopped):
            k_means(patches, 6, engine="faiss")


def test_same_seed_same_centroids():
    _, _, patches = clouds(6, 4, 2000)
    for cluster in (k_means, spherical):
        (one, _), (same, _), (other, _) = (cluster(patches, 6, rounds=2, seed=seed) for seed in (3, 3, 4))
        np.testing.assert_array_equal(one, same)
        assert not np.array_equal(one, other)


def test_spherical_ones_point_along_the_clouds():
    axes = np.eye(4)
    generator = np.random.default_rng(0)
    sides = generator.choice([-1, 1], 4000) * generator.uniform(1, 5, 4000)  # of either sign
    patches = (axes[generator.integers(4, size=4000)] * sides[:, None]).astype(np.float32)
    patches += generator.normal(0, 0.05, patches.shape).astype(np.float32)
    centroids, counts = spherical(patches, 12, rounds=20)
    np.testing.assert_allclose(np.linalg.norm(centroids, axis=1), 1, atol=1e-6)
    likeness = np.abs(centroids @ axes)[counts > 100]
    assert (likeness.max(1) > 0.95).all()
    assert set(likeness.argmax(1)) == {0, 1, 2, 3}
    assert counts.sum() == 4000


def test_it_can_be_stopped_and_says_how_far_it_is():
    _, _, patches = clouds(3, 4, 5000)
    heard = []
    with progress.stoppable() as stop:

        def listener(event):
            heard.append((event.task, event.done))
            if event.done == 3:
                stop.stop()

        with progress.listen(listener), pytest.raises(Stopped):
            k_means(patches, 3)
    assert heard == [("k-means", step) for step in range(4)]
