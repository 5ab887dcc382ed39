"""The options that name an atlas to look in, and where its pictures are now. Parses only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from striate.errors import OptionError

if TYPE_CHECKING:
    from striate.atlas import Atlas

__all__ = ["PICTURES", "atlas_options", "atlas_parameters"]

PICTURES = "Where the pictures of the atlas are, if they were moved since it was built."
_KEY = "striate.atlas-pictures"


def atlas_parameters(text: str, *, required: bool = False) -> list[click.Parameter]:
    """Return --atlas and --atlas-pictures, which come as one `atlas`: its folder, or opened where pictures were moved.

    Args:
        text: what the atlas is for.
        required: the command can do nothing without one.
    """
    atlas = click.Option(
        ["--atlas"],
        type=click.Path(file_okay=False, path_type=Path),  # the library says it better where there is none
        metavar="FOLDER",
        required=required,
        callback=_opened,
        help=text,
    )
    pictures = click.Option(
        ["--atlas-pictures"],
        type=click.Path(exists=True, path_type=Path),
        metavar="PATH",
        is_eager=True,  # read before --atlas
        expose_value=False,
        callback=_noted,
        help=PICTURES,
    )
    return [atlas, pictures]


def atlas_options(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command both, as a decorator below `click.command`."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        function.__dict__.setdefault("__click_params__", []).extend(atlas_parameters(text)[::-1])
        return function

    return decorate


def _noted(context: click.Context, _parameter: click.Parameter, value: Path | None) -> None:
    context.meta[_KEY] = value


def _opened(context: click.Context, _parameter: click.Parameter, value: Path | None) -> Atlas | Path | None:
    pictures: Path | None = context.meta.get(_KEY)
    if pictures is None:
        return value
    if value is None:
        raise OptionError("--atlas-pictures says where the pictures of an atlas are: name the atlas with --atlas.")
    from striate.atlas import open as open_atlas

    return open_atlas(value, source=pictures)
