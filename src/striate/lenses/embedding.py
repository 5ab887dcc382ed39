"""The lens `embedding`: the pictures of a data set laid out in the plane by what a layer makes of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from striate import progress
from striate.atlas.grid import arrange, grid_size
from striate.atlas.opened import Atlas
from striate.atlas.pictures import MOVED
from striate.atlas.projection import Method, principal, project, trustworthiness
from striate.dataset.batches import processors
from striate.errors import OptionError
from striate.lenses._atlas import Source, opened
from striate.lenses._features import feature_place, thumbnail
from striate.lenses._lens import lens
from striate.network import Network
from striate.results import Embedding, Recipe
from striate.results.drawn import Pixels
from striate.results.embedding import Show
from striate.results.words import count

__all__ = ["embedding"]

LEAST, MOST = 3, 20_000  # pictures that can be laid out as pictures and still be seen
THUMBNAIL = 96  # pixels
TASK = "thumbnails"


@lens
def embedding(
    network: Network,
    atlas: Source,
    *,
    layer: str | None = None,
    method: Method = "pca",
    show: Show = "points",
    pictures: int = 6400,
    seed: int = 0,
) -> Embedding:
    """Lay the pictures of a data set out in the plane by their features in a layer.

    What lies together is alike for the network. Every such map tears and squeezes: its trustworthiness says how far
    neighbours on it are neighbours among the features.

    Args:
        network: that is asked; the one that the atlas was built with.
        atlas: an atlas, or its folder.
        layer: one whose features the atlas holds, averaged over the map; the deepest unless given.
        method: pca (the two directions in which the features differ most); tsne or umap (neighbourhoods; they come
            with striate[embed]).
        show: points (coloured by class), pictures (at their places), or grid (pictures in cells of a grid, each near
            its place, none over another).
        pictures: how many of the atlas, drawn at random where it has more.
        seed: of that draw, and of what the method draws.

    Returns:
        Places (N, 2), with class, name and thumbnail of each picture.

    Raises:
        AddressError: the atlas holds no features of that layer.
        AtlasError: no atlas, or one of another network.
        MissingExtraError: t-SNE or UMAP is not installed.
        OptionError: too few pictures, or more than can be shown.

    Source: van der Maaten and Hinton 2008 (t-SNE); McInnes et al. 2018, arXiv:1802.03426 (UMAP); the maps of pictures
        follow Karpathy 2014, cs.stanford.edu/people/karpathy/cnnembed.
    """
    held = opened(network, atlas)
    place = feature_place(network, held, layer)
    if pictures < LEAST or (show != "points" and pictures > MOST):
        raise OptionError(f"pictures lies from {LEAST} to {MOST:,} where pictures are shown, got {pictures:,}.")
    if len(held) < LEAST:
        raise OptionError(f"the atlas has {count(len(held), 'picture')}; {LEAST} are the least that can be laid out.")
    chosen = np.arange(len(held))
    if pictures < len(held):
        chosen = np.sort(np.random.default_rng(seed).choice(len(held), pictures, replace=False))
    kept = held.averaged(place)
    features = np.asarray(kept if len(chosen) == len(held) else kept[chosen])
    places = project(features, method, seed=seed)
    share = principal(features, min(2, features.shape[1])).share if method == "pca" else None
    cells = arrange(places, *grid_size(len(places))) if show == "grid" else None
    drawn = places if cells is None else cells[:, ::-1].astype(np.float64)  # what is judged is what is seen
    labelled = held.labels is not None and bool((np.asarray(held.labels)[chosen] >= 0).any())
    classes = held.labels if labelled else held.predictions if held.predicts else np.full(len(held), -1)
    thumbnails = _thumbnails(held, chosen) if show != "points" else ()
    return Embedding(
        places=places,
        indices=chosen.astype(np.int64),
        names=tuple(held.pictures.name(int(index)) for index in chosen),
        classes=np.asarray(classes)[chosen].astype(np.int64),
        class_names=held.label_names if labelled else held.class_names,
        labelled=labelled,
        layer=place,
        method=method,
        trust=trustworthiness(features, drawn, seed=seed),
        share=None if share is None else (float(share[0]), float(share[1]) if len(share) > 1 else 0.0),
        show=show,
        cells=cells,
        thumbnails=thumbnails,
        total=len(held),
        recipe=Recipe(notes=_gone(sum(one is None for one in thumbnails))),
    )


def _gone(many: int) -> tuple[str, ...]:
    if not many:
        return ()
    place = "its place stays" if many == 1 else "their places stay"
    return (f"{count(many, 'picture')} cannot be read any more, and {place} empty. {MOVED}",)


def _thumbnails(atlas: Atlas, chosen: NDArray[np.int64]) -> tuple[Pixels | None, ...]:
    """Read the pictures, small; those that are gone are left empty."""
    found: list[Pixels | None] = []
    with ThreadPoolExecutor(processors()) as pool:
        for index, one in enumerate(pool.map(lambda index: thumbnail(atlas, int(index), THUMBNAIL), chosen)):
            found.append(one)
            if index % 64 == 0:
                progress.check_stop(TASK)
                progress.report(progress.Event(TASK, index, len(chosen)))
    progress.report(progress.Event(TASK, len(chosen), len(chosen)))
    return tuple(found)
