"""Heads on features: each fitted once, measured on the validation pictures, and kept. Runs no network."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from striate.errors import NetworkError
from striate.files import write_bytes
from striate.learn.transferring.heads import fit_head
from striate.nets import heads
from striate.nets.heads import Head
from striate.progress import Event, check_stop, report
from striate.results.shares import standard_error
from striate.results.transferring import Way
from striate.results.words import number

__all__ = ["Material", "Tried", "try_heads"]

_TASK = "heads"
_PIECE = 4096  # pictures given to a head at a time


class Material(NamedTuple):
    """What heads are fitted on and measured by.

    Attributes:
        train: features by address, each (n, D), float32.
        train_labels: (n,), int64.
        validation: likewise of the validation pictures, each (m, D).
        validation_labels: (m,), int64.
        classes: K.
    """

    train: dict[str, NDArray[np.float32]]
    train_labels: NDArray[np.int64]
    validation: dict[str, NDArray[np.float32]]
    validation_labels: NDArray[np.int64]
    classes: int


class Tried(NamedTuple):
    """A head with what it gave."""

    way: Way
    head: Head


def try_heads(
    material: Material, names: Sequence[str], choices: Sequence[tuple[str, ...]], folder: Path, *, seed: int
) -> list[Tried]:
    """Fit every head on every choice of layers, or take it from where it was kept.

    Args:
        material: features and labels.
        names: of heads.
        choices: layers that are read together, each a choice.
        folder: where heads are kept; what is there must be of the same features.
        seed: of everything that is drawn.

    Raises:
        DataError: a head cannot be fitted on so few pictures.
        OptionError: no such head.
        Stopped: the user asked to stop; heads that are done are kept.
    """
    found: list[Tried] = []
    total = len(names) * len(choices)
    for places in choices:
        train = _beside(material.train, places)
        validation = _beside(material.validation, places)
        for name in names:
            check_stop(_TASK)
            where = f"{name} on {places[0] if len(places) == 1 else f'{len(places)} depths'}"
            report(Event(_TASK, len(found), total, note=where))
            file = folder / f"{name}-{_brief(places, seed)}.safetensors"
            tried = _kept(file)
            if tried is None:
                importlib.import_module("sklearn.ensemble")  # seconds, which are nobody's time
                fitted = fit_head(name, train, material.train_labels, classes=material.classes, seed=seed)
                right = _said(fitted.module, validation) == material.validation_labels
                accuracy = float(right.mean())
                way = Way(
                    name=where,
                    kind="head",
                    accuracy=accuracy,
                    error=standard_error(accuracy, len(right)),
                    seconds=fitted.seconds,
                    weights=fitted.weights,
                    places=places,
                    note=_words(fitted.setting, fitted.notes),
                    expected=fitted.accuracy,
                )
                tried = Tried(way, fitted.module)
                _keep(file, tried)
            found.append(tried)
    report(Event(_TASK, total, total))
    return found


def _beside(features: dict[str, NDArray[np.float32]], places: Sequence[str]) -> NDArray[np.float32]:
    return np.ascontiguousarray(np.concatenate([features[place] for place in places], axis=1))


def _said(head: Head, values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the class that a head says of each row."""
    with torch.no_grad():
        pieces = [head(piece).argmax(1) for piece in torch.split(torch.from_numpy(values), _PIECE)]
    return np.asarray(torch.cat(pieces).numpy(), np.int64)


def _words(setting: Any, notes: Sequence[str]) -> str:
    chosen = ", ".join(f"{name} = {number(value)}" for name, value in setting.items())
    return " ".join(filter(None, (f"{chosen}." if chosen else "", *notes)))


def _brief(places: Sequence[str], seed: int) -> str:
    """Return a few letters for a choice of layers; addresses may be too long for a name of a file."""
    return hashlib.blake2b("\0".join((*places, str(seed))).encode(), digest_size=5).hexdigest()


def _keep(file: Path, tried: Tried) -> None:
    state = {name: value.detach().contiguous().clone() for name, value in tried.head.state_dict().items()}
    about = {"way": json.dumps(asdict(tried.way)), "head": json.dumps(tried.head.plain())}
    write_bytes(file, save(state, about))


def _kept(file: Path) -> Tried | None:
    """Read a head that was fitted before; one that cannot be read is fitted again."""
    try:
        with safe_open(file, framework="pt") as held:
            state = {name: held.get_tensor(name) for name in held.keys()}  # noqa: SIM118
            about = held.metadata() or {}
        head = heads.blank(json.loads(about["head"]))
        head.load_state_dict(state)
        way = json.loads(about["way"])
        return Tried(Way(**{**way, "places": tuple(way["places"])}), head.eval().requires_grad_(False))
    except (OSError, SafetensorError, NetworkError, KeyError, TypeError, ValueError, RuntimeError):
        return None
