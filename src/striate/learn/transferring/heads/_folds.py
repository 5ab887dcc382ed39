"""Folds for cross-validation, and few rows for many. Draws by a seed; knows labels only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from striate.errors import DataError

__all__ = ["Fold", "dealt", "few", "folds_of"]

Fold = tuple[NDArray[np.int64], NDArray[np.int64]]  # rows to learn from, rows to ask about


def folds_of(labels: NDArray[np.int64], count: int, seed: int, groups: NDArray[np.generic] | None) -> list[Fold]:
    """Return folds in which every class stands in the same proportion, as nearly as its number allows.

    A class with fewer rows than there are folds is asked about in as many of them as it has rows.

    Args:
        labels: (N,), from 0; at least two rows a class.
        count: of folds, at least 2; fewer where no class has as many rows.
        seed: of who is in which.
        groups: (N,), rows of one group stay in one fold.

    Raises:
        DataError: all rows of a class are in one group, or there are too few groups.
    """
    count = min(count, int(np.bincount(labels).max()))
    if groups is None:
        part = dealt(labels, count, seed)
    else:
        known = np.unique(groups, return_inverse=True)[1]
        count = min(count, int(known.max()) + 1)
        if count < 2:
            raise DataError("all pictures are of one group, so none can be held back. Leave groups out.")
        part = _by_groups(labels, known, count, seed)
    found = [(np.flatnonzero(part != index), np.flatnonzero(part == index)) for index in range(count)]
    classes = int(labels.max()) + 1
    for learned, _ in found:
        if len(missing := np.setdiff1d(np.arange(classes), labels[learned])):
            raise DataError(
                f"all pictures of class {missing[0]} are of one group: where that is held back, nothing is left to "
                "learn the class from. Leave groups out, or add pictures of another group."
            )
    return [fold for fold in found if len(fold[1])]


def dealt(labels: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """Deal the rows of each class out to the folds, as cards, going on where the class before ended.

    Args:
        labels: (N,), from 0.
        count: of folds.
        seed: of who is in which.

    Returns:
        The fold of each row, (N,), from 0.
    """
    part = np.empty(len(labels), dtype=np.int64)
    draw = np.random.default_rng([seed % 2**32, 0])
    first = 0
    for index in range(int(labels.max()) + 1):
        rows = draw.permutation(np.flatnonzero(labels == index))
        part[rows] = (first + np.arange(len(rows))) % count
        first += len(rows)
    return part


def _by_groups(labels: NDArray[np.int64], groups: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    from sklearn.model_selection import StratifiedGroupKFold

    # scikit-learn asks for as many rows of the largest class as there are folds, which is so (`folds_of`)
    made = StratifiedGroupKFold(count, shuffle=True, random_state=seed % 2**32)
    part = np.zeros(len(labels), dtype=np.int64)
    for index, (_, asked) in enumerate(made.split(np.zeros((len(labels), 1)), labels, groups)):
        part[asked] = index
    return part


def few(labels: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    """Return `most` rows in order, every class in the same proportion, but at least two rows of each.

    Args:
        labels: (N,), more than `most`.
        most: rows; more are returned where there are more than half as many classes.
        seed: of which.
    """
    draw = np.random.default_rng([seed % 2**32, 1])
    key = np.empty(len(labels))
    for index in range(int(labels.max()) + 1):
        rows = draw.permutation(np.flatnonzero(labels == index))
        key[rows] = (np.arange(len(rows)) + draw.random()) / len(rows)
        key[rows[:2]] = -1  # those come first
    wanted = max(most, int((key < 0).sum()))
    return np.sort(np.argsort(key, kind="stable")[:wanted])
