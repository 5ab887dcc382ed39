"""The report of a training: how it went, how good it is, what it gets wrong and why. Computes nothing."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path

from striate import __version__
from striate.errors import DataError
from striate.files import shown, write_text
from striate.learn.judging.evaluate import evaluation_of, images_of, kept_evaluation, mistakes
from striate.learn.run import Run as Training
from striate.network import Network
from striate.progress import Event, report
from striate.report import run_sections
from striate.report.page import environment, pieces, script, style
from striate.report.pictures import photo_uri
from striate.report.run_visit import RunVisit
from striate.report.visit import TASK, Visit
from striate.results import encode_json
from striate.results.base import Json
from striate.results.confusions import Mistake
from striate.results.curves import Curve
from striate.results.evaluation import Evaluation

__all__ = ["MISTAKES", "training"]

MISTAKES = 6


def training(
    run: Training | str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    network: Network | None = None,
    worst: int = MISTAKES,
    trust: bool = True,
) -> Path:
    """Write the report of a training: one HTML file with everything in it, and the numbers beside it.

    It says what was trained on what, how that went (learning curves, over-fitting), how good the best network is on
    the pictures that it was validated on (confusions, classes, calibration), what its worst mistakes are and why,
    what became of the first filters and of a few units, and what could not be read.

    Args:
        run: an open run, or its folder. Where its pictures were in memory only, the run that `fit` returned, or
            `Run.open(folder, train=...)` with them.
        out: folder to write `report.html` and `report.json` to; that of the run unless given, or `striate-report` here
            where nobody may write into that.
        network: its best network, where that is loaded already, or cannot be made by Striate itself.
        worst: mistakes that are shown and explained, 0 or more.
        trust: also say how far to believe the explanations.

    Returns:
        The path of the report.

    Raises:
        TrainingError: there is no run, or not one epoch is over.
        NetworkError: its network cannot be made.
        OutputError: the files cannot be written.
        Stopped: someone asked to stop; nothing is written.
    """
    held = Training.open(run) if isinstance(run, str | os.PathLike) else run
    told = _arrive(held, network, worst, trust)
    parts = pieces(run_sections, told, network=told.network)
    made = 0 if told.visit is None else len(told.visit.runs)
    report(Event(TASK, made, made))
    folder = _place(held.path) if out is None else Path(out)
    page = (
        environment()
        .get_template("run.html.j2")
        .render(
            told=told,
            network=told.network,
            sections=parts,
            photos=[photo_uri(one.pixels) for one in told.mistakes if one.pixels is not None],
            style=style(),
            script=script(),
            version=__version__,
        )
    )
    write_text(folder / "report.json", encode_json(_numbers(told)))
    return write_text(folder / "report.html", page)


def _place(run: Path) -> Path:
    """Return where the report of a run goes unless said otherwise."""
    return run if os.access(run, os.W_OK) else Path("striate-report")


def _arrive(run: Training, network: Network | None, worst: int, trust: bool) -> RunVisit:
    """Load the network, and ask it about its pictures unless that was done before."""
    asked = run.network("best") if network is None else network
    name = shown(Path(run.path).resolve().name)
    history = run.history
    table: Evaluation | None = None
    found: tuple[Mistake, ...] = ()
    visit: Visit | None = None
    why = ""
    try:
        split = run.split
        table = evaluation_of(run, network=asked)
    except DataError as error:
        table = kept_evaluation(run, asked)  # the figures stand, though the pictures cannot be shown
        why = str(error) if table is None else f"The pictures cannot be shown: {error}"
        found = () if table is None else table.mistakes(worst)
    else:
        assert split.validation is not None  # or there would be no table
        found = tuple(one for one in mistakes(asked, split.validation, table, worst) if one.pixels is not None)
        images = images_of(asked, split.validation, found)
        if images is not None:
            visit = Visit(asked, images, tuple(Path(one.name) for one in found), (), None, trust)
    return RunVisit(
        run=run,
        name=name,
        network=asked,
        curve=Curve.of(name, history) if history else None,
        table=table,
        why=why,
        mistakes=found,
        visit=visit,
        trust=trust,
        skipped=_skipped(Path(run.path) / "skipped.csv", table),
    )


def _skipped(path: Path, table: Evaluation | None) -> tuple[tuple[str, str], ...]:
    """Return the pictures that could not be read, in training and afterwards, each once."""
    found: dict[str, str] = {}
    if path.is_file():
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            for row in csv.reader(file):
                if len(row) >= 2:
                    found.setdefault(row[-2], row[-1])
        found = dict(list(found.items())[1:])  # without the heading
    for name, why in table.skipped if table is not None else ():
        found.setdefault(name, why)
    return tuple((shown(name), shown(why)) for name, why in found.items())


def _numbers(told: RunVisit) -> Mapping[str, Json]:
    """Collect everything that the report shows as numbers."""
    results = {name: {"recipe": one.recipe.to_dict(), **one.numbers()} for name, one in told.made.items()}
    refused = dict(told.refused)
    if told.visit is not None:
        for key, one in told.visit.runs.items():
            if one.result is None:
                refused[key] = one.refusal
            else:
                results[key] = {"recipe": one.result.recipe.to_dict(), **one.result.numbers()}
    return {
        "striate": __version__,
        "run": told.name,
        "settings": told.run.settings.to_dict(),
        "network": {
            "name": told.network.name,
            "weights": told.network.weights_hash,
            "input": told.network.spec.brief(),
            "class_names": None if told.network.class_names is None else list(told.network.class_names),
        },
        "results": results,
        "refused": refused,
        "skipped": [{"name": name, "why": why} for name, why in told.skipped],
    }
