"""The trained networks that are looked at, and the real pictures that they are compared on. Measures nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import striate

__all__ = ["SUBJECTS", "Missing", "Subject"]

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
BATCH = 32


class Missing(Exception):
    """Data that are not part of the project, and not here."""


@dataclass(frozen=True)
class Subject:
    """A trained network with its real pictures.

    Args:
        name: short, for files and tables.
        title: for people.
        layers: a shallow, a middle and a deep one.
        load: loads the network.
        real: yields real pictures in batches, normalised; at most so many.
        pictures: what they are, in words.
    """

    name: str
    title: str
    layers: tuple[str, str, str]
    load: Callable[[], striate.Network]
    real: Callable[[striate.Network, int], Iterator[Tensor]]
    pictures: str


def _photographs(network: striate.Network, most: int) -> Iterator[Tensor]:
    folder = Path(os.environ.get("STRIATE_PHOTOGRAPHS", SHARED / "imagenet-sample"))
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))[:most]
    if not paths:
        raise Missing("no photographs: name a folder of them in STRIATE_PHOTOGRAPHS")
    for start in range(0, len(paths), BATCH):
        yield network.read(paths[start : start + BATCH])


def _resnet20() -> striate.Network:
    path = SHARED / "models" / "resnet20-cifar10.safetensors"
    if not path.is_file():
        raise Missing("no weights of resnet20-cifar10: they are lent with the data beside the checkout")
    names = "airplane automobile bird cat deer dog frog horse ship truck".split()
    return striate.load(path, factory="striate:resnet-20-cifar", class_names=names)


def _cifar(network: striate.Network, most: int) -> Iterator[Tensor]:
    place = os.environ.get("STRIATE_CIFAR10", "")
    if not Path(place).is_file():
        raise Missing("no CIFAR-10: run ../shared/data/prepare cifar10 OUT, and set STRIATE_CIFAR10=OUT/cifar10.npz")
    with np.load(place) as data:
        images = torch.from_numpy(data["x_test"][:most]).permute(0, 3, 1, 2)
    for start in range(0, len(images), BATCH):
        yield network.spec.normalise(images[start : start + BATCH].float() / 255)


SUBJECTS = (
    Subject(
        "efficientnet_lite0",
        "EfficientNet-Lite0",
        ("blocks.1.1", "blocks.3.2", "blocks.6.0"),
        lambda: striate.load("efficientnet_lite0"),
        _photographs,
        "photographs of ImageNet, one of each class",
    ),
    Subject(
        "resnet20_cifar10",
        "ResNet-20 on CIFAR-10",
        ("layer1", "layer2", "layer3"),
        _resnet20,
        _cifar,
        "pictures of the CIFAR-10 test set",
    ),
)
