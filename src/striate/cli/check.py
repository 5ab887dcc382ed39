"""`striate check`: what is in a folder of pictures, before training. Parses, calls the library, shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from striate.cli.tables import print_table

if TYPE_CHECKING:
    from striate.results.folder_check import FolderCheck, Group

__all__ = ["check"]

_PATH = click.Path(path_type=Path)
_ROWS = 40  # classes in the table; all of them by --all
_GROUPS = 5  # groups of each kind
_PAGES = (".html", ".htm")


@click.command(
    "check",
    short_help="What is in a folder of pictures, before training.",
    epilog="FOLDER is a folder of pictures (sub-folders are classes; labels.csv is read; train, val and test are "
    "parts), a .csv table of files and labels, an .npz archive or an .npy array.",
)
@click.argument("pictures", metavar="FOLDER", type=_PATH)
@click.option(
    "--out",
    metavar="FILE",
    type=_PATH,
    help="Write what was found: .html a report, .png a sheet, .json the numbers, .npz the arrays.",
)
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON, for other tools.")
@click.option("--all", "whole", is_flag=True, help="List every class, every picture that cannot be read, every group.")
@click.option(
    "--labels", metavar="FILE", help="A .csv table of the pictures' labels; none takes sub-folders for no classes."
)
@click.option(
    "--share",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="S",
    help="Share of each class that training would hold out, where there are no parts. [default: 0.2]",
)
@click.option("--seed", type=int, metavar="N", help="Of that split. [default: 0]")
@click.option(
    "--near",
    type=click.IntRange(0, 7),
    metavar="BITS",
    help="How many of 64 bits the hashes of nearly equal pictures may differ by. [default: 7]",
)
@click.option(
    "--cache",
    metavar="FILE",
    help="Where findings are kept, so that unchanged files are not read again; none for nowhere. "
    "[default: a file in ~/.cache/striate, or $XDG_CACHE_HOME/striate]",
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    metavar="N",
    help="Threads that decode pictures; one for each processor when left out.",
)
def check(pictures: Path, out: Path | None, as_json: bool, whole: bool, **options: Any) -> None:
    """Say what is in a folder of pictures before training on it. No picture is changed.

    Counts the classes; finds pictures that cannot be read, copies, pictures that are nearly the same (saved with other
    quality or size), those of them that would lie in training and validation both or stand under two classes; and
    says sizes, kinds and turned pictures.
    """
    from striate.errors import OptionError
    from striate.files import shown
    from striate.learn.checking.check import check as look_at
    from striate.results import encode_json
    from striate.results.base import SUFFIXES

    if out is not None and out.suffix.lower() not in (*_PAGES, *SUFFIXES):  # said before every picture is read
        raise OptionError(f"--out {shown(out)}: the name must end in one of {', '.join((_PAGES[0], *SUFFIXES))}.")
    found = look_at(pictures, **{name: value for name, value in options.items() if value is not None})
    for note in found.recipe.notes:
        click.echo(note, err=True)
    if out is not None:
        if out.suffix.lower() in _PAGES:
            from striate.report.checking import check as write_report

            write_report(found, out)
        else:
            found.save(out)
    if as_json:
        click.echo(encode_json({"recipe": found.recipe.to_dict(), **found.numbers()}))
        return
    for sentence in found.sentences():
        click.echo(sentence)
    _say_classes(found, whole)
    for title, groups in found.kinds().items():
        _say_groups(found, title, groups, whole)
    if found.broken:
        click.echo("\nCannot be read")
        for index, reason in found.broken if whole else found.broken[:_GROUPS]:
            name = shown(found.names[index])
            click.echo(f"  {shown(reason)}" if name in reason else f"  {name}: {shown(reason)}")
        _say_rest(len(found.broken), whole)
    if out is not None:
        click.echo(str(out))


def _say_classes(found: FolderCheck, whole: bool) -> None:
    """Print the classes, the largest first."""
    from striate.files import shown

    counts, sides = found.counts, found.side_counts()
    if len(counts) == 0:
        return
    order = sorted(range(len(counts)), key=lambda index: (-counts[index], index))
    rows = [
        (shown(found.class_names[index]), f"{counts[index]:,}", *(f"{row[index]:,}" for row in sides))
        for index in order
    ]
    if not whole and len(rows) > _ROWS:
        half = _ROWS // 2
        rows = [
            *rows[:half],
            (f"... {len(rows) - 2 * half:,} more (--all) ...", *[""] * (1 + len(sides))),
            *rows[-half:],
        ]
    click.echo()
    print_table(("class", "pictures", *found.divided), rows)


def _say_groups(found: FolderCheck, title: str, groups: Sequence[Group], whole: bool) -> None:
    if not groups:
        return
    click.echo(f"\n{title}")
    for group in groups if whole else groups[:_GROUPS]:
        click.echo(f"  {found.sentence(group)}")
    _say_rest(len(groups), whole)


def _say_rest(how_many: int, whole: bool) -> None:
    if not whole and how_many > _GROUPS:
        click.echo(f"  ... {how_many - _GROUPS:,} more (--all)")
