"""`striate look`: what a network sees and why it decided as it did, as one report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from striate.cli.context import atlas_options
from striate.cli.source import SOURCES, Source, source_options

if TYPE_CHECKING:
    from striate.atlas import Atlas
    from striate.network import Network

__all__ = ["look"]


@click.command("look", short_help="Look at pictures and write a report.", epilog=SOURCES)
@source_options
@click.argument("pictures", metavar="PICTURE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    metavar="DIR",
    default="striate-look",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where report.html and results.json go.",
)
@click.option(
    "--target",
    metavar="ADDRESS",
    help="What to explain: class:NAME, class:INDEX, LAYER:CHANNEL or LAYER:CHANNEL@ROW,COLUMN. "
    "Each picture's top class when left out.",
)
@click.option(
    "--trust/--no-trust",
    default=True,
    show_default=True,
    help="Say under each explanation how far to believe it; takes about as long again.",
)
@atlas_options("Put the pictures in the context of a data set: what `striate atlas build` made with this network.")
def look(
    source: Source, pictures: tuple[Path, ...], out: Path, target: str | None, trust: bool, atlas: Atlas | Path | None
) -> None:
    """Look at pictures (files or folders) with a network, and write a report."""
    write_report(source, pictures, out, target, trust=trust, atlas=atlas)


def write_report(
    source: Source,
    pictures: tuple[Path, ...],
    out: Path,
    target: str | None = None,
    *,
    trust: bool = True,
    atlas: Atlas | Path | Callable[[Network], Path] | None = None,
) -> None:
    """Look at the pictures, in the context of an atlas (or what makes it), and print where the report is."""
    from striate.images import find_images

    paths = find_images(pictures)  # before the network is loaded: what is misspelt is said at once
    network = source.load()
    for note in network.notes:  # what was assumed of the network; the report says it too
        click.echo(note, err=True)
    if callable(atlas):
        atlas = atlas(network)
    from striate.report import look as look_at

    def tell(broken: Sequence[str]) -> None:
        each = f"{len(broken)} of {len(paths)} pictures cannot be read and are left out"
        click.echo(f"{each} (the first: {broken[0].rstrip('.')}). The report lists them.", err=True)

    click.echo(str(look_at(network, paths, out, target=target, trust=trust, atlas=atlas, on_broken=tell)))
