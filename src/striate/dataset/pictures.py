"""What a set of pictures is, whatever they are kept in. Knows no kind of file, no network."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.dataset.preparing import normalised
from striate.errors import DataError
from striate.spec import InputSpec

__all__ = ["Part", "PictureSet"]


class Part(NamedTuple):
    """Consecutive pictures that belong together, such as those for training.

    Args:
        name: such as "train".
        start: index of the first picture.
        stop: index behind the last.
    """

    name: str
    start: int
    stop: int


class PictureSet(ABC):
    """Pictures in a fixed order, each with a name, and labels where they are known.

    Opening one decodes nothing. Each picture is read when it is asked for, and one that cannot be read raises an
    `ImageError` that says why; the others are not touched by that.

    Attributes:
        description: what it is, in words: "1,000 pictures of 10 classes in the folder flowers".
        class_names: names by index, or None where pictures have no labels or labels no names.
        parts: what the set is made of, in order; empty where it is all one.
        origin: the arguments of `striate.dataset.open` that open it again; None where it lives in memory only.
        notes: sentences on what was left out or assumed.
        prepared: pictures come as the network takes them, normalised.
    """

    prepared = False

    def __init__(
        self,
        labels: NDArray[np.int64] | None,
        *,
        description: str,
        class_names: Sequence[str] | None = None,
        parts: Sequence[Part] = (),
        origin: Mapping[str, str] | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        """Keep what all sets have.

        Args:
            labels: class of each picture, shape (N,), -1 where it is unknown; None where all are.
            description: what it is, in words.
            class_names: names by index.
            parts: what it is made of.
            origin: what opens it again.
            notes: what was left out or assumed.
        """
        self._labels = labels
        self.description = description
        self.class_names = None if class_names is None else tuple(class_names)
        self.parts = tuple(parts)
        self.origin = None if origin is None else dict(origin)
        self.notes = tuple(notes)
        self._identity: str | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.description})"

    @abstractmethod
    def __len__(self) -> int:
        """Count the pictures."""

    @abstractmethod
    def name(self, index: int) -> str:
        """Return what a picture is called within the set: its path below the folder, or its place."""

    @abstractmethod
    def pixels(self, index: int) -> NDArray[Any]:
        """Return a picture as it is kept, upright: (H, W, C), uint8, or float as it stands in an array.

        Raises:
            ImageError: it cannot be read.
        """

    @abstractmethod
    def fitted(self, index: int, spec: InputSpec) -> NDArray[Any]:
        """Return a picture at the size and with the channels that a network takes, not normalised yet.

        Returns:
            Shape (height, width, C): uint8, or float32 in [0, 1] (normalised, where the set is `prepared`).

        Raises:
            ImageError: it cannot be read.
        """

    @abstractmethod
    def mark(self, index: int) -> str:
        """Return a short text that changes when the picture does: size and time of its file, or a hash."""

    def at_once(self, spec: InputSpec) -> bool:
        """Whether many pictures are fitted faster together, by `fitted_many`, than one by one."""
        return False

    def fitted_many(self, indices: NDArray[np.int64], spec: InputSpec) -> NDArray[Any]:
        """Return several pictures as `fitted` does, shape (n, height, width, C), all of one type.

        Raises:
            ImageError: one of them cannot be read.
        """
        return np.stack([self.fitted(int(index), spec) for index in indices])

    def path(self, index: int) -> Path | None:
        """Return the file of a picture, None where it is in none of its own."""
        return None

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class of each picture, shape (N,), -1 where it is unknown."""
        if self._labels is None:
            self._labels = np.full(len(self), -1, dtype=np.int64)
        return self._labels

    def label(self, index: int) -> int:
        """Return the class of a picture, -1 where it is unknown."""
        return int(self.labels[index])

    @property
    def labelled(self) -> bool:
        """Whether any picture has a label."""
        return len(self) > 0 and bool((self.labels >= 0).any())

    def read(self, index: int, spec: InputSpec) -> Tensor:
        """Return a picture as a network takes it: (C, height, width), float32, normalised.

        The numbers are those of `Network.read` for a file, and of `InputSpec.preprocess` for an array, bit for bit.

        Raises:
            ImageError: it cannot be read.
        """
        values = self.fitted(index, spec)
        if not self.prepared:
            values = normalised(values[None], spec)[0]
        return torch.from_numpy(values).permute(2, 0, 1).contiguous()

    @property
    def identity(self) -> str:
        """Sixteen hexadecimal digits of all names, marks and labels: other pictures or labels give others."""
        if self._identity is None:
            digest = hashlib.blake2b(digest_size=8)
            digest.update("\0".join(self.class_names or ()).encode("utf-8", "surrogateescape"))
            for index, label in enumerate(self.labels.tolist()):
                line = f"\n{self.name(index)}\0{self.mark(index)}\0{label}"
                digest.update(line.encode("utf-8", "surrogateescape"))
            self._identity = digest.hexdigest()
        return self._identity

    def part(self, name: str) -> NDArray[np.int64]:
        """Return the indices of a part.

        Raises:
            DataError: there is no such part; the text says which there are.
        """
        for part in self.parts:
            if part.name == name:
                return np.arange(part.start, part.stop, dtype=np.int64)
        there = ", ".join(part.name for part in self.parts) or "none"
        raise DataError(f"{self.description} has no part {name!r}; its parts are: {there}.")
