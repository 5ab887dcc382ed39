"""Lay vectors out in the plane: PCA, t-SNE, UMAP, and how far to trust what comes of it. Arithmetic only.

PCA is worked out here, exactly. t-SNE (openTSNE) and UMAP (umap-learn) come with the extra `embed`; both get a seed
and one thread, so that the same vectors give the same picture.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from striate import progress
from striate.atlas.nearest import nearest
from striate.errors import MissingExtraError, OptionError

__all__ = ["METHODS", "Components", "Method", "principal", "project", "trustworthiness"]

Method = Literal["pca", "tsne", "umap"]
METHODS = ("pca", "tsne", "umap")

WIDE, FEW = 100, 50  # wider vectors are brought down to so many components before t-SNE and UMAP, which take it well
PERPLEXITY = 30.0
WIDEST = 8192  # numbers of a vector for which the matrix of covariances is made
ROWS = 4096  # read at a time
JUDGED = 1000  # vectors by which a layout is judged
NEIGHBOURS = 5  # of each of them, as in scikit-learn
TASK = "embedding"


@dataclass(frozen=True, eq=False)
class Components:
    """Principal components.

    Attributes:
        places: (N, n), float64: the vectors seen along the components.
        directions: (n, D), float64, of length 1; the entry of each that is largest in size is positive.
        variance: (n,), float64: variance along each (of N - 1).
        share: (n,), float64: of the whole variance.
        mean: (D,), float64.
    """

    places: NDArray[np.float64]
    directions: NDArray[np.float64]
    variance: NDArray[np.float64]
    share: NDArray[np.float64]
    mean: NDArray[np.float64]


def principal(vectors: NDArray[Any], count: int = 2) -> Components:
    """Return the directions along which vectors differ most, exactly, reading the vectors in blocks.

    Args:
        vectors: (N, D), any type; N and D at least `count`.
        count: components, at least 1.

    Raises:
        OptionError: fewer vectors or numbers than components, vectors that are too wide, or not finite ones.

    Source: the signs are those of scikit-learn (`svd_flip`), so that a picture is not mirrored by chance.
    """
    total, width = vectors.shape
    if not 1 <= count <= min(total, width):
        raise OptionError(f"{count} components of {total} vectors of {width} numbers: there are {min(total, width)}.")
    if width > WIDEST:
        raise OptionError(f"vectors of {width:,} numbers are too wide for PCA, which goes up to {WIDEST:,}.")
    mean = np.zeros(width)
    for part in _blocks(vectors):
        mean += part.sum(0)
    mean /= total
    if not np.isfinite(mean).all():
        raise OptionError(
            "the features hold numbers that are not finite: float16 ends at 65,504. Keep them in float32."
        )
    products = np.zeros((width, width))
    for part in _blocks(vectors):
        part -= mean
        products += part.T @ part
    values, directions = np.linalg.eigh(products / max(total - 1, 1))
    values, directions = values[::-1].clip(min=0), directions.T[::-1]  # largest first
    kept = directions[:count]
    signs = np.sign(kept[np.arange(count), np.abs(kept).argmax(1)])
    kept = kept * signs[:, None]
    places = np.concatenate([(part - mean) @ kept.T for part in _blocks(vectors)])
    whole = values.sum()
    share = values[:count] / whole if whole > 0 else np.zeros(count)
    return Components(places, kept, values[:count], share, mean)


def project(vectors: NDArray[Any], method: Method = "pca", *, seed: int = 0) -> NDArray[np.float64]:
    """Lay vectors out in the plane.

    Args:
        vectors: (N, D), N at least 3.
        method: pca; tsne (neighbourhoods are kept, distances between groups and sizes of groups mean little); or
            umap (the same, with more of the whole).
        seed: of what is drawn at random; PCA draws nothing.

    Returns:
        Places (N, 2), float64; columns are across and up.

    Raises:
        OptionError: fewer than 3 vectors, or what `principal` refuses.
        MissingExtraError: t-SNE or UMAP, and the extra `embed` is not installed.
        Stopped: the user asked to stop.
    """
    total, width = vectors.shape
    if total < 3:
        raise OptionError(f"{total} vectors cannot be laid out; 3 are the least.")
    if method == "pca":
        places = np.zeros((total, 2))
        found = principal(vectors, min(2, width)).places
        places[:, : found.shape[1]] = found
        return places
    start = principal(vectors, min(FEW if width > WIDE else width, total)).places
    return _tsne(start, seed) if method == "tsne" else _umap(start, seed)


def _tsne(vectors: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Run t-SNE from the first two components, with exact neighbours.

    Source: van der Maaten and Hinton 2008; perplexity, exaggeration and learning rate (N / exaggeration) as in
        Kobak and Berens 2019, doi:10.1038/s41467-019-13056-x, which are openTSNE's defaults.
    """
    try:
        import openTSNE
        from openTSNE.nearest_neighbors import PrecomputedNeighbors
    except ImportError as error:
        raise _missing("t-SNE", "openTSNE") from error
    perplexity = min(PERPLEXITY, (len(vectors) - 1) / 3)
    own = np.arange(len(vectors))
    found = nearest(vectors, vectors, max(1, int(3 * perplexity)), exclude=own)

    def tell(iteration: int, _error: float, _places: Any) -> None:
        progress.check_stop("t-SNE")
        progress.report(progress.Event(TASK, iteration, None, note="t-SNE"))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of openTSNE, on its own defaults
        affinities = openTSNE.affinity.PerplexityBasedNN(
            perplexity=perplexity, knn_index=PrecomputedNeighbors(found.indices, found.distances), n_jobs=1
        )
        begin = openTSNE.initialization.rescale(np.array(vectors[:, :2]) if vectors.shape[1] > 1 else _flat(vectors))
        places = openTSNE.TSNE(
            n_jobs=1, random_state=seed, initialization=begin, callbacks=tell, callbacks_every_iters=10
        ).fit(affinities=affinities)
    progress.report(progress.Event(TASK, 1, 1))
    return np.asarray(places, dtype=np.float64)


