"""What is in a set of pictures, and what stands in the way of training on it. Reads no file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, ClassVar, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from striate import drawing
from striate.files import shown
from striate.results._folder_sheet import draw_check
from striate.results.base import Json, Result, encode_array
from striate.results.drawn import Drawing, Pixels
from striate.results.words import count, number

__all__ = ["FolderCheck", "Group"]

_EVEN, _UNEVEN = 1.5, 3.0  # times that the largest class is as large as the smallest
_DRAWN = 12  # pairs on the sheet
_TINY = 64  # pixels of the long side: smaller ones, such as digits, are often alike by chance
_SMALL = 32  # pixels of the short side below which a photograph says little
_KINDS = {
    "1": "black and white",
    "L": "grey",
    "LA": "grey with transparency",
    "I;16": "grey of 16 bits",
    "I": "grey of 16 bits or more",
    "F": "grey of decimal numbers",
    "P": "palette",
    "PA": "palette with transparency",
    "RGB": "colour",
    "RGBA": "colour with transparency",
    "CMYK": "CMYK",
}


class Group(NamedTuple):
    """Pictures that are the same, or nearly.

    Args:
        members: their indices, ascending, at least two.
        kind: "bytes" (the files are the same), "pixels" (the pictures are), or "near".
    """

    members: tuple[int, ...]
    kind: str


@dataclass(frozen=True, eq=False)
class FolderCheck(Result):
    """What N pictures are, before anything is trained on them.

    Attributes:
        description: the set in words.
        names: of the pictures, N of them.
        labels: shape (N,), int64, -1 where a picture has no class.
        class_names: by label.
        broken: index and reason of pictures that cannot be read.
        sizes: width and height, upright, shape (N, 2), int32; 0 where they cannot be read.
        formats: JPEG, PNG, ..., N of them; empty where they cannot be read.
        modes: as Pillow names them, N of them.
        turns: what EXIF asks for, shape (N,): 1 is upright.
        groups: pictures that are the same or nearly.
        sides: shape (N,): index into `divided` of the part that a picture is of or would be of, -1 for none.
        divided: names of the parts; empty where the set cannot be split.
        examples: pictures of some groups, small, uint8, by index.
    """

    description: str
    names: tuple[str, ...]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    broken: tuple[tuple[int, str], ...]
    sizes: NDArray[np.int32]
    formats: tuple[str, ...]
    modes: tuple[str, ...]
    turns: NDArray[np.uint8]
    groups: tuple[Group, ...]
    sides: NDArray[np.int64]
    divided: tuple[str, ...]
    examples: dict[int, Pixels]
    by_picture: ClassVar[bool] = False

    def __len__(self) -> int:
        return len(self.names)

    @property
    def counts(self) -> NDArray[np.int64]:
        """Pictures of each class, shape (K,), broken ones among them."""
        return np.bincount(self.labels[self.labels >= 0], minlength=len(self.class_names)).astype(np.int64)

    def side_counts(self) -> NDArray[np.int64]:
        """Pictures of each class in each part, shape (parts, K)."""
        rows = [
            np.bincount(self.labels[(self.sides == side) & (self.labels >= 0)], minlength=len(self.class_names))
            for side in range(len(self.divided))
        ]
        return np.array(rows, dtype=np.int64).reshape(len(self.divided), len(self.class_names))

    def class_of(self, index: int) -> str:
        """Return the class of a picture, "no class" where it has none."""
        label = int(self.labels[index])
        return self.class_names[label] if label >= 0 else "no class"

    def copies(self) -> list[Group]:
        """Return the groups of pictures that are exactly the same."""
        return [group for group in self.groups if group.kind != "near"]

    def nearly(self) -> list[Group]:
        """Return the groups of pictures that are nearly the same."""
        return [group for group in self.groups if group.kind == "near"]

    def leaks(self) -> list[Group]:
        """Return the groups that lie on both sides of training and validation, or would."""
        return [group for group in self.groups if len({int(self.sides[one]) for one in group.members} - {-1}) > 1]

    def conflicts(self) -> list[Group]:
        """Return the groups that stand under more than one class."""
        return [group for group in self.groups if len({int(self.labels[one]) for one in group.members} - {-1}) > 1]

    @cached_property
    def _conflicting(self) -> frozenset[Group]:
        return frozenset(self.conflicts())

    @cached_property
    def _leaking(self) -> frozenset[Group]:
        return frozenset(self.leaks())

    def kinds(self) -> dict[str, list[Group]]:
        """Return the groups by what they mean, each once, under the gravest."""
        leaks = [group for group in self.groups if group in self._leaking and group not in self._conflicting]
        rest = [group for group in self.groups if group not in self._conflicting and group not in self._leaking]
        return {
            "Under two classes": self.conflicts(),
            "On both sides": leaks,
            "The same": [group for group in rest if group.kind != "near"],
            "Nearly the same": [group for group in rest if group.kind == "near"],
        }

    # --- in words

    def caption(self) -> str:
        """Say what the set is, and what is wrong with it."""
        return " ".join(self.sentences())

    def sentences(self) -> list[str]:
        """Say one thing after the other that should be known before training."""
        said = [f"{self.description[:1].upper()}{self.description[1:]}."]
        said += [*self._classes(), *self._unreadable(), *self._alike(), self._sizes(), self._modes()]
        return [sentence for sentence in said if sentence]

    def _classes(self) -> list[str]:
        counts = self.counts
        there = np.flatnonzero(counts)
        unknown = int((self.labels < 0).sum())
        said = [f"{count(unknown, 'picture')} {'has' if unknown == 1 else 'have'} no class."] if unknown else []
        if len(there) < 2:
            return said
        most, least = int(counts.argmax()), int(there[counts[there].argmin()])
        ratio = counts[most] / counts[least]
        sizes = f"from {counts[least]:,} ({shown(self.class_names[least])}) to {counts[most]:,} pictures"
        if counts[most] == counts[least]:
            said.append(f"All classes have {count(int(counts[most]), 'picture')}.")
        elif ratio < _EVEN:
            said.append(f"The classes are about equally large, {sizes}.")
        else:
            much = "somewhat" if ratio < _UNEVEN else "very"
            hint = "; class weights make up for that" if ratio >= _UNEVEN else ""
            sizes += f" ({shown(self.class_names[most])})"
            said.append(f"The classes are {much} uneven, {sizes}: {number(ratio, 2)} to 1{hint}.")
        if len(single := [self.class_names[index] for index in there.tolist() if counts[index] == 1]):
            said.append(
                f"{count(len(single), 'class has', 'classes have')} one picture only (the first: {shown(single[0])})."
            )
        return said

    def _unreadable(self) -> list[str]:
        if not self.broken:
            return []
        how_many = len(self.broken)
        reason = self.broken[0][1].partition(". ")[0].rstrip(".")
        return [f"{count(how_many, 'picture')} cannot be read and will be left out (the first: {reason})."]

    def _alike(self) -> list[str]:
        said = []
        for kind, words in (("bytes", "byte for byte"), ("pixels", "pixel for pixel")):
            groups = [group for group in self.groups if group.kind == kind]
            if more := sum(len(group.members) - 1 for group in groups):
                said.append(f"{count(more, 'picture is a copy', 'pictures are copies')} of another, {words}.")
        if near := self.nearly():
            many = sum(len(group.members) for group in near)
            small = float(np.median(self.sizes[self.sizes[:, 0] > 0].max(1))) <= _TINY
            by_chance = ": so small, pictures can be alike without being copies" if small else ""
            said.append(f"{count(many, 'picture')} in {count(len(near), 'group')} are nearly the same{by_chance}.")
        if leaks := self.leaks():
            apart = count(len(leaks), "group")
            where = "on both sides of" if len(self.divided) == 2 else "in more than one of"
            lie = "would lie" if not self._has_parts else "lies" if len(leaks) == 1 else "lie"
            said.append(
                f"Of these, {apart} {lie} {where} {_listed(self.divided)}: validation would flatter the network."
            )
        if conflicts := self.conflicts():
            said.append(
                f"{count(len(conflicts), 'group stands', 'groups stand')} under more than one class: one of the labels "
                "must be wrong."
            )
        return said

    @property
    def _has_parts(self) -> bool:
        return self.divided != ("training", "validation")

    def _sizes(self) -> str:
        good = self.sizes[self.sizes[:, 0] > 0]
        if not len(good):
            return ""
        area = good.astype(np.int64).prod(1)
        smallest, largest = (
            f"{width:,} x {height:,}" for width, height in good[[area.argmin(), area.argmax()]].tolist()
        )
        if smallest == largest and len(np.unique(good, axis=0)) == 1:
            said = f"All are of {smallest} pixels."
        else:
            middle = good[np.argsort(area, kind="stable")[len(area) // 2]].tolist()
            said = f"Width x height from {smallest} to {largest} pixels, in the middle {middle[0]:,} x {middle[1]:,}."
            small = int((good.min(1) < _SMALL).sum())
            said += f" {count(small, 'is', 'are')} below {_SMALL} pixels." if small else ""
        turned = int((self.turns > 1).sum())
        return said + (f" {count(turned, 'is', 'are')} stored turned and will be set upright (EXIF)." if turned else "")

    def _modes(self) -> str:
        formats = Counter(one for one in self.formats if one)
        kinds = Counter(_KINDS.get(one, one) for one in self.modes if one)
        if not formats:
            return ""
        said = ", ".join(f"{how_many:,} {name}" for name, how_many in formats.most_common())
        if list(kinds) != ["colour"]:
            said += "; " + ", ".join(f"{how_many:,} {name}" for name, how_many in kinds.most_common())
        return f"{said}."

    # --- in numbers

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawings, ready for JSON."""
        return {
            "description": self.description,
            "sentences": self.sentences(),
            "pictures": len(self),
            "classes": [
                {"name": _unicode(name), "pictures": int(many), "parts": parts}
                for name, many, parts in zip(
                    self.class_names, self.counts.tolist(), self.side_counts().T.tolist(), strict=True
                )
            ],
            "without_class": int((self.labels < 0).sum()),
            "parts": list(self.divided),
            "broken": [{"name": _unicode(self.names[index]), "reason": reason} for index, reason in self.broken],
            "groups": [self._group(group) for group in self.groups],
            "leaks": [self._group(group) for group in self.leaks()],
            "conflicts": [self._group(group) for group in self.conflicts()],
            "formats": dict(Counter(one for one in self.formats if one)),
            "modes": dict(Counter(one for one in self.modes if one)),
            "turned": [_unicode(self.names[index]) for index in np.flatnonzero(self.turns > 1).tolist()],
            "sizes": encode_array(self.sizes),
        }

    def _group(self, group: Group) -> dict[str, Json]:
        return {
            "kind": group.kind,
            "names": [_unicode(self.names[one]) for one in group.members],
            "classes": [_unicode(self.class_of(one)) for one in group.members],
            "parts": [self.divided[self.sides[one]] if self.sides[one] >= 0 else None for one in group.members],
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name."""
        pairs = [(place, one) for place, group in enumerate(self.groups) for one in group.members]
        return {
            "sizes": self.sizes,
            "labels": self.labels,
            "sides": self.sides,
            "turns": self.turns,
            "groups": np.array(pairs, dtype=np.int64).reshape(-1, 2),
        }

    # --- drawn

    def drawings(self) -> list[Drawing]:
        """Return the groups of which pictures were kept: the first two side by side, with their names."""
        return [
            Drawing(
                shown(self.names[group.members[0]]),
                self.sentence(group),
                drawing.sheet([self.examples[one] for one in group.members[:2]], columns=2),
            )
            for group in self.shown_groups()
        ]

    def shown_groups(self) -> list[Group]:
        """Return the groups of which pictures were kept; those that matter most first."""
        ordered = chain(*self.kinds().values())
        return [group for group in ordered if all(one in self.examples for one in group.members[:2])]

    def sentence(self, group: Group) -> str:
        """Say what is alike in a group, and what follows."""
        how = {"bytes": "the same file", "pixels": "the same pixels", "near": "nearly the same"}[group.kind]
        first, second = (shown(self.names[one]) for one in group.members[:2])
        more = f" and {len(group.members) - 2:,} more" if len(group.members) > 2 else ""
        said = f"{first} and {second}{more}: {how}."
        if group in self._conflicting:
            said += f" Classes: {', '.join(dict.fromkeys(shown(self.class_of(one)) for one in group.members))}."
        if group in self._leaking:
            sides = sorted({int(self.sides[one]) for one in group.members} - {-1})
            said += f" In {' and '.join(self.divided[side] for side in sides)}."
        return said

    def figure(self) -> Figure:
        """Draw the classes, the sizes, and pictures that are alike."""
        names = [shown(name) for name in self.class_names]
        pairs = [
            (tuple(self.examples[one] for one in group.members[:2]), self._lines(group))
            for group in self.shown_groups()[:_DRAWN]
        ]
        return draw_check(self.caption(), names, self.counts, self.sizes[self.sizes[:, 0] > 0], pairs)

    def _lines(self, group: Group) -> tuple[str, ...]:
        how = {"bytes": "the same file", "pixels": "the same pixels", "near": "nearly the same"}[group.kind]
        how += f", {len(group.members):,} of them" if len(group.members) > 2 else ""
        lines: Sequence[str] = [shown(self.names[one]) for one in group.members[:2]]
        grave = []
        if group in self._conflicting:
            grave.append("under two classes")
        if group in self._leaking:
            grave.append("on both sides")
        return (*lines, ", ".join([how, *grave]))


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _unicode(name: str) -> str:
    r"""Write a name as JSON can hold it: bytes of a file's name that are no UTF-8 as \udcff."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
