"""Fine-tune a network in stages, as long as it helps. Each stage is a training of its own (`fit`); draws nothing."""

from __future__ import annotations

import contextlib
import copy
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from striate import progress
from striate.errors import DataError, OptionError, Stopped, TrainingError
from striate.files import shown, write_bytes, write_text
from striate.learn import state
from striate.learn.beginning import check
from striate.learn.folder import Folder
from striate.learn.judging.evaluate import PREDICTIONS, evaluate, identity
from striate.learn.loop import fit
from striate.learn.pictures.augment import Augment
from striate.learn.pictures.feeding import Storage
from striate.learn.pictures.split import Split, split
from striate.learn.ranks import ranks_here
from striate.learn.run import Run
from striate.learn.seeds import number
from striate.learn.settings import Settings
from striate.learn.transferring.stages import FALLOFF, Stage, plan_stages
from striate.learn.transferring.tuned import Tuned, as_given, judged
from striate.marked import read_marked
from striate.network import Network
from striate.progress import Event
from striate.results.evaluation import Evaluation
from striate.results.words import count

__all__ = ["fine_tune"]

TASK: Final = "fine-tuning"
FORMAT: Final = "striate-tuning-1"
_SUMMARY: Final = "tuning.json"
_GIVEN: Final = "given.npz"


