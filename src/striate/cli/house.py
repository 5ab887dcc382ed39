"""What the two ways of showing the microscope, live and as files, are given alike: options, and the house they open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from striate.cli.context import atlas_options
from striate.cli.source import Source
from striate.errors import MissingExtraError

if TYPE_CHECKING:
    from striate.atlas import Atlas
    from striate.web.house import House

__all__ = ["check_extra", "house_options", "open_house", "sample_pictures"]

Command = TypeVar("Command", bound=Callable[..., Any])


def house_options(command: Command) -> Command:
    """Add --pictures, --atlas, --sheets and --compare, which come as `pictures`, `atlas`, `sheets` and `compare`."""
    options: list[Callable[[Any], Any]] = [
        click.option(
            "--pictures",
            metavar="PATH",
            multiple=True,
            type=click.Path(exists=True, path_type=Path),
            help="What the page shows: a file or folder; several times for several. Photographs that come along unless "
            "given.",
        ),
        atlas_options("What the network saw in a data set: made by `striate atlas build`."),
        click.option(
            "--sheets",
            metavar="FOLDER",
            type=click.Path(exists=True, file_okay=False, path_type=Path),
            help="Pictures made for units: what `striate synthesize SOURCE LAYER --out FOLDER/LAYER.npz` put there.",
        ),
        click.option("--compare", metavar="SOURCE", help="A second network, to be shown beside the first."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def open_house(
    source: Source, *, pictures: tuple[Path, ...], atlas: Atlas | Path | None, sheets: Path | None, compare: str | None
) -> House:
    """Load what is to be shown, and say what should be known about it.

    Raises:
        StriateError: something cannot be loaded.
    """
    from striate.sources import load
    from striate.web.house import House

    network = source.load()
    for note in network.notes:
        click.echo(note, err=True)
    house = House.open(
        network,
        atlas=atlas,
        pictures=pictures or sample_pictures(network.spec.channels),
        compare=None if compare is None else load(compare, device=source.device),
        run=source.source,
        sheets=sheets,
    )
    left_out = () if house.sheets is None else house.sheets.left_out
    for text in (*left_out, *house.pictures.broken):
        click.echo(text, err=True)
    return house


def check_extra() -> None:
    """Say what to install where the server is missing."""
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            f"the page needs {error.name}, which comes with an extra: pip install 'striate[web]'."
        ) from error


def sample_pictures(channels: int) -> tuple[Path, ...]:
    """Return the photographs that come along, where they fit."""
    from striate.cli.demo import demo_pictures

    if channels not in (1, 3, 4):
        return ()
    try:
        return demo_pictures()
    except MissingExtraError:
        return ()
