"""Patches of pictures, drawn by a seed. Learns nothing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from striate import progress
from striate.dataset import PictureSet
from striate.dataset.preparing import check_range, scaled, with_channels
from striate.errors import DataError, ImageError
from striate.spec import InputSpec

__all__ = ["draw_patches"]

TASK = "drawing patches"
EACH = 8  # patches of a picture, about: of a large set only so many pictures are decoded


def draw_patches(
    pictures: PictureSet,
    size: tuple[int, int],
    count: int,
    *,
    spec: InputSpec | None = None,
    indices: NDArray[np.int64] | None = None,
    seed: int = 0,
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Draw patches: each from a picture drawn with replacement, at a place where it lies wholly inside.

    Of a set that is large beside the number of patches, an eighth as many pictures as patches are drawn first.

    Args:
        pictures: the set.
        size: height and width of a patch, pixels.
        count: how many patches are drawn, at least 1.
        spec: brings pictures to the size and channels of a network first; they are taken as they are kept, with the
            channels of the first that can be read, unless given.
        indices: of the pictures that patches come from; all unless given.
        seed: of which pictures and which places.

    Returns:
        Patches (M, C, h, w), float32 in [0, 255], in an order of their own; fewer than asked for where pictures cannot
        be read. And a sentence on these, where there are any.

    Raises:
        DataError: no picture can be read, one is smaller than a patch, or pictures come normalised and it is not known
            how.
        Stopped: the user asked to stop.
    """
    known = np.arange(len(pictures)) if indices is None else np.asarray(indices, dtype=np.int64)
    if not len(known):
        raise DataError(f"{pictures.description}: there is no picture to draw patches from.")
    generator = np.random.default_rng(seed)
    enough = -(-count // EACH)
    if enough < len(known):
        known = known[np.sort(generator.permutation(len(known))[:enough])]
    chosen, times = np.unique(generator.integers(len(known), size=count), return_counts=True)
    found: list[NDArray[np.float32]] = []
    broken: list[str] = []
    channels = None if spec is None else spec.channels
    for place, (index, many) in enumerate(zip(known[chosen].tolist(), times.tolist(), strict=True)):
        if place % 512 == 0:
            progress.check_stop(TASK)
            progress.report(progress.Event(TASK, place, len(chosen)))
        try:
            pixels = _pixels(pictures, index, spec, channels)
        except ImageError as error:
            broken.append(str(error))
            continue
        channels = pixels.shape[2]
        height, width = pixels.shape[0] - size[0] + 1, pixels.shape[1] - size[1] + 1
        if height < 1 or width < 1:
            raise DataError(
                f"picture {pictures.name(index)} is {pixels.shape[0]} x {pixels.shape[1]} pixels, smaller than a patch "
                f"of {size[0]} x {size[1]}. Take smaller patches, or give a spec that pictures are resized by."
            )
        windows = sliding_window_view(pixels, size, axis=(0, 1))  # (height, width, C, h, w), a view
        found.append(windows[generator.integers(height, size=many), generator.integers(width, size=many)])
    progress.report(progress.Event(TASK, len(chosen), len(chosen)))
    if not found:
        raise DataError(f"none of the {len(chosen):,} pictures that patches were drawn from can be read: {broken[0]}")
    drawn = np.concatenate(found)[generator.permutation(sum(map(len, found)))]
    return drawn, tuple(_sentences(broken, len(chosen)))


def _pixels(pictures: PictureSet, index: int, spec: InputSpec | None, channels: int | None) -> NDArray[np.float32]:
    """Return a picture (H, W, C) between 0 and 255."""
    if pictures.prepared:
        if spec is None:
            raise DataError(
                f"the pictures of {pictures.description} come normalised already. Give the spec that says how: "
                "mean and std are undone by it."
            )
        values = pictures.fitted(index, spec) * np.asarray(spec.std, np.float32) + np.asarray(spec.mean, np.float32)
        return np.asarray(values * 255, dtype=np.float32)
    if spec is None:
        values = pictures.pixels(index)
        if values.dtype != np.uint8:
            check_range(values, f"Picture {pictures.name(index)}")
        if channels is not None:
            values = with_channels(values, channels, f"Picture {pictures.name(index)}")
    else:
        values = pictures.fitted(index, spec)
    if values.dtype == np.uint8:
        return values.astype(np.float32)
    return scaled(values) * np.float32(255)


def _sentences(broken: list[str], drawn: int) -> Iterator[str]:
    if broken:
        yield (
            f"{len(broken):,} of {drawn:,} pictures could not be read, and gave no patches (first: {broken[0].strip()})"
        )
