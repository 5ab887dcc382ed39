"""What all lenses share: options checked, time taken, recipe attached. Not a lens."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import torch
from torch import Tensor

import striate
from striate import registry
from striate.errors import OptionError
from striate.network import Network
from striate.results import Heatmap, Recipe, Result
from striate.targets import Targets

__all__ = ["heatmap", "lens"]

P = ParamSpec("P")
R = TypeVar("R", bound=Result)


def lens(function: Callable[Concatenate[Network, P], R]) -> Callable[Concatenate[Network, P], R]:
    """Make a lens of a function: its options are checked, its result gets its recipe."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def run(network: Network, *args: P.args, **kwargs: P.kwargs) -> R:
        bound = signature.bind(network, *args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        _check_choices(function.__name__, given)
        options = {name: _plain(value) for name, value in list(given.items())[1:] if name not in ("images", "target")}
        started = time.perf_counter()
        result = function(*bound.args, **bound.kwargs)
        seconds = time.perf_counter() - started
        recipe = Recipe(
            lens=function.__name__,
            network=network.name,
            weights=network.weights_hash,
            target=getattr(result, "target", ()),
            options=options,
            version=striate.__version__,
            seconds=seconds,
            device=str(network.device),
            dtype=str(network.dtype).removeprefix("torch."),
            torch=torch.__version__,
            notes=(*network.notes, *result.recipe.notes),
        )
        return replace(result, recipe=recipe)

    return cast("Callable[Concatenate[Network, P], R]", run)


def heatmap(
    network: Network,
    images: Tensor,
    scores: Tensor,
    targets: Targets,
    values: Tensor,
    *,
    signed: bool,
    meaning: str,
    native: Tensor | None = None,
    details: Mapping[str, Any] | None = None,
    notes: tuple[str, ...] = (),
) -> Heatmap:
    """Put together a heatmap on the CPU.

    Args:
        network: that was asked.
        images: (N, C, H, W), normalised.
        scores: (N, H, W).
        targets: what was explained, settled.
        values: (N,), the targets' scores.
        signed: values below zero mean something.
        meaning: what a value is, in words.
        native: (N, h, w), before enlarging; `scores` unless given.
        details: what else is to be said, JSON-able.
        notes: sentences for the recipe.
    """
    shown = scores.detach().float().cpu()
    return Heatmap(
        scores=shown,
        native=shown if native is None else native.detach().float().cpu(),
        target=targets.labels,
        score_values=values.detach().float().cpu(),
        signed=signed,
        pictures=network.spec.pixels(images),
        details=dict(details or {}),
        meaning=meaning,
        recipe=Recipe(notes=notes),
    )


def _check_choices(name: str, given: Mapping[str, Any]) -> None:
    """Refuse a word that is none of those that an option allows."""
    for option, choices in _choices(name).items():
        if given[option] is not None and given[option] not in choices:
            raise OptionError(f"no {option} {given[option]!r}; there are {', '.join(choices)}.")


@functools.cache
def _choices(name: str) -> dict[str, tuple[str, ...]]:
    if name not in registry.names():  # a lens that is not of this house
        return {}
    options = registry.describe(name).options
    return {option.name: option.choices for option in options if option.kinds == ("choice",) and option.choices}


def _plain(value: Any) -> Any:
    """Return an option as it goes into a recipe."""
    if isinstance(value, Tensor):
        return f"tensor {' x '.join(map(str, value.shape))}"
    return list(value) if isinstance(value, tuple | list) else value
