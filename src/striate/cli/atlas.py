"""`striate atlas`: build an atlas of a data set, and say what is in one. Parses, calls the library, shows."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from striate.cli.data_set import FOLDERS, data_set_options
from striate.cli.source import SOURCES, Source, source_options
from striate.cli.tables import print_table
from striate.errors import Stopped

if TYPE_CHECKING:
    from striate.atlas import Atlas

__all__ = ["atlas", "duration", "say_broken"]

_FOLDER = click.Path(path_type=Path)


@click.group("atlas", short_help="See a whole data set through a network, once.")
def atlas() -> None:
    """See a whole data set through a network once, and keep what every unit gave.

    Lenses such as patches, unit-card and neighbours then look into the atlas (--atlas).
    """


@atlas.command(
    "build",
    short_help="Build an atlas of a folder of pictures.",
    epilog=f"{SOURCES}\n\n{FOLDERS}",
)
@source_options
@click.argument("pictures", metavar="FOLDER", type=_FOLDER)
@click.option("--out", metavar="ATLAS", required=True, type=_FOLDER, help="The folder in which the atlas is written.")
@click.option(
    "--layers",
    metavar="ADDRESS",
    multiple=True,
    help="Which layers: addresses, or convolutions, rectifiers, stages, all. Several times for several. "
    "[default: convolutions]",
)
@click.option(
    "--features",
    metavar="LAYER",
    multiple=True,
    help="Layers whose mean over the map is kept for every picture, for neighbours and maps of the data set; none for "
    "none. [default: the last layer with a map, and what the classifier reads where that is more]",
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    metavar="N",
    help="Pictures kept for each unit: those that it answers most to, and least. [default: 9]",
)
@data_set_options
@click.option(
    "--dtype", type=click.Choice(("float16", "float32")), help="Number type of the features. [default: float16]"
)
@click.option("--seed", type=int, metavar="N", help="Of everything that is drawn by lot. [default: 0]")
def build(source: Source, pictures: Path, out: Path, **options: Any) -> None:
    """Build an atlas: run every picture through the network once, and keep what its units gave.

    Killed at any moment and started again with the same words, it goes on where it stopped, and gives the same
    atlas. With more pictures or layers the atlas that is there is extended. Pictures that cannot be read, or for which
    the network gives NaN or infinity, are left out and listed. Under torchrun the pictures are shared among the
    processes.
    """
    from striate import dataset
    from striate.files import shown

    data = dataset.open(pictures, labels=options.pop("labels"), part=options.pop("part"))
    network = source.load()
    speaks = os.environ.get("RANK", "0") == "0"  # of the processes that torchrun starts, one
    for note in (*network.notes, *data.notes) if speaks else ():
        click.echo(note, err=True)
    from striate.atlas import build as build_atlas

    chosen = {name: value for name, value in options.items() if value is not None and value != ()}
    for name in ("layers", "features"):
        if name in chosen:
            chosen[name] = [] if chosen[name] == ("none",) else list(chosen[name])
    started = time.monotonic()
    try:
        built = build_atlas(network, data, out, **chosen)
    except (KeyboardInterrupt, Stopped):
        click.echo(
            f"What is finished is kept in {shown(out)}: the same command goes on where this one stopped.", err=True
        )
        raise
    if speaks:
        _say(built)
        click.echo(f"Built in {duration(time.monotonic() - started)}.")
        click.echo(str(out))


@atlas.command("show", short_help="Say what is in an atlas.")
@click.argument("folder", metavar="ATLAS", type=_FOLDER)
@click.option("--broken", is_flag=True, help="List all pictures that were left out, with the reasons.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON, for other tools.")
def show(folder: Path, broken: bool, as_json: bool) -> None:
    """Say what is in an atlas: network, pictures, and how often the units of each layer fire.

    Of what `striate features` made: whose features are kept, and how many numbers a picture has.

    A unit fires in a picture where it is above 0 anywhere. "never" counts those that fire in none (before a
    normalisation that is no death: see striate dead-units), and "fires" is the median share of the pictures over the
    units of a layer.
    """
    from striate.atlas import open as open_atlas
    from striate.files import shown

    found = open_atlas(folder)
    if as_json:
        from striate.results import encode_json

        layers = [found.layer(place) for place in found.layers]
        units = [
            {"address": layer.address, "dead": layer.dead().tolist(), "fires": layer.fires.tolist()} for layer in layers
        ]
        click.echo(encode_json({**found.manifest, "broken": [list(one) for one in found.broken], "units": units}))
        return
    if broken:
        for name, reason in found.broken:
            click.echo(f"{shown(name)}  {reason}")
        return
    _say(found)
    if not found.layers:
        click.echo()
        print_table(("layer", "type", "numbers of a picture"), list(_kept(found)), words=2)
        return
    rows = []
    for place in found.layers:
        layer = found.layer(place)
        fires = sorted(layer.fires.tolist())
        rows.append(
            (
                place,
                layer.kind,
                " x ".join(map(str, layer.shape)),
                str(len(layer.dead())),
                f"{100 * fires[len(fires) // 2]:.0f} %",
            )
        )
    click.echo()
    print_table(("layer", "kind", "map", "never", "fires"), rows, words=2)


@atlas.command("index", short_help="Make an index for neighbours among millions.")
@click.argument("folder", metavar="ATLAS", type=_FOLDER)
@click.option(
    "--layer",
    "layers",
    metavar="LAYER",
    multiple=True,
    help="Whose features. Several times for several. [default: all that are kept]",
)
@click.option("--metric", type=click.Choice(("euclidean", "cosine")), default="euclidean", show_default=True)
@click.option("--remove", is_flag=True, help="Remove all indexes of the atlas instead.")
def index(folder: Path, layers: tuple[str, ...], metric: Literal["euclidean", "cosine"], remove: bool) -> None:
    """Make approximate indexes of the features in an atlas.

    striate neighbours --index approximate makes one by itself when there is none; here it is made beforehand. It lies
    beside the features, and goes with them when the atlas is extended.
    """
    from striate.atlas import open as open_atlas
    from striate.atlas.searching import forget, over_features
    from striate.results.words import count

    found = open_atlas(folder)
    if remove:
        click.echo(f"{count(forget(found), 'index', 'indexes')} removed.")
        return
    for place in layers or found.feature_places:
        made = over_features(found, place, way="approximate", metric=metric)
        for note in made.notes:
            click.echo(note, err=True)
        shape = " x ".join(f"{length:,}" for length in made.base.shape)
        click.echo(f"{place}  {shape}  finds {100 * made.recall(8):.1f} % of the 8 nearest")
    click.echo(str(folder))


def _say(found: Atlas) -> None:
    """Say in a few lines what an atlas is of, and how large it is."""
    from striate.files import byte_count
    from striate.results.words import count

    layers = [found.layer(place) for place in found.layers]
    units = sum(layer.channels for layer in layers)
    never = sum(len(layer.dead()) for layer in layers)
    size = sum(file.stat().st_size for file in found.path.rglob("*") if file.is_file())
    sources = "; ".join(source["description"] for source in found.manifest["sources"])
    click.echo(f"{found.manifest['network']['name']} on {sources}.")
    what = f"{count(units, 'unit')} in {count(len(layers), 'layer')}, of which {never:,} "
    what += f"{'is' if never == 1 else 'are'} above 0 in no picture"
    if not layers:
        what = f"features of {count(len(found.feature_places), 'layer')} and nothing of their units"
    click.echo(f"{count(len(found), 'picture')}, {what}. {byte_count(size)} on disk.")
    say_broken(found)


def _kept(found: Atlas) -> Iterator[tuple[str, str, str]]:
    """Yield address, number type and shape of the features that an atlas keeps."""
    for place in found.feature_places:
        kept = found.features(place)
        yield place, str(kept.dtype), " x ".join(f"{length:,}" for length in kept.shape[1:])


def say_broken(found: Atlas) -> None:
    """Say how many pictures an atlas had to leave out, and how they are listed."""
    from striate.files import shown

    if found.broken:
        reason = found.broken[0][1]
        single = len(found.broken) == 1
        many = f"{len(found.broken):,} picture{'' if single else 's'} could not be used and "
        many += "was left out" if single else "were left out"
        click.echo(f"{many} (the first: {reason.rstrip('.')}).", err=True)
        click.echo(f"All of them: striate atlas show {shown(found.path)} --broken", err=True)


def duration(seconds: float) -> str:
    """Write a time as a person reads it."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
