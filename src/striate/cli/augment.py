"""`striate augment`: a sheet of what augmentation does to one's own pictures. Needs no network; computes nothing."""

from __future__ import annotations

import re
from pathlib import Path

import click

from striate.errors import OptionError

__all__ = ["augment"]


def _size(context: click.Context, option: click.Parameter, text: str | None) -> tuple[int, int] | None:
    """Read "64" or "64x48"."""
    if text is None:
        return None
    found = re.fullmatch(r"\s*([1-9]\d*)\s*(?:[xX×]\s*([1-9]\d*))?\s*", text)
    if found is None:
        raise click.BadParameter(f"{text!r} is no size: write it as 64 or as 64x48 (height x width).")
    return int(found[1]), int(found[2] or found[1])


@click.command("augment", short_help="A sheet of what augmentation does to your pictures.")
@click.argument("source", metavar="FOLDER", type=click.Path(path_type=Path))
@click.option(
    "--augment",
    "words",
    default="photos",
    show_default=True,
    metavar="WORDS",
    help="A preset (photos, digits, small, lecture, none), options with commas between, or a preset and changes to it: "
    "rotation, shift, zoom, shear, flip, brightness, crop, patch, pad, cutout, mixup, border.",
)
@click.option(
    "--size", callback=_size, metavar="N|HxW", help="Of the network's input. [default: small pictures' own, else 224]"
)
@click.option("--channels", type=click.IntRange(min=1), metavar="N", help="1 shows pictures in grey.")
@click.option("--part", metavar="NAME", help="Only this part of the data set: train, val, test.")
@click.option(
    "--count", type=click.IntRange(min=1), default=6, show_default=True, metavar="N", help="How many pictures."
)
@click.option(
    "--epochs", type=click.IntRange(min=1), default=7, show_default=True, metavar="N", help="How often each is varied."
)
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Of the random numbers.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    default="augment.png",
    show_default=True,
    help="Where the sheet goes: .png for the sheet, .json for the numbers, .npz for the arrays.",
)
def augment(
    source: Path,
    words: str,
    size: tuple[int, int] | None,
    channels: int | None,
    part: str | None,
    count: int,
    epochs: int,
    seed: int,
    out: Path,
) -> None:
    """Show what augmentation does to your own pictures, before you train with it.

    FOLDER is a folder of pictures, a .csv table, an .npz archive, a .npy array or a picture. Each row is a picture, as
    it is and as some epochs of training would show it; below, every option by itself.

    \b
    striate augment flowers/ --augment photos --out sheet.png
    striate augment digits.npz --augment lecture
    striate augment flowers/ --augment rotation=10,shift=0.1,flip --size 64
    """  # noqa: D301 (click wants the character, not its name)
    from striate import dataset
    from striate.files import shown
    from striate.learn.pictures.augment import Augment
    from striate.learn.pictures.variations import variations
    from striate.results.base import SUFFIXES
    from striate.spec import InputSpec

    if out.suffix.lower() not in SUFFIXES:  # said before the work is done, not after
        raise OptionError(f"--out {shown(out)}: the name must end in one of {', '.join(SUFFIXES)}.")
    chosen = Augment.parse(words)
    pictures = dataset.open(source, part=part)
    spec = None
    if size is not None or channels is not None:
        found = variations(pictures, Augment(), count=1, epochs=1).pictures.shape[1:3] if size is None else size
        spec = InputSpec(3 if channels is None else channels, *found)
    result = variations(pictures, chosen, spec, count=count, epochs=epochs, seed=seed)
    for note in (*pictures.notes, *result.recipe.notes):
        click.echo(note, err=True)
    click.echo(result.caption())
    click.echo(str(result.save(out)))
