"""`striate evaluate`: how good a network is on pictures that it has not seen. Parses, calls the library, shows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from striate.cli.places import beside
from striate.cli.source import SOURCES, Source, source_options
from striate.cli.tables import print_table
from striate.errors import OptionError

if TYPE_CHECKING:
    from striate.dataset import PictureSet
    from striate.learn.judging.views import Views
    from striate.network import Network
    from striate.results.evaluation import Evaluation

__all__ = ["evaluate"]

_FOLDER = click.Path(path_type=Path)
_LISTED = 20  # classes that are listed on the terminal; of more, the weakest


@click.command(
    "evaluate",
    short_help="How good a network is: confusions, calibration.",
    epilog=f"{SOURCES} For a RUN of `striate train`, FOLDER may be left out: then it is asked about the pictures that "
    "it was validated on. FOLDER is a folder of pictures whose sub-folders are the classes, a .csv table of files and "
    "labels, an .npz archive or an .npy array; its classes are found among the network's by their names.",
)
@source_options
@click.argument("pictures", metavar="[FOLDER]", required=False, type=_FOLDER)
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where confusions.png, classes.png, calibration.png, evaluation.json and predictions.npz go. "
    "[default: RUN/evaluation; striate-evaluation with a FOLDER, or where RUN may not be written into]",
)
@click.option("--labels", metavar="FILE", help="A .csv table of the pictures' labels.")
@click.option("--part", metavar="NAME", help="Only this part of the pictures: train, val, test.")
@click.option("--batch", type=click.IntRange(min=1), metavar="N", help="Pictures at a time; chosen unless given.")
@click.option("--worst", type=click.IntRange(min=0), metavar="N", default=10, show_default=True, help="Mistakes shown.")
@click.option(
    "--views",
    type=click.Choice(["one", "mirror", "six"]),
    default="one",
    show_default=True,
    help="Of each picture, averaged: as it is; its mirror image too; both moved by a pixel besides. Not for digits.",
)
@click.option("--again", is_flag=True, help="Ask the network again, also where RUN/predictions.npz is there.")
def evaluate(
    source: Source,
    pictures: Path | None,
    out: Path | None,
    labels: str | None,
    part: str | None,
    batch: int | None,
    worst: int,
    views: Views,
    again: bool,
) -> None:
    """Ask a network once about pictures whose classes are known, and say how good it is."""
    if pictures is None and (labels is not None or part is not None or batch is not None):
        raise OptionError(
            "--labels, --part and --batch go with a FOLDER of pictures; without one they would be ignored."
        )
    if pictures is not None and again:
        raise OptionError("--again goes with a RUN alone: pictures in a FOLDER are asked about each time.")
    if pictures is None:
        _of_run(source, out, worst, again, views)
        return
    from striate.dataset import open as open_pictures
    from striate.learn.judging.evaluate import evaluate as ask

    held = open_pictures(pictures, labels=labels, part=part)
    network = source.load()
    folder = Path("striate-evaluation") if out is None else out
    table = ask(network, held, batch=batch, views=views)
    kept = table.save(folder / "predictions.npz")
    _show(network, held, table, folder, worst, kept)


def _of_run(source: Source, out: Path | None, worst: int, again: bool, views: Views) -> None:
    """Ask the best network of a run about the pictures that it was validated on, unless that was done before."""
    from striate.learn.judging.evaluate import PREDICTIONS, UNKEPT, evaluation_of
    from striate.learn.run import Run

    if not (Path(source.source) / "settings.json").is_file():
        raise OptionError(
            f"{source.source} is no run of `striate train`, so it does not say about which pictures to ask. "
            "Give them: striate evaluate SOURCE FOLDER."
        )
    run = Run.open(source.source)
    network = source.load()
    table = evaluation_of(run, network=network, again=again, views=views)
    held = run.split.validation
    assert held is not None  # or there would be no table
    folder = beside(run.path, "evaluation", "striate-evaluation") if out is None else out
    unkept = views != "one" or any(note.startswith(UNKEPT) for note in table.recipe.notes)
    _show(network, held, table, folder, worst, None if unkept else run.path / PREDICTIONS)


def _show(network: Network, held: PictureSet, table: Evaluation, folder: Path, worst: int, kept: Path | None) -> None:
    """Print what is to be said, and write the drawings."""
    from striate.learn.judging.evaluate import mistakes

    for note in table.recipe.notes:  # what was assumed
        click.echo(note, err=True)
    click.echo(table.caption())
    if table.skipped:
        name, why = table.skipped[0]
        click.echo(f"Left out, for it cannot be read (the first: {name}): {why}", err=True)
    written = [table.save(folder / "evaluation.json")]
    if len(table.judged):
        classes = table.per_class
        order = classes.weakest(None if len(classes) <= _LISTED else _LISTED).tolist()
        print_table(
            ["class", "pictures", "recall", "precision", "F1"],
            [
                [
                    classes.name(index),
                    f"{classes.support[index]:,}",
                    *(_figure(values[index]) for values in (classes.recall, classes.precision, classes.f1)),
                ]
                for index in order
            ],
        )
        there = int((classes.support > 0).sum())
        if len(order) < there:
            click.echo(f"The {len(order)} weakest of {there:,} classes; all stand in evaluation.json.")
        if there < len(classes):
            click.echo(f"{len(classes) - there:,} of {len(classes):,} classes have no pictures here.")
        written += [
            table.confusions(mistakes(network, held, table, worst)).save(folder / "confusions.png"),
            classes.save(folder / "classes.png"),
            table.calibration.save(folder / "calibration.png"),
        ]
    for path in (*written, *([] if kept is None else [kept])):
        click.echo(str(path))


def _figure(value: float) -> str:
    return "none" if value != value else f"{value:.3f}"
