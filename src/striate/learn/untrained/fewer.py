"""Fewer training pictures than there are, for comparisons that are to be quick. Opens no pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from striate.errors import OptionError
from striate.learn.pictures.split import Split
from striate.results.words import count

__all__ = ["fewer"]


def fewer(parts: Split, most: int | None, seed: int) -> Split:
    """Return a split with fewer training pictures, of each class its share; those to validate on are the same.

    Args:
        parts: the pictures.
        most: how many to train on; all when None, or where there are no more.
        seed: by which they are drawn.

    Raises:
        OptionError: fewer than there are classes.
    """
    labels = parts.train_labels
    if most is None or most >= len(labels):
        return parts
    if most < len(parts.class_names):
        raise OptionError(
            f"{count(most, 'training picture')} for {count(len(parts.class_names), 'class', 'classes')}: give each "
            "class one at least."
        )
    order = np.random.default_rng(seed).permutation(len(labels))
    place = np.empty(len(labels))
    for label, many in enumerate(parts.train_counts.tolist()):
        place[order[labels[order] == label]] = (np.arange(many) + 0.5) / many  # how far in the row of its class
    first = np.array([order[labels[order] == label][0] for label in range(len(parts.class_names))])
    place[first] = -1  # of a rare class one is there all the same
    kept = np.sort(np.argsort(place, kind="stable")[:most])
    note = f"{most:,} of {len(labels):,} training pictures are used, drawn by lot, of each class its share."
    return replace(
        parts, train_indices=parts.train_indices[kept], train_labels=labels[kept], notes=(*parts.notes, note)
    )
