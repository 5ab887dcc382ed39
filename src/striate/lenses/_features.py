"""What lenses share that stand on the features an atlas keeps of every picture. Not a lens."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from striate.atlas.nearest import agreement
from striate.atlas.opened import Atlas
from striate.atlas.searching import Searched
from striate.errors import ImageError
from striate.lenses._atlas import names_of_classes
from striate.lenses._cutting import class_name
from striate.network import Network

__all__ = ["class_words", "feature_place", "judged", "thumbnail"]

JUDGED, MOST_WORK = 1000, 2e11  # pictures of the atlas by which a space is judged; multiply-adds that this may cost


def feature_place(network: Network, atlas: Atlas, layer: str | None) -> str:
    """Return the address of a layer whose features an atlas keeps: the deepest unless one is named.

    Raises:
        AddressError: no such layer, or the atlas was built without its features.
    """
    if layer is not None and layer not in atlas.feature_places:
        layer = network.graph().layer(layer).address
    atlas.features(layer)  # says what there is when there is not this
    return atlas.feature_places[-1] if layer is None else layer


def judged(space: Searched, atlas: Atlas) -> tuple[float, int]:
    """Return how often the nearest other picture is of the same class, and of how many pictures that was asked.

    Args:
        space: of the atlas, in which they are near.
        atlas: with labels, or without.

    Returns:
        A share in [0, 1], not a number where nothing can be right or wrong: no labels, or no two pictures of a class.
    """
    if atlas.labels is None:
        return float("nan"), 0
    labels = np.asarray(atlas.labels)
    known = np.flatnonzero(labels >= 0)
    classes, sizes = np.unique(labels[known], return_counts=True)
    if len(classes) < 2 or sizes.max() < 2:
        return float("nan"), 0
    most = int(min(JUDGED, max(50, MOST_WORK / space.base.size)))
    drawn = np.sort(np.random.default_rng(0).permutation(known)[:most])
    found = space.nearest(space.base[drawn], 1, exclude=drawn)
    return agreement(found, labels, labels[drawn]), len(drawn)


def class_words(network: Network, atlas: Atlas, index: int) -> tuple[str, str]:
    """Return the class that a picture of an atlas is of and the one that it was taken for; empty where unknown."""
    label = -1 if atlas.labels is None else int(atlas.labels[index])
    said = int(atlas.predictions[index]) if atlas.predicts else -1
    return (
        "" if label < 0 else class_name(atlas.label_names, label),
        "" if said < 0 else class_name(names_of_classes(network, atlas), said),
    )


def thumbnail(atlas: Atlas, index: int, side: int) -> NDArray[np.uint8] | None:
    """Return a picture of an atlas, never enlarged: uint8 (h, w, 3), the longer side at most `side`; None if gone."""
    try:
        return atlas.pictures.shown(index, min(side, max(atlas.spec.size)))
    except ImageError:
        return None
