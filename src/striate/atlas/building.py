"""Build an atlas, go on with one that was interrupted, extend one that is there. Leads the work; does none of it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from striate import dataset
from striate.atlas import opened, store
from striate.atlas.locking import locked
from striate.atlas.merging import merge
from striate.atlas.opened import Atlas
from striate.atlas.planning import Plan, make_plan, settings_of
from striate.atlas.ranks import Ranks, ranks_here
from striate.atlas.scanning import scan
from striate.atlas.shares import is_finished
from striate.dataset.pictures import PictureSet
from striate.errors import AtlasError, OptionError
from striate.files import shown, write_text
from striate.network import Network

__all__ = ["build"]

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
        DataError: the source cannot be opened, or holds no pictures.
        NetworkError: the network cannot be run, or a layer has no values.
        OptionError: an option makes no sense.
        OutputError: the disk is full or may not be written to; what was there before is as it was.
        Stopped: the user asked to stop; finished shares are kept.
    """
    given = {
        name: value
        for name, value in {
            "top": top, "batch": batch, "seed": seed, "histograms": histograms, "classes": classes, "sample": sample,
            "vectors": vectors, "logits": logits, "dtype": dtype, "keep": keep,
        }.items()
        if value is not None
    }  # fmt: skip
    _check(given)
    pictures = dataset.open(source)
    folder = Path(out)
    with ranks_here() as ranks, ExitStack() as stack:

        def hold() -> None:
            stack.enter_context(locked(folder))

        ranks.together(hold, first_only=True)
        while _step(network, pictures, folder, layers, features, given, ranks, workers):
            pass
    return opened.open(folder)


def _check(given: dict[str, Any]) -> None:
    for name, least in (("top", 1), ("batch", 1), ("sample", 0), ("vectors", 0)):
        if name in given and given[name] < least:
            raise OptionError(f"{name} must be at least {least}, got {given[name]}.")
    if given.get("dtype") not in (None, "float16", "float32"):
        raise OptionError(f"dtype must be 'float16' or 'float32', got {given['dtype']!r}.")


def _step(
    network: Network,
    source: PictureSet,
    folder: Path,
    layers: str | Sequence[str] | None,
    features: str | Sequence[str] | None,
    given: dict[str, Any],
    ranks: Ranks,
    workers: int | None,
) -> bool:
    """Plan what is to be done next and do it; tell whether there was anything."""
    held: list[tuple[Atlas | None, Plan]] = []
    work = folder / "work"

    def plan() -> str:
        base = opened.open(folder) if (folder / store.MANIFEST).exists() else None
        settings = settings_of(network, source, base, given)
        found = make_plan(network, source, base, layers, features, settings)
        if found is None:
            return ""
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
        return False
    base, found = held[0]
    job = found.job

    def prepare() -> list[int]:
        _prepare(work, found.identity)
        return [share.number for share in job.shares if not is_finished(work, share)]

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
    return True


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
    if was is None or was.get("base") != identity["base"]:
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
