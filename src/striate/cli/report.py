"""`striate report`: the report of a training, as one page. Parses, calls the library, shows."""

from __future__ import annotations

from pathlib import Path

import click

from striate.cli.places import beside

__all__ = ["report"]


@click.command("report", short_help="The report of a training: curves, mistakes and why.")
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where report.html and report.json go. [default: RUN; striate-report where that may not be written into]",
)
@click.option(
    "--worst",
    type=click.IntRange(min=0),
    metavar="N",
    default=6,
    show_default=True,
    help="Mistakes shown and explained.",
)
@click.option(
    "--trust/--no-trust",
    default=True,
    show_default=True,
    help="Say under each explanation how far to believe it; takes about as long again.",
)
@click.option(
    "--factory",
    metavar="MODULE:FUNCTION",
    help="What builds the network, where Striate cannot: package.module:function or file.py:function.",
)
@click.option("--device", metavar="NAME", help="Where to run: cpu, cuda, cuda:1, mps.")
def report(run: Path, out: Path | None, worst: int, trust: bool, factory: str | None, device: str | None) -> None:
    """Write the report of a RUN of `striate train` as one page: how it went, how good it is, what it gets wrong."""
    from striate.learn.run import Run
    from striate.report import training

    held = Run.open(run)
    network = held.network("best", factory=factory, device=device)
    folder = beside(held.path, "", "striate-report") if out is None else out
    click.echo(str(training(held, folder, network=network, worst=worst, trust=trust)))
