"""A run that is there already: what it was begun with, and whether this is it. Trains nothing, writes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from striate import __version__
from striate.errors import StriateError, TrainingError
from striate.files import csv_text, shown, write_text
from striate.learn import state
from striate.learn.folder import Folder
from striate.learn.pictures.split import Split
from striate.learn.ranks import Ranks
from striate.learn.run import COLUMNS, Epoch
from striate.learn.settings import Settings
from striate.network import Network
from striate.results.words import count
from striate.spec import InputSpec

__all__ = ["about", "begun_anew", "best_weights", "finish", "is_over", "saved_in"]


def about(
    network: Network, parts: Split, settings: Settings, spec: InputSpec, ranks: Ranks, precision: str
) -> dict[str, Any]:
    """Return what settings.json says, beside its format."""
    validation = parts.validation
    return {
        "version": __version__,
        "torch": str(torch.__version__),
        "settings": settings.to_dict(),
        "precision": precision,
        "device": network.device.type,
        "threads": torch.get_num_threads(),
        "ranks": ranks.count,
        "network": {"name": network.name, "factory": network.factory, "weights": network.weights_hash},
        "spec": spec.to_dict(),
        "class_names": list(parts.class_names),
        "data": {
            "identity": parts.identity,
            "train": parts.train.description,
            "train_pictures": len(parts.train_indices),
            "validation": None if validation is None else validation.description,
            "validation_pictures": len(parts.validation_indices),
        },
    }


def begun_anew(folder: Folder, settings: Settings, *, asked: bool) -> list[str]:
    """Say that a training of which no epoch was over is begun anew, and with what other settings.

    Args:
        folder: in which it lies.
        settings: of the new one.
        asked: to go on there: then nothing is said where the settings are the same.
    """
    try:
        differences = settings.differences(Settings.from_dict(folder.about()["settings"]))
    except (StriateError, KeyError, TypeError):  # of another version, or cut off
        differences = ["what it was begun with cannot be read"]
    if asked and not differences:
        return []
    others = f", with other settings ({'; '.join(differences)})" if differences else ""
    return [
        f"No epoch of the training that was begun in {shown(folder.path)} before was over: it is begun anew{others}."
    ]


def saved_in(folder: Folder, network: Network, parts: Split, settings: Settings, ranks: Ranks) -> state.Saved | None:
    """Read where a run was left, if it is this one; None where no epoch of it is over.

    Raises:
        TrainingError: it is another.
    """
    written = folder.about()
    there = Settings.from_dict(written["settings"])
    # what may be otherwise: it decides when a run ends and what is kept, not what an epoch does
    free = {name: getattr(settings, name) for name in ("time_limit", "patience", "keep")}
    if written["data"]["identity"] == parts.identity:
        free["together"] = settings.together  # it chose the pictures, and nothing else
    same = Settings.from_dict({**written["settings"], **free})
    wrong: list[str] = []
    if differences := same.differences(settings):
        wrong.append(f"it has other settings ({'; '.join(differences)})")
    if written["data"]["identity"] != parts.identity:
        wrong.append(_other_data(written, parts))
    if written["ranks"] != ranks.count:
        wrong.append(f"it was begun by {count(written['ranks'], 'process', 'processes')}, not {ranks.count}")
    kept = state.unpack(folder.state) if folder.state.exists() else None
    if kept is not None and (words := state.difference(network.module, kept.network)):
        wrong.append(f"it is of another network, {written['network']['name']}: {words}")
    if wrong:
        more = ""
        if there.epochs != settings.epochs and len(wrong) == 1:
            more = (
                " The rate of every step depends on the number of epochs; to train longer, begin a new run from this "
                "one's network."
            )
        raise TrainingError(
            f"the run in {shown(folder.path)} cannot be gone on with: {'; '.join(wrong)}.{more} Give what it was begun "
            "with (settings.json), or another folder for a new run."
        )
    return kept


def _other_data(written: Mapping[str, Any], parts: Split) -> str:
    data = written["data"]
    if written["class_names"] != list(parts.class_names):
        return f"it was begun with other classes ({', '.join(written['class_names'][:5])}, ...)"
    then = f"{data['train_pictures']:,} to train on, {data['validation_pictures']:,} to validate on"
    now = f"{len(parts.train_indices):,} and {len(parts.validation_indices):,}"
    if then.replace(" to train on,", " and").replace(" to validate on", "") == now:
        now += ", but some are others, were changed, or have other labels"
    return f"it was begun with other pictures ({then}; now {now})"


def is_over(saved: state.Saved, settings: Settings) -> bool:
    """Tell whether there is nothing left to do."""
    record = saved.record
    if record["ended"] == "epochs":
        return True
    waited = record["epoch"] - (record["best"] or 0)
    return record["ended"] == "patience" and settings.patience is not None and waited >= settings.patience


def finish(folder: Folder, saved: state.Saved) -> None:
    """Do what a run that came to its end had no time for, where it was killed in its last moment.

    The best network gets its name, and history.csv its last line; where nothing is lacking, nothing is written.
    """
    folder.settle(saved.record["best"])
    text = csv_text([COLUMNS, *(Epoch(**row).row() for row in saved.record["history"])])
    if not folder.history.is_file() or folder.history.read_bytes() != text.encode():
        write_text(folder.history, text)


def best_weights(folder: Folder, saved: state.Saved) -> dict[str, Tensor]:
    """Read the best network of a run."""
    found: dict[str, Tensor] = load_file(folder.best(saved.record["best"]))
    return found