def _umap(vectors: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Run UMAP with the settings of its authors (McInnes et al. 2018, arXiv:1802.03426)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns when TensorFlow is missing, which it needs for nothing here
            import umap
    except ImportError as error:
        raise _missing("UMAP", "umap-learn") from error
    progress.check_stop("UMAP")
    progress.report(progress.Event(TASK, 0, None, note="UMAP"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few vectors, disconnected ones: the trustworthiness says what came of it
        start = "spectral" if len(vectors) > 3 else "random"  # of 3 there are not the 3 eigenvectors that it takes
        made = umap.UMAP(random_state=seed, n_jobs=1, n_neighbors=min(15, len(vectors) - 1), init=start)
        places = made.fit_transform(vectors.astype(np.float32))
    progress.report(progress.Event(TASK, 1, 1))
    return np.nan_to_num(np.asarray(places, dtype=np.float64))


def trustworthiness(vectors: NDArray[Any], places: NDArray[np.float64], *, seed: int = 0) -> float:
    """Say how far neighbours in a layout are neighbours indeed: 1 when all are, about 0.5 by chance.

    What is counted is by how many ranks each of the 5 nearest in the plane is too far away among the vectors.
    With more than 1,000 vectors that many are drawn and judged, each against all.

    Args:
        vectors: (N, D).
        places: (N, 2).
        seed: of the draw.

    Returns:
        In [0, 1]; not a number for fewer than 5 vectors.

    Source: Venna and Kaski 2001, as in scikit-learn's `trustworthiness`.
    """
    total = len(vectors)
    k = min(NEIGHBOURS, (total - 1) // 2)
    if total < 5:
        return float("nan")
    judged = np.arange(total)
    if total > JUDGED:
        judged = np.sort(np.random.default_rng(seed).choice(total, JUDGED, replace=False))
    near = nearest(places[judged], places, k, exclude=judged).indices  # (J, k)
    own = torch.from_numpy(np.asarray(vectors[judged], dtype=np.float64))
    theirs = torch.from_numpy(np.asarray([vectors[row] for row in near], dtype=np.float64))  # (J, k, D)
    apart = (theirs - own[:, None]).square().sum(2)  # (J, k)
    closer = torch.zeros(apart.shape, dtype=torch.int64)
    for start, part in zip(range(0, total, ROWS), _blocks(vectors), strict=True):
        rows = torch.from_numpy(part)
        squares = (own.square().sum(1)[:, None] + rows.square().sum(1) - 2 * own @ rows.T).clamp_(min=0)  # (J, B)
        here = np.nonzero((judged >= start) & (judged < start + len(part)))[0]
        squares[here, judged[here] - start] = torch.inf  # no one is a neighbour of its own
        for column in range(k):
            closer[:, column] += (squares < apart[:, column, None] * (1 - 1e-12)).sum(1)
    excess = (closer + 1 - k).clamp(min=0).sum()
    return 1 - 2 * int(excess) / (len(judged) * k * (2 * total - 3 * k - 1))


def _blocks(vectors: NDArray[Any]) -> Iterator[NDArray[np.float64]]:
    """Yield the rows in blocks, as float64 of their own."""
    for start in range(0, len(vectors), ROWS):
        yield np.array(vectors[start : start + ROWS], dtype=np.float64)


def _flat(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return vectors of one number as places on a line."""
    return np.concatenate([vectors, np.zeros_like(vectors)], axis=1)


def _missing(what: str, package: str) -> MissingExtraError:
    return MissingExtraError(f"{what} needs {package}, which is not installed: pip install 'striate[embed]'.")
