"""A small network with everything that is awkward for an atlas, and pictures for it. No test stands here."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import striate
from striate.dataset.arrays import ArraySet

SIZE = (12, 20)  # not square
CLASSES = 5


class Awkward(nn.Module):
    """Grey pictures, a convolution called twice, ReLU in place right behind the convolutions, vectors at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 6, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.shared = nn.Conv2d(6, 6, 3, padding=1, groups=2)
        self.pool = nn.MaxPool2d(2)
        self.dying = nn.Conv2d(6, 4, 1)
        self.wide = nn.Conv2d(4, 150, (1, 3))
        self.hidden = nn.Linear(150, 7)
        self.last = nn.Linear(7, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        x = self.relu(self.first(images))
        x = x + self.relu(self.shared(x))
        x = self.pool(self.relu(self.shared(x)))
        x = self.relu(self.dying(x))
        x = self.relu(self.wide(x)).mean((2, 3))
        return self.last(torch.relu(self.hidden(x)))


def awkward(seed: int = 0) -> striate.Network:
    """Return the network with weights that depend on the seed only; channel 2 of `dying` is dead behind its ReLU."""
    generator = torch.Generator().manual_seed(seed)
    module = Awkward()
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) / max(weight[0].numel(), 4) ** 0.5)
        module.dying.bias[2] = -100.0
    return striate.Network(module, striate.InputSpec(1, *SIZE, mean=(0.45,), std=(0.3,)), name="awkward")


def pixels(count: int, seed: int = 0) -> NDArray[np.uint8]:
    """Return grey pictures (N, H, W, 1); some are the same, so that values are equal, and some are all black."""
    found = np.random.default_rng(seed).integers(0, 256, (count, *SIZE, 1), dtype=np.uint8)
    found[5::17] = found[5 % count]
    found[8::23] = 0
    return found


def pictures(count: int, *, labelled: bool = True, seed: int = 0) -> ArraySet:
    """Return them as a set, with labels of five classes of which one has no pictures."""
    labels = np.arange(count) % 4 if labelled else None
    if labels is not None:
        labels[::10] = -1
    from striate import dataset

    opened = dataset.open(pixels(count, seed), labels=labels)
    assert isinstance(opened, ArraySet)
    return opened
