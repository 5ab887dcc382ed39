"""Names of classes on both sides of a split, and which pictures of each are held out. Reads no pictures."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Sequence
from difflib import get_close_matches

import numpy as np
from numpy.typing import NDArray

from striate.dataset import PictureSet
from striate.errors import DataError
from striate.files import shown
from striate.results.words import count

__all__ = ["TOGETHER", "choose", "choose_apart", "classes", "matched", "named_classes", "some"]

TOGETHER = ("near", "copies")
"""What lies on one side where a share is held out: pictures that look nearly the same, or copies alone."""

Indices = NDArray[np.int64]


def named_classes(pictures: PictureSet, indices: Indices, notes: list[str]) -> tuple[tuple[str, ...], Indices]:
    """Return the names of the classes that pictures have, and their labels as indices into these.

    Args:
        pictures: the set.
        indices: labelled pictures of it.
        notes: gets a sentence where classes of the set have no pictures.
    """
    labels = pictures.labels[indices]
    present = np.unique(labels)
    if pictures.class_names is not None and len(present) < len(pictures.class_names):
        there = set(present.tolist())
        empty = [name for index, name in enumerate(pictures.class_names) if index not in there]
        notes.append(f"{classes(len(empty))} without training pictures left out ({some(empty)}).")
    called = _names(pictures)
    names = tuple(called[index] for index in present.tolist())
    return names, np.searchsorted(present, labels).astype(np.int64)


def matched(train: PictureSet, names: Sequence[str], other: PictureSet, indices: Indices) -> Indices:
    """Return the labels of validation pictures as indices into the training classes, by name.

    Raises:
        DataError: they have classes that training lacks.
    """
    called = _names(other if other.class_names is not None else train, other.labels)
    alike = {_plain(name): index for index, name in enumerate(names)}
    number = {**alike, **{name: index for index, name in enumerate(names)}}  # the very name goes before one alike
    labels = other.labels[indices]
    present = np.unique(labels)
    found = [number.get(called[index], alike.get(_plain(called[index]))) for index in present.tolist()]
    lacking = [called[index] for index, label in zip(present.tolist(), found, strict=True) if label is None]
    if lacking:
        close = get_close_matches(_plain(lacking[0]).lower(), [name.lower() for name in alike], n=1, cutoff=0.8)
        meant = next((name for name in names if close and _plain(name).lower() == close[0]), None)
        hint = f" Is {shown(lacking[0])} meant to be {shown(meant)}?" if meant is not None else ""
        raise DataError(
            f"the validation pictures have {classes(len(lacking))} that the training pictures lack ({some(lacking)})."
            f"{hint} Classes are told apart by their names, and a network cannot say what it was never shown: add "
            "training pictures, or take those validation pictures away."
        )
    return np.asarray(np.array(found, dtype=np.int64)[np.searchsorted(present, labels)])


def choose(
    called: Sequence[str], labels: Indices, first: Indices, names: Sequence[str], share: float, seed: int
) -> NDArray[np.bool_]:
    """Choose what is held out: a share of each class, copies together, by the hash of seed and name.

    Args:
        called: names of the pictures, unlike one another.
        labels: their classes, shape (N,), each of the K classes at least once.
        first: for each picture the place of the first that is the same, shape (N,).
        names: of the classes.
        share: in (0, 1).
        seed: of the hash.

    Returns:
        Shape (N,): True for what is held out. Of a class of n pictures that are round(share * n), at least one and at
        most n - 1, but where copies of one another make that impossible.

    Raises:
        DataError: a class has one picture only, or copies of one only.
    """
    counts = np.bincount(labels, minlength=len(names))
    distinct = np.bincount(labels[first == np.arange(len(first))], minlength=len(names))
    _check_two(counts, names)
    wanted = np.clip(np.rint(share * counts).astype(np.int64), 1, counts - 1)
    groups: dict[int, list[int]] = {}
    for place, before in enumerate(first.tolist()):
        groups.setdefault(before, []).append(place)
    key = seed.to_bytes(16, "little", signed=True)
    rank = [
        hashlib.blake2b(name.encode("utf-8", "surrogateescape"), key=key, digest_size=8).digest() for name in called
    ]
    ordered = sorted(groups.values(), key=lambda group: min(rank[place] for place in group))
    held = np.zeros(len(labels), dtype=bool)
    taken = np.zeros(len(names), dtype=np.int64)
    sizes = [Counter(labels[group].tolist()) if len(group) > 1 else None for group in ordered]
    for group, many in zip(ordered, sizes, strict=True):
        if many is None:  # by far the most
            label = labels[group[0]]
            fits = taken[label] < wanted[label]
        else:
            fits = all(taken[label] + size <= wanted[label] for label, size in many.items())
        if fits:
            held[group] = True
            taken += np.bincount(labels[group], minlength=len(names)) if many is not None else 0
            if many is None:
                taken[label] += 1
    for label in np.flatnonzero(taken == 0).tolist():  # every group of copies is larger than the share
        if taken[label]:  # by a group of several classes
            continue
        mine = [group for group, many in zip(ordered, sizes, strict=True) if label in (many or labels[group].tolist())]
        fitting = [group for group in mine if not held[group].any() and len(mine) > 1]
        if not fitting:
            raise DataError(
                f"the class {shown(names[label])} has {counts[label]:,} pictures, but only {distinct[label] or 1:,} "
                "that are not copies: there would be none to validate on but those learnt by heart. Add pictures, or "
                "take it away."
            )
        group = min(fitting, key=len)
        held[group] = True
        taken += np.bincount(labels[group], minlength=len(names))
    return held


def choose_apart(
    called: Sequence[str],
    labels: Indices,
    first: Indices,
    together: Sequence[Sequence[int]],
    names: Sequence[str],
    share: float,
    seed: int,
) -> tuple[NDArray[np.bool_], Indices, set[int]]:
    """Choose what is held out, so that groups of pictures lie on one side wherever that leaves both sides something.

    A class whose pictures are all in one group would have none to learn from or none to validate on: its groups are
    taken apart, down to those that are copies.

    Args:
        called: as for `choose`; likewise `labels`, `names`, `share` and `seed`.
        first: for each picture the place of the first that is the same, shape (N,): those are never parted.
        together: groups of places.

    Returns:
        Shape (N,), True for what is held out; shape (N,), the first of the group that each was chosen with; classes
        whose groups were taken apart.

    Raises:
        DataError: as `choose`.
    """
    apart: set[int] = set()
    while True:
        joint = _joined(first, [group for group in together if not apart & set(labels[list(group)].tolist())])
        alone = {
            label for label in range(len(names)) if len(np.unique(joint[labels == label])) < 2 and label not in apart
        }
        if not alone:
            held = choose(called, labels, joint, names, share, seed)
            counts, taken = (np.bincount(labels[chosen], minlength=len(names)) for chosen in (slice(None), held))
            # a group of several classes may have taken one of them whole
            alone = set(np.flatnonzero((taken == 0) | (taken == counts)).tolist()) - apart
        if not alone:
            return held, joint, {label for label in apart if any((labels[list(group)] == label).any()
                                                                 for group in together)}  # fmt: skip
        apart |= alone


def _joined(first: Indices, together: Sequence[Sequence[int]]) -> Indices:
    """Return for each place the smallest of its group, where groups that share a place are one."""
    above = first.copy()

    def root(place: int) -> int:
        while above[place] != place:
            above[place] = above[above[place]]
            place = int(above[place])
        return place

    for group in together:
        roots = sorted({root(place) for place in group})
        for other in roots[1:]:
            above[other] = roots[0]
    return np.array([root(place) for place in range(len(first))], dtype=np.int64)


def _check_two(counts: Indices, names: Sequence[str]) -> None:
    if len(single := np.flatnonzero(counts < 2)):
        raise DataError(
            f"{classes(len(single))} with one picture ({some([names[index] for index in single.tolist()])}): there is "
            "none left to validate on, or none to learn from. Add pictures, take the folder away, or give validation "
            "pictures of your own."
        )


def classes(how_many: int) -> str:
    """Write how many classes: "1 class", "4 classes"."""
    return count(how_many, "class", "classes")


def some(names: Sequence[str]) -> str:
    """Write the first few of many names."""
    return ", ".join(map(shown, names[:5])) + (", ..." if len(names) > 5 else "")


def _names(pictures: PictureSet, labels: Indices | None = None) -> dict[int, str]:
    """Return a name for every label, unlike one another: its index where it has none, or beside one that is shared."""
    given = pictures.class_names or ()
    shared = {name for name, times in Counter(given).items() if times > 1}
    largest = int((pictures.labels if labels is None else labels).max(initial=-1))
    return {
        index: str(index)
        if index >= len(given)
        else f"{given[index]} ({index})"
        if given[index] in shared
        else given[index]
        for index in range(max(largest + 1, len(given)))
    }


def _plain(name: str) -> str:
    """Write a name as it is compared: one accented letter may be written in two ways, and file systems differ."""
    return unicodedata.normalize("NFC", name)
