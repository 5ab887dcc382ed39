"""K centroids of patches: k-means by scikit-learn or faiss, and its spherical kin. Knows no pictures.

Source: Sculley 2010, "Web-scale k-means clustering" (scikit-learn's MiniBatchKMeans); Coates and Ng 2012, "Learning
feature representations with k-means", section 3, for the spherical one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from striate import progress
from striate.indexing import faiss

__all__ = ["Engine", "k_means", "nearest", "spherical"]

Engine = Literal["scikit-learn", "faiss"]

TASK = "k-means"
ROUGH = 2  # rounds over all patches in small batches
BLOCK = 8192  # patches that are compared with all centroids at a time


def k_means(
    patches: NDArray[np.float32], count: int, *, rounds: int = 10, seed: int = 0, engine: Engine = "scikit-learn"
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Find centroids: roughly by scikit-learn's MiniBatchKMeans, which then settle by rounds over all patches.

    The first centroids are patches. Small batches move them, and replace those that hardly anybody is near to; a whole
    round moves each to the mean of the patches that are nearest to it, and costs less than one in small batches. With
    faiss all rounds are whole, and one that nobody is near to takes half of the patches of another.

    Args:
        patches: shape (M, D), in an order without meaning, at least `count` distinct ones.
        count: K.
        rounds: over all patches, after two in small batches.
        seed: of the first centroids, and of those that replace others.
        engine: scikit-learn, or faiss (the extra `index`).

    Returns:
        Centroids (K, D), float32, and how many patches are nearest to each, (K,), int64.

    Raises:
        MissingExtraError: faiss is asked for, and not installed.
        Stopped: the user asked to stop.
    """
    if engine == "faiss":
        return _by_faiss(patches, count, ROUGH + rounds, seed)
    from sklearn.cluster import MiniBatchKMeans  # half a second, which no command that learns no kernels should pay

    batch = max(4096, 3 * count)
    model = MiniBatchKMeans(count, init="random", batch_size=batch, n_init=1, random_state=seed)
    pieces = [patches[start : start + batch] for start in range(0, len(patches), batch)]
    if len(pieces) > 1 and len(pieces[-1]) < count:  # too few for a step of their own
        pieces[-2:] = [patches[(len(pieces) - 2) * batch :]]
    total = ROUGH * len(pieces) + rounds + 1
    for step in range(ROUGH * len(pieces)):
        _step(step, total)
        model.partial_fit(pieces[step % len(pieces)])
    centroids = np.ascontiguousarray(model.cluster_centers_, dtype=np.float32)
    labels = nearest(patches, centroids)
    for step in range(rounds):
        _step(total - rounds - 1 + step, total)
        counts = np.bincount(labels, minlength=count)
        full = counts > 0  # one that nobody is near to stays where it is
        centroids[full] = (_sums(patches, labels, count)[full] / counts[full, None]).astype(np.float32)
        before, labels = labels, nearest(patches, centroids)
        if np.array_equal(before, labels):
            break
    progress.report(progress.Event(TASK, total, total))
    return centroids, np.bincount(labels, minlength=count).astype(np.int64)


def _by_faiss(
    patches: NDArray[np.float32], count: int, rounds: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Do whole rounds, one at a time, so that it can be stopped between them."""
    patches = np.ascontiguousarray(patches, dtype=np.float32)
    # all patches count, and how few is too few was said before
    settings = {"niter": 1, "min_points_per_centroid": 1, "max_points_per_centroid": len(patches)}
    generator = np.random.default_rng(seed)
    centroids = patches[generator.choice(len(patches), count, replace=False)]
    for step in range(rounds):
        _step(step, rounds)
        with faiss("k-means by faiss") as library:
            model = library.Kmeans(patches.shape[1], count, seed=int(generator.integers(1 << 30)), **settings)
            model.train(patches, init_centroids=centroids)
        if np.array_equal(model.centroids, centroids):
            break
        centroids = np.array(model.centroids)
    progress.report(progress.Event(TASK, rounds, rounds))
    return centroids, np.bincount(nearest(patches, centroids), minlength=count).astype(np.int64)


def spherical(
    patches: NDArray[np.float32], count: int, *, rounds: int = 10, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Find centroids of length 1: each patch goes to the one with the largest product, of either sign.

    Arguments and what is returned as of `k_means`.
    """
    generator = np.random.default_rng(seed)
    centroids = generator.standard_normal((count, patches.shape[1])).astype(np.float32)
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    counts = np.zeros(count, dtype=np.int64)
    for step in range(rounds):
        _step(step, rounds)
        moved = centroids.astype(np.float64)  # as if each had one patch of its own: nobody's centroid stays
        counts[:] = 0
        for block in _blocks(patches):
            products = block @ centroids.T
            labels = np.abs(products).argmax(axis=1)
            strengths = np.take_along_axis(products, labels[:, None], axis=1)
            moved += _sums(block * strengths, labels, count)
            counts += np.bincount(labels, minlength=count)
        centroids = (moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-12)).astype(np.float32)
    progress.report(progress.Event(TASK, rounds, rounds))
    return centroids, counts


def nearest(patches: NDArray[np.float32], centroids: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the index of the centroid nearest to each patch, (M,)."""
    half = np.einsum("kd,kd->k", centroids, centroids) / 2
    found = [(block @ centroids.T - half).argmax(axis=1) for block in _blocks(patches)]
    return np.concatenate(found)


def _sums(patches: NDArray[np.float32], labels: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Add up the patches of each label: (K, D)."""
    order = np.argsort(labels, kind="stable")
    starts = np.searchsorted(labels[order], np.arange(count))
    sums = np.add.reduceat(np.concatenate([patches[order], np.zeros_like(patches[:1])]), starts, axis=0)
    sums[np.bincount(labels, minlength=count) == 0] = 0  # reduceat gives the next row where there is none
    return np.asarray(sums, dtype=np.float64)


def _blocks(patches: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(patches), BLOCK):
        yield patches[start : start + BLOCK]


def _step(done: int, total: int) -> None:
    progress.check_stop(TASK)
    progress.report(progress.Event(TASK, done, total))
