"""`striate again`: make a saved result again from the recipe inside it. Parses and shows."""

from __future__ import annotations

from pathlib import Path

import click

from striate.cli.context import PICTURES
from striate.cli.source import SOURCES, Source, source_options
from striate.errors import OptionError

__all__ = ["again"]


@click.command("again", short_help="Make a saved result again from its recipe.", epilog=SOURCES)
@click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))
@source_options
@click.argument("pictures", metavar="[PICTURE]...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--atlas-pictures",
    type=click.Path(exists=True, path_type=Path),
    metavar="PATH",
    help=PICTURES,
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where the result goes (.png, .json, .npz); beside the old one, with -again in its name, unless given.",
)
def again(
    file: Path, source: Source, pictures: tuple[Path, ...], atlas_pictures: Path | None, out: Path | None
) -> None:
    """Make a result again that a lens saved as .png, .json or .npz.

    FILE says which lens, with which options and targets; the network has to be the one that made it, and the
    pictures those that it was made from. On the same machine the numbers are the same bit for bit, which is checked.
    """
    from striate.images import find_images
    from striate.remaking import again as make_again
    from striate.remaking import read_recipe, same_numbers
    from striate.results.base import SUFFIXES

    read_recipe(file)  # what is wrong is said before the work is done, not after
    out = file.with_name(f"{file.stem}-again{file.suffix}") if out is None else out
    if out.suffix.lower() not in SUFFIXES:
        raise OptionError(f"--out {out}: the name must end in one of {', '.join(SUFFIXES)}.")
    paths = find_images(pictures) if pictures else []
    result = make_again(file, source.load(), paths or None, atlas_pictures=atlas_pictures)
    click.echo(result.recipe.sentence())
    for note in result.recipe.notes:
        click.echo(note)
    same = same_numbers(file, result)
    what = "picture" if file.suffix.lower() == ".png" else "numbers"
    click.echo(f"The same {what} as in {file.name}, bit for bit." if same else f"Other {what} than in {file.name}.")
    click.echo(str(result.save(out)))
