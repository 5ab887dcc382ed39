"""Use a trained network for other pictures: which way suits, all ways tried, the best kept. Leads the work."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

import striate
from striate import atlas
from striate.dataset import stream
from striate.errors import DataError, NetworkError, OptionError, TrainingError
from striate.files import shown
from striate.learn.pictures.augment import Augment
from striate.learn.pictures.split import Split, split
from striate.learn.ranks import ranks_here
from striate.learn.transferring.amount import amount_of
from striate.learn.transferring.chosen import Chosen
from striate.learn.transferring.depths import choose_depths
from striate.learn.transferring.heads import HEADS
from striate.learn.transferring.keeping import Kept
from striate.learn.transferring.likeness import LOOKED_AT, likeness_of
from striate.learn.transferring.stages import NORMS
from striate.learn.transferring.strategy import choose_strategy
from striate.learn.transferring.trying import Material, try_heads
from striate.learn.transferring.ways import Training, from_scratch, of_head, tuned
from striate.locking import locked
from striate.nets.joined import made_by
from striate.network import Network
from striate.progress import Event, report
from striate.results import Recipe
from striate.results.likeness import Likeness
from striate.results.transferring import Transfer
from striate.results.words import count

__all__ = ["transfer"]

_TASK: Final = "transfer"


def transfer(
    network: Network,
    source: Any,
    validation: Any = None,
    *,
    out: str | os.PathLike[str],
    layers: str | Sequence[str] | None = None,
    heads: Sequence[str] = HEADS,
    tune: bool | Literal["auto"] = "auto",
    scratch: bool = False,
    epochs: int = 5,
    batch: int | None = None,
    augment: Augment | str | None = None,
    norms: str = "keep",
    share: float = 0.2,
    seed: int = 0,
    labels: Any = None,
    workers: int | None = None,
) -> Transfer:
    """Use what a network learned for other pictures, in all the ways of the lectures, and keep the best.

    The features of all pictures are worked out once, at several depths, and kept. By them it is told how like the
    pictures are to what the network knows, and with how many there are that gives the strategy (`choose_strategy`).
    Classifiers are fitted on the features of the deepest layer and on those of all depths; where the strategy says
    so, the network is fine-tuned in stages, from the classifier that was fitted. Every way is measured on the same
    validation pictures, and the best becomes one network, which every lens takes: ``striate.load(out)``.

    Interrupted in whatever way, the same call goes on. `heads`, `tune` and `scratch` may be others then: what is there
    is not done again.

    Args:
        network: that was trained; never changed.
        source: its new pictures, as `striate.learn.split` takes them.
        validation: more such pictures, to measure on; a share of `source` is set aside where there are none.
        out: folder. With the best network in it, it is a run: `striate.load`, `striate report`.
        layers: whose features heads read; four depths and what the classifier reads unless given. The deepest of them
            is the "one layer".
        heads: which classifiers, of `HEADS`.
        tune: fine-tune the network itself: "auto" where the strategy says so.
        scratch: train the same architecture from random weights too, for as many epochs as all stages together.
        epochs: of each stage.
        batch: pictures in a step; see `fit`.
        augment: how pictures are varied while weights are trained; see `fit`. Features are of the pictures as they are.
        norms: what becomes of batch norm in fine-tuning: "keep", whatever the strategy, or "learn": with few pictures
            worse by far (see `plan_stages`).
        share: of each class that is set aside, where there are no validation pictures.
        seed: of everything that is drawn.
        labels: of the pictures, as `striate.dataset.open` takes them.
        workers: threads that decode.

    Returns:
        The table of all ways.

    Raises:
        AddressError: no such layer.
        AtlasError: features of another network lie in `out`, or another process is at work on them.
        DataError: the pictures cannot be used: no labels, one class, a class with one picture, none to validate on.
        NetworkError: the network cannot be run on them, or has no layer to read.
        OptionError: an option makes no sense.
        OutputError: there is something else in `out`, or it cannot be written.
        TrainingError: `out` was begun with another network or other pictures; another process is at work there.
        Stopped: the user asked to stop; what is done is kept.
    """
    _check(heads, tune, epochs, norms)
    began = time.perf_counter()
    parts = split(source, validation, share=share, seed=seed, labels=labels)
    if parts.validation is None or not len(parts.validation_indices):
        raise DataError(
            "there are no pictures to validate on, and without them no way is better than another. Set a share aside "
            "(share=0.2, --share), or give some (validation=)."
        )
    amount = amount_of(parts)
    depths = choose_depths(network, layers)
    kept = Kept(out)

    def busy(who: str) -> TrainingError:
        return TrainingError(f"another process{who} is at work in {shown(out)}. Wait for it, or name another folder.")

    with locked(kept.path, "the transfer", busy):
        kept.begin(network, parts, seed)
        pictures = Chosen(parts)
        steps = 3 + (tune is not False) + scratch
        report(Event(_TASK, 0, steps, f"{parts.sentence()} Features of {count(len(depths), 'layer')}."))
        features, feature_seconds = _features(network, pictures, kept, depths, batch=None, workers=workers)
        rows = np.array([row["index"] for row in features.pictures.rows], np.int64)
        material = _material(features, rows, depths, parts)
        likeness = _likeness(network, material, pictures, kept, seed)
        strategy = choose_strategy(amount, likeness)
        report(Event(_TASK, 2, steps, " ".join([amount.sentence(), *likeness.sentences(), strategy.why])))
        notes = [*parts.notes, *_broken_notes(features, rows, parts)]
        choices = [(depths[-1],), *([depths] if len(depths) > 1 else [])]
        tried = try_heads(material, heads, choices, kept.heads, seed=seed)
        found = [of_head(network, one, parts) for one in tried]
        report(Event(_TASK, 3, steps))
        how = Training(epochs, batch, augment, seed, workers, norms)
        if tune is True or (tune == "auto" and strategy.stages):
            try:
                found += tuned(network, material, parts, kept, tried, strategy, how, notes)
            except NetworkError as error:
                if tune is True:
                    raise
                notes.append(f"It was not fine-tuned: {str(error).rstrip('.')}.")
        if scratch:
            report(Event(_TASK, steps - 1, steps, "From random weights:"))
            found += from_scratch(network, parts, kept, replace(how, epochs=3 * epochs), notes)
        if not found:
            raise OptionError(
                "no heads are wanted, and fine-tuning is not for so few pictures or for this network, so there is "
                "nothing to do. Name heads, or ask for fine-tuning (tune=True)."
            )
        if made_by(network) is None:
            notes.append(
                f"It is not known how {network.name} is made, so whoever loads what is in {shown(kept.path)} has to "
                "say it: factory=, --factory."
            )
        best, make = max(
            ((place, one.make) for place, one in enumerate(found) if one.make is not None),
            key=lambda pair: found[pair[0]].way.accuracy,
        )
        made = make()
        result = Transfer(
            ways=tuple(one.way for one in found),
            amount=amount,
            likeness=likeness,
            strategy=strategy.name,
            why=strategy.why,
            validation=len(material.validation_labels),
            feature_seconds=feature_seconds,
            chosen=best,
            path=kept.path,
            recipe=Recipe(
                lens="transfer",
                network=network.name,
                weights=network.weights_hash,
                input=network.spec.brief(),
                options={
                    "pictures": parts.train.description, "layers": list(depths), "heads": list(heads), "tune": tune,
                    "scratch": scratch, "epochs": epochs, "batch": batch, "norms": norms, "share": share, "seed": seed,
                },
                version=striate.__version__,
                seconds=time.perf_counter() - began,
                device=str(network.device),
                dtype=str(network.dtype).removeprefix("torch."),
                notes=tuple(notes),
            ),
        )  # fmt: skip
        report(Event(_TASK, steps, steps))
        kept.write(result, made, parts, found[best].settings, _skipped(features, parts))
    return result


def _check(heads: Sequence[str], tune: object, epochs: int, norms: str) -> None:
    if isinstance(heads, str) or (strange := [name for name in heads if name not in HEADS]):
        named = heads if isinstance(heads, str) else strange[0]
        raise OptionError(f"heads are a list of {', '.join(HEADS)}; got {named!r}.")
    if len(set(heads)) < len(heads):
        raise OptionError(f"a head is named twice in {', '.join(heads)}. Name each once.")
    if tune not in (True, False, "auto"):
        raise OptionError(f"tune is True, False or 'auto', got {tune!r}.")
    if not heads and not tune:
        raise OptionError("neither heads nor fine-tuning are wanted, so there is nothing to do. Ask for one of them.")
    if norms not in NORMS:
        raise OptionError(f"norms must be {' or '.join(map(repr, NORMS))}, got {norms!r}.")
    if epochs < 1:
        raise OptionError(f"epochs must be at least 1, got {epochs}.")
    if (ranks := ranks_here().count) > 1:
        raise OptionError(f"a transfer is the work of one process, and here are {ranks}. Start it without torchrun.")


# --- features


def _features(
    network: Network, pictures: Chosen, kept: Kept, depths: Sequence[str], *, batch: int | None, workers: int | None
) -> tuple[atlas.Atlas, float]:
    """Return the features of all pictures, and the seconds that they took when they were worked out."""
    began = time.perf_counter()
    made = atlas.features(
        network, pictures, kept.features, layers=list(depths), dtype="float32", batch=batch, workers=workers
    )
    measured = kept.measured()
    if list(depths) != measured.get("depths") or "feature_seconds" not in measured:
        before = measured.get("feature_seconds", 0.0)
        measured = {"feature_seconds": before + time.perf_counter() - began, "depths": list(depths)}
        kept.write_measured(measured)
    return made, float(measured["feature_seconds"])


def _material(features: atlas.Atlas, rows: NDArray[np.int64], depths: Sequence[str], parts: Split) -> Material:
    """Put features and labels together, for pictures that could be read.

    Raises:
        DataError: of a side none could be.
    """
    trains = len(parts.train_indices)
    first, second = np.flatnonzero(rows < trains), np.flatnonzero(rows >= trains)
    for side, word in ((first, "training"), (second, "validation")):
        if not len(side):
            reason = features.broken[0][1] if features.broken else "there are none"
            raise DataError(f"none of the {word} pictures can be used (the first: {reason.rstrip('.')}).")
    train_labels = parts.train_labels[rows[first]]
    if len(lost := np.flatnonzero(np.bincount(train_labels, minlength=len(parts.class_names)) < 2)):
        raise DataError(
            f"the class {shown(parts.class_names[int(lost[0])])} has fewer than two training pictures that can be "
            "read. Add pictures, or take the class away."
        )
    train, held = {}, {}
    for place in depths:
        values = np.asarray(features.averaged(place), np.float32)
        train[place], held[place] = values[first], values[second]
    return Material(train, train_labels, held, parts.validation_labels[rows[second] - trains], len(parts.class_names))


def _likeness(network: Network, material: Material, pictures: Chosen, kept: Kept, seed: int) -> Likeness:
    measured = kept.measured()
    if "likeness" in measured:
        return Likeness.from_dict(measured["likeness"])
    few = np.unique(np.linspace(0, pictures.trains - 1, min(LOOKED_AT, pictures.trains)).round().astype(np.int64))
    with contextlib.closing(stream(pictures, network.spec, few, batch=network.piece())) as batches:
        found = likeness_of(
            network,
            material.train,
            material.train_labels,
            (one.images for one in batches if len(one.images)),
            seed=seed,
        )
    kept.write_measured({**measured, "likeness": found.to_dict()})
    return found


def _broken_notes(features: atlas.Atlas, rows: NDArray[np.int64], parts: Split) -> list[str]:
    lost = len(parts.train_indices) + len(parts.validation_indices) - len(rows)
    if not lost:
        return []
    reason = features.broken[0][1].rstrip(".") if features.broken else "no reason is known"
    return [
        f"{count(lost, 'picture')} could not be read and {'was' if lost == 1 else 'were'} left out (the first: "
        f"{reason})."
    ]


def _skipped(features: atlas.Atlas, parts: Split) -> list[tuple[str, str, str]]:
    trains = len(parts.train_indices)
    return [
        ("train" if row["index"] < trains else "validation", str(row["name"]), str(row["reason"]))
        for row in features.broken_rows
    ]
