"""Mean and standard deviation of a training set at every pixel of the picture. Numbers only: reads no files."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from striate.errors import OptionError

__all__ = ["PixelStatistics"]

_KEPT = 8  # sizes, devices and number types for which the tensors are kept


@dataclass(frozen=True, eq=False, repr=False)
class PixelStatistics:
    """What a network's pictures are standardised by at every pixel: ``(value - mean) / std``.

    Two are equal when all their numbers are; they can be keys of a dict. The arrays cannot be written to.

    Attributes:
        mean: shape (C, H, W), float32, on the scale [0, 1].
        std: shape (C, H, W), float32, above 0 everywhere: what is divided by, so with any small number added.

    Raises:
        OptionError: shapes differ or are none of pictures, or numbers cannot be divided by.
    """

    mean: NDArray[np.float32]
    std: NDArray[np.float32]

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            values = np.array(getattr(self, name), dtype=np.float32, order="C")  # a copy that nobody else holds
            values.flags.writeable = False
            object.__setattr__(self, name, values)
        if self.mean.ndim != 3 or self.mean.shape != self.std.shape or not self.mean.size:
            shapes = " and ".join(" x ".join(map(str, values.shape)) for values in (self.mean, self.std))
            raise OptionError(f"statistics of each pixel are two arrays C x H x W, got {shapes}.")
        if not (np.isfinite(self.mean).all() and np.isfinite(self.std).all() and (self.std > 0).all()):
            raise OptionError("statistics of each pixel must be finite numbers, and the deviations above 0.")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PixelStatistics) and self.shape == other.shape and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"PixelStatistics({' x '.join(map(str, self.shape))}, {self.digest})"

    def __getstate__(self) -> dict[str, Any]:
        return {"mean": self.mean, "std": self.std}

    @property
    def shape(self) -> tuple[int, ...]:
        """Channels, height and width."""
        return self.mean.shape

    @cached_property
    def digest(self) -> str:
        """Sixteen hexadecimal digits of all numbers (BLAKE2b)."""
        digest = hashlib.blake2b(str(self.shape).encode(), digest_size=8)
        for values in (self.mean, self.std):
            digest.update(values.astype("<f4", copy=False).tobytes())
        return digest.hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return all numbers for JSON: shape, and the bytes of float32 (little end first) in base64."""
        encoded = {
            name: base64.b64encode(values.astype("<f4", copy=False).tobytes()).decode("ascii")
            for name, values in (("mean", self.mean), ("std", self.std))
        }
        return {"shape": list(self.shape), **encoded}

    def brief(self) -> dict[str, Any]:
        """Return what tells these statistics from others, without the numbers: shape and hash."""
        return {"shape": list(self.shape), "hash": self.digest}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PixelStatistics:
        """Read what `to_dict` wrote.

        Raises:
            OptionError: it is something else.
        """
        try:
            shape = tuple(int(side) for side in values["shape"])
            read = [np.frombuffer(base64.b64decode(values[name]), "<f4").reshape(shape) for name in ("mean", "std")]
        except (KeyError, TypeError, ValueError) as error:
            raise OptionError(f"statistics of each pixel cannot be read ({type(error).__name__}: {error}).") from error
        return cls(*read)

    def resized(self, height: int, width: int) -> PixelStatistics:
        """Return the statistics stretched to another size: bilinear, averaging where they shrink."""
        if (height, width) == self.shape[1:]:
            return self
        return PixelStatistics(*(_stretched(values, height, width) for values in (self.mean, self.std)))

    def tensors(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and std as pictures of the size, device and number type of a batch.

        Args:
            images: shape (..., C, H, W). Of another size, the statistics are stretched to it.

        Returns:
            Two tensors, shape (C, H, W).
        """
        key = (*images.shape[-2:], images.device, images.dtype)
        if key not in self._kept:
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            held = self.resized(int(images.shape[-2]), int(images.shape[-1]))
            with torch.inference_mode(False):  # a tensor made in that mode could never be used for a gradient
                mean, std = (torch.from_numpy(values.copy()).to(images.device) for values in (held.mean, held.std))
                self._kept[key] = (mean.to(images.dtype), std.to(images.dtype))
        return self._kept[key]

    @cached_property
    def rows(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and std with the channels of a pixel side by side, shape (H, W * C) each."""
        height = self.shape[1]
        mean, std = (np.ascontiguousarray(np.moveaxis(one, 0, 2)).reshape(height, -1) for one in (self.mean, self.std))
        return mean, std

    @cached_property
    def _kept(self) -> dict[tuple[Any, ...], tuple[Tensor, Tensor]]:
        return {}


def _stretched(values: ArrayLike, height: int, width: int) -> NDArray[np.float32]:
    with torch.inference_mode(False):
        given = torch.from_numpy(np.array(values, dtype=np.float32))[None]
        made = interpolate(given, (height, width), mode="bilinear", align_corners=False, antialias=True)
    return made[0].numpy()
