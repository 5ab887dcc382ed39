"""How many pictures there are to learn from. Counts labels; reads no picture."""

from __future__ import annotations

import numpy as np

from striate.errors import DataError
from striate.files import shown
from striate.learn.pictures.split import Split
from striate.results.likeness import Amount
from striate.results.words import count

__all__ = ["amount_of"]

_NAMED = 5


def amount_of(split: Split) -> Amount:
    """Count the training pictures, and those of each class.

    Args:
        split: pictures to train on and to validate on.

    Raises:
        DataError: fewer pictures than classes, or classes with one picture only: nothing can be cross-validated.
    """
    counts = split.train_counts
    total, classes = int(counts.sum()), len(split.class_names)
    if total < 2 * classes and total < classes + 2:
        raise DataError(
            f"{count(total, 'training picture')} of {count(classes, 'class', 'classes')}: there is next to nothing to "
            "learn a class from. Give at least a few pictures of each, or fewer classes."
        )
    if len(single := np.flatnonzero(counts < 2)):
        names = ", ".join(shown(split.class_names[index]) for index in single[:_NAMED].tolist())
        raise DataError(
            f"{count(len(single), 'class has', 'classes have')} one picture only to learn from ({names}"
            f"{', ...' * (len(single) > _NAMED)}): how well it would be known again cannot be told by any other of its "
            "kind. Add pictures, or take the class away."
        )
    return Amount(
        pictures=total,
        classes=classes,
        fewest=int(counts.min()),
        middle=float(np.median(counts)),
        most=int(counts.max()),
    )
