"""Show what augmentation does to the user's own pictures, by the very way they take into training. Trains nothing."""

from __future__ import annotations

import time

import numpy as np
import torch

from striate import __version__
from striate.dataset import PictureSet
from striate.errors import DataError, ImageError, OptionError
from striate.learn.pictures.augment import Augment
from striate.learn.pictures.feeding import feed
from striate.results.base import Recipe
from striate.results.variations import Variations
from striate.results.words import count as how_many
from striate.spec import InputSpec

__all__ = ["variations"]

_SMALL = 64  # pixels: pictures up to this size are shown as they are, larger ones at the usual size of a network
_USUAL = 224


def variations(
    pictures: PictureSet,
    augment: Augment,
    spec: InputSpec | None = None,
    *,
    count: int = 6,
    epochs: int = 7,
    seed: int = 0,
) -> Variations:
    """Vary some pictures of a set as training would.

    Args:
        pictures: the set; some of it at even steps are shown.
        augment: what is done to them.
        spec: what the network expects; without one, pictures are shown at their own size where they are small, else at
            224 x 224.
        count: pictures to be shown, at least 1.
        epochs: how often each is varied, at least 1.
        seed: of the random numbers.

    Raises:
        DataError: no picture can be read.
        OptionError: nothing is to be shown, or the augmentation does not go with the pictures.
    """
    if count < 1 or epochs < 1:
        raise OptionError(f"at least 1 picture and 1 epoch are shown, got {count} and {epochs}.")
    if pictures.prepared:
        raise OptionError(
            "prepared pictures are normalised already and cannot be shown. Open the set without prepared."
        )
    started = time.monotonic()
    spec = _spec_of(pictures) if spec is None else spec
    # what is covered becomes the mean of the training pictures, which is not known here: grey stands for it
    shown = InputSpec(
        spec.channels, *spec.size, mean=(0.5,), resize=spec.resize, interpolation=spec.interpolation, crop=spec.crop
    )
    few = np.unique(np.linspace(0, len(pictures) - 1, count).round().astype(np.int64))
    plain, there = _epochs(pictures, few, shown, Augment(), 1, seed)
    varied, _ = _epochs(pictures, few, shown, augment, epochs, seed)
    alone = [_epochs(pictures, few, shown, augment.only(name), epochs, seed)[0][:, :1] for name in augment.used]
    notes = []
    if missing := len(few) - len(there):
        notes.append(f"{how_many(missing, 'picture')} cannot be read, and {'is' if missing == 1 else 'are'} not shown.")
    names, labels = pictures.class_names, pictures.labels
    height, width = spec.size
    return Variations(
        pictures=plain[0],
        varied=varied.swapaxes(0, 1),
        alone=np.concatenate(alone, axis=1).swapaxes(0, 1)
        if alone
        else np.empty((0, epochs, height, width, 3), np.uint8),
        options=tuple(str(augment.only(name).changed(border="edge")) for name in augment.used),
        names=tuple(pictures.name(index) for index in there),
        classes=tuple(_class(names, int(labels[index])) for index in there),
        words=str(augment),
        recipe=Recipe(
            lens="augment",
            options={"augment": str(augment), "count": count, "epochs": epochs, "seed": seed, "size": list(spec.size)},
            version=__version__,
            seconds=time.monotonic() - started,
            device="cpu",
            torch=str(torch.__version__),
            notes=tuple(notes),
        ),
    )


def _epochs(
    pictures: PictureSet, few: np.ndarray, spec: InputSpec, augment: Augment, epochs: int, seed: int
) -> tuple[np.ndarray, list[int]]:
    """Return what training would see, (epochs, n, H, W, 3) uint8, and which pictures these are."""
    labels = np.zeros(len(few), dtype=np.int64)
    found = []
    with feed(
        pictures, few, labels, spec, batch=len(few), seed=seed, augment=augment, training=True, storage="memory"
    ) as fed:
        for number in range(1, epochs + 1):
            batch = next(iter(fed.epoch(number)))
            order = batch.indices.argsort()
            found.append(spec.pixels(batch.images[order]))
    return np.stack(found), batch.indices[order].tolist()


def _class(names: tuple[str, ...] | None, label: int) -> str:
    if label < 0:
        return ""
    return names[label] if names else f"class {label}"


def _spec_of(pictures: PictureSet) -> InputSpec:
    """Choose the size that pictures are shown at."""
    for index in range(min(len(pictures), 50)):
        try:
            height, width, channels = pictures.pixels(index).shape
        except ImageError:
            continue
        if max(height, width) > _SMALL:
            height = width = _USUAL
        return InputSpec(channels, height, width)
    raise DataError(f"None of the first pictures of {pictures.description} can be read.")
