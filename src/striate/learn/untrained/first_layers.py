"""The same network behind first layers by hand, random, of k-means, and one that learns: which becomes how good."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np

import striate
from striate import progress
from striate.errors import OptionError
from striate.learn.loop import fit
from striate.learn.pictures.split import Split, split
from striate.learn.pictures.standardize import standardized
from striate.learn.starting.naming import smallest_side
from striate.learn.starting.sizing import fitting
from striate.learn.starting.start import start, usual_device
from striate.learn.untrained.fewer import fewer
from striate.learn.untrained.first_layer import How, first_layer, set_first_layer
from striate.learn.untrained.random_features import missing
from striate.network import Network
from striate.results.base import Recipe
from striate.results.first_layers import FirstLayer, FirstLayers
from striate.results.words import count, shape

__all__ = ["NET", "WAYS", "compare_first_layers"]

WAYS: Final[tuple[str, ...]] = (*get_args(How), "trained")
NET: Final = "striate:sequential,3x32x32,conv 32 5x5 same relu,pool 2,conv 64 3x3 same bn relu,pool 2,flatten,dense 10"
"""A small network whose first windows are large enough to see what is in them."""

TASK: Final = "comparing first layers"
_LARGEST: Final = 64  # pixels: pictures are made no larger than this unless asked for
_WORDS: Final = {
    "by-hand": "Edges, blurs, spots and lines that people wrote; they stay as they are.",
    "random": "Drawn by lot; they stay as they are.",
    "k-means": "Learned from patches of the training pictures, without labels; they stay as they are.",
    "trained": "Drawn by lot as the random ones, and learned with all other weights.",
}


def compare_first_layers(
    source: Any,
    validation: Any = None,
    *,
    net: str = NET,
    ways: Sequence[str] = WAYS,
    epochs: int = 10,
    batch: int | None = None,
    rate: float | None = None,
    augment: str | None = None,
    size: int | tuple[int, int] | None = None,
    pictures: int | None = None,
    share: float = 0.2,
    seeds: int = 1,
    seed: int = 0,
    labels: Any = None,
    out: str | os.PathLike[str] | None = None,
    device: str | None = None,
) -> FirstLayers:
    """Train one network behind several first layers, and compare how good it becomes.

    All trainings share the pictures, their order, the first weights behind the first layer, and all settings. In all
    of them the first layer's answers begin with variance 1 over the training pictures (see `set_first_layer`), so that
    none is ahead by the size of its numbers. "trained" begins with the kernels of "random": what is between these two
    is learning alone. An accuracy is that after the last epoch, not the best of all, which would be a little too good.

    Args:
        source: to train on, as `striate.learn.split` takes it.
        validation: other pictures to judge by; a share of `source` unless given.
        net: what is trained, a name as `striate.learn.start` takes it, which begins with a convolution.
        ways: of `WAYS`, in the order in which they are shown.
        epochs: of each training.
        batch: pictures in a step; as `fit` chooses unless given.
        rate: learning rate; likewise.
        augment: how training pictures are varied; not at all unless given.
        size: of the network's pictures, side or (height, width); theirs, up to 64 pixels, unless given.
        pictures: how many to train on, of each class its share, drawn by lot; all unless given.
        share: for validation, where there are no pictures for that.
        seeds: trainings of each way, each with other first weights, another order and other random kernels; the
            pictures for validation are the same.
        seed: of the first of them.
        labels: a table of the pictures' labels, as `striate.dataset.open` takes it.
        out: folder that keeps everything: each training (out/by-hand-0: a run as of `fit`, with which pictures can be
            looked at), first-layers.json, first-layers.png. With the same arguments, it goes on where it was
            stopped. Nothing is kept unless given.
        device: where it is trained; a GPU where there is one.

    Returns:
        Accuracies, seconds and filters of each way.

    Raises:
        OptionError: no such way, or a number that makes no sense.
        NetworkError: no such network, or its first layer is no convolution over all channels.
        DataError: the pictures cannot be used.
        TrainingError: `out` holds trainings of other pictures or settings.
        Stopped: the user asked to stop; with `out`, whole epochs are kept.

    Source: by hand, random (Saxe et al. 2011) and k-means kernels (Coates, Lee and Ng 2011) as a fixed first layer.
    """
    chosen = _checked(ways, seeds)
    started = time.perf_counter()
    parts = fewer(split(source, validation, share=share, seed=seed, labels=labels), pictures, seed)
    if parts.validation is None:
        raise OptionError("first layers are compared by validation pictures: give a share above 0, or pictures.")
    settings: dict[str, Any] = {
        "epochs": epochs, "batch": batch, "rate": rate, "augment": augment, "monitor": "last", "keep": 0,
    }  # fmt: skip
    networks = [_made(net, parts, size, one, device) for one in range(seed, seed + seeds)]
    for network in networks[1:]:
        network.spec = networks[0].spec
    place = None if out is None else Path(out)
    found: list[FirstLayer] = []
    unread: dict[tuple[str, str], str] = {}
    for way in chosen:
        done = len(found) * seeds
        progress.report(progress.Event(TASK, done, len(chosen) * seeds, way))
        found.append(_trained(way, networks, parts, settings, seed, place, unread))
    progress.report(progress.Event(TASK, len(chosen) * seeds, len(chosen) * seeds))
    network = networks[0]
    sizes = {
        part: len(indices) - sum(where == part for where, _ in unread)
        for part, indices in (("train", parts.train_indices), ("validation", parts.validation_indices))
    }
    made = FirstLayers(
        ways=tuple(found),
        layer=first_layer(network)[0],
        colour=network.spec.channels == 3,
        validated=sizes["validation"],
        classes=len(parts.class_names),
        setting=_setting(network, parts, sizes["train"], epochs, seeds),
        recipe=Recipe(
            lens="compare first layers",
            network=network.name,
            input=network.spec.brief(),
            options={
                "net": net,
                "ways": list(chosen),
                "seeds": seeds,
                "seed": seed,
                "share": share,
                "pictures": pictures,
            }
            | settings,
            version=striate.__version__,
            seconds=time.perf_counter() - started,
            device=str(network.device),
            notes=(*parts.notes, *missing(len(unread), list(unread.values()))),
        ),
    )
    if place is not None:
        made.save(place / "first-layers.json")
        made.save(place / "first-layers.png")
    return made


def _made(net: str, parts: Split, size: int | tuple[int, int] | None, seed: int, device: str | None) -> Network:
    """Make a network for the pictures, its first weights drawn by a seed, its input standardised over them."""
    least = smallest_side(net)
    fits = fitting(parts.train, parts.train_indices, smallest=least)
    height, width = (max(least, min(side, _LARGEST)) for side in fits.size)
    network = start(
        net,
        classes=len(parts.class_names),
        class_names=parts.class_names,
        channels=fits.channels,
        size=(height, width) if size is None else size,
        seed=seed,
    )
    network.spec = standardized(network.spec, parts.train, parts.train_indices, "channel")
    return network.to(usual_device() if device is None else device)


def _trained(
    way: str,
    networks: Sequence[Network],
    parts: Split,
    settings: Mapping[str, Any],
    seed: int,
    place: Path | None,
    unread: dict[tuple[str, str], str],
) -> FirstLayer:
    """Train a copy of each network behind a first layer of this kind; add what could not be read to `unread`."""
    courses, took, making, filters, learned = [], [], 0.0, [], 0
    for number, fresh in enumerate(networks, start=seed):
        network = Network(
            copy.deepcopy(fresh.module), fresh.spec, fresh.class_names, name=fresh.name, factory=fresh.factory
        )
        before = time.perf_counter()
        frozen = _set(network, way, parts, number)
        making += time.perf_counter() - before
        folder = None if place is None else place / f"{way}-{number}"
        run = fit(network, parts, out=folder, resume=folder is not None, frozen=frozen, seed=number, **settings)
        unread |= {(part, name): reason for part, name, reason in run.skipped}
        courses.append([float(row.validation_accuracy or 0.0) for row in run.history])
        took.append(run.history[-1].seconds)
        layer = first_layer(network)[1]
        filters.append(layer.weight.detach().float().cpu().numpy())
        learned = sum(weight.numel() for weight in network.module.parameters())
        learned -= sum(weight.numel() for weight in layer.parameters()) if frozen else 0
    return FirstLayer(way, _WORDS[way], filters[0], np.array(courses), np.array(took), making, learned)


def _checked(ways: Sequence[str], seeds: int) -> tuple[str, ...]:
    chosen = tuple(dict.fromkeys((ways,) if isinstance(ways, str) else ways))
    if unknown := [way for way in chosen if way not in WAYS]:
        raise OptionError(f"no first layer {unknown[0]!r}; there are {', '.join(WAYS)}.")
    if not chosen:
        raise OptionError(f"there is nothing to compare: name some of {', '.join(WAYS)}.")
    if seeds < 1:
        raise OptionError(f"each way is trained at least once, got seeds={seeds}.")
    return chosen


def _set(network: Network, way: str, parts: Split, seed: int) -> tuple[str, ...]:
    """Give a network its first layer, and return what stays as it is."""
    how: Any = "random" if way == "trained" else way
    names = set_first_layer(network, how, parts.train, indices=parts.train_indices, seed=seed)
    return () if way == "trained" else names


def _setting(network: Network, parts: Split, pictures: int, epochs: int, seeds: int) -> str:
    name, layer = first_layer(network)
    trainings = f"{count(seeds, 'training')} of {count(epochs, 'epoch')} {'each' if seeds > 1 else 'for each'}"
    return (
        f"The same network ({network.name}) behind first layers from different places: {name}, "
        f"{count(layer.out_channels, 'filter')} of {shape(layer.kernel_size)}. "
        f"{count(pictures, 'picture')} of {count(len(parts.class_names), 'class', 'classes')} to learn "
        f"from, {trainings}."
    )