def fine_tune(
    network: Network,
    train: Any,
    validation: Any = None,
    *,
    out: str | os.PathLike[str],
    stages: int | Sequence[Stage] = 3,
    head: Sequence[str] | None = None,
    first: int = 1,
    epochs: int | Sequence[int] = 5,
    rate: float | None = None,
    falloff: float = FALLOFF,
    norms: str = "keep",
    batch: int | None = None,
    optimizer: str = "adamw",
    weight_decay: float | None = None,
    smoothing: float = 0.0,
    class_weights: str | Sequence[float] = "none",
    clip: float | None = None,
    average: float | None = None,
    augment: Augment | str | Mapping[str, Any] | None = None,
    share: float | None = None,
    precision: str = "auto",
    patience: int | None = None,
    seed: int = 0,
    labels: Any = None,
    resume: bool = False,
    storage: Storage = "auto",
    cache: str | os.PathLike[str] | None = None,
    workers: int | None = None,
) -> Tuned:
    """Fine-tune a network in stages, each from the best of those before, as long as it helps.

    First the head learns alone, then the last layers with it, at last all (`plan_stages`), at rates that fall off
    towards the picture. What is frozen stays bit for bit, statistics of batch norm included. A stage helps when the
    pictures that it makes right outnumber those that it makes wrong by more than the standard error of that difference
    (the root of both together, as in McNemar's test); after one that does not, none follows, except that the head
    alone never ends it. The network of the best stage is returned; of equally good ones that which learned less.

    The accuracies are of the pictures that the best epoch and the best stage were chosen by: a little too good, by
    about as much as their standard error for a handful of choices. Other pictures say what it is worth.

    Interrupted, the same call with `resume=True` goes on; the numbers are those that it would have had without.

    Args:
        network: with as many logits as there are classes (`learn.start` or `learn.with_head` makes one); not changed.
        train: a `Split`, or pictures as `striate.learn.split` takes them.
        validation: likewise; a share of `train` is set aside where there is nothing else.
        out: folder: stages/1, stages/2, ... are runs, network.safetensors is the best network, tuning.json says how it
            went.
        stages: how many, or a plan (`plan_stages`).
        head: names of the layers that learn in the first stage; those that make the logits unless given.
        first: number of the first stage that is trained: 2 where the head was fitted already.
        epochs: of each stage, or of all alike.
        rate: learning rate of the head in the first stage, at its largest; the optimiser's usual one unless given.
        falloff: rate of a part as a share of that of the part behind it, and of the head in later stages.
        norms: what becomes of batch norm in front of the head: "keep" as it is, or "learn" and gather statistics.
        batch: see `striate.learn.Settings` for this and all that follow, up to `seed`.
        labels: a table of the pictures' labels, as `striate.dataset.open` takes it.
        resume: go on with what is in `out`; where there is nothing yet, begin.
        storage: as for `striate.learn.fit`; likewise the rest.

    Raises:
        OptionError: a setting that makes no sense, or there are no validation pictures to judge by.
        DataError: the pictures cannot be used, or are of other classes.
        NetworkError: it is not known what its head is, or no gradient leads to its weights.
        TrainingError: what is in `out` is of another network, other pictures or settings; or as for `fit`.
        OutputError: there is something in `out`, or it cannot be written.
        Stopped: the user asked to stop.

    Source: gradual unfreezing and discriminative rates: Howard and Ruder 2018, arXiv:1801.06146, section 3.3.
    """
    common: dict[str, Any] = {
        "rate": rate, "batch": batch, "optimizer": optimizer, "weight_decay": weight_decay, "smoothing": smoothing,
        "class_weights": class_weights, "clip": clip, "average": average, "augment": augment, "share": share,
        "precision": precision, "patience": patience, "keep": 2,
    }  # fmt: skip
    settings = Settings(**common)
    parts = split(train, validation, share=settings.validation_share, seed=seed, labels=labels)
    if parts.validation is None:
        raise OptionError(
            "fine-tuning in stages needs validation pictures, which say whether a stage helps. Give some (validation), "
            "or a share of the pictures."
        )
    ranks = ranks_here()
    check(network, parts, settings, ranks)
    plan = _planned(network, stages, head, falloff, norms)
    _check_first(network, parts, plan, first)
    lasting = _epochs(epochs, len(plan))
    folder = Folder(out)
    asked = {
        "network": {"name": network.name, "weights": network.weights_hash},
        "pictures": parts.identity,
        "plan": [stage.to_dict() for stage in plan],
        "first": first,
    }
    ranks.from_first(lambda: _begin(folder, asked, resume))
    current = _copy(network, parts)
    ranks.alike(current.module, weights=True)  # a head that was drawn by lot is another on each
    table = _table(current, parts, folder.path / _GIVEN, keep=ranks.first)
    rows, tables = [as_given(table)], [table]
    runs: list[Run | None] = [None]
    best, weights, ended = 0, state.copied(current.module), ""
    todo = plan[first - 1 :]
    for done, stage in enumerate(todo):
        progress.report(Event(TASK, done, len(todo), stage.caption()))
        try:
            run = fit(
                current, parts, out=folder.path / "stages" / str(stage.number), epochs=lasting[stage.number - 1],
                frozen=stage.frozen, groups=stage.rates, seed=number(seed, "stage", stage.number) % 2**31,
                resume=resume, storage=storage, cache=cache, workers=workers,
                **{name: value for name, value in common.items() if name != "share"},
            )  # fmt: skip
            table = _table(current, parts, run.path / PREDICTIONS, keep=ranks.first)
        except Stopped as error:
            raise Stopped(
                f"Stopped in stage {stage.number} of {stage.count} of fine-tuning. The same call with resume=True goes "
                f"on. ({error})"
            ) from error
        row = judged(stage, table, tables[best], rows[best], run.history[-1].seconds)
        rows.append(row)
        tables.append(table)
        runs.append(run)
        if row.accuracy > rows[best].accuracy:
            best, weights = len(rows) - 1, state.copied(current.module)
        else:
            state.fill(current.module, weights)
        if not row.helps and stage.number > 1 and stage is not todo[-1]:
            left = len(todo) - done - 1
            last = "the last stage" if left == 1 else f"the last {left} stages"
            ended = f"Stage {stage.number} no longer helps, so fine-tuning ended before {last}."
            break
    else:
        ended = "All stages were trained."
    progress.report(Event(TASK, len(rows) - 1, len(rows) - 1, ended))
    tuned = Tuned(tuple(rows), best, current, runs[best], ended, tuple(parts.notes))
    if ranks.first:
        write_bytes(folder.network, current.to_bytes(nameless=True))
        _write(folder, {**asked, **tuned.to_dict()})
    ranks.from_first(lambda: None)  # until it is written
    return tuned


