"""Train a network on pictures: what decides how, the beginning and the end. The epochs between are in `course`."""

from __future__ import annotations

import os
import shutil
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch
from torch import nn

from striate.errors import OptionError, TrainingError
from striate.files import shown
from striate.learn import board, state
from striate.learn.beginning import Way, check, parts_of, place, rest, train_from
from striate.learn.folder import Folder
from striate.learn.pictures.augment import Augment
from striate.learn.pictures.feeding import Storage
from striate.learn.pictures.split import Split
from striate.learn.ranks import ranks_here
from striate.learn.run import Run
from striate.learn.settings import Settings
from striate.learn.taking_up import begun_anew, best_weights, finish, is_over, saved_in
from striate.network import Network
from striate.results.words import count
from striate.spec import InputSpec

__all__ = ["OVER", "fit", "resume"]

OVER = "This run had come to its end before: nothing was trained."


def fit(
    network: Network,
    train: Any,
    validation: Any = None,
    *,
    out: str | os.PathLike[str] | None = None,
    epochs: int = 20,
    batch: int | None = None,
    optimizer: str = "adamw",
    rate: float | None = None,
    momentum: float | None = None,
    weight_decay: float | None = None,
    optimizer_options: Mapping[str, float] | None = None,
    groups: Mapping[str, float] | None = None,
    schedule: str = "one-cycle",
    warmup: int | float | None = None,
    schedule_options: Mapping[str, Any] | None = None,
    smoothing: float = 0.0,
    class_weights: str | Sequence[float] = "none",
    clip: float | None = None,
    average: float | None = None,
    augment: Augment | str | Mapping[str, Any] | None = None,
    standardize: str = "model",
    share: float | None = None,
    together: str = "near",
    frozen: str | Sequence[str] = (),
    precision: str = "auto",
    compile: bool = False,
    validate_every: int = 1,
    monitor: str = "auto",
    patience: int | None = None,
    time_limit: float | None = None,
    keep: int = 5,
    seed: int = 0,
    labels: Any = None,
    resume: bool = False,
    storage: Storage = "auto",
    cache: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    tensorboard: bool = False,
) -> Run:
    """Train a network on pictures.

    The module itself is trained. Afterwards, however it ended, it is in evaluation mode and frozen, and holds the best
    weights; `network.spec` says how its pictures are standardised, `network.class_names` what the classes are.

    The numbers depend on the network, the pictures, the settings and the number of processes alone (on a processor bit
    for bit, with the same number of threads): not on workers and storage, and not on whether it was interrupted. Under
    torchrun the processes share each batch.

    Args:
        network: with as many logits as there are classes; `striate.learn.start` makes one.
        train: a `Split`, or pictures as `striate.learn.split` takes them: a folder of class folders, or of train/ and
            val/; a table, an archive, a set.
        validation: more such pictures, to validate on; where it is None and `train` has no part for it, a share of
            `train` is set aside.
        out: the folder of the run. It must not be there yet, or be empty, or hold a training of which no epoch was over
            (its first loss was no number, say), which is begun anew with whatever settings are given. When None a
            temporary one, which lives as long as the `Run` that is returned; then nothing can be gone on with.
        epochs: see `Settings` for this and all that follow, up to `seed`.
        labels: a table of the pictures' labels, as `striate.dataset.open` takes it.
        resume: go on with the run that is in `out`, with the same settings (`time_limit`, `patience` and `keep` may be
            others); where there is none yet, or one of which no epoch was over, begin.
        storage: where decoded pictures are kept: "memory", "disk", "stream" (nowhere), or "auto" by their size.
        cache: folder for those on disk, where later runs find them; a temporary file when None.
        workers: threads that decode.
        tensorboard: write RUN/tensorboard too; needs the extra `tensorboard`.

    Returns:
        The run: its history, its networks, its folder.

    Raises:
        OptionError: a setting that makes no sense, or that would be ignored.
        DataError: the pictures cannot be used: none, one class, a class with a single picture, ...
        NetworkError: the network cannot be run on them, or nothing in it learns.
        TrainingError: a loss is NaN or infinite (the last whole epoch is kept); the run that is there is of another
            network, of other data or settings; another process trains there.
        OutputError: there is something in `out`, or it cannot be written (the last whole epoch is kept).
        MissingExtraError: `tensorboard` without that library.
        Stopped: the user asked to stop, by Ctrl-C or a `progress.stoppable` block; the text says what is kept.
    """
    chosen: dict[str, Any] = {
        "epochs": epochs, "batch": batch, "optimizer": optimizer, "rate": rate, "momentum": momentum,
        "weight_decay": weight_decay, "optimizer_options": optimizer_options or {}, "groups": groups or {},
        "schedule": schedule, "warmup": warmup, "schedule_options": schedule_options or {}, "smoothing": smoothing,
        "class_weights": class_weights, "clip": clip, "average": average, "augment": augment,
        "standardize": standardize, "share": share, "together": together, "frozen": frozen, "precision": precision,
        "compile": compile, "validate_every": validate_every, "monitor": monitor, "patience": patience,
        "time_limit": time_limit, "keep": keep, "seed": seed,
    }  # fmt: skip
    settings = Settings(**chosen)
    began = time.monotonic()
    if tensorboard:
        board.check()
        if out is None:
            raise OptionError("tensorboard needs a folder for the run (out=): a temporary one is gone with it.")
    if resume and out is None:
        raise OptionError("resume needs the folder of the run (out=).")
    way = Way(storage, None if cache is None else Path(cache), workers, tensorboard, began)
    ranks = ranks_here()
    with ExitStack() as stack:
        temporary = out is None
        folder = Folder(ranks.from_first(lambda: mkdtemp(prefix="striate-run-") if out is None else os.fspath(out)))
        cleared = stack.enter_context(ExitStack())
        if temporary and ranks.first:
            cleared.callback(shutil.rmtree, folder.path, ignore_errors=True)

        def hold() -> tuple[bool, list[str]]:
            if not temporary and not (resume and folder.exists()):
                folder.check_free()
            stack.enter_context(folder.held())
            if not folder.unborn():
                return folder.exists(), []
            told = begun_anew(folder, settings, asked=resume)
            folder.clear_unborn()
            return False, told

        there, notes = ranks.from_first(hold)
        parts = parts_of(train, validation, labels, settings)
        place(network, ranks)
        check(network, parts, settings, ranks)
        saved = saved_in(folder, network, parts, settings, ranks) if there else None
        if saved is not None and is_over(saved, settings):
            state.fill(network.module, best_weights(folder, saved))
            done = saved
            ranks.from_first(lambda: finish(folder, done))
            rest(network, InputSpec.from_dict(folder.about()["spec"]), parts)
            return Run(folder.path, trained=network, notes=[OVER], parts=parts)
        train_from(network, parts, settings, way, folder, not temporary, saved, ranks, stack, notes)
        ranks.from_first(lambda: None)  # until the first one has written everything
        run = Run(folder.path, trained=network, parts=parts)
        if temporary and ranks.first:
            cleared.pop_all()
            weakref.finalize(run, shutil.rmtree, folder.path, ignore_errors=True)
        return run


