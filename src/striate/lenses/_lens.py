"""What all lenses share: options checked, pictures read, time taken, recipe attached. Not a lens."""

from __future__ import annotations

import functools
import inspect
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

import striate
from striate import registry
from striate.errors import OptionError
from striate.lenses._fingerprint import fingerprint
from striate.network import Network
from striate.registry import Option
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
        if given.get("images") is not None:
            given["images"] = network.batch(given["images"])  # read here, so that the recipe can name them
        result = function(*bound.args, **bound.kwargs)
        seconds = time.perf_counter() - started
        recipe = Recipe(
            lens=function.__name__,
            network=network.name,
            weights=network.weights_hash,
            target=getattr(result, "target", None) or _addresses(given.get("target")),
            pictures=() if given.get("images") is None else tuple(map(fingerprint, given["images"].cpu())),
            others=result.recipe.others,
            input=network.spec.brief(),
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
    for option in _choices(name):
        value, choices = given[option.name], option.choices or ()
        if value is None or value in choices or (option.objects and not isinstance(value, str)):
            continue
        close = get_close_matches(str(value), choices, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise OptionError(f"no {option.name} {value!r}; there are {', '.join(choices)}.{hint}")


@functools.cache
def _choices(name: str) -> tuple[Option, ...]:
    """Return the options of a lens that are a choice of words."""
    if name not in registry.names():  # a lens that is not of this house
        return ()
    return tuple(option for option in registry.describe(name).options if option.kinds == ("choice",))


def _addresses(target: Any) -> tuple[str, ...]:
    """Return a target as it goes into the recipe of a result that does not name its own."""
    if target is None:
        return ()
    several = target.tolist() if hasattr(target, "tolist") else target
    return tuple(map(_address, several)) if isinstance(several, tuple | list) else (_address(several),)


def _address(one: Any) -> str:
    return f"class:{one}" if isinstance(one, int) else str(_plain(one))


def _plain(value: Any) -> Any:
    """Return an option as it goes into a recipe; what no text stands for as its kind alone (`remaking`)."""
    if isinstance(value, Tensor):
        return f"tensor {' x '.join(map(str, value.shape))}"
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(path := getattr(value, "path", value), os.PathLike):  # a path, or what was opened from one
        return os.fspath(path)
    return f"object {type(value).__name__}"
