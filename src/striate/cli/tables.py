"""Tables on a terminal: styled there, plain in full elsewhere. Knows no command."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

__all__ = ["print_table"]

_GAP = 2


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, words: int = 1) -> None:
    """Print rows below their headings.

    Args:
        headings: one for each column.
        rows: cells as they are to be read.
        words: columns at the left that hold words; those after them hold numbers, set flush right.
    """
    widths = [max(len(cell) for cell in column) for column in zip(headings, *rows, strict=True)]
    lines = [_line(cells, widths, words) for cells in (headings, *rows)]
    if not sys.stdout.isatty():
        click.echo("\n".join(lines))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    for index, line in enumerate(lines):
        console.print(Text(line, style="" if index else "bold"))


def _line(cells: Sequence[str], widths: Sequence[int], words: int) -> str:
    set_out = [
        cell.ljust(width) if column < words else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return (" " * _GAP).join(set_out).rstrip()
