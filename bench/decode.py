"""Pictures a second from JPEG files to what a network takes, against torchvision's data set and loader."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from bench.measure import Claim, Table, best, interleaved
from bench.subjects import network
from striate import Network, dataset
from striate.dataset.batches import processors
from striate.spec import InputSpec

__all__ = ["run"]

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data" / "imagenet-sample"
BATCH = 32


def run(*, quick: bool = False) -> Table:
    """Measure both with several numbers of workers, on photographs as they are and four times as large."""
    net = network("efficientnet_lite0")
    files = sorted(FOLDER.glob("*.jpg"))[: 100 if quick else None]
    if not files:
        raise SystemExit(f"bench decode needs the sample photographs in {FOLDER.name}/ beside the checkout")
    table = Table(
        "From JPEG files to batches",
        f"Photographs to {net.spec.height} x {net.spec.width} in batches of {BATCH}: decoded, resized to a short side "
        f"of {net.spec.short_side}, cropped, normalised. The peer is torchvision's loader and transforms in a "
        "DataLoader, whose workers are started anew each time, as at each pass over a data set.",
        ("pictures", "what", "workers", "seconds", "pictures/s"),
    )
    with tempfile.TemporaryDirectory() as folder:
        large = [_enlarged(file, Path(folder)) for file in files[: 20 if quick else 200]]
        _one("short side 256", files, net, table, 1.0, repeats=1 if quick else 5)
        _one("short side 1,024", large, net, table, 2.0, repeats=1 if quick else 5)
    return table


def _one(what: str, files: Sequence[Path], net: Network, table: Table, limit: float, *, repeats: int) -> None:
    many = sorted({1, processors(), 2 * processors()})
    theirs = [0, *(count for count in many if count <= processors())]  # more make it warn, and slow
    calls: dict[str, Callable[[], object]] = {
        "Network.read, one by one|": lambda: [net.read(file) for file in files],
        **{f"striate|{count} threads": lambda n=count: _ours(files, net.spec, n) for count in many},
        **{f"torchvision|{count} processes": lambda n=count: _theirs(files, net.spec, n) for count in theirs},
    }
    seconds = interleaved(calls, repeats=repeats)
    for name, spent in seconds.items():
        who, _, workers = name.partition("|")
        table.rows.append((what, who, workers, f"{spent:.3f}", f"{len(files) / spent:,.0f}"))
    ours, peer = best(seconds, "striate|")[1], best(seconds, "torchvision|")[1]
    text = f"{len(files)} photographs, {what}: pictures a second, torchvision's"
    table.claims.append(Claim(text, peer / ours, limit, at_most=False))


def _enlarged(file: Path, folder: Path) -> Path:
    """Write a photograph four times as large, as a camera would have taken it."""
    made = folder / file.name
    with Image.open(file) as picture:
        size = picture.width * 4, picture.height * 4
        picture.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(made, "JPEG", quality=90)
    return made


def _ours(files: Sequence[Path], spec: InputSpec, workers: int) -> int:
    return sum(len(one.images) for one in dataset.stream(dataset.open(files), spec, batch=BATCH, workers=workers))


class _Files(Dataset[torch.Tensor]):
    """Files read as torchvision's ImageFolder reads them; class folders would only add labels."""

    def __init__(self, files: Sequence[Path], transform: Callable[[Any], torch.Tensor]) -> None:
        self.files = files
        self.transform = transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> torch.Tensor:
        from torchvision.datasets.folder import pil_loader

        return self.transform(pil_loader(str(self.files[index])))


def _theirs(files: Sequence[Path], spec: InputSpec, workers: int) -> int:
    from torchvision import transforms

    resize = transforms.Resize(spec.short_side, transforms.InterpolationMode(spec.interpolation))
    steps = [resize, transforms.CenterCrop(spec.size), transforms.ToTensor(), transforms.Normalize(spec.mean, spec.std)]
    loader = DataLoader(_Files(files, transforms.Compose(steps)), batch_size=BATCH, num_workers=workers)
    return sum(len(images) for images in loader)
