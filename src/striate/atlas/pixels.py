"""The pictures of an atlas as short vectors of pixels, for comparison with what the network makes of them.

Every picture is taken as the network saw it and made smaller, to 32 pixels on the longer side by averages: 3 kB each.
Working them out means reading all pictures once, which is as slow as decoding is; so they are kept beside the arrays of
the atlas, and go with them when those are replaced. Where nothing can be written they are worked out each time.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from striate import progress
from striate.atlas.opened import Atlas
from striate.dataset.batches import processors
from striate.network import Network

__all__ = ["SIDE", "file_of", "kept", "of_atlas", "of_images"]

SIDE = 32
PIECE = 256  # pictures read before anyone may stop
NAME = "pixels-32.npy"
TASK = "reading pixels"


def of_images(network: Network, images: Tensor) -> NDArray[np.uint8]:
    """Return pictures as vectors of pixels.

    Args:
        network: whose specification says what a picture looks like.
        images: (N, C, H, W), normalised.

    Returns:
        (N, h w 3), uint8; the larger of h and w is at most 32.
    """
    shown = network.spec.pixels(images)
    height, width = shown.shape[1:3]
    scale = SIDE / max(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        shown = np.stack([np.asarray(Image.fromarray(one).resize(size, Image.Resampling.BOX)) for one in shown])
    return shown.reshape(len(shown), -1)


def of_atlas(network: Network, atlas: Atlas) -> NDArray[np.uint8]:
    """Return the pictures of an atlas as vectors of pixels, (N, h w 3), reading them only the first time.

    Args:
        network: that the atlas was built with.
        atlas: open.

    Raises:
        ImageError: a picture is no longer there, or cannot be read any more.
        Stopped: the user asked to stop.
    """
    file = file_of(atlas)
    found = _found(file, len(atlas))
    if found is not None:
        return found
    made = _read(network, atlas)
    _keep(file, made)
    return made


def kept(atlas: Atlas) -> NDArray[np.uint8] | None:
    """Return the small pictures of an atlas as pictures, (N, h, w, 3), where they lie beside it already, else None."""
    found = _found(file_of(atlas), len(atlas))
    height, width = (max(1, round(length * min(1.0, SIDE / max(atlas.spec.size)))) for length in atlas.spec.size)
    if found is None or found.shape[1] != height * width * 3:
        return None
    return found.reshape(len(found), height, width, 3)


def file_of(atlas: Atlas) -> Path:
    """Return the file in which the vectors are kept, once they were worked out."""
    return atlas.path / str(atlas.manifest["data"]) / NAME


def _found(file: Path, total: int) -> NDArray[np.uint8] | None:
    """Open what was kept; None where there is nothing, or it was cut short."""
    try:
        found: NDArray[np.uint8] = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError):
        return None
    return found if found.ndim == 2 and len(found) == total and found.dtype == np.uint8 else None


def _read(network: Network, atlas: Atlas) -> NDArray[np.uint8]:
    def one(index: int) -> Tensor:
        return atlas.pictures.read(index, network)

    total = len(atlas)
    rows: NDArray[np.uint8] | None = None
    with ThreadPoolExecutor(processors()) as pool:
        for start in range(0, total, PIECE):
            progress.report(progress.Event(TASK, start, total))
            progress.check_stop(TASK)
            stop = min(start + PIECE, total)
            part = of_images(network, torch.stack(list(pool.map(one, range(start, stop)))))
            if rows is None:
                rows = np.empty((total, part.shape[1]), dtype=np.uint8)
            rows[start:stop] = part
    progress.report(progress.Event(TASK, total, total))
    assert rows is not None  # an atlas has pictures
    return rows


def _keep(file: Path, made: NDArray[np.uint8]) -> None:
    """Write the vectors beside the atlas's arrays; where that is not allowed, or has no room, leave it."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as stream:
            np.save(stream, made, allow_pickle=False)
        temporary.replace(file)
    except OSError:
        temporary.unlink(missing_ok=True)
