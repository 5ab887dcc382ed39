"""The lens `confusions`: which classes a network takes for which in a data set, and its worst mistakes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from striate.atlas.opened import Atlas
from striate.errors import AtlasError, ImageError, NetworkError, OptionError
from striate.files import shown
from striate.lenses._atlas import Source, names_of_classes, opened
from striate.lenses._lens import lens
from striate.lenses._maps import chosen_map, laid, placement_notes, weighed
from striate.network import Network
from striate.results import Confusions, Recipe
from striate.results.confusions import Mistake
from striate.results.words import count
from striate.tap import gradient

__all__ = ["confusions"]


@lens
def confusions(
    network: Network, atlas: Source, *, worst: int = 8, explain: bool = True, layer: str | None = None
) -> Confusions:
    """Show which classes a network takes for which in a labelled data set, and its worst mistakes.

    The matrix, the pairs that are confused most and the figures of each class come from the atlas alone. The worst
    mistakes are those of the largest loss; each is explained twice, by what speaks for the class that the network
    says and for the class that it is (Grad-CAM, both on one scale).

    Args:
        network: that is asked; the one that the atlas was built with.
        atlas: with labels; an atlas, or its folder.
        worst: mistakes that are shown, 0 or more.
        explain: lay over them what speaks for either class.
        layer: whose maps the explanations weigh; the last one before the classifier unless given.

    Returns:
        Counts (K, K), and the mistakes with their pictures.

    Raises:
        AtlasError: no atlas, one of another network, or one whose labels are not the network's classes.
        OptionError: worst is below 0.

    Source: Selvaraju et al. 2016, arXiv:1610.02391, equations 1 and 2 (the explanations).
    """
    if worst < 0:
        raise OptionError(f"worst must be 0 or more, got {worst}.")
    held = opened(network, atlas)
    labels, said, kept = _judged(held)
    most = max(int(labels.max()), int(said.max())) + 1
    names = names_of_classes(network, held)
    classes = max(most, len(names or ()))
    counts = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(counts, (labels, said), 1)
    assert held.losses is not None  # with labels that are classes there are losses
    losses = np.nan_to_num(np.asarray(held.losses, dtype=np.float64)[kept], nan=-1.0)
    wrong = np.flatnonzero(labels != said)
    chosen = wrong[np.argsort(-losses[wrong], kind="stable")][:worst]
    mistakes = [
        Mistake(
            picture=int(kept[row]),
            name=held.pictures.name(int(kept[row])),
            true=int(labels[row]),
            said=int(said[row]),
            probability=float(held.probabilities[kept[row]]),
            loss=float(losses[row]),
            pixels=None,
        )
        for row in chosen.tolist()
    ]
    found, place, notes = _with_pictures(network, held, mistakes, explain, layer)
    return Confusions(
        counts=counts,
        class_names=tuple(names) if names is not None and len(names) == classes else None,
        mistakes=found,
        layer=place,
        recipe=Recipe(notes=notes),
    )


def _judged(held: Atlas) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels, predictions and numbers of the pictures that can be right or wrong."""
    if held.labels is None:
        raise AtlasError(
            f"the atlas {shown(held.path)} has no labels, so nothing in it is right or wrong. Build it from class "
            "folders, from labels.csv or from arrays with labels."
        )
    if not held.labels_are_classes:
        raise AtlasError(
            f"the labels of the atlas {shown(held.path)} are not the classes of the network, so its predictions cannot "
            "be right or wrong. Name the classes as the network does, in its order."
        )
    labels, said = np.asarray(held.labels), np.asarray(held.predictions)
    kept = np.flatnonzero((labels >= 0) & (said >= 0))
    if not len(kept):
        raise AtlasError(f"no picture of the atlas {shown(held.path)} has both a label and a prediction.")
    return labels[kept], said[kept], kept


def _with_pictures(
    network: Network, held: Atlas, mistakes: list[Mistake], explain: bool, layer: str | None
) -> tuple[tuple[Mistake, ...], str, tuple[str, ...]]:
    """Read the pictures of the mistakes, and explain them."""
    gone: list[str] = []
    images: dict[int, torch.Tensor] = {}
    for index, one in enumerate(mistakes):
        try:
            images[index] = held.pictures.read(one.picture, network)
        except ImageError as error:
            gone.append(str(error))
    notes = (
        [f"{count(len(gone), 'picture')} cannot be shown any more (the first: {gone[0].rstrip('.')})."] if gone else []
    )
    if not images:
        return tuple(mistakes), "", tuple(notes)
    for index, image in images.items():
        mistakes[index] = replace(mistakes[index], pixels=network.spec.pixels(image[None])[0])
    place = ""
    if explain:
        try:
            together = 1 if network.one_by_one else len(images)
            for start in range(0, len(images), together):
                rows = list(images)[start : start + together]
                batch = network.batch(torch.stack([images[row] for row in rows]))
                chosen = chosen_map(network, batch, layer, "Grad-CAM")
                maps = []
                for targets in ([mistakes[row].said for row in rows], [mistakes[row].true for row in rows]):
                    found = gradient(network, batch, targets, at=chosen.address)
                    native = weighed(found.activation, found.values, "grad-cam").clamp(min=0)
                    maps.append(laid(native, chosen, "centres").float().cpu().numpy())
                for row, for_said, for_true in zip(rows, *maps, strict=True):
                    mistakes[row] = replace(mistakes[row], for_said=for_said, for_true=for_true)
                place = chosen.address
            notes += placement_notes(chosen, "centres")
        except NetworkError as error:
            notes.append(f"The mistakes are not explained: {error}")
    return tuple(mistakes), place, tuple(notes)
