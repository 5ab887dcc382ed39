"""The measurements, in parts that are kept one by one, so that a run that was cut short is taken up again."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import striate
from sheets.subjects import Subject
from striate.files import write_bytes
from striate.results import ClassPictures, Fooling, Synthesis
from striate.synthesis.recipes import RECIPES
from striate.tap import activations

__all__ = ["PARTS", "Part", "Settings", "parts_of", "run"]

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Settings:
    """How much is measured.

    Args:
        real: real pictures at most: photographs, and of CIFAR-10 twice as many.
        channels: of a layer at most, chosen by the seed where it has more.
        classes: pictures made for classes; of networks with fewer classes several of each.
        steps: of channels.
        class_steps: of class pictures.
        seed: of everything that is drawn.
    """

    real: int = 1000
    channels: int = 96
    classes: int = 100
    steps: int = 256
    class_steps: int = 64
    seed: int = 0


@dataclass(frozen=True)
class Part:
    """One measurement of one network.

    Args:
        name: for the file that keeps it.
        depends: settings that it depends on; when they change, it is measured anew.
        measure: returns what is to be kept.
    """

    name: str
    depends: tuple[str, ...]
    measure: Callable[[striate.Network, Subject, Settings], Arrays]


def _real(network: striate.Network, subject: Subject, settings: Settings) -> Arrays:
    """Find the largest mean over its map, and the largest value, that each channel has in any real picture."""
    means: dict[str, NDArray[Any]] = {}
    peaks: dict[str, NDArray[Any]] = {}
    count = 0
    most = settings.real * (2 if network.spec.height < 64 else 1)
    for batch in subject.real(network, most):
        count += len(batch)
        for layer, maps in activations(network, network.batch(batch), subject.layers).outputs.items():
            mean, peak = maps.mean((2, 3)).amax(0).numpy(), maps.amax((0, 2, 3)).numpy()
            means[layer] = np.maximum(means.get(layer, mean), mean)
            peaks[layer] = np.maximum(peaks.get(layer, peak), peak)
    found: Arrays = {"count": np.array(count)}
    for layer in subject.layers:
        found |= {f"{layer}-means": means[layer], f"{layer}-peaks": peaks[layer]}
    return found


def _channels(layer: str) -> Callable[[striate.Network, Subject, Settings], Arrays]:
    """Make a picture for each channel of a layer."""

    def measure(network: striate.Network, subject: Subject, settings: Settings) -> Arrays:
        channels = network.graph().layer(layer).channels
        generator = torch.Generator().manual_seed(settings.seed)
        chosen = torch.randperm(channels, generator=generator)[: settings.channels].sort().values.tolist()
        targets = [f"{layer}:{channel}" for channel in chosen]
        made = striate.lenses.synthesize(network, targets, steps=settings.steps, seed=settings.seed)
        assert isinstance(made, Synthesis)
        (one,) = made.made
        # measured here, alike for these and for real pictures, whatever it was that the recipe made large
        seen = network.batch(network.spec.normalise(torch.from_numpy(one.pictures).float() / 255))
        maps = activations(network, seen, [layer]).outputs[layer][torch.arange(len(chosen)), chosen]  # (n, h, w)
        return {
            "channels": np.array(chosen),
            "of": np.array(channels),
            "means": maps.mean((1, 2)).numpy(),
            "peaks": maps.amax((1, 2)).numpy(),
            "pictures": one.pictures,
            "seconds": np.array(made.recipe.seconds),
        }

    return measure


def _classes(network: striate.Network, settings: Settings) -> list[tuple[int, int]]:
    """Choose classes by the seed, each once before any is repeated: class and which repetition."""
    count = network.graph().classes
    generator = torch.Generator().manual_seed(settings.seed)
    order = torch.randperm(count, generator=generator).tolist()
    return [(order[index % count], index // count) for index in range(settings.classes)]


def _class_pictures(network: striate.Network, subject: Subject, settings: Settings) -> Arrays:
    """Make a picture for each chosen class."""
    targets = [index for index, _ in _classes(network, settings)]
    made = striate.lenses.class_picture(network, targets, steps=settings.class_steps, seed=settings.seed)
    assert isinstance(made, ClassPictures)
    return {
        "target": np.array(made.target),
        "probabilities": made.probabilities,
        "best": made.best,
        "scores": made.scores,
        "pictures": made.pictures,
        "seconds": np.array(made.recipe.seconds),
    }


def _fooling(from_noise: bool) -> Callable[[striate.Network, Subject, Settings], Arrays]:
    """Fool the network once for each chosen class, from noise or each from another real picture."""

    def measure(network: striate.Network, subject: Subject, settings: Settings) -> Arrays:
        targets = [index for index, _ in _classes(network, settings)]
        images = None if from_noise else torch.cat(list(subject.real(network, len(targets))))
        made = striate.lenses.fooling(network, targets, images, seed=settings.seed)
        assert isinstance(made, Fooling)
        kept: Arrays = {
            "target": np.array(made.target),
            "after": made.after,
            "succeeded": made.succeeded,
            "largest": made.largest,
            "length": made.length,
            "usual": made.usual,
            "neighbours": made.neighbours,
            "steps": made.steps,
            "seconds": np.array(made.recipe.seconds),
        }
        return kept | ({"pictures": made.pictures[:12]} if from_noise else {})  # noise is nobody's photograph

    return measure


def parts_of(subject: Subject) -> list[Part]:
    """Return what is measured of a network, in order."""
    return [
        Part("real", ("real",), _real),
        *(Part(f"channels-{layer}", ("channels", "steps", "seed"), _channels(layer)) for layer in subject.layers),
        Part("classes", ("classes", "class_steps", "seed"), _class_pictures),
        Part("fooling-noise", ("classes", "seed"), _fooling(True)),
        Part("fooling-real", ("classes", "seed"), _fooling(False)),
    ]


PARTS = ("real", "channels", "classes", "fooling-noise", "fooling-real")


def run(
    part: Part, network: striate.Network, subject: Subject, settings: Settings, folder: Path, again: bool
) -> Arrays:
    """Measure a part, or read what was kept of it under the same settings and weights."""
    said = {"weights": network.weights_hash, "striate": striate.__version__}
    said |= {name: value for name, value in asdict(settings).items() if name in part.depends}
    if "steps" in part.depends or "class_steps" in part.depends:
        said["recipe"] = repr(RECIPES["lucid"])  # a recipe that was tuned is measured anew
    mark = hashlib.blake2b(json.dumps(said, sort_keys=True).encode(), digest_size=4).hexdigest()
    path = folder / f"{subject.name}-{part.name}-{mark}.npz"
    if path.is_file() and not again:
        with np.load(path, allow_pickle=False) as kept:
            return {key: kept[key] for key in kept.files}
    found = part.measure(network, subject, settings)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **found)
    write_bytes(path, buffer.getvalue())
    return found
