"""The table of a network's layers, as lines of text. Reads a graph; prints nothing."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the command's help must not wait for torch
    from striate.geometry import Field
    from striate.graph import Graph, Row

__all__ = ["HEADINGS", "describe_field", "describe_kernel", "format_table", "short"]

HEADINGS = ("address", "kind", "output", "kernel", "parameters", "mult-adds", "receptive field")
TIGHT_HEADINGS = ("address", "kind", "output", "kernel", "params", "mult-\nadds", "receptive field")
NUMBERS = (4, 5)  # columns set flush right
GAP = 2


def format_table(graph: Graph, width: int | None) -> list[tuple[str, str]]:
    """Write the table as lines.

    Args:
        graph: of the network.
        width: columns to fit into; None for whatever it takes. Where they are few, parameters are rounded and
            long kinds are folded; an address that still does not fit stands on a line of its own, in one
            piece, so that it can be copied.

    Returns:
        Pairs of a role ("heading", "module", "operation", "merge", "total") and a line.
    """
    headings, cells = HEADINGS, [_cells(row) for row in graph.rows]
    widths = _widths([headings, *cells])
    if width is not None and sum(widths) + GAP * (len(widths) - 1) > width:
        headings, cells = TIGHT_HEADINGS, [_cells(row, tight=True) for row in graph.rows]
        widths = _widths([headings, *cells])
        widths[0] = max(min(widths[0], width - sum(widths[1:]) - GAP * (len(widths) - 1)), 12)
    lines = [("heading", line) for line in _lines(headings, widths)]
    for row, line in zip(graph.rows, cells, strict=True):
        role = "operation" if row.functional else "module"
        lines += [(role, part) for part in _lines(line, widths)]
        if len(row.inputs) > 1:
            lines += [("merge", part) for part in _merge(graph, row, sum(widths) + GAP * (len(widths) - 1))]
    operations = sum(row.functional for row in graph.rows)
    also = f" and {_count(operations, 'operation')}" if operations else ""
    total = (
        f"{_count(len(graph.rows) - operations, 'layer')}{also}, {_count(graph.parameters, 'parameter')}, "
        f"{short(graph.macs)} mult-adds"
    )
    lines.append(("total", f"{total} for a picture of {' x '.join(map(str, graph.picture))}"))
    if graph.unfollowed:
        named = ", ".join(f"{name} ({count})" for name, count in graph.unfollowed.items())
        lines.append(("total", f"receptive fields could not be carried through: {named}"))
    if graph.note:
        lines.append(("total", graph.note))
    return lines


def short(number: int) -> str:
    """Write a large number with three digits: 118 M, 5.61 G; small ones in full."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= 0.9995 * size:
            value = number / size
            digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
            return f"{value:.{digits}f} {letter}"
    return str(number)


def describe_field(field: Field) -> str:
    """Write a receptive field as `35 px /8 @ 3.5 exact`, height before width where they differ."""
    size, stride, centre = field.size, field.stride, field.centre
    if size is None or stride is None or centre is None or field.status == "whole input":
        return field.status
    apart = f" /{_pair(stride, 'x')}" if any(stride) else ""  # of a vector, no unit is further on than another
    return f"{_pair(size, ' x ')} px{apart} @ {_pair(centre, ', ')} {field.status}"


def describe_kernel(row: Row) -> str:
    """Write what a window does as `3x3 /2 p1 d2 g32`; what is as usual is left out."""
    if row.kernel is None:
        return ""
    words = ["x".join(map(str, row.kernel))]
    for value, usual, letter in ((row.stride, 1, "/"), (row.padding, 0, "p"), (row.dilation, 1, "d")):
        if value is not None and any(number != usual for number in _tuple(value)):
            words.append(f"{letter}{_pair(_tuple(value), 'x')}")
    if row.groups not in (None, 1):
        words.append(f"g{row.groups}")
    return " ".join(words)


def _count(how_many: int, one: str) -> str:
    return f"{how_many:,} {one}{'' if how_many == 1 else 's'}"


def _cells(row: Row, *, tight: bool = False) -> tuple[str, ...]:
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "\n", row.kind, count=1) if tight and len(row.kind) > 12 else row.kind
    parameters = (short(row.parameters) if tight else f"{row.parameters:,}") if row.parameters else ""
    macs = short(row.macs) if row.macs else ""
    shape = " x ".join(map(str, row.shape[1:]))
    return row.address, kind, shape, describe_kernel(row), parameters, macs, describe_field(row.field)


def _widths(lines: Sequence[Sequence[str]]) -> list[int]:
    """Return the width of each column; a cell may have several lines."""
    return [max(len(part) for cell in column for part in cell.split("\n")) for column in zip(*lines, strict=True)]


def _lines(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Set one row of the table, as many lines high as its highest cell."""
    above = [cells[0]] if len(cells[0]) > widths[0] else []
    columns = [cell.split("\n") for cell in ["" if above else cells[0], *cells[1:]]]
    lines = []
    for parts in zip_longest(*columns, fillvalue=""):
        set_out = [
            part.rjust(width) if column in NUMBERS else part.ljust(width)
            for column, (part, width) in enumerate(zip(parts, widths, strict=True))
        ]
        lines.append((" " * GAP).join(set_out).rstrip())
    return above + lines


def _merge(graph: Graph, row: Row, width: int) -> list[str]:
    """List what meets in a row."""
    names = [_name(graph.rows[index]) if index >= 0 else "the picture" for index in row.inputs]
    text = f"of {', '.join(names[:-1])} and {names[-1]}"
    return textwrap.wrap(text, max(width, 40), initial_indent="  ", subsequent_indent="     ", break_on_hyphens=False)


def _name(row: Row) -> str:
    """Name a row so that it cannot be mistaken for another of the same module."""
    return f"{row.address} {row.kind}".strip() if row.functional else row.address


def _tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _pair(values: Sequence[float], between: str) -> str:
    """Write one number where all are the same, all of them where not."""
    shown = [values[0]] if len(set(values)) == 1 else values
    return between.join(f"{value:g}" for value in shown)
