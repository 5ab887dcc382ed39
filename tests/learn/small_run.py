"""A run as `fit` leaves one, made by a plain loop of a few lines, so that what reads runs can be tested by itself."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from striate.dataset import PictureSet
from striate.dataset import open as open_pictures
from striate.learn.pictures.split import Split
from striate.learn.run import Epoch
from striate.learn.settings import Settings
from striate.network import Network
from striate.spec import InputSpec


@dataclass
class SmallRun:
    """What the report asks of a run, and nothing else."""

    path: Path
    split: Split
    settings: Settings
    history: list[Epoch]
    kept: dict[int, Network]
    best_network: Network
    notes: list[str] = field(default_factory=list)
    finished: bool = True
    transferred: bool = False

    @property
    def checkpoints(self) -> dict[int, Path]:
        return {epoch: self.path / f"epoch-{epoch:04d}" for epoch in self.kept}

    @property
    def best(self) -> Epoch | None:
        return next((row for row in reversed(self.history) if row.best), None)

    def network(self, which: str | int = "best") -> Network:
        return self.kept[which] if isinstance(which, int) else self.best_network

    def sentence(self) -> str:
        return f"{len(self.history)} epochs"


def stripes(count: int, *, classes: int = 3, size: tuple[int, int] = (20, 24), channels: int = 3, seed: int = 0):
    """Pictures of stripes, whose direction is their class: uint8 (N, H, W, C), and labels."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    rows, columns = np.mgrid[: size[0], : size[1]]
    angles = labels * np.pi / classes
    waves = np.sin(
        0.9 * (np.cos(angles)[:, None, None] * columns + np.sin(angles)[:, None, None] * rows)
        + random.uniform(0, 6, (count, 1, 1))
    )
    pictures = 128 + 70 * waves[..., None] * random.uniform(0.2, 1, (count, 1, 1, channels))
    pictures = pictures + random.normal(0, 25, (count, *size, channels))
    return np.clip(pictures, 0, 255).astype(np.uint8), labels.astype(np.int64)


def small_module(channels: int, classes: int, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(channels, 8, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 12, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(12, classes),
        ).eval()


def half(pictures: PictureSet, names: tuple[str, ...] | None = None) -> Split:
    """Every third picture validates."""
    places = np.arange(len(pictures))
    validates = places % 3 == 2
    labels = pictures.labels
    known = names or pictures.class_names or tuple(f"class {index}" for index in range(int(labels.max()) + 1))
    return Split(
        pictures, places[~validates], labels[~validates], pictures, places[validates], labels[validates], known
    )


def small_run(
    folder: Path,
    pictures: PictureSet | None = None,
    *,
    names: tuple[str, ...] | None = ("upright", "rising", "falling"),
    epochs: int = 3,
    size: tuple[int, int] = (20, 24),
    channels: int = 3,
    module: Callable[[int, int], nn.Module] = small_module,
    rate: float = 0.02,
) -> SmallRun:
    """Train a small network for a few epochs, and keep it after each."""
    folder.mkdir(parents=True, exist_ok=True)
    if pictures is None:
        values, labels = stripes(150, size=size, channels=channels)
        pictures = open_pictures(values, labels=labels, channels=channels)
    split = half(pictures, names)
    classes = len(split.class_names)
    network = Network(
        module(channels, classes),
        InputSpec(channels, *size, mean=(0.5,) * channels, std=(0.25,) * channels),
        split.class_names,
        name="small",
    )
    kept = {0: frozen(network)}
    history: list[Epoch] = []
    best = -1.0
    chosen = frozen(network)
    parts = [
        (torch.stack([pictures.read(int(index), network.spec) for index in indices]), torch.from_numpy(truth))
        for indices, truth in (
            (split.train_indices, split.train_labels),
            (split.validation_indices, split.validation_labels),
        )
    ]
    optimizer = torch.optim.SGD(network.module.parameters(), lr=rate, momentum=0.9)
    for epoch in range(1, epochs + 1):
        network.module.train().requires_grad_(True)
        images, labels = parts[0]
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(epoch))
        total, right = 0.0, 0
        for rows in order.split(16):
            logits = network.module(images[rows])
            loss = F.cross_entropy(logits, labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += float(loss.detach()) * len(rows)
            right += int((logits.argmax(1) == labels[rows]).sum())
        network.module.eval().requires_grad_(False)
        logits = network(parts[1][0])
        accuracy = float((logits.argmax(1) == parts[1][1]).float().mean())
        better = accuracy > best
        best = max(best, accuracy)
        kept[epoch] = frozen(network)
        if better:
            chosen = kept[epoch]
        history.append(
            Epoch(
                epoch=epoch,
                step=epoch * len(order.split(16)),
                seconds=float(epoch),
                rate=rate,
                train_loss=total / len(images),
                train_accuracy=right / len(images),
                validation_loss=float(F.cross_entropy(logits, parts[1][1])),
                validation_accuracy=accuracy,
                pictures_per_second=1000.0,
                best=better,
            )
        )
    settings = Settings(epochs=epochs, optimizer="sgd", rate=rate, schedule="constant")
    return SmallRun(folder, split, settings, history, kept, chosen)


def frozen(network: Network) -> Network:
    return Network(copy.deepcopy(network.module), network.spec, network.class_names, name=network.name)
