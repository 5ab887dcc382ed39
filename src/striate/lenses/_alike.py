"""Which units of an atlas are like one of them, by their answers or by their weights. Not a lens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from striate import progress
from striate.atlas.opened import Atlas
from striate.graph import Graph, keeps
from striate.lenses._atlas import Unit
from striate.lenses._firing import RECTIFIERS
from striate.network import Network

__all__ = ["Alike", "by_answers", "by_weights", "chance", "weights_of"]

_PLAIN = RECTIFIERS | {"batch_norm", "batchnorm1d", "batchnorm2d"}  # what works on each unit by itself


class Alike(NamedTuple):
    """A unit and how like it is: a correlation or a cosine, from -1 to 1."""

    unit: Unit
    likeness: float


def by_answers(network: Network, atlas: Atlas, unit: Unit, places: Sequence[str], most: int) -> tuple[list[Alike], int]:
    """Return the units whose answers correlate most with a unit's over the atlas's sample of pictures.

    The same unit before or after its own normalisation and rectifier is passed over, and so are units that give
    the same answer everywhere.

    Args:
        network: that built the atlas.
        atlas: open.
        unit: that the others are compared with.
        places: layers of the atlas in which to look.
        most: how many to return at most.

    Returns:
        The most similar first, and how many were compared.
    """
    own = _standard(np.asarray(atlas.layer(unit.place).sample_values[:, unit.channel : unit.channel + 1]))[:, 0]
    if not own.any():
        return [], 0
    graph = network.graph()
    source = _source(graph, unit.place)
    found: list[Alike] = []
    compared = 0
    for place in progress.track(places, "similar units") if len(places) > 1 else places:
        values = _standard(np.asarray(atlas.layer(place).sample_values))  # (S, C)
        likeness = own @ values / len(own)
        usable: NDArray[np.bool_] = np.any(values != 0, axis=0)
        if place == unit.place or (source is not None and _source(graph, place) == source):
            usable[unit.channel] = False
        compared += int(usable.sum())
        likeness[~usable] = -np.inf
        best = np.argsort(-likeness, kind="stable")[:most]
        found += [Alike(Unit(place, int(one)), float(likeness[one])) for one in best if usable[one]]
    found.sort(key=lambda one: -one.likeness)
    return found[:most], compared


def by_weights(network: Network, unit: Unit, most: int) -> list[Alike]:
    """Return the units of the same layer whose weights point most in a unit's direction, by the cosine.

    Nothing where the layer has no weights of its own, or all weights of a unit are 0.

    Args:
        network: that is asked.
        unit: of a convolution or linear layer.
        most: how many at most.
    """
    weights = weights_of(network, unit.place)
    if weights is None or unit.channel >= len(weights):
        return []
    flat = weights.flatten(1).double().cpu().numpy()
    norms = np.linalg.norm(flat, axis=1)
    if norms[unit.channel] == 0:
        return []
    cosines = flat @ flat[unit.channel] / np.maximum(norms * norms[unit.channel], np.finfo(np.float64).tiny)
    cosines[unit.channel] = -np.inf
    cosines[norms == 0] = -np.inf
    best = np.argsort(-cosines, kind="stable")[:most]
    return [Alike(Unit(unit.place, int(one)), float(cosines[one])) for one in best if np.isfinite(cosines[one])]


def weights_of(network: Network, place: str) -> Tensor | None:
    """Return the weights of a layer's units, (C, ...): of a convolution or linear layer; None of others."""
    layer = network.graph().layer(place)
    weight = getattr(dict(network.module.named_modules()).get(layer.name), "weight", None)
    if not isinstance(weight, Tensor) or weight.dim() < 2 or len(weight) != layer.channels:
        return None
    return weight.detach()


def chance(compared: int, sampled: int) -> float:
    """Return about which correlation the best of so many unrelated units reaches over so many pictures.

    The largest of M normal numbers is about sqrt(2 ln M), and r of S unrelated pairs has a deviation of 1 / sqrt(S).
    """
    return min(1.0, math.sqrt(2 * math.log(max(compared, 2)) / max(sampled - 1, 1)))


def _standard(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Subtract the mean of each column and divide by its deviation, (S, C) float64; what never changes becomes 0."""
    values = values.astype(np.float64)
    values -= values.mean(0)
    spread = values.std(0)
    size = np.abs(values).max(0)
    return np.where(spread > 1e-12 * np.maximum(size, 1e-30), values / np.where(spread > 0, spread, 1), 0.0)


def _source(graph: Graph, place: str) -> int | None:
    """Return the step whose units a layer's are one by one: past normalisation, rectifiers and pooling."""
    row = graph.layer(place).row
    while row is not None and row >= 0:
        step = graph.rows[row]
        if len(step.inputs) != 1 or step.inputs[0] < 0 or not (step.kind.lower() in _PLAIN or keeps(step.kind)):
            return row
        row = step.inputs[0]
    return row
