"""`striate export`: the microscope as a folder of static files, which opens without a server."""

from __future__ import annotations

from pathlib import Path

import click

from striate.cli.serve import check_extra, sample_pictures
from striate.cli.source import SOURCES, Source, source_options

__all__ = ["export"]


@click.command("export", short_help="The microscope as static files, without a server.", epilog=SOURCES)
@source_options
@click.option(
    "--out",
    required=True,
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Where it goes. An export that is there already is replaced.",
)
@click.option(
    "--pictures",
    metavar="PATH",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="What the page shows: a file or folder; several times for several. Photographs that come along unless given.",
)
@click.option(
    "--atlas",
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="What the network saw in a data set: made by `striate atlas build`.",
)
@click.option(
    "--sheets",
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Pictures made for units: what `striate synthesize SOURCE LAYER --out FOLDER/LAYER.npz` has put there.",
)
@click.option("--compare", metavar="SOURCE", help="A second network, to be shown beside the first.")
@click.option(
    "--layer",
    "layers",
    metavar="ADDRESS",
    multiple=True,
    help="What can be looked into, several times for several; `all` for all. Unless given the beginning, the end of "
    "every stage, the deepest map, the classes, and what the atlas holds.",
)
@click.option(
    "--lens", "lenses", metavar="NAME", multiple=True, help="What explains: saliency, input_x_gradient and grad_cam "
    "unless given."
)  # fmt: skip
@click.option(
    "--classes", type=click.IntRange(1), default=3, show_default=True, help="How many of each picture are explained."
)
@click.option(
    "--covers/--no-covers", default=True, show_default=True, help="Cover 14 x 14 places of every picture, one by one."
)
@click.option(
    "--cards/--no-cards", default=True, show_default=True, help="The cards of all units that the atlas knows."
)
def export(
    source: Source,
    out: Path,
    pictures: tuple[Path, ...],
    atlas: Path | None,
    sheets: Path | None,
    compare: str | None,
    layers: tuple[str, ...],
    lenses: tuple[str, ...],
    classes: int,
    covers: bool,
    cards: bool,
) -> None:
    """Write the microscope as a folder of files: open its index.html, or put it on any web server.

    It holds what was worked out for the given pictures. Whatever else the page could be asked needs `striate serve`,
    and says so.
    """
    check_extra()
    from striate.files import byte_count
    from striate.web.exporting import LENSES, every_layer
    from striate.web.exporting import export as write
    from striate.web.house import House
    from striate.web.still import check_place

    check_place(out)
    network = source.load()
    for note in network.notes:
        click.echo(note, err=True)
    house = House.open(
        network,
        atlas=atlas,
        pictures=pictures or sample_pictures(network.spec.channels),
        compare=compare,
        run=source.source,
        sheets=sheets,
    )
    if house.sheets is not None:
        for text in house.sheets.left_out:
            click.echo(text, err=True)
    for text in house.pictures.broken:
        click.echo(text, err=True)
    chosen = every_layer(network) if "all" in layers else list(layers) or None
    try:
        made = write(house, out, layers=chosen, lenses=lenses or LENSES, classes=classes, covers=covers, cards=cards)
    finally:
        house.jobs.close()
    for sentence in made.left_out[:5]:
        click.echo(f"Left out: {sentence}", err=True)
    if len(made.left_out) > 5:
        click.echo(f"Left out besides: {len(made.left_out) - 5} more.", err=True)
    click.echo(
        f"{made.pictures} pictures and {len(made.layers)} layers of {network.name}: {made.files} files, "
        f"{byte_count(made.bytes)}. It opens without a server:"
    )
    click.echo(str(made.path / "index.html"))
