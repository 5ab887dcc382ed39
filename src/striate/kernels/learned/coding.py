"""Pictures to what the classifier reads of them: codes, summed over quadrants. Learns nothing, keeps nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate import progress
from striate.dataset import PictureSet, stream
from striate.spec import InputSpec

__all__ = ["code"]

TASK = "codes"
BATCH = 256  # pictures between two marks of how far it is
PIECE = 4  # pictures that go through at a time: their codes stay near the processor


def code(
    module: nn.Module,
    pictures: PictureSet,
    spec: InputSpec,
    indices: NDArray[np.int64],
    into: NDArray[np.float32],
    *,
    device: torch.device,
    done: int = 0,
    mark: Callable[[int], None] = lambda done: None,
) -> None:
    """Run pictures through a module, and write what it gives.

    Args:
        module: (n, C, H, W) to anything of n rows.
        pictures: the set.
        spec: what the module expects.
        indices: which pictures, in order, (M,).
        into: (M, D), written row by row; a row of NaN for a picture that cannot be read.
        device: of the module.
        done: rows that are there already.
        mark: is told after some pictures how many rows are there.

    Raises:
        Stopped: the user asked to stop.
    """
    piece = PIECE if device.type == "cpu" else BATCH
    progress.report(progress.Event(TASK, done, len(indices)))
    with contextlib.closing(stream(pictures, spec, indices[done:], batch=BATCH, device=device)) as batches:
        for batch in batches:
            asked = indices[done : done + batch.asked]
            read = done + np.flatnonzero(np.isin(asked, batch.indices))
            into[done : done + batch.asked] = np.nan
            for start in range(0, len(read), piece):
                into[read[start : start + piece]] = _codes(module, batch.images[start : start + piece])
            done += batch.asked
            mark(done)
            progress.report(progress.Event(TASK, done, len(indices)))


@torch.no_grad()
def _codes(module: nn.Module, images: Tensor) -> NDArray[np.float32]:
    found: NDArray[np.float32] = module(images).flatten(1).float().cpu().numpy()
    return found
