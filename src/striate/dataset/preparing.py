"""Pixels to what a network takes, in numpy, so that decoding threads start no threads of torch. Reads no files."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from striate.errors import ImageError
from striate.images import as_channels
from striate.spec import InputSpec

__all__ = ["check_range", "fit_pixels", "hashed", "normalised", "scaled", "statistics_in_rows", "with_channels"]

_LONG = 4_096  # numbers: from rows of so many on nothing is gained by longer ones


def fit_pixels(values: NDArray[Any], spec: InputSpec, name: str) -> NDArray[Any]:
    """Bring an array (H, W, C), uint8 or float in [0, 1], to a network's size and channels.

    Returns:
        Shape (height, width, C): uint8 where nothing had to be resized, else float32 in [0, 1].

    Raises:
        ImageError: its channels cannot become those of the network, or its numbers are not in [0, 1].
    """
    if values.dtype != np.uint8:
        check_range(values, name)
    values = with_channels(values, spec.channels, name)
    if values.dtype == np.uint8 and values.shape[:2] == spec.size:
        return values
    try:
        return spec.fit_array(values)
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from error


def with_channels(values: NDArray[Any], channels: int, name: str) -> NDArray[Any]:
    """Return an array (H, W, C) with so many channels: grey is repeated, uint8 colours become grey as in Pillow.

    Raises:
        ImageError: there is no such way.
    """
    found = values.shape[2]
    if found == channels:
        return values
    if values.dtype == np.uint8 and {found, channels} <= {1, 3, 4}:
        picture = Image.fromarray(np.ascontiguousarray(values[:, :, 0] if found == 1 else values))
        converted = np.asarray(as_channels(picture, channels, name))
        return converted[:, :, None] if converted.ndim == 2 else converted
    if (found, channels) == (1, 3):
        return values.repeat(3, axis=2)
    raise ImageError(f"{name} has {found} channels, and the network takes {channels}.")


def check_range(values: NDArray[Any], name: str) -> None:
    """Refuse numbers outside [0, 1].

    Raises:
        ImageError: there are some, or NaN.
    """
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):  # so written that NaN is refused as well
        raise ImageError(
            f"{name} holds numbers from {low:.6g} to {high:.6g}, not from 0 to 1. Scale them (0 is black, 1 is white), "
            "or save them as uint8."
        )


def hashed(values: NDArray[Any]) -> str:
    """Return sixteen hexadecimal digits of an array's type, shape and numbers (BLAKE2b)."""
    digest = hashlib.blake2b(f"{values.dtype} {values.shape}".encode(), digest_size=8)
    digest.update(values.tobytes())
    return digest.hexdigest()


def scaled(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return uint8 as float32 in [0, 1]; what is float already as it is."""
    if values.dtype != np.uint8:
        return values.astype(np.float32, copy=False)
    return np.asarray(np.divide(values, np.float32(255), dtype=np.float32))


def normalised(values: NDArray[Any], spec: InputSpec, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """Return pictures normalised as `InputSpec.normalise` does, bit for bit.

    The same three roundings in the same order; numpy runs them over rows of all channels side by side, in
    the thread that calls, where torch would start a team of threads for every decoding thread.

    Args:
        values: shape (n, H, W, C), uint8 or float32 in [0, 1].
        spec: has mean and std, of each channel or of each pixel.
        out: where to write, one number behind the other in memory; made when None.

    Returns:
        Shape (n, H, W, C), float32.

    Raises:
        ValueError: pictures of other channels, or such an `out`.
    """
    if out is None:
        out = np.empty(values.shape, dtype=np.float32)
    if values.shape[3] != spec.channels or not out.flags.c_contiguous:
        raise ValueError(f"{values.shape[3]} channels for {spec.channels}, or an `out` with gaps.")
    mean, std = statistics_in_rows(spec, *values.shape[1:3])
    rows = values.reshape(-1, len(mean))
    target = out.reshape(rows.shape)
    if values.dtype == np.uint8:
        np.divide(rows, np.float32(255), out=target, dtype=np.float32)
    else:
        np.copyto(target, rows)
    target -= mean
    target /= std
    return out


def statistics_in_rows(spec: InputSpec, height: int, width: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return mean and std of the numbers in a row of a picture (H, W, C), or in all its rows.

    All rows of small pictures, and where each pixel has its own; so that operations on pictures have long rows.

    Returns:
        Shape (L,) each; pictures are (-1, L).
    """
    if spec.pixelwise is not None:
        mean, std = spec.pixelwise.resized(height, width).rows
        return mean.ravel(), std.ravel()
    row = width * spec.channels
    times = width * height if row * height <= _LONG else width
    mean, std = (np.tile(np.asarray(one, dtype=np.float32), times) for one in (spec.mean, spec.std))
    return mean, std
