"""Which pictures train and which validate: never the same ones. Decodes none but to find those that look alike."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Subset

from striate import dataset
from striate.dataset import PictureSet
from striate.errors import DataError, OptionError
from striate.files import shown
from striate.learn.checking.looking import lookalikes
from striate.learn.pictures import manifest
from striate.learn.pictures.choosing import TOGETHER, choose_apart, classes, matched, named_classes, some
from striate.learn.pictures.copies import Item, first_alike, same_file
from striate.results.words import count

__all__ = ["COPIES", "Split", "split"]

COPIES = ("leave out", "keep")
"""What becomes of validation pictures that are training pictures over again."""

_TRAIN = ("train", "training")
_VALIDATION = ("val", "valid", "validation")
Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Split:
    """Pictures to train on and others to validate on, with the classes that both have.

    Attributes:
        train: the set that the training pictures lie in.
        train_indices: which of them, shape (n,), int64, ascending.
        train_labels: their classes, shape (n,), int64, indices into `class_names`.
        validation: the set that the validation pictures lie in, often the same one; None without validation.
        validation_indices: shape (m,), int64, ascending.
        validation_labels: shape (m,), int64.
        class_names: K names, those of the training pictures' classes.
        notes: sentences on what was left out or assumed.
        left_out: pictures in neither part: (part that they would be in, name).
        vanished: pictures that a loaded manifest names and that are not there any more.
        arrived: labelled pictures that are there and that a loaded manifest does not name.
        together: which pictures lie on one side, in words; empty where nothing was held out.
    """

    train: PictureSet
    train_indices: Indices
    train_labels: Indices
    validation: PictureSet | None
    validation_indices: Indices
    validation_labels: Indices
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    vanished: tuple[str, ...] = ()
    arrived: tuple[str, ...] = ()
    together: str = ""

    @property
    def train_counts(self) -> Indices:
        """Training pictures of each class, shape (K,)."""
        return np.bincount(self.train_labels, minlength=len(self.class_names)).astype(np.int64)

    @property
    def validation_counts(self) -> Indices:
        """Validation pictures of each class, shape (K,)."""
        return np.bincount(self.validation_labels, minlength=len(self.class_names)).astype(np.int64)

    @property
    def identity(self) -> str:
        """Sixteen hexadecimal digits: other pictures, labels, classes or sides give others."""
        digest = hashlib.blake2b("\0".join(self.class_names).encode("utf-8", "surrogateescape"), digest_size=8)
        for pictures, indices, labels in (
            (self.train, self.train_indices, self.train_labels),
            (self.validation, self.validation_indices, self.validation_labels),
        ):
            digest.update(b"none" if pictures is None else pictures.identity.encode())
            digest.update(indices.tobytes() + b"\0" + labels.tobytes())
        return digest.hexdigest()

    def sentence(self) -> str:
        """Say how many pictures there are of each kind."""
        of = f"{count(len(self.train_indices), 'picture')} of {classes(len(self.class_names))} to train on"
        if self.validation is None:
            return f"{of}, none to validate on."
        return f"{of}, {len(self.validation_indices):,} to validate on."

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the manifest, a table (file, class, part) below a few lines on where it is from; whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        sides = [("train", self.train, self.train_indices, self.train_labels)]
        if self.validation is not None:
            sides.append(("validation", self.validation, self.validation_indices, self.validation_labels))
        rows = [
            (pictures.name(index), self.class_names[label], part)
            for part, pictures, indices, labels in sides
            for index, label in zip(indices.tolist(), labels.tolist(), strict=True)
        ]
        rows += [(name, "", manifest.LEFT_OUT) for _, name in self.left_out]
        other = self.validation if self.validation is not self.train else None
        about = {
            "classes": list(self.class_names),
            "source": self.train.origin,
            "validation": None if other is None else other.origin,
            "two sources": other is not None,
            **({"on one side": self.together} if self.together else {}),
        }
        return manifest.write(path, about, rows)

    @classmethod
    def load(cls, path: str | os.PathLike[str], source: Any = None, validation: Any = None) -> Split:
        """Read a manifest, and find its pictures again.

        Pictures that have vanished or come since are said in `notes`, and listed: those that came are in neither part.

        Args:
            path: what `save` wrote.
            source: where the training pictures are now, a set or what `striate.dataset.open` takes; where they were
                when None.
            validation: likewise, where the validation pictures are of another source.

        Raises:
            DataError: it is no manifest, its source is not there, or none of its pictures is.
        """
        about, rows = manifest.read(path)
        train = _opened_again(path, about["source"], source, "source")
        other = train
        if about["two sources"]:
            other = _opened_again(path, about["validation"], validation, "validation")
        elif validation is not None:
            raise OptionError(f"{shown(path)} holds a split of one source: leave validation out.")
        parts = [part for _, _, part in rows]
        found = manifest.find(path, train, other, rows, tuple(about["classes"]))
        made = cls(
            train,
            *found.sides["train"],
            other if "validation" in parts else None,
            *found.sides["validation"],
            tuple(about["classes"]),
            notes=(*train.notes, *(other.notes if other is not train else ()), *found.notes),
            left_out=found.left_out,
            vanished=found.vanished,
            arrived=found.arrived,
            together=str(about.get("on one side", "")),
        )
        if not len(made.train_indices):
            raise DataError(
                f"none of the training pictures that {shown(path)} names is in {train.description} (the first: "
                f"{shown(found.vanished[0]) if found.vanished else 'there is none'}). Give the source as it was."
            )
        return made


def split(
    source: Any,
    validation: Any = None,
    *,
    share: float = 0.2,
    seed: int = 0,
    labels: Any = None,
    copies: str = "leave out",
    together: str | Sequence[Sequence[int]] = "near",
) -> Split:
    """Choose the pictures to train on and those to validate on. No file is touched.

    Parts train and val of a folder or archive are used as they are. Otherwise a share of each class is held out, by
    the hash of seed and name within the class: which side a picture lies on does not depend on the order in which
    pictures are listed, and when others are added it changes sides only where the balance asks for it. Files that are
    the same byte for byte, and pictures in arrays that are the same, never lie on both sides. Neither do pictures that
    look nearly the same (saved with other quality or size), unless a class would then be on one side only: for that
    each picture is decoded once at reduced size, but where all are small (up to 64 pixels, which can be alike by
    chance).

    The classes are those of the training pictures, by name; of both sides.

    Args:
        source: whatever `striate.dataset.open` takes, or a set. A `Split` is returned as it is.
        validation: another source, or the name of a part of `source` ("test").
        share: of each class for validation, where none is given, in (0, 1); 0 for training without validation.
        seed: of the choice.
        labels: as `striate.dataset.open` takes them, of `source`.
        copies: what becomes of given validation pictures that are copies of training pictures: "leave out" (of the
            validation), or "keep" where figures are to be compared with published ones.
        together: what is held on one side where a share is held out: "near", pictures that look nearly the same, as
            `striate.learn.check` finds them; "copies", nothing but copies; or groups of your own, each the indices of
            pictures that belong together (of one patient, of one film).

    Raises:
        DataError: there is nothing to choose from: no labels, one class, a class with one picture; or validation
            pictures of a class that training lacks, or that are training pictures themselves.
        OptionError: an option makes no sense.
    """
    if not 0 <= share < 1:
        raise OptionError(f"share must be from 0 to below 1, got {share:g}: 0.2 holds a fifth of each class out.")
    if copies not in COPIES:
        raise OptionError(f"copies is {' or '.join(map(repr, COPIES))}, got {copies!r}.")
    if isinstance(together, str) and together not in TOGETHER:
        raise OptionError(f"together is {' or '.join(map(repr, TOGETHER))}, or groups of indices, got {together!r}.")
    if isinstance(source, Split):
        if validation is not None:
            raise OptionError("a Split has its validation pictures already: leave validation out.")
        return source
    train = dataset.open(source, labels=labels)
    notes = list(train.notes)
    parts = {part.name.lower(): part.name for part in train.parts}
    train_part = next((parts[name] for name in _TRAIN if name in parts), None)
    if train.parts and train_part is None:
        raise DataError(
            f"{train.description} has the parts {', '.join(parts.values())}, and none to train on. "
            "Name one of them train, or open one of them alone."
        )
    chosen = np.arange(len(train), dtype=np.int64) if train_part is None else train.part(train_part)
    other: PictureSet | None = None
    other_chosen = np.empty(0, dtype=np.int64)
    if isinstance(validation, str) and validation in parts.values():
        other, other_chosen = train, train.part(validation)
    elif validation is not None:
        other = dataset.open(validation)
        notes += other.notes
        other_chosen = np.arange(len(other), dtype=np.int64)
    elif found := next((parts[name] for name in _VALIDATION if name in parts), None):
        other, other_chosen = train, train.part(found)
        validation = found
    used = {train_part, validation if other is train else None}
    if unused := [part.name for part in train.parts if part.name not in used]:
        notes.append(f"The part {' and '.join(unused)} of {shown(_called(train))} is left alone.")
    chosen = _labelled(train, chosen, "training" if other is not None else "", notes)
    names, kept_labels = named_classes(train, chosen, notes)
    if len(names) < 2:
        raise DataError(
            f"there is one class only ({shown(names[0])}) in {train.description}: a network would learn to say "
            "nothing else. Give pictures of at least two classes, each in a folder of its own."
        )
    if other is not None:
        return _given(train, chosen, kept_labels, other, other_chosen, names, copies, notes)
    if share == 0:
        nothing = np.empty(0, dtype=np.int64)
        return Split(train, chosen, kept_labels, None, nothing, nothing, names, tuple(notes))
    return _held_out(train, chosen, kept_labels, names, share, seed, together, notes)


def _held_out(
    train: PictureSet,
    chosen: Indices,
    labels: Indices,
    names: tuple[str, ...],
    share: float,
    seed: int,
    together: str | Sequence[Sequence[int]],
    notes: list[str],
) -> Split:
    """Hold out a share of each class."""
    first = first_alike([(train, index) for index in chosen.tolist()])
    called = [train.name(index) for index in chosen.tolist()]
    groups: list[list[int]] = []
    if not isinstance(together, str):
        groups = _placed(together, chosen, len(train))
    elif together == "near":
        groups = _placed(lookalikes(train, chosen, notes=notes), chosen, len(train))
    held, joint, apart = choose_apart(called, labels, first, groups, names, share, seed)
    alike = int((first != np.arange(len(first))).sum())
    if alike:
        notes.append(
            f"{count(alike, 'picture')} {'is a copy' if alike == 1 else 'are copies'} of others: each lies on the same "
            "side as what it is like."
        )
    near = int(((joint != first) & (first == np.arange(len(first)))).sum())  # copies of them are counted already
    own = not isinstance(together, str)
    if near:
        what = (
            ("belongs with" if near == 1 else "belong with") if own else f"look{'s' * (near == 1)} nearly the same as"
        )
        how = "" if own else " (together='copies', --together copies, holds copies together alone)"
        notes.append(f"{count(near, 'picture')} {what} others: each lies on the same side as those{how}.")
    if apart:
        few = some([names[one] for one in sorted(apart)])
        notes.append(
            f"Pictures of {few} that {'belong together' if own else 'look nearly the same'} lie on both sides all the "
            "same, because one side would have none of the class: the validation says too much good of it."
        )
    _say_uneven(labels, held, names, share, notes)
    crossed = np.flatnonzero(labels != labels[first])
    if len(crossed):
        place = int(crossed[0])
        notes.append(
            f"{count(len(crossed), 'picture')} {'stands' if len(crossed) == 1 else 'stand'} under another class as "
            f"well (the first: {shown(called[place])} is {shown(called[int(first[place])])})."
        )
    sides = chosen[~held], labels[~held], train, chosen[held], labels[held]
    kept = {"near": "copies, and pictures that look nearly the same", "copies": "copies"}
    words = f"{kept[together] if isinstance(together, str) else 'copies, and the groups that were given'}: "
    return Split(train, *sides, names, tuple(notes), together=f"{words}{alike + near:,} of {len(chosen):,} pictures")


def _placed(groups: Sequence[Sequence[int]], chosen: Indices, total: int) -> list[list[int]]:
    """Return groups of indices as groups of places among those that are chosen."""
    place_of = {index: place for place, index in enumerate(chosen.tolist())}
    given = [[int(index) for index in group] for group in groups]
    for group in given:
        if strange := [index for index in group if not 0 <= index < total]:
            raise OptionError(f"together: there is no picture {strange[0]} among {total:,}. Indices count from 0.")
    placed = ([place_of[index] for index in group if index in place_of] for group in given)
    return [group for group in placed if len(group) > 1]


def _say_uneven(
    labels: Indices, held: NDArray[np.bool_], names: tuple[str, ...], share: float, notes: list[str]
) -> None:
    """Say of which classes much more or less than the share is held out, because groups cannot be parted."""
    counts, taken = (np.bincount(labels[one], minlength=len(names)) for one in (slice(None), held))
    wanted = np.clip(np.rint(share * counts), 1, np.maximum(counts - 1, 1))
    if len(far := np.flatnonzero(np.abs(taken - wanted) > np.maximum(2, wanted / 2)).tolist()):
        few = ", ".join(f"{shown(names[one])} {taken[one]:,} of {counts[one]:,}" for one in far[:3])
        notes.append(
            f"Of {classes(len(far))} another share is held out, because pictures that stay together cannot be parted: "
            f"{few}{', ...' * (len(far) > 3)}."
        )


def _given(
    train: PictureSet,
    chosen: Indices,
    labels: Indices,
    other: PictureSet,
    other_chosen: Indices,
    names: tuple[str, ...],
    copies: str,
    notes: list[str],
) -> Split:
    """Take the validation pictures that were given, after making sure that they are no training pictures."""
    other_chosen = _labelled(other, other_chosen, "validation", notes)
    other_labels = matched(train, names, other, other_chosen)
    ours: list[Item] = [(train, index) for index in chosen.tolist()]
    theirs: list[Item] = [(other, index) for index in other_chosen.tolist()]
    _refuse_same(train, chosen, other, other_chosen, ours, theirs)
    first = first_alike([*ours, *theirs])[len(ours) :]
    double = first < len(ours)
    left_out: tuple[tuple[str, str], ...] = ()
    if double.any():
        place = int(np.flatnonzero(double)[0])
        many = f"{count(int(double.sum()), 'validation picture')} {'is a copy' if double.sum() == 1 else 'are copies'}"
        example = f"{shown(other.name(int(other_chosen[place])))} is {shown(train.name(int(chosen[first[place]])))}"
        if copies == "keep":
            notes.append(f"{many} of training pictures, and kept (the first: {example}).")
        elif double.all():
            raise DataError(
                f"all {len(double):,} validation pictures are copies of training pictures (the first: {example}): "
                "a network cannot be judged by what it has learnt by heart. Give other pictures, or leave validation "
                "out to have a share of each class held out."
            )
        else:
            notes.append(f"{many} of training pictures: left out of the validation (the first: {example}).")
            left_out = tuple(("validation", other.name(index)) for index in other_chosen[double].tolist())
            other_chosen, other_labels = other_chosen[~double], other_labels[~double]
    absent = np.flatnonzero(np.bincount(other_labels, minlength=len(names)) == 0).tolist()
    if absent:
        notes.append(f"{classes(len(absent))} without validation pictures: {some([names[one] for one in absent])}.")
    made = Split(train, chosen, labels, other, other_chosen, other_labels, names, tuple(notes))
    return replace(made, left_out=left_out)


def _refuse_same(
    train: PictureSet,
    chosen: Indices,
    other: PictureSet,
    other_chosen: Indices,
    ours: Sequence[Item],
    theirs: Sequence[Item],
) -> None:
    """Refuse validation pictures that are training pictures themselves."""
    same: list[str] = []
    if other is train:
        same = [train.name(index) for index in np.intersect1d(chosen, other_chosen).tolist()]
    else:
        (held, mine), (beside, yours) = _items(train, chosen), _items(other, other_chosen)
        if held is not None and held is beside:
            same = [other.name(index) for index in other_chosen[np.isin(yours, mine)].tolist()]
    same = same or [other.name(int(other_chosen[place])) for _, place in same_file(ours, theirs)]
    if same:
        raise DataError(
            f"{len(same):,} of {count(len(other_chosen), 'validation picture')} {'is a' if len(same) == 1 else 'are'} "
            f"training picture{'s' * (len(same) > 1)} too (the first: {shown(same[0])}): a network cannot be judged by "
            "what it has learnt by heart. Give other pictures, or leave validation out to have a share of each class "
            "held out."
        )


def _items(pictures: PictureSet, indices: Indices) -> tuple[Any, Indices]:
    """Return the data set that pictures are items of, below all sub-sets, and which items; None for other sets."""
    held = getattr(pictures, "dataset", None)
    while isinstance(held, Subset):
        indices = np.asarray(held.indices, dtype=np.int64)[indices]
        held = held.dataset
    return held, indices


def _labelled(pictures: PictureSet, indices: Indices, kind: str, notes: list[str]) -> Indices:
    """Return those that have a class, and say how many have none."""
    known = pictures.labels[indices] >= 0
    unknown = len(indices) - int(known.sum())
    kind = f"{kind} " if kind else ""
    if not known.any():
        raise DataError(
            f"none of the {count(len(indices), f'{kind}picture')} in {pictures.description} has a class. Put each "
            "class into a folder of its own, or give a table of files and labels (labels=)."
        )
    if unknown:
        notes.append(f"{count(unknown, f'{kind}picture')} without a class left out.")
    return indices[known]


def _called(pictures: PictureSet) -> str:
    origin = pictures.origin
    return Path(origin["source"]).name if origin else "the set"


def _opened_again(path: str | os.PathLike[str], origin: Any, given: Any, word: str) -> PictureSet:
    if given is not None:
        return dataset.open(given)
    if not isinstance(origin, dict):
        raise DataError(f"the pictures of {shown(path)} were in memory only: give them again ({word}=).")
    try:
        return dataset.open(origin["source"], labels=origin.get("labels"), part=origin.get("part"))
    except DataError as error:
        raise DataError(f"the pictures of {shown(path)} are not where they were: {error} Give {word}=.") from error
