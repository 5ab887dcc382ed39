"""The recipe of a check: what was judged, how, and what it took."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

import striate
from striate.network import Network
from striate.results import Recipe

__all__ = ["recipe"]


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
