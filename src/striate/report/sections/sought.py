"""What it looks for: pictures made for a few channels of three depths, and for the classes that the pictures got."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from striate import registry
from striate.report.pictures import photo_uri
from striate.report.visit import Run, Visit
from striate.results import Activations, ClassPictures, Predictions, Synthesis
from striate.results.words import number, probability

__all__ = ["PLACE", "TITLE", "build"]

PLACE = 35
TITLE = "What it looks for"

DEPTHS = (0.25, 0.6, 1.0)  # of the way from the first stage to the last
CHANNELS = 5  # of each depth
CLASSES = 6  # at most
STEPS, FEWEST = 40, 20  # of an ascent; fewer where the network is slow
SOONER = 0.8  # of these steps do for classes, which are larger pictures and are recognised sooner
USUAL = 400e6  # multiply-adds of a network for which so many steps take a second or two a picture
SAME = 1e-3  # of a value: behind a ceiling (ReLU6) two may differ by rounding alone
SEED = 0


def build(visit: Visit) -> Mapping[str, Any] | None:
    """Return pictures for channels and classes; None where the network has no maps and no classes to ask for."""
    activations, predictions = visit.run("activations"), visit.run("predictions")
    steps = _steps(visit)
    maps = activations.result if isinstance(activations.result, Activations) else None
    chosen = _channels(maps) if maps is not None else {}
    channels = _made(visit, "synthesize", [f"{layer}:{one}" for layer in chosen for one in chosen[layer]], steps)
    classes = _made(visit, "class_picture", _classes(predictions), round(SOONER * steps))
    if channels is None and classes is None:
        return None
    made = channels.result if channels is not None else None
    pictures = classes.result if classes is not None else None
    depths = _depths(made, maps, visit.names) if isinstance(made, Synthesis) and maps is not None else []
    return {
        "channels_run": channels,
        "depths": depths,
        "below": any(cell["below"] for depth in depths for cell in depth["cells"]),
        "classes_run": classes,
        "classes": _class_cells(pictures) if isinstance(pictures, ClassPictures) else [],
    }


def _steps(visit: Visit) -> int:
    macs = max(1, visit.network.graph(*visit.images.shape[2:]).macs)
    return max(FEWEST, min(STEPS, round(STEPS * USUAL / macs)))


def _made(visit: Visit, lens: str, targets: Sequence[str], steps: int) -> Run | None:
    """Make pictures for targets, from nothing: not from the photographs of the report."""
    if not targets:
        return None
    ask = registry.function(lens)
    return visit.keep(lens, lens, lambda: ask(visit.network, list(targets), steps=steps, seed=SEED))


def _channels(activations: Activations) -> dict[str, list[int]]:
    """Choose three layers, and of each the channels whose maps are shown first for each picture in turn."""
    layers = [layer for layer in activations.layers if activations.maps[layer].ndim == 4]
    # behind a ceiling (ReLU6) all answers would be the same: such layers only where there are no others
    layers = [layer for layer in layers if not _capped(activations, layer)] or layers
    last = len(layers) - 1
    places = dict.fromkeys(round(last * depth) for depth in DEPTHS) if layers else {}
    chosen = {}
    for layer in (layers[place] for place in places):
        ranked = [activations.strongest(layer, index, CHANNELS, by="spread") for index in range(len(activations))]
        turns = [row[turn] for turn in range(len(ranked[0])) for row in ranked]
        chosen[layer] = list(dict.fromkeys(turns))[:CHANNELS]
    return chosen


def _capped(activations: Activations, layer: str) -> bool:
    """Tell whether several units of a layer share its largest value."""
    maps = activations.maps[layer]
    return bool((maps == maps.max()).sum() > 1)


def _classes(predictions: Run) -> list[str]:
    """Return the class that each picture got, each once."""
    if not isinstance(predictions.result, Predictions):
        return []
    tops = [row[0][0] for row in predictions.result.top(1)]
    return [f"class:{index}" for index in list(dict.fromkeys(tops))[:CLASSES]]


def _depths(made: Synthesis, activations: Activations, names: Sequence[str]) -> list[Mapping[str, Any]]:
    """Return for each layer its pictures, each beside what the photographs reach."""
    return [
        {
            "layer": one.title,
            "size": " x ".join(map(str, one.pictures.shape[2:])),
            "small": min(one.pictures.shape[2:]) < 40,
            "cells": [
                {
                    "address": label,
                    "channel": int(label.rpartition(":")[2]),
                    "uri": photo_uri(one.shown(index)),
                    "reached": float(one.peaks[index]),
                    "failed": bool(one.failed[index]),
                    "below": bool(one.peaks[index] < best["real"] - SAME * abs(best["real"])),
                    **best,
                }
                for index, label in enumerate(one.labels)
                for best in [_best(activations, one.title, int(label.rpartition(":")[2]), names)]
            ],
        }
        for one in made.made
    ]


def _best(activations: Activations, layer: str, channel: int, names: Sequence[str]) -> Mapping[str, Any]:
    """Return which picture excites a channel's strongest unit most, and how strongly."""
    peaks = [activations.peak(layer, index, channel)[2] for index in range(len(names))]
    best = max(range(len(names)), key=peaks.__getitem__)
    return {"name": names[best], "real": peaks[best]}


def _class_cells(made: ClassPictures) -> list[Mapping[str, Any]]:
    return [
        {
            "address": label,
            "name": label.removeprefix("class:"),
            "uri": photo_uri(made.shown(index)),
            "words": f"{probability(float(made.probabilities[index]))}, score {number(float(made.scores[index]))}",
            "failed": None if made.recognised[index] else made.named[index],
        }
        for index, label in enumerate(made.target)
    ]
