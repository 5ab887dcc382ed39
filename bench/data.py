"""The data sets that training is measured on, brought here once and kept in a temporary folder. Measures nothing.

Beside the checkout lie the lent photographs, and `prepare`, which brings MNIST, Fashion-MNIST and CIFAR-10.
STRIATE_DATA names another folder in which cifar10.npz, mnist.npz and fashion-mnist.npz lie or are to be kept.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ["archive", "part", "photographs"]

LENT = Path(__file__).resolve().parents[2] / "shared" / "data"
KEPT = Path(os.environ.get("STRIATE_DATA") or Path(tempfile.gettempdir()) / "striate-data")
SHIFTS = ((0, 0), (24, 0), (0, 24), (24, 24), (12, 12), (0, 12))
"""Pixels (across, down) that are cut off at the left and the top of each copy of a photograph."""
MARGIN = 24  # pixels by which a copy is smaller than the photograph, both ways


def archive(name: str) -> Path:
    """Return the `.npz` archive of a data set: x_train, y_train, x_test, y_test, class_names.

    Args:
        name: cifar10, mnist or fashion-mnist.

    Raises:
        SystemExit: it is neither here nor can it be brought.
    """
    path = KEPT / f"{name}.npz"
    if not path.exists():
        prepare = LENT / "prepare"
        if not prepare.exists():
            raise SystemExit(f"put {name}.npz into a folder and name that in STRIATE_DATA: nothing here can bring it")
        KEPT.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, prepare, name, KEPT], check=True, stdout=subprocess.DEVNULL)
    return path


def part(name: str, count: int | None = None) -> Path:
    """Return an archive with the first `count` training pictures and a sixth as many test pictures; whole when None."""
    whole = archive(name)
    if count is None:
        return whole
    path = KEPT / f"{name}-{count}.npz"
    if not path.exists():
        with np.load(whole, allow_pickle=False) as read:
            kept = {key: read[key] for key in read.files}
        for key, many in (("train", count), ("test", count // 6)):
            kept |= {f"{letter}_{key}": kept[f"{letter}_{key}"][:many] for letter in "xy"}
        np.savez(path, **kept)
    return path


def photographs(count: int) -> Path:
    """Return a folder with train/ and val/ of photographs of ImageNet's size, in ten classes of like things.

    There are a thousand photographs, one of each class; a hundred consecutive classes are one here (fishes and birds,
    ... , food). Nine of ten are for training, in up to six copies that are cut differently, so that there are as many
    files to decode as asked for; the others are for validation.

    Args:
        count: training files, up to 5,400.

    Raises:
        SystemExit: the lent photographs are not there.
    """
    folder = KEPT / f"photographs-{count}"
    if (folder / "complete").exists():
        return folder
    files = sorted((LENT / "imagenet-sample").glob("*.jpg"))
    if not files:
        raise SystemExit(f"the sample photographs do not lie in {LENT.name}/ beside the checkout")
    each = max(1, count // 500)  # validation photographs of a class
    for number, file in enumerate(files):
        if number % 10 == 9 and number % 100 < 10 * each:
            _save(file, folder / "val" / f"class{number // 100}" / f"{number:04}.jpg", (12, 12))
    train = [number for number in range(len(files)) if number % 10 != 9]
    train.sort(key=lambda number: (number % 100, number))  # class by class in turn, so that few are of all classes
    for turn in range(count):
        copy, number = turn // len(train), train[turn % len(train)]
        _save(files[number], folder / "train" / f"class{number // 100}" / f"{number:04}-{copy}.jpg", SHIFTS[copy])
    (folder / "complete").touch()
    return folder


def _save(file: Path, to: Path, shift: tuple[int, int]) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(file) as picture:
        rgb = picture.convert("RGB")
    across, down = shift
    box = (across, down, rgb.width - MARGIN + across, rgb.height - MARGIN + down)
    rgb.crop(box).resize(rgb.size, Image.Resampling.BILINEAR).save(to, quality=90)
