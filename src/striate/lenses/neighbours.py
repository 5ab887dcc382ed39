"""The lens `neighbours`: the pictures of a data set that lie nearest to a picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from striate.atlas import pixels as small
from striate.atlas.nearest import Metric, Nearest
from striate.atlas.opened import Atlas
from striate.atlas.pictures import MOVED
from striate.atlas.searching import Searched, Way, over_features, over_pixels
from striate.errors import ImageError, OptionError, OutputError
from striate.lenses._atlas import Source, names_of_classes, opened
from striate.lenses._cutting import class_name
from striate.lenses._features import class_words, feature_place, judged, thumbnail
from striate.lenses._lens import lens
from striate.network import Images, Network
from striate.results import Neighbours, Recipe
from striate.results.neighbours import Found, Space
from striate.results.words import count
from striate.tap import activations

__all__ = ["neighbours"]

SHOWN = 112  # pixels of a neighbour's longer side in drawings
SAME = 1e-3  # a vector that differs by less than this part of its length is that of the same picture


@lens
def neighbours(
    network: Network,
    images: Images,
    atlas: Source,
    *,
    layer: str | None = None,
    top: int = 8,
    metric: Metric = "euclidean",
    pixels: bool = True,
    index: Way = "exact",
) -> Neighbours:
    """Show which pictures of a data set are nearest to a picture, in feature space and by their pixels.

    Near in feature space is what the network takes for alike; by pixels it is what looks alike at each place. How
    far neighbours in the data set itself are of one class says how much that is worth. The neighbours are exact unless
    an approximate index is asked for, which then says how many of them it finds. A picture that is itself in the atlas
    is left out of its own neighbours.

    The pixels of the atlas's pictures, at 32 on the longer side, are read once and kept beside the atlas (3 kB a
    picture); the first time that takes as long as reading all pictures.

    Args:
        network: that is asked; the one that the atlas was built with.
        images: (N, C, H, W), normalised, or paths.
        atlas: an atlas, or its folder.
        layer: one whose features the atlas holds, averaged over the map; the deepest unless given.
        top: neighbours of each picture.
        metric: euclidean or cosine.
        pixels: also show the nearest by pixels.
        index: exact compares with every picture; approximate does so by codes of 8 bits, for data sets of millions:
            it is made when first asked for, and kept in the atlas.

    Returns:
        For each space distances and pictures, (N, top), nearest first.

    Raises:
        AddressError: the atlas holds no features of that layer.
        AtlasError: no atlas, or one of another network.
        OptionError: more neighbours than the atlas has pictures, or features that are not finite.
    """
    held = opened(network, atlas)
    place = feature_place(network, held, layer)
    if not 1 <= top <= len(held):
        raise OptionError(f"top lies from 1 to {len(held)}, the pictures of the atlas, got {top}.")
    batch = network.batch(images)
    tapped = activations(network, batch, [place], logits=True)
    assert tapped.logits is not None
    searched = over_features(held, place, way=index, metric=metric, device=network.device)
    output = tapped.outputs[place].float()
    vectors = (output.mean((2, 3)) if output.dim() == 4 else output).cpu().numpy().astype(searched.base.dtype)
    features = searched.nearest(vectors, min(top + 1, len(held)))
    own = _itself(vectors, searched.base, features)
    if top == len(held) and (own >= 0).any():
        raise OptionError(f"{top} neighbours of a picture that is in the atlas itself, which holds {top - 1} others.")
    names = names_of_classes(network, held)
    notes = [*searched.notes, *([_note(own)] if (own >= 0).any() else [])]
    spaces = [_space(place, features, own, top, searched, held)]
    if pixels:
        try:
            drawn = over_pixels(network, held, way=index, metric=metric)
            notes += drawn.notes
            seen = drawn.nearest(small.of_images(network, batch), min(top + 1, len(held)))
            spaces.append(_space("pixels", seen, own, top, drawn, held))
        except (ImageError, OutputError) as error:
            notes.append(f"By pixels there is nothing to be compared: {error}")
    found = {one: _found(network, held, one) for space in spaces for one in np.unique(space.indices).tolist()}
    if gone := sum(one.pixels is None for one in found.values()):
        notes.append(f"{count(gone, 'neighbour')} cannot be read any more. {MOVED}")
    return Neighbours(
        spaces=tuple(spaces),
        found=found,
        said=tuple(class_name(names, index) for index in tapped.logits.argmax(1).tolist()),
        comparable=held.labels is None or held.labels_are_classes,
        total=len(held),
        metric=metric,
        pictures=network.spec.pixels(batch),
        recipe=Recipe(notes=tuple(notes)),
    )


def _itself(vectors: NDArray[np.generic], kept: NDArray[np.generic], found: Nearest) -> NDArray[np.int64]:
    """Return for each picture the nearest of the atlas where that is the same one, else -1."""
    first = found.indices[:, 0]
    queries, theirs = vectors.astype(np.float64), np.asarray(kept[first], dtype=np.float64)
    same = np.linalg.norm(queries - theirs, axis=1) <= SAME * np.linalg.norm(queries, axis=1)
    return np.where(same, first, -1)


def _space(
    name: str,
    found: Nearest,
    own: NDArray[np.int64],
    top: int,
    searched: Searched,
    held: Atlas,
) -> Space:
    """Leave each picture out of its own neighbours, and judge the space by the data set's own pictures."""
    kept = np.argsort(found.indices == own[:, None], axis=1, kind="stable")[:, :top]  # itself goes behind the others
    distances = np.take_along_axis(found.distances, kept, 1)
    indices = np.take_along_axis(found.indices, kept, 1)
    index = searched.index
    recall, recalled = (1.0, 0) if index is None else (index.recall(top), index.judged)
    return Space(name, distances, indices, *judged(searched, held), recall, recalled)


def _found(network: Network, held: Atlas, index: int) -> Found:
    label, said = class_words(network, held, index)
    return Found(held.pictures.name(index), label, said, thumbnail(held, index, SHOWN))


def _note(own: NDArray[np.int64]) -> str:
    there = int((own >= 0).sum())
    whose = "its" if there == 1 else "their"
    return f"{count(there, 'picture is', 'pictures are')} in the atlas, and left out of {whose} own neighbours."
