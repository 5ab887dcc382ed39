"""Build an atlas, go on with one that was interrupted, extend one that is there. Leads the work; does none of it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

from striate import dataset
from striate.atlas import opened, store
from striate.atlas.merging import merge
from striate.atlas.opened import Atlas
from striate.atlas.planning import DEFAULTS, Plan, is_steady, make_plan, settings_of
from striate.atlas.ranks import Ranks, ranks_here
from striate.atlas.scanning import scan
from striate.atlas.shares import Share, is_finished
from striate.dataset.pictures import PictureSet
from striate.errors import AtlasError, DataError, OptionError, OutputError, StriateError
from striate.files import shown, write_text
from striate.locking import locked
from striate.network import Network

__all__ = ["build", "carry_out", "given", "held"]

_PLAN, _FAILED = "plan.json", "failed"


def build(
    network: Network,
    source: Any,
    out: str | os.PathLike[str],
    *,
    layers: str | Sequence[str] | None = None,
    features: str | Sequence[str] | None = None,
    top: int | None = None,
    batch: int | None = None,
    seed: int | None = None,
    histograms: bool | None = None,
    classes: bool | None = None,
    sample: int | None = None,
    vectors: int | None = None,
    logits: bool | None = None,
    dtype: str | None = None,
    keep: bool | None = None,
    workers: int | None = None,
) -> Atlas:
    """Send every picture of a set through a network once, and keep what the units of its layers gave.

    Pictures that cannot be read, or for which the network gives NaN or infinity, are left out and listed.
    Where there is an atlas already it is extended: by the pictures of `source` that it has not seen, and by the
    layers and features that it has not. What was interrupted, in whatever way, goes on when it is started again, and
    gives the same atlas. Under torchrun the processes share the work; `out` must be a folder that all of them see.

    Args:
        network: that is looked at; it stays on its device, and so do the statistics.
        source: the pictures: what `striate.dataset.open` takes.
        out: folder of the atlas.
        layers: addresses and words ("convolutions", "rectifiers", "stages", "all"); all convolutions unless given.
        features: layers whose features, averaged over the map, are kept for every picture; the last map and what the
            classifier reads unless given; an empty list for none.
        top: how many pictures are kept for each end of every unit, at least 1; 9 unless given.
        batch: pictures in one pass; 16 on a processor and 128 on a GPU unless given.
        seed: of all that is drawn by lot; 0 unless given.
        histograms: count the values of every unit; yes unless given.
        classes: keep the mean of every unit for each class, where there are labels; yes unless given.
        sample: pictures whose value is kept for every unit; 256 unless given.
        vectors: pictures of which one position's vector is kept for each layer of `features`; 10,000 unless given.
        logits: keep the logits of every picture, float16; no unless given.
        dtype: of the features: "float16" (unless given) or "float32".
        keep: keep a copy of every picture (uint8, at the network's size) in the atlas; only where they lie in memory
            and nowhere else unless given.
        workers: threads that decode; as many as there are processors unless given.

    Returns:
        The atlas, opened.

    Raises:
        AddressError: no such layer.
        AtlasError: another build is at work there, or the atlas that is there does not go with this.
        DataError: the source cannot be opened, holds no pictures, or others each time it is read.
        NetworkError: the network cannot be run, or a layer has no values.
        OptionError: an option makes no sense.
        OutputError: there is something else in the folder, the disk is full, or may not be written to; what was there
            before is as it was.
        Stopped: the user asked to stop; finished shares are kept.
    """
    options = given(
        top=top, batch=batch, seed=seed, histograms=histograms, classes=classes, sample=sample, vectors=vectors,
        logits=logits, dtype=dtype, keep=keep,
    )  # fmt: skip
    for name, least in (("top", 1), ("batch", 1), ("sample", 0), ("vectors", 0)):
        if name in options and options[name] < least:
            raise OptionError(f"{name} must be at least {least}, got {options[name]}.")
    if dtype not in (None, "float16", "float32"):
        raise OptionError(f"dtype must be 'float16' or 'float32', got {dtype!r}.")

    def make(pictures: PictureSet, base: Atlas | None) -> Plan | None:
        if base is not None:
            base.check_units()
        return make_plan(
            network, pictures, base, layers, features, settings_of(network, pictures, base, options, DEFAULTS)
        )

    return carry_out(network, source, out, make, workers)


def given(**options: Any) -> dict[str, Any]:
    """Return those options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def carry_out(
    network: Network,
    source: Any,
    out: str | os.PathLike[str],
    make: Callable[[PictureSet, Atlas | None], Plan | None],
    workers: int | None,
    check: Callable[[Plan, Sequence[Share], Atlas | None], None] = lambda plan, lacking, base: None,
) -> Atlas:
    """Do step after step until there is nothing left to do, alone or with other ranks; return the atlas.

    Args:
        network: that is looked at.
        source: the pictures: what `striate.dataset.open` takes.
        out: folder of the atlas.
        make: plans the next step from the pictures and the atlas that is there.
        workers: threads that decode.
        check: called before each step with the plan, the shares that it has still to do, and the atlas that is there;
            may raise a StriateError.

    Raises:
        StriateError: what `build` says.
    """
    pictures = dataset.open(source)
    if not is_steady(pictures):
        raise _changing(pictures)
    folder = Path(out)
    with ranks_here() as ranks, ExitStack() as stack:

        def hold() -> None:
            _check_free(folder)
            stack.enter_context(held(folder))

        ranks.together(hold, first_only=True)
        done: set[str] = set()
        while kind := _step(network, pictures, folder, make, check, ranks, workers, done):
            done.add(kind)
    return opened.open(folder)


def held(folder: Path) -> AbstractContextManager[None]:
    """Keep other processes from building in a folder.

    Raises:
        AtlasError: another process builds there.
        OutputError: nothing can be written there.
    """

    def busy(who: str) -> AtlasError:
        return AtlasError(
            f"another process{who} is building the atlas {shown(folder)}. Wait for it, stop it, or build into another "
            "folder."
        )

    return locked(folder, "the atlas", busy)


def _check_free(folder: Path) -> None:
    """Make sure that a folder holds nothing but an atlas, or what a build left: what else is there would be lost.

    Raises:
        OutputError: it does, or cannot be looked into.
    """
    work = folder / "work"
    if not folder.is_dir() or (folder / store.MANIFEST).exists() or (work / _PLAN).exists():
        return
    try:
        # a build that was killed at its very beginning left its lock, and a folder with an unfinished file at most
        begun = work.is_dir() and all(entry.name.startswith(".") for entry in work.iterdir())
        free = {"lock", "work"} if begun else {"lock"}
        others = sorted(entry.name for entry in folder.iterdir() if entry.name not in free and entry.name[0] != ".")
    except OSError as error:
        raise store.unwritable(folder, error) from error
    if others:
        raise OutputError(
            f"{shown(folder)} is no atlas, and not empty ({', '.join(others[:3])}{', ...' * (len(others) > 3)}). An "
            "atlas needs a folder of its own: name one that is empty, or not there yet."
        )


def _changing(source: PictureSet) -> DataError:
    return DataError(
        f"{source.description}: they are others each time they are read, and an atlas has to find the same ones again. "
        "Leave random crops, flips and the like out of its transform."
    )


def _step(
    network: Network,
    source: PictureSet,
    folder: Path,
    make: Callable[[PictureSet, Atlas | None], Plan | None],
    check: Callable[[Plan, Sequence[Share], Atlas | None], None],
    ranks: Ranks,
    workers: int | None,
    done: Collection[str],
) -> str:
    """Plan what is to be done next and do it; return its kind, "" where there was nothing."""
    held: list[tuple[Atlas | None, Plan]] = []
    work = folder / "work"

    def plan() -> str:
        base = opened.open(folder) if (folder / store.MANIFEST).exists() else None
        found = make(source, base)
        if found is None:
            return ""
        if found.kind in done:
            raise _changing(source)
        held.append((base, found))
        return json.dumps(found.identity, sort_keys=True)

    plans = ranks.together(plan)
    if len(set(plans)) > 1:
        raise AtlasError(
            "the ranks do not agree on what is to be done: they see other pictures, another network, or another "
            f"{shown(folder)}. All of them need the same files and options, and one folder that they share."
        )
    if not held:
        ranks.together(lambda: _tidy(folder), first_only=True)
        return ""
    base, found = held[0]
    job = found.job

    def prepare() -> list[int]:
        _prepare(work, found.identity)
        lacking = [share for share in job.shares if not is_finished(work, share)]
        try:
            check(found, lacking, base)
        except StriateError:
            if len(lacking) == len(job.shares):
                shutil.rmtree(work, ignore_errors=True)  # nothing was begun
            raise
        return [share.number for share in lacking]

    lacking = ranks.together(prepare, first_only=True)[0] or []
    mine = [job.shares[number] for number in lacking[ranks.rank :: ranks.count]]

    def do() -> None:
        _while_others_live(
            lambda watch: scan(network, source, job, mine, work, workers=workers, watch=watch), work, ranks
        )

    ranks.together(do)

    def put_together() -> None:
        merge(network, source, base, found, folder, work)
        shutil.rmtree(work, ignore_errors=True)

    ranks.together(put_together, first_only=True)
    return found.kind


def _prepare(work: Path, identity: dict[str, Any]) -> None:
    """Make the folder for shares, or make sure that what lies in it is of this very step.

    Raises:
        AtlasError: another step was interrupted there.
        OutputError: it cannot be made.
    """
    file = work / _PLAN
    try:
        was = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        was = None
    except (OSError, ValueError) as error:
        raise AtlasError(
            f"{shown(file)} is broken ({error}). Remove the folder {shown(work)} to begin anew."
        ) from error
    begun = any(work.glob("share-*"))  # else nothing is lost: it ended in its first share, for want of memory, say
    if was is None or was.get("base") != identity["base"] or (was != identity and not begun):
        shutil.rmtree(work, ignore_errors=True)  # it was merged, and only not removed any more, or not all of it
        was = None
    if was is not None and was != identity:
        other = [name for name in identity if was.get(name) != identity[name]]
        if {"pictures", "probes"} & set(other) and not set(other) - {"pictures", "probes", "shares"}:
            raise AtlasError(
                f"in {shown(work.parent)} lies the work of an interrupted build, and its pictures are not those that "
                "it began with: since then some were added, removed, renamed or changed, or have other labels. Put "
                f"them back to finish it, or give up what is done of it by removing {shown(work)}."
            )
        raise AtlasError(
            f"in {shown(work.parent)} lies the work of an interrupted build that differs in {', '.join(other)}. Start "
            f"that one again to finish it, or give it up by removing {shown(work)}."
        )
    if was is None:
        write_text(file, json.dumps(identity, indent=1) + "\n")
    try:
        for left in [*work.glob("*.part"), *work.glob(_FAILED)]:
            left.unlink()
    except OSError as error:
        raise store.unwritable(work, error) from error


def _tidy(folder: Path) -> None:
    """Remove what a build left that was killed between its last steps."""
    current = store.manifest(folder)["data"]
    work = folder / "work"
    try:
        was = json.loads((work / _PLAN).read_text("utf-8"))
    except (OSError, ValueError):
        was = {}
    if was.get("base", "") != current:  # else it is an extension that can still go on
        shutil.rmtree(work, ignore_errors=True)
    store.remove_others(folder, current)


def _while_others_live(act: Callable[[Callable[[], None]], None], work: Path, ranks: Ranks) -> None:
    """Do something long; end it when another rank has failed, and tell the others when it fails here."""
    flag = work / _FAILED

    def watch() -> None:
        if ranks.count > 1 and flag.exists():
            raise AtlasError(f"ended, because rank {flag.read_text('utf-8').strip()} failed. Finished shares are kept.")

    try:
        act(watch)
    except Exception:
        if ranks.count > 1 and not flag.exists():
            write_text(flag, f"{ranks.rank}\n")
        raise