def _planned(
    network: Network, stages: int | Sequence[Stage], head: Sequence[str] | None, falloff: float, norms: str
) -> tuple[Stage, ...]:
    if isinstance(stages, int):
        return plan_stages(network, stages, head=head, falloff=falloff, norms=norms)
    if head is not None or falloff != FALLOFF or norms != "keep":
        raise OptionError("head, falloff and norms would be ignored: the stages that were given say them. Leave them.")
    if not stages:
        raise OptionError("there is no stage: give a number from 1 on, or the plan of `plan_stages`.")
    return tuple(stages)


def _check_first(network: Network, parts: Split, plan: Sequence[Stage], first: int) -> None:
    if not 1 <= first <= len(plan):
        raise OptionError(f"first must be a stage from 1 to {len(plan)}, got {first!r}.")
    if first > 1 and network.class_names is not None and network.class_names != parts.class_names:
        raise DataError(
            f"first={first} takes the head of {network.name} as it is, which knows {_few(network.class_names)}, and "
            f"the pictures are of {_few(parts.class_names)}. Begin with the first stage, or name the classes alike "
            "and in the same order."
        )


def _few(names: Sequence[str]) -> str:
    return f"{count(len(names), 'class', 'classes')} ({', '.join(names[:5])}{', ...' * (len(names) > 5)})"


def _epochs(epochs: int | Sequence[int], stages: int) -> tuple[int, ...]:
    if isinstance(epochs, int):
        return (epochs,) * stages
    if len(epochs) != stages:
        raise OptionError(f"epochs has {len(epochs)} numbers for {count(stages, 'stage')}: give one for each, or one.")
    return tuple(epochs)


def _copy(network: Network, parts: Split) -> Network:
    """Return a network of its own, for these classes."""
    module = copy.deepcopy(network.module)
    return Network(
        module, network.spec, parts.class_names, name=network.name, factory=network.factory, notes=network.notes
    )


def _begin(folder: Folder, asked: Mapping[str, Any], resume: bool) -> None:
    """Say in the folder what is done there; or make sure that what is there is the same."""
    path = folder.path / _SUMMARY
    if not (resume and path.is_file()):
        folder.check_free()
        _write(folder, asked)
        return
    there = read_marked(
        path,
        FORMAT,
        thing="a fine-tuning",
        maker="striate transfer",
        anew="begin in another folder",
        error=TrainingError,
    )
    words = {
        "network": "the network has other weights",
        "pictures": "it was begun with other pictures, or another split of them",
        "plan": "the stages were others",
        "first": "it began with another stage",
    }
    plain = json.loads(json.dumps(asked))
    if wrong := [said for key, said in words.items() if there.get(key) != plain[key]]:
        raise TrainingError(
            f"the fine-tuning in {shown(folder.path)} cannot be gone on with: {'; '.join(wrong)}. Give what it was "
            "begun with, or another folder."
        )


def _write(folder: Folder, about: Mapping[str, Any]) -> None:
    folder.path.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"format": FORMAT, **about}, indent=1, ensure_ascii=False)
    write_text(folder.path / _SUMMARY, f"{text}\n")


def _table(network: Network, parts: Split, path: Path, *, keep: bool) -> Evaluation:
    """Return what a network says of the validation pictures: as it was kept, or made and kept."""
    assert parts.validation is not None
    indices, truth = parts.validation_indices, parts.validation_labels
    marks = {"weights": network.weights_hash, "pictures": identity(parts.validation, indices, truth)}
    if path.is_file():
        with contextlib.suppress(DataError):  # of another network: made again
            return Evaluation.load(path, **marks)
    made = evaluate(network, parts.validation, indices, truth)
    if keep:
        made.save(path)
    return made
