"""What a few units answer to over the course of a training, from the networks that were kept. Trains nothing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import striate
from striate import progress
from striate.address import class_name
from striate.dataset import PictureSet
from striate.errors import DataError, ImageError, OptionError
from striate.geometry import Field
from striate.graph import Layer
from striate.network import Network
from striate.results.base import Recipe
from striate.results.development import Development, Growing, Snapshot
from striate.results.drawn import Pixels
from striate.synthesis.ascent import ascend
from striate.synthesis.objectives import objective
from striate.synthesis.sizing import sized
from striate.tap import activations

if TYPE_CHECKING:
    from striate.learn.run import Run

__all__ = ["develop"]

TASK: Final = "following units"
STRONGEST: Final = 9
_ALIKE: Final = 0.7  # correlation of two channels' answers from which on one of them is enough


def develop(
    run: Run,
    *,
    layers: Sequence[str] | None = None,
    units: int = 3,
    pictures: int = 96,
    steps: int = 64,
    recipe: str = "lucid",
    seed: int = 0,
) -> Development:
    """Follow a few units through the networks that a run kept, from its start to its last.

    At each moment the units are asked about the same pictures, and a picture is made for each from the same noise, so
    that what differs is what the network learned. Followed are the units whose answers differ most between the
    pictures in the end, measured by their own mean: a choice by the end, so that at the start they are like any other.

    Args:
        run: with checkpoints (two at least).
        layers: whose units are followed; unless given a layer in the middle and the last with a map.
        units: of each layer.
        pictures: fixed pictures at most, evenly chosen from those that the run was validated on.
        steps: in which a picture is made for each unit; 0 for none.
        recipe: by which it is made.
        seed: of the noise that it starts from.

    Raises:
        DataError: fewer than two checkpoints, or no picture can be read.
        OptionError: an option below what makes sense.
        AddressError: no such layer.
        NetworkError: no layer has a map, or a network cannot be run.
        Stopped: someone asked to stop.

    Source: Yosinski et al. 2015, arXiv:1506.06579 (pictures made for units); Zeiler and Fergus 2013, arXiv:1311.2901,
        section 4.1 and figure 4 (the strongest answer of units over the epochs).
    """
    if units < 1 or pictures < 1 or steps < 0:
        raise OptionError(f"units and pictures are at least 1, steps at least 0: got {units}, {pictures}, {steps}.")
    started = time.perf_counter()
    epochs = sorted(run.checkpoints)
    if len(epochs) < 2:
        raise DataError("fewer than two networks of the course were kept, so there is nothing to compare (keep=5).")
    last = run.network(epochs[-1])
    held, indices, labels = _pictures(run)
    names = run.split.class_names
    chosen = indices[np.unique(np.linspace(0, len(indices) - 1, min(pictures, len(indices))).round().astype(int))]
    images, kept = _read(held, chosen, last)
    known = dict(zip(indices.tolist(), labels.tolist(), strict=True))
    truth = np.array([known[int(index)] for index in kept], dtype=np.int64)
    places = _layers(last, layers)
    answers = _answers(last, images, places)
    followed = {place: _differing(answers[place][0], units) for place in places}
    rows: dict[str, list[Snapshot]] = {f"{place}:{unit}": [] for place in places for unit in followed[place]}
    notes: list[str] = []
    shown = last.spec.pixels(images)
    for done, epoch in enumerate(epochs):
        progress.check_stop(TASK)
        progress.report(progress.Event(TASK, done, len(epochs), note=f"epoch {epoch}"))
        network = last if epoch == epochs[-1] else run.network(epoch)
        answers = _answers(network, images, places)
        for place in places:
            made = _made(network, place, followed[place], steps, recipe, seed, notes)
            layer = network.graph().layer(place)
            for number, unit in enumerate(followed[place]):
                snapshot = _snapshot(answers[place], unit, layer.field, shown, kept, truth, held, names)
                if made is not None:
                    pixels, reached = made
                    snapshot = _with_made(snapshot, pixels[number], float(reached[number]))
                rows[f"{place}:{unit}"].append(snapshot)
    progress.report(progress.Event(TASK, len(epochs), len(epochs)))
    graph = last.graph()
    return Development(
        epochs=tuple(epochs),
        units=tuple(
            Growing(address, graph.layer(address.rpartition(":")[0]).field.size, tuple(snapshots))
            for address, snapshots in rows.items()
        ),
        pictures=len(kept),
        strongest=min(STRONGEST, len(kept)),
        steps=steps,
        recipe=Recipe(
            lens="develop",
            network=last.name,
            weights=last.weights_hash,
            input=last.spec.brief(),
            options={"units": units, "pictures": pictures, "steps": steps, "recipe": recipe, "seed": seed},
            version=striate.__version__,
            seconds=time.perf_counter() - started,
            device=str(last.device),
            dtype=str(last.dtype).removeprefix("torch."),
            torch=torch.__version__,
            notes=tuple(dict.fromkeys(notes)),
        ),
    )


def _pictures(run: Run) -> tuple[PictureSet, NDArray[np.int64], NDArray[np.int64]]:
    """Return the pictures that the run was validated on; without any, those that it was trained on."""
    split = run.split
    if split.validation is not None and len(split.validation_indices):
        return split.validation, np.asarray(split.validation_indices), np.asarray(split.validation_labels)
    return split.train, np.asarray(split.train_indices), np.asarray(split.train_labels)


def _read(held: PictureSet, indices: NDArray[np.int64], network: Network) -> tuple[Tensor, NDArray[np.int64]]:
    """Return pictures as the network takes them, and which those are that could be read."""
    images, kept = [], []
    for index in indices.tolist():
        progress.check_stop(TASK)
        try:
            images.append(held.read(index, network.spec))
        except ImageError:  # named in the report among the skipped ones
            continue
        kept.append(index)
    if not images:
        raise DataError(f"not one of {len(indices):,} pictures of {held.description} can be read any more.")
    return torch.stack(images), np.array(kept, dtype=np.int64)


def _layers(network: Network, layers: Sequence[str] | None) -> list[str]:
    graph = network.graph()
    if layers is not None:
        return [graph.layer(place).address for place in layers]
    stages: list[Layer] = graph.stages()
    middle = stages[(len(stages) - 1) // 2] if stages else graph.last_map()
    return list(dict.fromkeys([middle.address, graph.last_map().address]))


Answers = tuple[NDArray[np.float32], NDArray[np.int64]]


def _answers(network: Network, images: Tensor, places: Sequence[str]) -> dict[str, Answers]:
    """Return for each layer the largest answer of each channel to each picture, (N, C), and where it is, (N, C, 2)."""
    batch = network.batch(images)
    found: dict[str, Answers] = {}
    for place, output in activations(network, batch, places).outputs.items():
        maps = output.float() if output.dim() == 4 else output.float()[:, :, None, None]
        values, first = maps.flatten(2).max(2)
        at = torch.stack([first // maps.shape[3], first % maps.shape[3]], dim=2)
        found[place] = values.cpu().numpy(), at.cpu().numpy()
    return found


def _differing(values: NDArray[np.float32], most: int) -> list[int]:
    """Return the channels whose answers (N, C) differ most between pictures, as a share of their mean size."""
    size = np.abs(values).mean(0)
    spread = np.where(size > 0, values.std(0) / np.where(size > 0, size, 1), -1.0)
    # a channel that answers to one picture in a hundred differs most of all, and shows next to nothing
    fires = (values > 0).mean(0)
    order = np.lexsort((-spread, fires < min(0.1, float(fires.max()))))
    chosen: list[int] = []
    for channel in order.tolist():  # one that says the same as another shows nothing new
        if len(chosen) < most and not any(_alike(values[:, channel], values[:, other]) for other in chosen):
            chosen.append(channel)
    chosen += [channel for channel in order.tolist() if channel not in chosen][: most - len(chosen)]
    return sorted(chosen)


def _alike(first: NDArray[np.float32], second: NDArray[np.float32]) -> bool:
    """Whether two channels rise and fall together over the pictures."""
    deviations = first - first.mean(), second - second.mean()
    lengths = float(np.linalg.norm(deviations[0]) * np.linalg.norm(deviations[1]))
    return lengths > 0 and float(deviations[0] @ deviations[1]) > _ALIKE * lengths


def _snapshot(
    answers: Answers,
    unit: int,
    field: Field,
    shown: Pixels,
    kept: NDArray[np.int64],
    truth: NDArray[np.int64],
    held: PictureSet,
    names: Sequence[str] | None,
) -> Snapshot:
    values, places = answers
    order = np.argsort(-values[:, unit], kind="stable")
    best = int(order[0])
    top, left, bottom, right = field.box(*places[best, unit].tolist(), own=True)
    strongest = truth[order[:STRONGEST]]
    common, times = Counter(strongest.tolist()).most_common(1)[0]
    labelled = bool((strongest >= 0).all())
    return Snapshot(
        value=float(values[best, unit]),
        picture=held.name(int(kept[best])),
        label=_name(names, int(truth[best])),
        patch=np.ascontiguousarray(shown[best, top : bottom + 1, left : right + 1]),
        share=times / len(strongest) if labelled else float("nan"),
        common=_name(names, common) if labelled else "",
        fires=float((values[:, unit] > 0).mean()),
    )


def _name(names: Sequence[str] | None, label: int) -> str:
    if label < 0:
        return ""
    return f"class {label}" if names is None else class_name(names, label)


def _with_made(one: Snapshot, pixels: Pixels, reached: float) -> Snapshot:
    from dataclasses import replace

    return replace(one, made=pixels, reached=reached)


def _made(
    network: Network, place: str, units: Sequence[int], steps: int, recipe: str, seed: int, notes: list[str]
) -> tuple[Pixels, Tensor] | None:
    """Make a picture for each unit: uint8 (U, H, W, 3), and what it reaches, (U,)."""
    if not steps:
        return None
    size = sized(network, place)
    goals = [objective(network, f"{place}:{unit}", (size.height, size.width)) for unit in units]
    made = ascend(
        network, goals, recipe=recipe, size=(size.height, size.width), steps=steps, seed=seed, task=f"making {place}"
    )
    notes += made.notes
    pictures = made.pictures[:, :3] if made.pictures.shape[1] >= 3 else made.pictures[:, :1].expand(-1, 3, -1, -1)
    pixels = (pictures * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return np.ascontiguousarray(pixels), made.reached
