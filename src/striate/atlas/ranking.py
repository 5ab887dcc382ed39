"""The k best pictures of every unit, kept sorted, with a rule for equals that no order of work can change.

Value and picture go into one whole number of 64 bits, which is larger when the value is larger, and of equal values
when the picture is the earlier one. So the k largest numbers are the answer, without a tie ever. Tensors only.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["NOBODY", "Ranking", "keys_from", "keys_of", "merged", "pictures_of", "values_of"]

NOBODY = -(2**63)
"""The key of an empty place: below every other."""

_LATEST = 2**32 - 1  # numbers of pictures are below


def keys_of(values: Tensor, pictures: Tensor) -> Tensor:
    """Return the key of each value, int64.

    Args:
        values: float32, without NaN and -0.
        pictures: int64, from 0 to 2**32 - 1, of a shape that broadcasts.
    """
    bits = values.view(torch.int32)
    ordered = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)  # whole numbers in the order of the floats
    return (ordered.long() << 32) | (_LATEST - pictures)


def keys_from(values: NDArray[np.float32], pictures: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the key of each value in numpy; see `keys_of`."""
    return keys_of(torch.from_numpy(np.ascontiguousarray(values)), torch.from_numpy(pictures.clip(0))).numpy()


def pictures_of(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the pictures in keys, -1 for nobody."""
    return np.where(keys == NOBODY, -1, _LATEST - (keys & _LATEST))


def values_of(keys: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the values in keys, NaN for nobody."""
    ordered = (keys >> 32).astype(np.int32)
    values = np.where(ordered < 0, ordered ^ 0x7FFFFFFF, ordered).astype(np.int32).view(np.float32)
    return np.where(keys == NOBODY, np.float32(np.nan), values).astype(np.float32)


class Ranking:
    """The best pictures of some units.

    Attributes:
        least: (U,) float32, what a value must exceed to enter; -inf while there is room.
    """

    def __init__(self, units: int, top: int, device: torch.device) -> None:
        """Make room for `top` pictures of each unit."""
        self._keys = torch.full((units, top), NOBODY, dtype=torch.int64, device=device)
        self._places = torch.full((units, top), -1, dtype=torch.int32, device=device)
        self.least = torch.full((units,), -torch.inf, device=device)

    def enter(self, values: Tensor, pictures: Tensor, places: Tensor) -> None:
        """Take in a batch.

        Args:
            values: (n, U).
            pictures: (n,), later ones than all that came before.
            places: (n, U), int32; read only of those that enter.
        """
        units = (values > self.least).any(0).nonzero().flatten()
        if not len(units):
            return
        everyone = len(units) == len(self.least)
        # U' x n; whoever does not exceed the least sorts behind the k that are there
        new = keys_of(values.T.contiguous() if everyone else values.T[units], pictures)
        there, spots = places.T if everyone else places.T[units], slice(None) if everyone else units
        keys, order = torch.cat([self._keys[spots], new], 1).topk(self._keys.shape[1], dim=1)
        self._keys[spots] = keys
        self._places[spots] = torch.cat([self._places[spots], there], 1).gather(1, order)
        last = keys[:, -1]
        ordered = (last >> 32).int()
        least = torch.where(ordered < 0, ordered ^ 0x7FFFFFFF, ordered).view(torch.float32)
        self.least[spots] = torch.where(last == NOBODY, -torch.inf, least)

    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
        """Return keys (U, k), places (U, k) and least (U,) themselves, for `one_pass.enter`; on the processor only."""
        return self._keys.numpy(), self._places.numpy(), self.least.numpy()

    def since(self, first: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Return keys and places of the pictures from `first` on, with nobody in the places of others."""
        keys, places = self._keys.cpu().numpy().copy(), self._places.cpu().numpy().copy()
        others = pictures_of(keys) < first
        keys[others], places[others] = NOBODY, -1
        return keys, places


def merged(
    first: tuple[NDArray[np.int64], NDArray[np.int32]], second: tuple[NDArray[np.int64], NDArray[np.int32]]
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the best of two rankings, (U, k) keys and places, sorted."""
    keys, places = np.concatenate([first[0], second[0]], 1), np.concatenate([first[1], second[1]], 1)
    order = np.argsort(-1 - keys, axis=1, kind="stable")[:, : first[0].shape[1]]  # -1 - key: descending, never over
    return np.take_along_axis(keys, order, 1), np.take_along_axis(places, order, 1)
