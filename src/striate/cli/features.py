"""`striate features`: keep what some layers give for every picture of a data set. Parses, calls the library, shows."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from striate.cli.atlas import duration, say_broken
from striate.cli.data_set import FOLDERS, data_set_options
from striate.cli.source import SOURCES, Source, source_options
from striate.errors import Stopped

if TYPE_CHECKING:
    from striate.atlas import Atlas
    from striate.network import Network

__all__ = ["features"]

_FOLDER = click.Path(path_type=Path)


@click.command(
    "features",
    short_help="Keep the features of a folder of pictures on disk.",
    epilog=f"{SOURCES}\n\n{FOLDERS}",
)
@source_options
@click.argument("pictures", metavar="FOLDER", type=_FOLDER)
@click.option(
    "--out", metavar="FEATURES", required=True, type=_FOLDER, help="The folder in which the features are written."
)
@click.option(
    "--layer",
    "layers",
    metavar="ADDRESS",
    multiple=True,
    help="Whose features: addresses, or convolutions, rectifiers, stages, all. Several times for several. [default: "
    "the last layer with a map, and what the classifier reads where that is more]",
)
@click.option("--whole", is_flag=True, help="Keep maps whole, instead of their mean.")
@click.option("--dtype", type=click.Choice(("float16", "float32")), help="Number type. [default: float16]")
@data_set_options
def features(source: Source, pictures: Path, out: Path, layers: tuple[str, ...], whole: bool, **options: Any) -> None:
    """Run every picture through the network as far as some layers, and keep what these give, for classifiers.

    Killed at any moment and started again with the same words, it goes on where it stopped, and gives the same
    numbers. With more pictures or layers what is there is extended. Pictures that cannot be read or used are left out
    and listed. Under torchrun the pictures are shared among the processes.
    """
    from striate import dataset
    from striate.files import byte_count, shown

    data = dataset.open(pictures, labels=options.pop("labels"), part=options.pop("part"))
    network = source.load()
    speaks = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun starts, one
    from striate import atlas

    chosen = {name: value for name, value in options.items() if value is not None}
    if whole:
        chosen["pool"] = "whole"
    if layers:
        chosen["layers"] = list(layers)
    if speaks:
        for note in (*network.notes, *data.notes):
            click.echo(note, err=True)
        size = _bytes(network, len(data), out, chosen)
        click.echo(f"Features of {data.description}: {byte_count(size)} on the disk, twice that for a while.", err=True)
    started = time.monotonic()
    try:
        made = atlas.features(network, data, out, **chosen)
    except (KeyboardInterrupt, Stopped):
        click.echo(
            f"What is finished is kept in {shown(out)}: the same command goes on where this one stopped.", err=True
        )
        raise
    if speaks:
        _say(made, out)
        click.echo(f"Done in {duration(time.monotonic() - started)}.")
        _say_how(made, out)
        click.echo(str(out))


def _bytes(network: Network, count: int, out: Path, chosen: dict[str, Any]) -> int:
    """Return what the features will take, by the options that are given or that the folder was begun with."""
    from striate import atlas

    began: dict[str, Any] = atlas.open(out).manifest["options"] if (out / "manifest.json").exists() else {}
    return atlas.features_bytes(
        network,
        count,
        layers=chosen.get("layers"),
        pool=chosen.get("pool") or began.get("pool") or "average",
        dtype=chosen.get("dtype") or began.get("dtype") or "float16",
    )


def _say(made: Atlas, out: Path) -> None:
    """Say what is kept now."""
    from striate.files import byte_count
    from striate.results.words import count

    kept = [(place, made.features(place)) for place in made.feature_places]
    each = ", ".join(f"{place} ({' x '.join(f'{length:,}' for length in one.shape[1:])})" for place, one in kept)
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    click.echo(f"{count(len(made), 'picture')}, features of {count(len(kept), 'layer')}: {each}.")
    click.echo(f"{kept[0][1].dtype}, {byte_count(size)} on disk.")
    say_broken(made)


def _say_how(made: Atlas, out: Path) -> None:
    """Say how the features are read."""
    last, folder = made.feature_places[-1], str(out)
    click.echo("To read them in Python:")
    click.echo("    from striate import atlas")
    click.echo(f"    features = atlas.open({folder!r}).features({last!r})  # a row for each picture, from the disk")
    if made.labels is not None:
        click.echo(f"    X, y = atlas.open({folder!r}).xy({last!r})  # for scikit-learn, in memory")
