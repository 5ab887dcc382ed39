"""Small pictures that can be learned in a second, and small networks with everything in them that draws by lot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

import striate
from striate import dataset
from striate.learn.pictures.split import Split, split

__all__ = ["arrays", "network", "parts", "plain", "same", "stripes_with_broken_ones", "tensors", "write"]

CLASSES = 3


def arrays(count: int = 48, side: int = 9, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return grey pictures (N, side, side, 1) with a bright third that says the class, and their classes."""
    draw = np.random.default_rng(seed)
    images = draw.integers(0, 90, (count, side, side, 1), dtype=np.uint8)
    labels = np.arange(count) % CLASSES
    for image, label in zip(images, labels, strict=True):
        third = side // CLASSES
        image[label * third : (label + 1) * third] += 120
    return images, labels


def parts(count: int = 48, *, share: float = 0.25, seed: int = 0) -> Split:
    images, labels = arrays(count, seed=seed)
    return split(dataset.open(images, labels=labels), share=share)


def write(path: Path, count: int = 48, seed: int = 0) -> Path:
    """Write them as an archive."""
    images, labels = arrays(count, seed=seed)
    np.savez(path, images=images, labels=labels)
    return path


def stripes_with_broken_ones(folder: Path) -> Path:
    """Write 24 pictures to learn from, one of them broken, and 24 others to validate on, of which two are."""
    images, labels = arrays(24)
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        for part in ("train", "val"):
            place = folder / part / "abc"[label]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray((image[..., 0] ^ (part == "val")).astype(np.uint8)).save(place / f"{index:02}.png")
    for place in ("train/a/00.png", "val/b/01.png", "val/b/04.png"):
        (folder / place).write_bytes(b"\x89PNG\r\n\x1a\nnothing" + place.encode())
    return folder


def network(seed: int = 0, classes: int = CLASSES) -> striate.Network:
    """Return a network with batch norm and dropout."""
    text = f"striate:sequential,1x9x9,conv 4 3x3 bn relu,pool 2,dropout 0.3,flatten,dense {classes}"
    made = striate.load(text)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in made.module.parameters():
            if weight.dim() > 1:
                weight.copy_(torch.randn(weight.shape, generator=draw) * 0.2)
    return made


def plain(classes: int = CLASSES) -> striate.Network:
    """Return one without either, whose gradient of a batch is the mean of those of its pictures."""
    return striate.load(f"striate:sequential,1x9x9,conv 4 3x3 relu,pool 2,flatten,dense {classes}")


def tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    """Whether two states are the same bit for bit."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


TRYING: dict[str, Any] = {
    "epochs": 4, "batch": 8, "augment": "rotation=10,shift=0.1,flip,mixup=0.4", "average": 0.9, "smoothing": 0.1,
    "clip": 1.0, "class_weights": "balanced", "standardize": "pixel", "optimizer": "adamw", "rate": 0.01, "workers": 0,
}  # fmt: skip
