"""Pictures a second into training, epoch after epoch, against torchvision's ImageFolder and DataLoader."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from bench.measure import Claim, Table, best, interleaved
from striate import dataset
from striate.dataset.batches import processors
from striate.learn.pictures.augment import Augment
from striate.learn.pictures.feeding import Feed, Storage, feed
from striate.spec import InputSpec

__all__ = ["run"]

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data" / "imagenet-sample"
STORAGES: tuple[Storage, ...] = ("memory", "disk", "stream")
BATCH = 64
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def run(*, quick: bool = False) -> Table:
    """Measure photographs, small pictures in files, and small pictures in an array."""
    files = sorted(FOLDER.glob("*.jpg"))[: 100 if quick else None]
    if not files:
        raise SystemExit(f"bench feeding needs the sample photographs in {FOLDER.name}/ beside the checkout")
    table = Table(
        "Pictures into training",
        f"One epoch of training pictures, shuffled, augmented, normalised, in batches of {BATCH}; no network runs. "
        "What is kept is decoded once, before the first epoch ('decoding'). The peer reads the same files with "
        "ImageFolder and torchvision's transforms of the same augmentation in a DataLoader whose workers live on "
        "between epochs, with the number of workers that is best for it; for an array, a data set of the same array.",
        ("pictures", "what", "seconds", "pictures/s"),
    )
    repeats = 1 if quick else 5
    with tempfile.TemporaryDirectory() as folder:
        photographs = _linked(files, Path(folder) / "photographs")
        _folder("photographs, crop and flip to 224 x 224", photographs, 224, table, repeats, 2.0)
        small = _small(files, Path(folder) / "small", 1 if quick else 10)
        _folder("32 x 32 in files, pad and flip", small, 32, table, repeats, 10.0)
    _digits(2_000 if quick else 60_000, table, repeats)
    return table


def _folder(what: str, folder: Path, side: int, table: Table, repeats: int, limit: float) -> None:
    from torchvision import transforms

    crop = side > 64
    augment = Augment.parse("crop=0.35:1,flip" if crop else "pad=4,flip,border=0")
    spec = InputSpec(3, side, side, mean=MEAN, std=STD)
    moved = transforms.RandomResizedCrop(side, (0.35, 1)) if crop else transforms.RandomCrop(side, padding=4)
    steps = [moved, transforms.RandomHorizontalFlip(), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    from torchvision.datasets import ImageFolder

    pictures = dataset.open(folder)
    theirs = ImageFolder(str(folder), transforms.Compose(steps))
    _measure(what, pictures, pictures.labels, spec, augment, theirs, table, repeats, limit)


def _digits(count: int, table: Table, repeats: int) -> None:
    from torchvision import transforms

    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
    labels = rng.integers(0, 10, count)
    steps = [transforms.ToTensor(), transforms.Normalize((0.13,), (0.31,))]
    theirs = _Array(values, labels, transforms.Compose(steps))
    spec = InputSpec(1, 28, 28, mean=(0.13,), std=(0.31,))
    pictures = dataset.open(values, labels=labels)
    what = f"{count:,} digits in an array"
    _measure(what, pictures, labels, spec, Augment(), theirs, table, repeats, 20.0, storages=("memory",))
    turned = [transforms.RandomAffine(10, (0.1, 0.1)), *steps]
    theirs = _Array(values, labels, transforms.Compose(turned))
    lecture = Augment.parse("lecture,border=0")
    _measure(f"{what}, turned and shifted", pictures, labels, spec, lecture, theirs, table, repeats, 10.0, ("memory",))


def _measure(
    what: str,
    pictures: dataset.PictureSet,
    labels: Any,
    spec: InputSpec,
    augment: Augment,
    theirs: Dataset[Any],
    table: Table,
    repeats: int,
    limit: float,
    storages: Sequence[Storage] = STORAGES,
) -> None:
    count = len(pictures)
    calls: dict[str, Callable[[], object]] = {}
    with ExitStack() as stack:
        for storage in storages:
            started = time.perf_counter()
            made = stack.enter_context(
                feed(
                    pictures, np.arange(count), labels, spec, batch=BATCH, augment=augment, training=True,
                    storage=storage, drop_last=False,
                )
            )  # fmt: skip
            spent = time.perf_counter() - started
            if storage != "stream":
                table.rows.append((what, f"striate, {storage}: decoding", f"{spent:.2f}", f"{count / spent:,.0f}"))
            calls[f"striate, {storage}"] = lambda made=made: _epoch(made)
        for workers in range(processors() + 1):
            loader = DataLoader(theirs, BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0)
            calls[f"torchvision, {workers} workers"] = lambda loader=loader: sum(len(one) for one, _ in loader)
        seconds = interleaved(calls, repeats=repeats)
    for name, spent in seconds.items():
        table.rows.append((what, name, f"{spent:.3f}", f"{count / spent:,.0f}"))
    peer = best(seconds, "torchvision")[1]
    ours = best(seconds, "striate")[1]
    table.claims.append(Claim(f"{what}: pictures a second, torchvision's", peer / ours, limit, at_most=False))


def _epoch(made: Feed) -> int:
    return sum(len(one) for one in made.epoch(1))


class _Array(Dataset[Any]):
    """Digits as torchvision's own data set of MNIST gives them."""

    def __init__(self, values: np.ndarray, labels: np.ndarray, transform: Callable[[Any], torch.Tensor]) -> None:
        self.values, self.labels, self.transform = values, labels, transform

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.values[index])), int(self.labels[index])


def _linked(files: Sequence[Path], folder: Path) -> Path:
    """Put files into ten class folders, as ImageFolder wants them."""
    for index, file in enumerate(files):
        made = folder / f"class{index % 10}" / file.name
        made.parent.mkdir(parents=True, exist_ok=True)
        os.symlink(file, made)
    return folder


def _small(files: Sequence[Path], folder: Path, each: int) -> Path:
    """Cut photographs into small PNG files."""
    rng = np.random.default_rng(0)
    for index, file in enumerate(files):
        with Image.open(file) as picture:
            whole = picture.convert("RGB").resize((96, 96), Image.Resampling.BILINEAR)
        for number in range(each):
            left, top = rng.integers(0, 64, 2).tolist()
            made = folder / f"class{index % 10}" / f"{index}_{number}.png"
            made.parent.mkdir(parents=True, exist_ok=True)
            whole.crop((left, top, left + 32, top + 32)).save(made)
    return folder
