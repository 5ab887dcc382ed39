"""The pictures of a split as one set: those to train on, then those to validate on. Reads none by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.dataset import PictureSet
from striate.learn.pictures.split import Split
from striate.results.words import count
from striate.spec import InputSpec

__all__ = ["Chosen"]


class Chosen(PictureSet):
    """What a split chose, in its order: n training pictures from 0, m validation pictures from n.

    Names are those of the set that a picture lies in; where there are two, with "train/" or "validation/" before them.

    Attributes:
        trains: n.
    """

    def __init__(self, split: Split) -> None:
        sides = [(split.train, split.train_indices)]
        if split.validation is not None:
            sides.append((split.validation, split.validation_indices))
        super().__init__(
            np.concatenate([split.train_labels, split.validation_labels]),
            description=f"{count(sum(len(indices) for _, indices in sides), 'picture')} of {split.train.description}",
            class_names=split.class_names,
        )
        self._sides = sides
        self.trains = len(split.train_indices)
        self.prepared = split.train.prepared
        same = split.validation is None or split.validation is split.train
        self._before = ("", "") if same else ("train/", "validation/")

    def __len__(self) -> int:
        return sum(len(indices) for _, indices in self._sides)

    def _found(self, index: int) -> tuple[int, PictureSet, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"there is no picture {index}; there are {len(self)}.")
        side = int(index >= self.trains)
        pictures, indices = self._sides[side]
        return side, pictures, int(indices[index - side * self.trains])

    def name(self, index: int) -> str:
        """Return what the picture is called in its own set."""
        side, pictures, place = self._found(index)
        return f"{self._before[side]}{pictures.name(place)}"

    def path(self, index: int) -> Path | None:
        """Return the file of a picture."""
        _, pictures, place = self._found(index)
        return pictures.path(place)

    def pixels(self, index: int) -> NDArray[Any]:
        """Return a picture as it is kept."""
        _, pictures, place = self._found(index)
        return pictures.pixels(place)

    def fitted(self, index: int, spec: InputSpec) -> NDArray[Any]:
        """Return a picture at the size that a network takes."""
        _, pictures, place = self._found(index)
        return pictures.fitted(place, spec)

    def mark(self, index: int) -> str:
        """Return what changes when the picture does."""
        _, pictures, place = self._found(index)
        return pictures.mark(place)

    def at_once(self, spec: InputSpec) -> bool:
        """Whether both sets are faster in many at a time."""
        return all(pictures.at_once(spec) for pictures, _ in self._sides)

    def fitted_many(self, indices: NDArray[np.int64], spec: InputSpec) -> NDArray[Any]:
        """Return several pictures, side by side as they lie in their sets."""
        parts = []
        for side, (pictures, places) in enumerate(self._sides):
            mine = (indices >= self.trains) == bool(side)
            if mine.any():
                parts.append((mine, pictures.fitted_many(places[indices[mine] - side * self.trains], spec)))
        if len(parts) == 1:
            return parts[0][1]
        if len({held.dtype for _, held in parts}) > 1:
            return super().fitted_many(indices, spec)
        found = np.empty((len(indices), *parts[0][1].shape[1:]), parts[0][1].dtype)
        for mine, held in parts:
            found[mine] = held
        return found
