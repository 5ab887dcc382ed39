"""Pictures with values from 0 to 1: out of a normalised batch, and as they are shown on the way. Runs no network."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from striate import drawing, progress
from striate.results.words import count
from striate.spec import InputSpec

__all__ = ["opened", "shown", "tell"]

_MOST = 16  # pictures of a batch that are shown on the way
_ROUNDING = 1 / 255  # that a value may lie outside


def opened(spec: InputSpec, batch: Tensor) -> tuple[Tensor, tuple[str, ...]]:
    """Return normalised pictures (B, C, H, W) as float32 from 0 to 1, and a note where some had to be cut off there."""
    pixels = spec.denormalise(batch.detach()).float()
    outside = ((pixels < -_ROUNDING) | (pixels > 1 + _ROUNDING)).flatten(1).any(1)
    notes: tuple[str, ...] = ()
    if how_many := int(outside.sum()):
        notes = (
            f"{count(how_many, 'picture')} had values outside 0 to 1 before normalisation, which were cut off. "
            "Check that the pictures are normalised as the network's InputSpec says.",
        )
    return pixels.clamp(0, 1).clone(), notes


def shown(images: Tensor) -> NDArray[np.uint8]:
    """Return pictures (B, C, H, W), from 0 to 1, as uint8 (B, H, W, 3): the first three channels, or the first grey."""
    values = images.detach().float().clamp(0, 1)
    values = values[:, :3] if values.shape[1] >= 3 else values[:, :1].expand(-1, 3, -1, -1)
    pixels: NDArray[np.uint8] = (values.permute(0, 2, 3, 1) * 255).round().byte().cpu().numpy()
    return pixels


def tell(task: str, done: int, total: int, images: Tensor | None = None, *, note: str = "") -> None:
    """Tell whoever listens how far a job is, with a sheet of the pictures (B, C, H, W) so far where they are given."""
    sheet = None if images is None else drawing.sheet(list(shown(images[:_MOST])))
    progress.report(progress.Event(task, done, total, note, sheet))
