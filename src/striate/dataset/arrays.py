"""Pictures in one array: in memory, or in a file that is mapped. Guesses layouts; opens no file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.dataset.pictures import Part, PictureSet
from striate.dataset.preparing import check_range, fit_pixels, hashed
from striate.errors import DataError, ImageError
from striate.spec import InputSpec

__all__ = ["ArraySet", "as_numpy", "channels_last", "check_labels", "part_list"]

_HASHED = 2**31  # bytes of pictures up to which each is known by its content


class ArraySet(PictureSet):
    """Pictures of one size in one or several arrays, one behind the other.

    Attributes:
        pieces: each (n, H, W, C), uint8 or float in [0, 1]; a view where the file has another order.
    """

    def __init__(
        self,
        pieces: Sequence[NDArray[Any]],
        labels: NDArray[np.int64] | None = None,
        *,
        source_mark: str | None = None,
        **settings: Any,
    ) -> None:
        """Keep arrays; see `PictureSet` for the settings.

        Args:
            pieces: in order; see the class.
            labels: shape (N,).
            source_mark: what changes with the file they are in; used where they are too large to be hashed.

        Raises:
            DataError: they are of a type without a known range, or have numbers outside [0, 1].
        """
        super().__init__(labels, **settings)
        self.pieces = list(pieces)
        self._ends = np.cumsum([len(piece) for piece in self.pieces])
        self._starts = self._ends - [len(piece) for piece in self.pieces]
        self._source_mark = source_mark
        for piece in self.pieces:
            _check_values(piece, self.description)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def name(self, index: int) -> str:
        """Return the place of a picture: its number, after the name of its part where there are parts."""
        index = self._checked(index)
        for part in self.parts:
            if part.start <= index < part.stop:
                return f"{part.name}/{index - part.start}"
        return str(index)

    def pixels(self, index: int) -> NDArray[Any]:
        """Return a picture as it stands in the array: (H, W, C)."""
        index = self._checked(index)
        which = int(np.searchsorted(self._ends, index, side="right"))
        return np.asarray(self.pieces[which][index - self._starts[which]])

    def fitted(self, index: int, spec: InputSpec) -> NDArray[Any]:
        """Return a picture as `InputSpec.preprocess` would bring it to size."""
        return fit_pixels(self.pixels(index), spec, f"Picture {self.name(index)}")

    def at_once(self, spec: InputSpec) -> bool:
        """Whether nothing is to be done but to normalise."""
        return all(piece.dtype == np.uint8 and piece.shape[1:] == (*spec.size, spec.channels) for piece in self.pieces)

    def fitted_many(self, indices: NDArray[np.int64], spec: InputSpec) -> NDArray[Any]:
        """Return several pictures at once."""
        if not self.at_once(spec):
            return super().fitted_many(indices, spec)
        which = np.searchsorted(self._ends, indices, side="right")
        out = np.empty((len(indices), *spec.size, spec.channels), dtype=np.uint8)
        for number in np.unique(which):
            mine = which == number
            out[mine] = self.pieces[number][indices[mine] - self._starts[number]]
        return out

    def mark(self, index: int) -> str:
        """Return a hash of the picture's numbers, or what is known of the file where it is large."""
        if self._source_mark is not None and sum(piece.nbytes for piece in self.pieces) > _HASHED:
            return self._source_mark
        return hashed(self.pixels(index))

    def _checked(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise IndexError(f"there is no picture {index}; there are {len(self)}.")
        return index


def as_numpy(tensor: Tensor) -> NDArray[Any]:
    """Return a tensor of any device and type as an array; bfloat16, which numpy lacks, as float32."""
    plain = tensor.detach().cpu()
    return (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()


def channels_last(values: NDArray[Any], name: str, channels: int | None = None) -> NDArray[Any]:
    """Return pictures as (N, H, W, C), a view; three dimensions are grey pictures.

    Args:
        values: (N, H, W), (N, H, W, C) or (N, C, H, W).
        name: what to call the array in errors.
        channels: C where it is known; else the shorter end is taken, the last where both are alike.

    Raises:
        DataError: it has another number of dimensions, or is empty.
    """
    if values.ndim == 3:
        values = values[..., None]
    if values.ndim != 4 or values.size == 0:
        shape = " x ".join(map(str, values.shape)) or "of a single number"
        raise DataError(f"{name} has the shape {shape}; pictures come as N x H x W, N x H x W x C or N x C x H x W.")
    first, last = values.shape[1], values.shape[3]
    if (last != channels and first == channels) or (channels not in (first, last) and first < last):
        return np.moveaxis(values, 1, 3)
    return values


def check_labels(labels: Any, count: int, name: str) -> NDArray[np.int64]:
    """Return labels as (N,) int64.

    Raises:
        DataError: they are not whole numbers, or not as many as there are pictures.
    """
    values = np.asarray(labels)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.shape != (count,):
        shape = " x ".join(map(str, values.shape)) or "of a single number"
        raise DataError(f"{name} has the shape {shape} for {count:,} pictures. Give one class index for each.")
    if values.dtype.kind not in "iu" and not (values.dtype.kind == "f" and bool((values == np.floor(values)).all())):
        raise DataError(f"{name} holds {values.dtype}, not whole numbers: give the index of each picture's class.")
    if len(values) and int(values.min()) < -1:
        raise DataError(f"{name} holds {int(values.min())}: class indices begin at 0, and -1 stands for unknown.")
    return values.astype(np.int64)


def part_list(names: Sequence[str], pieces: Sequence[NDArray[Any]]) -> list[Part]:
    """Name consecutive pieces; a single one without a name is no part."""
    if list(names) == [""]:
        return []
    ends = np.cumsum([len(piece) for piece in pieces]).tolist()
    return [Part(name, end - len(piece), end) for name, piece, end in zip(names, pieces, ends, strict=True)]


def _check_values(values: NDArray[Any], name: str) -> None:
    if values.dtype == np.uint8:
        return
    if values.dtype.kind != "f":
        raise DataError(
            f"The pictures of {name} are {values.dtype}: save them as uint8 (0 to 255) or as float32 (0 to 1)."
        )
    few = [np.asarray(values[index]) for index in range(0, len(values), max(len(values) // 8, 1))]
    wrong = [error for one in few if (error := _why_out_of_range(one)) is not None]
    if 2 * len(wrong) > len(few):  # a few tell what is meant; a single bad picture is set aside when it is read
        raise DataError(f"{name}: {wrong[0]}") from wrong[0]


def _why_out_of_range(values: NDArray[Any]) -> ImageError | None:
    try:
        check_range(values, "The array")
    except ImageError as error:
        return error
    return None
