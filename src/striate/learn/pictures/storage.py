"""Pictures kept after they are decoded once: in memory, or not at all; in a file: see `on_disk`. Changes nothing.

All give the same bytes for the same places; a picture that cannot be read is left out, and its reason kept.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.learn.pictures.decoding import Piece, Reader, Waiting

__all__ = ["InMemory", "Store", "Streamed", "readable", "shares"]


class Store(ABC):
    """Pictures by their places.

    Attributes:
        at_once: whether fetching them takes no time worth waiting beside.
    """

    at_once = False

    def __init__(self) -> None:
        self.reasons: dict[int, str] = {}
        """Why a picture could not be read, by its place; of those found so far."""

    @abstractmethod
    def begin(self, places: NDArray[np.int64], rows: Tensor) -> Waiting:
        """Begin to fetch pictures.

        Args:
            places: which ones, (b,).
            rows: the same on the device of the network.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of memory, threads and files."""


class Streamed(Store):
    """Decoded whenever they are asked for."""

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self.reader = reader

    def begin(self, places: NDArray[np.int64], rows: Tensor) -> Waiting:
        """Begin to decode."""
        one = self.reader.begin(places)

        def wait() -> Piece:
            piece = one()
            self.reasons.update((int(places[place]), reason) for place, reason in piece.reasons)
            return piece

        return wait

    def close(self) -> None:
        """End the threads."""
        self.reader.close()


class InMemory(Store):
    """One tensor of all pictures, on the device of the network or beside it."""

    at_once = True

    def __init__(self, values: Tensor, reasons: dict[int, str]) -> None:
        super().__init__()
        self.values: Tensor | None = values
        self.reasons = reasons
        self._good = readable(len(values), reasons)

    @classmethod
    def read(cls, reader: Reader, device: torch.device) -> InMemory:
        """Decode all pictures.

        Raises:
            Stopped: the user asked to stop.
        """
        count = len(reader.indices)
        values: Tensor | None = None
        reasons: dict[int, str] = {}
        try:
            for start, piece in reader.all():
                reasons.update((start + place, reason) for place, reason in piece.reasons)
                if not len(piece.values):
                    continue
                if values is None:
                    values = torch.zeros((count, *reader.shape), dtype=piece.values.dtype, device=device)
                elif values.dtype != piece.values.dtype and values.dtype == torch.uint8:
                    values = shares(values)  # pictures of both kinds: all become numbers
                room = values[start : start + (len(piece.values) + len(piece.reasons))]
                new = piece.values if piece.values.dtype == values.dtype else shares(piece.values)
                if piece.good is None:
                    room.copy_(new)
                else:
                    room[torch.from_numpy(piece.good).to(device)] = new.to(device)
        finally:
            reader.close()
        if values is None:
            values = torch.zeros((count, *reader.shape), dtype=torch.uint8, device=device)
        return cls(values, reasons)

    def begin(self, places: NDArray[np.int64], rows: Tensor) -> Waiting:
        """Fetch pictures: at once, as that takes no time."""
        assert self.values is not None
        good = None if self._good is None else self._good[places]
        if good is not None and good.all():
            good = None
        if good is not None:
            places = places[good]
            rows = torch.from_numpy(places)
        elif self.values.device.type == "cpu":
            rows = torch.from_numpy(places)
        found = _rows(self.values, rows.to(self.values.device))
        return lambda: Piece(found, good)

    def close(self) -> None:
        """Free the memory."""
        self.values = None


def _rows(values: Tensor, rows: Tensor) -> Tensor:
    """Copy whole pictures."""
    return values.view(len(values), -1).index_select(0, rows).view(-1, *values.shape[1:])


def shares(values: Tensor) -> Tensor:
    """Return bytes as float32 from 0 to 1, what is float as it is; the same numbers on any device."""
    if values.dtype != torch.uint8:
        return values
    # by a tensor: by a plain number CUDA would multiply with 1/255, which rounds otherwise
    return values.float().div_(torch.full((), 255.0, device=values.device))


def readable(count: int, reasons: dict[int, str]) -> NDArray[np.bool_] | None:
    """Return which of so many pictures can be read, (count,); None when all can."""
    if not reasons:
        return None
    good = np.ones(count, dtype=bool)
    good[list(reasons)] = False
    return good