def resume(
    out: str | os.PathLike[str],
    *,
    train: Any = None,
    validation: Any = None,
    factory: str | Callable[[], nn.Module] | None = None,
    device: str | torch.device | None = None,
    time_limit: float | None = None,
    storage: Storage = "auto",
    cache: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    tensorboard: bool = False,
) -> Run:
    """Go on with a run that was interrupted, from its folder alone.

    Args:
        out: the folder.
        train: where its pictures are now, if not where they were.
        validation: likewise, where they are of another source.
        factory: what makes the module, where Striate cannot make it by itself.
        device: to train on.
        time_limit: seconds, as for `fit`.
        storage: as for `fit`; likewise the rest.
        cache: likewise.
        workers: likewise.
        tensorboard: likewise.

    Returns:
        The run.

    Raises:
        TrainingError: there is no run, or it cannot be read; and whatever `fit` raises.
    """
    run = Run.open(out)
    if run.transferred:
        raise TrainingError(
            f"{shown(out)} was left by a transfer, which has no epochs to go on with. The same transfer again goes on "
            "where it stopped (striate transfer); or train on from its network: striate train FOLDER --net "
            f"{shown(out)} --out ANOTHER."
        )
    if not run.history and 0 not in run.checkpoints:
        raise TrainingError(
            f"no epoch of {shown(out)} is over yet, and its first weights are not there to begin from. Start it as the "
            "first time, with resume=True (--resume)."
        )
    which: str | int = "last" if run.history else 0
    network = run.network(which, factory=factory, device=device)
    parts = Split.load(run.split_path, train, validation)
    for names, words in ((parts.vanished, "are not there any more"), (parts.arrived, "have come since")):
        if names:
            raise TrainingError(
                f"the run in {shown(out)} cannot be gone on with: {count(len(names), 'picture')} {words} (the first: "
                f"{shown(names[0])}). Put the pictures back as they were (split.csv), or begin a new run."
            )
    settings = {**run.settings.to_dict(), "time_limit": time_limit}
    return fit(
        network, parts, out=out, resume=True, storage=storage, cache=cache, workers=workers, tensorboard=tensorboard,
        **settings,
    )  # fmt: skip
