"""Tell pictures apart by a few digits. Runs no network, reads no file."""

from __future__ import annotations

import zlib

import torch
from torch import Tensor

__all__ = ["fingerprint"]


def fingerprint(image: Tensor) -> str:
    """Return sixteen hexadecimal digits of a picture (C, H, W), the same however it lies in memory.

    The CRC-32 of each half of its numbers, pixel by pixel, both begun with number type and shape. A change of one
    number of up to 32 bits is found for certain, any other in one half but for a chance of one in 2^32. It tells
    pictures apart that were taken for one another, not those that somebody made to be taken for one another: a
    cryptographic hash takes five times as long, as long as a layer of the network that looks at them.

    Args:
        image: any number type and device.
    """
    pixels = image.detach().movedim(0, -1).cpu().contiguous()  # as they lie in a network's batch: nothing is moved
    data = pixels.flatten().view(torch.uint8).numpy().data
    start = zlib.crc32(f"{image.dtype} {tuple(image.shape)}".encode())
    middle = len(data) // 16 * 8  # no number is cut in two
    return f"{zlib.crc32(data[:middle], start):08x}{zlib.crc32(data[middle:], start):08x}"
