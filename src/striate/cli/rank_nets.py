"""`striate rank-nets`: which architecture is worth training. Parses, calls the library, shows."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from striate import progress
from striate.cli.tables import print_table
from striate.errors import OptionError

__all__ = ["rank_nets"]

_PATH = click.Path(path_type=Path)


def _many(text: str) -> int:
    if text.strip().lower() == "all":
        return sys.maxsize
    if not text.strip().isdecimal():
        raise click.BadParameter(f"{text!r} is neither a whole number nor all.")
    return int(text)


@click.command(
    "rank-nets",
    short_help="Which architecture to train, by random weights.",
    epilog="FOLDER is what `striate train` takes: a folder of class folders, a table, an .npz archive. Without --nets "
    "and --net twelve single layers of filters are ranked, which differ in size, number and step, and in pooling.",
)
@click.argument("pictures", metavar="FOLDER", type=_PATH)
@click.option("--nets", metavar="A,B,C", help="Networks by name, as for striate train: cnn2,resnet20,timm:resnet18.")
@click.option(
    "--net",
    "rows",
    metavar="[NAME=]LAYERS",
    multiple=True,
    help='One more, which may be a row of layers: --net "wide=conv 64 5x5 relu, pool 4 average, flatten, dense". '
    "Several times for several.",
)
@click.option(
    "--train",
    "train_best",
    type=_many,
    metavar="N|all",
    default="0",
    help="How many of the best are then trained, all weights of them. [default: 0]",
)
@click.option(
    "--out", metavar="DIR", type=_PATH, required=True, help="The folder for results and runs; goes on where it stopped."
)
@click.option("--seeds", type=click.IntRange(min=1), metavar="N", default=3, show_default=True,
              help="Times that the random weights are drawn; the mean counts.")  # fmt: skip
@click.option("--epochs", type=click.IntRange(min=1), metavar="N", default=10, show_default=True,
              help="Of each training.")  # fmt: skip
@click.option("--batch", type=click.IntRange(min=1), metavar="N",
              help="Pictures in one step of a training. [default: 128 of small ones, 32 of large ones]")  # fmt: skip
@click.option("--pictures", "most", type=click.IntRange(min=1), metavar="N",
              help="Train on so many of them only, of each class its share. [default: all]")  # fmt: skip
@click.option("--size", type=click.IntRange(min=1), metavar="N", help="Side of the pictures in pixels.")
@click.option("--validation", metavar="FOLDER", help="Other pictures to validate on, or the name of a part of FOLDER.")
@click.option("--share", type=float, metavar="NUMBER", default=0.2, show_default=True,
              help="Share of each class that is set aside for validation, where nothing else says which.")  # fmt: skip
@click.option("--labels", metavar="FILE", help="A .csv table of the pictures' labels.")
@click.option("--initial", metavar="RULE", help="How random weights are drawn: he-normal, glorot-uniform, ... "
              "[default: what suits each network]")  # fmt: skip
@click.option("--device", metavar="NAME", help="Where to work: cpu, cuda. [default: a GPU where there is one]")
@click.option("--workers", type=click.IntRange(min=0), metavar="N", help="Threads that decode pictures.")
def rank_nets(pictures: Path, nets: str | None, rows: tuple[str, ...], out: Path, **options: Any) -> None:
    """Rank architectures by what they do with random weights, where only the last layer is trained.

    That takes seconds for each. With --train the best are then trained in full, and how well the first order foretold
    the second is said. Stopped in any way, the same command goes on.
    """
    chosen = _chosen(nets, rows)
    from striate.learn.untrained.ranking import TASK
    from striate.learn.untrained.ranking import rank_nets as rank

    def hear(event: progress.Event) -> None:
        if event.task == TASK and event.note:
            if sys.stderr.isatty():
                click.echo("\r\x1b[K", nl=False, err=True)  # the bar, if there is one, makes room
            click.echo(event.note)
            sys.stdout.flush()

    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    if chosen:
        given["nets"] = chosen
    if "most" in given:
        given["pictures"] = given.pop("most")
    if "batch" in given:
        given["settings"] = {"batch": given.pop("batch")}
    with progress.listen(hear):
        found = rank(pictures, out=out, **given)
    for note in found.recipe.notes:
        click.echo(note, err=True)
    headings, *body = found.table()
    print_table(headings, body, words=2)
    for one in found.nets:
        if one.note:
            click.echo(f"{one.name}: {one.note}", err=True)
    click.echo(found.caption())
    for suffix in ("png", "json"):
        click.echo(str(found.save(out / f"ranking.{suffix}")))


def _chosen(nets: str | None, rows: tuple[str, ...]) -> list[str]:
    """Return what is to be ranked; nothing where nothing was named."""
    plain = [one.strip() for one in (nets or "").split(",") if one.strip()]
    if any(" " in one for one in plain):
        raise OptionError(
            f"--nets {nets!r}: names of networks stand between the commas. A row of layers, which has commas itself, "
            "is given by --net, one for each."
        )
    return [*plain, *rows]
