"""`striate transfer`: use a trained network for other pictures. Parses, calls the library, shows."""

from __future__ import annotations

import sys
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from striate import progress
from striate.cli.source import SOURCES, Source
from striate.cli.tables import print_table
from striate.errors import Stopped

if TYPE_CHECKING:
    from striate.results.transferring import Transfer

__all__ = ["transfer"]

_HEADS = ("logistic", "linear-svm", "rbf-svm", "forest", "dense")  # of the library, whose import would take seconds
_LEAD = {"transfer": "", "training": "  epoch {done}: ", "fine-tuning": ""}  # before what these tasks say


@click.command(
    "transfer",
    short_help="A trained network for other pictures, best way kept.",
    epilog="FOLDER is what `striate train` takes: a folder of class folders, or of train/ and val/, a .csv table, an "
    f".npz archive. {SOURCES.replace('SOURCE is', 'NAME is')}",
)
@click.argument("pictures", metavar="FOLDER", type=click.Path(path_type=Path))
@click.option(
    "--net",
    metavar="NAME",
    default="efficientnet_lite0",
    show_default=True,
    help="The trained network: a name, a saved network, or the folder of a run.",
)
@click.option(
    "--out", metavar="RUN", required=True, type=click.Path(path_type=Path), help="The folder for everything it makes."
)
@click.option(
    "--validation", metavar="FOLDER", help="Other pictures to measure on, or the name of a part of FOLDER (test)."
)
@click.option("--labels", metavar="FILE", help="A .csv table of the pictures' labels.")
@click.option(
    "--layer",
    "layers",
    metavar="ADDRESS",
    multiple=True,
    help="A layer whose features classifiers read. Several times for several; the deepest of them is also read alone. "
    "[default: four depths, and what the network's own classifier reads]",
)
@click.option(
    "--head",
    "heads",
    type=click.Choice(_HEADS),
    multiple=True,
    help="Which classifiers. Several times for several. [default: all]",
)
@click.option(
    "--tune/--no-tune",
    default=None,
    help="Fine-tune the network itself, in stages. [default: where there is enough to learn from]",
)
@click.option("--scratch", is_flag=True, help="Train the same architecture from random weights too, to compare.")
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Of each stage of fine-tuning; three times as many from random weights. [default: 5]",
)
@click.option("--batch", type=click.IntRange(min=1), metavar="N", help="Pictures in one step.")
@click.option(
    "--augment", metavar="TEXT", help="Vary the pictures while weights are trained: photos, digits, or such as flip."
)
@click.option(
    "--norms",
    type=click.Choice(("keep", "learn")),
    help="What becomes of batch norm in fine-tuning: it stays as it is, or learns and gathers statistics, which needs "
    "very many pictures. [default: keep]",
)
@click.option(
    "--share",
    type=click.FloatRange(min=0, max=1, max_open=True),
    metavar="NUMBER",
    help="Share of each class that is set aside to measure on, where FOLDER has no part for it. [default: 0.2]",
)
@click.option(
    "--size",
    type=click.IntRange(min=1),
    metavar="N",
    help="Side of the network's input in pixels: smaller is faster, and often worse. [default: its own]",
)
@click.option("--factory", metavar="MODULE:FUNCTION", help="What builds the network, where Striate cannot.")
@click.option("--device", metavar="NAME", help="Where to run: cpu, cuda. [default: a GPU where there is one]")
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    metavar="N",
    help="Threads that decode pictures. [default: one for each processor]",
)
@click.option("--seed", type=int, metavar="N", help="Of everything that is drawn by lot. [default: 0]")
def transfer(pictures: Path, net: str, out: Path, **options: Any) -> None:
    """Use what a network learned for other pictures, in every usual way, and keep the best.

    It says how much there is to learn from and how like the pictures are to what the network knows; fits classifiers
    on its features, which are worked out once; and fine-tunes it in stages where there is enough to learn from. One
    table compares all ways on the same pictures, and the best becomes one network, for every other command: RUN.

    Stopped by Ctrl-C or in any other way, the same command goes on.
    """
    from striate.files import shown
    from striate.learn import transfer as transfer_to
    from striate.learn.starting.start import usual_device

    device, factory, size = (options.pop(name) for name in ("device", "factory", "size"))
    source = Source(net, factory=factory, device=device or usual_device(), height=size, width=size)
    chosen = {name: value for name, value in options.items() if value is not None and value != ()}
    network = source.load()
    shape = f"{network.spec.channels} x {network.spec.height} x {network.spec.width}"
    click.echo(f"{network.name}, input {shape}, on {network.device}.", err=True)
    for note in network.notes:
        click.echo(note, err=True)
    said: set[str] = set()
    try:
        with progress.listen(partial(_hear, said)):
            found = transfer_to(network, pictures, out=out, **chosen)
    except (KeyboardInterrupt, Stopped):
        click.echo(f"What is finished is kept in {shown(out)}: the same command goes on.", err=True)
        raise
    _say(found, out, said)


def _hear(said: set[str], event: progress.Event) -> None:
    """Print what is found on the way, and keep in mind what was said."""
    if event.note and event.task in _LEAD:
        said.add(event.note)
        if sys.stderr.isatty():
            click.echo("\r\x1b[K", nl=False, err=True)  # the bar, if there is one, makes room
        click.echo(_LEAD[event.task].format(done=event.done) + event.note, err=True)


def _say(found: Transfer, out: Path, said: Collection[str]) -> None:
    """Print the table, and what to type next."""
    from striate.files import shown

    for note in found.recipe.notes:
        if note not in said:
            click.echo(note, err=True)
    rows = [("* " if way is found.best else "  ") + row[0] for way, row in zip(found.ways, found.table(), strict=True)]
    print_table(
        ["  way", "right", "± s.e.", "time", "weights learned"],
        [[name, *row[1:]] for name, row in zip(rows, found.table(), strict=True)],
    )
    click.echo(f"{found.cost()}")
    click.echo(found.caption())
    found.save(out / "transfer.png")
    place = shown(out)
    click.echo(f"Look at pictures with it:  striate look {place} PICTURE...")
    click.echo(f"Mistakes and why:          striate report {place}")
    click.echo(place)
