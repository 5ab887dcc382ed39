"""What `striate atlas build` and `striate features` are told alike of a data set, and how it is run through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["FOLDERS", "data_set_options"]

Command = TypeVar("Command", bound=Callable[..., Any])

FOLDERS = (
    "FOLDER is a folder of pictures (sub-folders are classes; labels.csv is read; train, val and test are parts), "
    "a .csv table of files and labels, an .npz archive or an .npy array."
)


def data_set_options(command: Command) -> Command:
    """Add --labels, --part, --batch and --workers, which come under these names; None where they are left out."""
    options: list[Callable[[Any], Any]] = [
        click.option(
            "--labels",
            metavar="FILE",
            help="A .csv table of the pictures' labels; none takes sub-folders for no classes.",
        ),
        click.option("--part", metavar="NAME", help="Only this part of the data set: train, val, test."),
        click.option(
            "--batch", type=click.IntRange(min=1), metavar="N", help="Pictures run at a time; chosen when left out."
        ),
        click.option(
            "--workers",
            type=click.IntRange(min=0),
            metavar="N",
            help="Threads that decode pictures; one for each processor when left out.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command
