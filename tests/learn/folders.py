"""Small folders of pictures, each of its own content, for tests of what comes before training."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def noise(name: str, size: tuple[int, int] = (9, 8)) -> Image.Image:
    """A picture that no other name has."""
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    return Image.fromarray(generator.integers(0, 256, (*size, 3), dtype=np.uint8))


def fill(folder: Path, counts: dict[str, int], first: int = 0) -> Path:
    """Make class folders with so many pictures each, numbered from `first` on."""
    for label, many in counts.items():
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(first, first + many):
            noise(f"{label}{number}").save(folder / label / f"{number:04d}.png")
    return folder
