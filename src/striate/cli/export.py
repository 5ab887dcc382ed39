"""`striate export`: the microscope as a folder of static files, which opens without a server."""

from __future__ import annotations

from pathlib import Path

import click

from striate.cli.house import check_extra, house_options, open_house
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
@house_options
@click.option(
    "--view",
    metavar="ADDRESS",
    help="Only what one address of the page shows, in a small folder: 'http://127.0.0.1:8765/#/LAYER/UNIT?...', or "
    "what stands in it from the # on. Give --pictures, --atlas and --compare as to the page.",
)
@click.option(
    "--layer",
    "layers",
    metavar="ADDRESS",
    multiple=True,
    help="What can be looked into, several times for several; `all` for all. Unless given the beginning, the end of "
    "every stage, the deepest map, the classes, and what the atlas holds.",
)
@click.option(
    "--lens", "lenses", metavar="NAME", multiple=True, help="What explains: saliency, input_x_gradient and grad_cam, "
    "or those of the view, unless given."
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
@click.option(
    "--guided/--no-guided",
    default=None,
    help="What counts in the best patches of every unit that has a card. Unless given where there are no more than 64.",
)
@click.option(
    "--numbers",
    metavar="MB",
    type=click.FloatRange(0),
    default=64.0,
    show_default=True,
    help="Room for the numbers of maps and kernels, exact: the column of all units at a place and the arithmetic of a "
    "value come from them. The smallest layers come first; 0 leaves them out.",
)
def export(
    source: Source,
    out: Path,
    pictures: tuple[Path, ...],
    atlas: Path | None,
    sheets: Path | None,
    compare: str | None,
    view: str | None,
    layers: tuple[str, ...],
    lenses: tuple[str, ...],
    classes: int,
    covers: bool,
    cards: bool,
    guided: bool | None,
    numbers: float,
) -> None:
    """Write the microscope as a folder of files: open its index.html, or put it on any web server.

    It holds what was worked out for the given pictures, or for one view alone. Whatever else the page could be asked
    needs `striate serve`, and says so. What can be large is told before it is made.
    """
    check_extra()
    from striate.files import byte_count
    from striate.results.words import count
    from striate.web.exporting import every_layer
    from striate.web.exporting import export as write
    from striate.web.still import check_place

    check_place(out)
    house = open_house(source, pictures=pictures, atlas=atlas, sheets=sheets, compare=compare)
    chosen = every_layer(house.network) if "all" in layers else list(layers) or None
    try:
        made = write(
            house,
            out,
            view=view,
            layers=chosen,
            lenses=lenses or None,
            classes=classes,
            covers=covers,
            cards=cards,
            guided=guided,
            room=round(numbers * 1e6),
            tell=click.echo,
        )
    finally:
        house.jobs.close()
    for sentence in made.left_out[:5]:
        click.echo(f"Left out: {sentence}", err=True)
    if len(made.left_out) > 5:
        click.echo(f"Left out besides: {len(made.left_out) - 5} more.", err=True)
    click.echo(
        f"{count(made.pictures, 'picture')} and {count(len(made.layers), 'layer')} of {house.network.name}: "
        f"{made.files} files, {byte_count(made.bytes)}. It opens without a server:"
    )
    click.echo(str(made.path / "index.html"))
