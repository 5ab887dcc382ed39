"""`striate compare-first-layers`: filters by hand, random, of k-means and learned ones beside each other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

__all__ = ["compare_first_layers"]

_WAYS = ("by-hand", "random", "k-means", "trained")  # of the library, whose import would take seconds


def _size(text: str) -> int | tuple[int, int]:
    found = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", text)
    if found is None or not all(int(side) for side in found.groups() if side):
        raise click.BadParameter(f"{text!r} is no size. Write one side in pixels, or height x width such as 96x128.")
    return int(found[1]) if found[2] is None else (int(found[1]), int(found[2]))


@click.command(
    "compare-first-layers",
    short_help="First layers by hand, random, of k-means, learned.",
    epilog="FOLDER is what `striate train` takes: a folder of class folders, or of train/ and val/, a .csv table, an "
    ".npz archive. Each training in --out is a run: striate look first-layers/by-hand-0 PICTURE.",
)
@click.argument("pictures", metavar="FOLDER", type=click.Path(path_type=Path))
@click.option("--validation", metavar="FOLDER", help="Other pictures to judge by, or the name of a part of FOLDER.")
@click.option(
    "--net",
    metavar="NAME",
    help="What is trained, as for `striate train`; it has to begin with a convolution. [default: two convolutions, the "
    "first of 32 filters of 5 x 5, and a dense layer]",
)
@click.option(
    "--way",
    "ways",
    type=click.Choice(_WAYS),
    multiple=True,
    help="Which first layers; several times for several. [default: all]",
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    metavar="N",
    default=10,
    show_default=True,
    help="Times that each training sees all its pictures.",
)
@click.option("--batch", type=click.IntRange(min=1), metavar="N", help="Pictures in one step.")
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), metavar="NUMBER", help="Learning rate.")
@click.option(
    "--augment", metavar="TEXT", help="Vary the training pictures: photos, digits, or such as shift=0.1,flip."
)
@click.option(
    "--size",
    type=_size,
    metavar="N|HxW",
    help="Height and width of the network's input in pixels. [default: the pictures', up to 64]",
)
@click.option(
    "--pictures",
    "most",
    type=click.IntRange(min=1),
    metavar="N",
    help="Train on so many of them only, of each class its share. [default: all]",
)
@click.option(
    "--share",
    type=click.FloatRange(min=0, max=1, min_open=True, max_open=True),
    metavar="NUMBER",
    default=0.2,
    show_default=True,
    help="Share of each class that is set aside to judge by, where nothing else says which.",
)
@click.option("--labels", metavar="FILE", help="A .csv table of the pictures' labels.")
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    metavar="N",
    default=1,
    show_default=True,
    help="Trainings of each, with other first weights: how much chance decides.",
)
@click.option("--seed", type=int, metavar="N", default=0, show_default=True, help="Of everything drawn by lot.")
@click.option("--device", metavar="NAME", help="Where to train: cpu, cuda. [default: a GPU where there is one]")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    default="first-layers",
    show_default=True,
    help="Where the trainings, the picture and the numbers go; the same command goes on with what is there.",
)
def compare_first_layers(pictures: Path, out: Path, **options: Any) -> None:
    """Train the same network behind several first layers, and show which becomes how good.

    The first layer's kernels are written by hand (edges, blurs, spots, lines), drawn by lot, or found by k-means in
    the pictures, and stay as they are; or they learn with the rest. Everything else is the same in all trainings.
    """
    from striate.files import shown
    from striate.learn.untrained import first_layers

    given = {name: value for name, value in options.items() if value is not None and value != ()}
    if "most" in given:
        given["pictures"] = given.pop("most")
    found = first_layers.compare_first_layers(pictures, out=out, **given)
    for one in found.ways:
        spread = "" if one.spread is None else f", from seed to seed +- {100 * one.spread:.1f}"
        click.echo(
            f"{one.way:8}  {100 * one.accuracy:5.1f} % right (+- {100 * found.error(one):.1f}{spread}), "
            f"{one.weights:,} weights learned, {one.took:.0f} s"
        )
    click.echo(found.caption())
    for note in found.recipe.notes:
        click.echo(note, err=True)
    one_run = shown(out / f"{found.ways[0].way}-{options['seed']}")
    click.echo(f"Look through one of them:  striate look {one_run} PICTURE...")
    click.echo(shown(out / "first-layers.png"))
