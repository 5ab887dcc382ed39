"""Read many pictures for a network, and survive those that cannot be read. Knows no lens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from striate.errors import ImageError
from striate.network import Network

__all__ = ["Broken", "Reading", "read"]


@dataclass(frozen=True)
class Broken:
    """A picture that could not be read, and what its reader said."""

    path: Path
    text: str


@dataclass(frozen=True, eq=False)
class Reading:
    """A batch of pictures.

    Attributes:
        images: those that could be read, (N, C, H, W), normalised.
        paths: their files, N of them.
        broken: the others.
    """

    images: Tensor
    paths: tuple[Path, ...]
    broken: tuple[Broken, ...]

    def sentence(self) -> str:
        """Say how many were left out and why the first was; empty when all could be read."""
        if not self.broken:
            return ""
        total = len(self.paths) + len(self.broken)
        first = self.broken[0].text.rstrip(".")
        return f"{len(self.broken)} of {total} pictures cannot be read and are left out (the first: {first})."


def read(network: Network, files: Sequence[Path]) -> Reading:
    """Read pictures; those that cannot be read are set aside as long as one can.

    Args:
        network: says how pictures are to be read.
        files: one or more.

    Raises:
        ImageError: not one picture can be read.
    """
    images: list[Tensor] = []
    good: list[Path] = []
    broken: list[Broken] = []
    for file in files:
        try:
            images.append(network.read(file))
            good.append(file)
        except ImageError as error:
            broken.append(Broken(file, str(error)))
            last = error
    if not good:
        if len(broken) == 1:
            raise last
        raise ImageError(f"none of the {len(broken)} pictures can be read. The first: {broken[0].text}")
    return Reading(torch.cat(images), tuple(good), tuple(broken))
