"""`striate curves`: the learning curves of a training, or of several on one chart. Parses, calls, shows."""

from __future__ import annotations

from pathlib import Path

import click

from striate.cli.places import beside
from striate.errors import OptionError

__all__ = ["curves"]


@click.command("curves", short_help="Learning curves of a training; does it over-fit?")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the result goes: .png for the picture, .json for the numbers, .npz for the arrays. "
    "[default: curves.png, in the folder of a single RUN]",
)
def curves(runs: tuple[Path, ...], out: Path | None) -> None:
    """Draw loss and accuracy by epoch for RUN folders of `striate train`, and say whether they over-fit."""
    from striate.results.base import SUFFIXES
    from striate.results.curves import LearningCurves, read_history

    if out is not None and out.suffix.lower() not in SUFFIXES:
        raise OptionError(f"--out {out}: the name must end in one of {', '.join(SUFFIXES)}.")
    if len({run.resolve() for run in runs}) < len(runs):
        raise OptionError("a RUN is given twice.")
    names = [run.resolve().name for run in runs]
    called = [str(run) if names.count(name) > 1 else name for run, name in zip(runs, names, strict=True)]
    held = LearningCurves(tuple(read_history(run, name=name) for run, name in zip(runs, called, strict=True)))
    for one in held.curves:
        click.echo(held.sentence(one))
    if out is None:
        folder = runs[0] if runs[0].is_dir() else runs[0].parent
        out = beside(folder, "curves.png", "curves.png") if len(runs) == 1 else Path("curves.png")
    click.echo(str(held.save(out)))
