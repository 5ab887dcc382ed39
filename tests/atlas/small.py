"""A small network and folders of small pictures for builds that are disturbed. No test stands here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

import striate

__all__ = ["contents", "network", "picture", "pictures"]

SPEC = striate.InputSpec(3, 16, 20, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))


def network() -> striate.Network:
    """Return a network of two convolutions, the same each time."""
    generator = torch.Generator().manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, 3),
    )
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.4)
    return striate.Network(module, SPEC, ["ant", "bee", "cat"], name="small")


def picture(path: Path, seed: int) -> None:
    """Write a picture of a few random blocks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
    Image.fromarray(blocks.repeat(4, 0).repeat(4, 1)).save(path)


def pictures(folder: Path, count: int) -> Path:
    """Write pictures of three classes."""
    for index in range(count):
        picture(folder / ("ant", "bee", "cat")[index % 3] / f"{index:05}.png", index)
    return folder


def contents(atlas: Path) -> dict[str, Any]:
    """Return all that an atlas says: bytes of its files by name, the manifest without times and the data's number."""
    manifest = json.loads((atlas / "manifest.json").read_text("utf-8"))
    data = atlas / manifest.pop("data")
    for key in [key for key in manifest if key in ("seconds", "built", "created", "time", "times")]:
        del manifest[key]
    files = {str(file.relative_to(data)): file.read_bytes() for file in sorted(data.rglob("*")) if file.is_file()}
    return {"manifest.json": manifest, **files}
