"""Where the commands about a run put what they make: with the run, or here where that may not be written into."""

from __future__ import annotations

import os
from pathlib import Path

import click

__all__ = ["beside"]


def beside(run: Path, name: str, otherwise: str) -> Path:
    """Return where to put what is made of a run: NAME in its folder, or OTHERWISE here, which is said.

    Args:
        run: folder of the run.
        name: in that folder; empty for the folder itself.
        otherwise: what it is called here, where nobody may write into the folder.
    """
    wanted = run / name
    there = wanted if wanted.exists() else run
    if os.access(there, os.W_OK):
        return wanted
    here = Path(otherwise)
    click.echo(f"{there} may not be written into: what is made goes to {here} here. --out says where else.", err=True)
    return here
