"""The recipe of a check: what was judged, how, and what it took."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

import striate
from striate.network import Network
from striate.results import Heatmap, Recipe

__all__ = ["of_maps", "recipe"]


def of_maps(check: str, maps: Heatmap, options: Mapping[str, Any]) -> Recipe:
    """Put together the recipe of a check that only compares maps, from the recipe of the first of them."""
    return Recipe(
        lens=check,
        network=maps.recipe.network,
        weights=maps.recipe.weights,
        target=maps.target,
        options=dict(options),
        version=maps.recipe.version,
    )


def recipe(
    check: str,
    network: Network,
    target: Sequence[str],
    options: Mapping[str, Any],
    started: float,
    notes: Sequence[str] = (),
) -> Recipe:
    """Put together the recipe of a check that began at `started` (of `time.perf_counter`)."""
    return Recipe(
        lens=check,
        network=network.name,
        weights=network.weights_hash,
        target=tuple(target),
        options=dict(options),
        version=striate.__version__,
        seconds=time.perf_counter() - started,
        device=str(network.device),
        dtype=str(network.dtype).removeprefix("torch."),
        torch=torch.__version__,
        notes=(*network.notes, *notes),
    )
