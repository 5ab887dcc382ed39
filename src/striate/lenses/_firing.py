"""What a layer goes on to, and so when its units fire: before a rectifier, past a normalisation. No lens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from striate.atlas.opened import LayerAtlas
from striate.errors import AtlasError
from striate.graph import Graph, keeps
from striate.network import Network

__all__ = ["RECTIFIERS", "RECTIFIES", "Following", "firing"]

RECTIFIERS = frozenset({"relu", "relu_", "relu6", "clamp_min", "threshold", "threshold_"})
"""Kinds of steps that make 0 of what is below it, in small letters."""

RECTIFIES = "it rectifies"
"""What is said instead of what follows where the layer itself ends with a rectifier."""


@dataclass(frozen=True)
class Following:
    """What stands after a layer.

    Args:
        words: for a person.
        final: whether a unit that never fires is lost for all that comes.
        norm: address of the batch normalisation between the layer and its rectifier, or None.
        gate: row of that rectifier, where it is one.
    """

    words: str
    final: bool
    norm: str | None = None
    gate: int | None = None


def firing(network: Network, layer: LayerAtlas) -> tuple[Following, NDArray[np.float64], NDArray[np.float64]]:
    """Say what follows a layer, in which share of the pictures each of its units fires, and above which value.

    A unit fires where its value, or what a batch normalisation before the rectifier makes of it, is above 0.

    Args:
        network: that built the atlas.
        layer: of the atlas.

    Returns:
        What follows; shares (C,), NaN where the atlas does not tell; and the values (C,) above which units fire: 0,
        or what the normalisation turns into 0, NaN where it turns the sign around.
    """
    following = _followed_by(network.graph(), layer.address)
    if following.norm is not None:
        found = _borders(network, following.norm)
        if found is not None:
            borders, rising = found
            return following, _fires_above(layer, borders, rising), np.where(rising, borders, np.nan)
        following = Following(following.words, final=False)
    return following, np.asarray(layer.fires, dtype=np.float64), np.zeros(layer.channels)


def _followed_by(graph: Graph, place: str) -> Following:
    """Say what a layer's values go on to."""
    row = graph.layer(place).row
    if row is None:
        return Following("not known", final=False)
    if graph.rows[row].kind.lower() in RECTIFIERS:
        return Following(RECTIFIES, final=True, gate=row)
    steps, ends = _after(graph, row)
    if ends or not steps:
        return Following("the classes" if ends else "nothing", final=False)
    kinds = ", ".join(dict.fromkeys(graph.rows[step].kind for step in steps))
    if all(graph.rows[step].kind.lower() in RECTIFIERS for step in steps):
        return Following(kinds, final=True, gate=steps[0] if len(steps) == 1 else None)
    if len(steps) == 1 and "batch" in graph.rows[steps[0]].kind.lower() and graph.rows[steps[0]].inputs == (row,):
        later, ends = _after(graph, steps[0])
        if later and not ends and all(graph.rows[step].kind.lower() in RECTIFIERS for step in later):
            then = ", ".join(dict.fromkeys(graph.rows[step].kind for step in later))
            gate = later[0] if len(later) == 1 else None
            return Following(f"{kinds}, then {then}", final=True, norm=graph.rows[steps[0]].address, gate=gate)
        kinds += f", then {', '.join(dict.fromkeys(graph.rows[step].kind for step in later)) or 'the classes'}"
    return Following(kinds, final=False)


def _after(graph: Graph, row: int) -> tuple[list[int], bool]:
    """Return the steps that read a step's values, past pooling and dropout, and whether they are the logits.

    Where no value is above 0, no maximum and no mean of them is.
    """
    found: list[int] = []
    todo, ends = [row], False
    while todo:
        one = todo.pop(0)
        ends = ends or one in graph.ends
        for step, following in enumerate(graph.rows):
            if one in following.inputs:
                (todo if keeps(following.kind) else found).append(step)
    return found, ends


def _borders(network: Network, norm: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]] | None:
    """Return for each channel the value at which a batch normalisation gives 0, and whether it rises there.

    None where it works out its own statistics for each batch.
    """
    module = network.module.get_submodule(norm.partition("~")[0])
    if not isinstance(module, nn.modules.batchnorm._BatchNorm) or module.running_mean is None:
        return None
    mean = module.running_mean.detach().double().cpu().numpy()
    assert module.running_var is not None  # both or neither
    spread = np.sqrt(module.running_var.detach().double().cpu().numpy() + module.eps)
    scale = np.ones_like(mean) if module.weight is None else module.weight.detach().double().cpu().numpy()
    shift = np.zeros_like(mean) if module.bias is None else module.bias.detach().double().cpu().numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        border = mean - shift * spread / scale
    # without a scale the output is the shift, whatever comes in
    border = np.where(scale == 0, np.where(shift > 0, -np.inf, np.inf), border)
    return border, scale >= 0


def _fires_above(layer: LayerAtlas, borders: NDArray[np.float64], rising: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the share of the pictures in which each unit is above its border somewhere, from the histogram.

    Exactly 0 where it never is, and 1 where it always is. Where a normalisation falls, the unit fires below its
    border: the atlas knows maxima, so a share is known only where all of the map fires in all pictures (else NaN).
    """
    total = max(layer.pictures, 1)
    above = np.full(len(borders), np.nan)
    try:
        counts, edges = layer.histogram.astype(np.float64), layer.edges
    except AtlasError:  # built without: then only dead units are known
        return np.where(rising & ~(layer.largest > borders), 0.0, np.nan)
    for channel, border in enumerate(borders):
        inside = np.clip((edges[1:] - border) / (edges[1:] - edges[:-1]), 0, 1)  # of each bin
        above[channel] = counts[channel] @ inside / total
    one = 1 / total
    above = np.where(layer.largest > borders, np.clip(above, one, 1), 0.0)
    above = np.where(layer.smallest > borders, 1.0, above)
    return np.where(rising, above, np.where(layer.largest < borders, 1.0, np.nan))
