"""`striate layers`: the table of layers, for people on a terminal, for tools as JSON."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from striate.cli.source import SOURCES, Source, source_options
from striate.layer_table import HEADINGS, describe_field, describe_kernel, format_table, short

if TYPE_CHECKING:
    from striate.graph import Graph

__all__ = ["HEADINGS", "describe_field", "describe_kernel", "format_table", "layers", "short", "show"]


@click.command("layers", short_help="List the layers: shapes, cost, receptive fields.", epilog=SOURCES)
@source_options
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON, for other tools.")
def layers(source: Source, as_json: bool) -> None:
    """List what a network does, in order, with shapes, cost and receptive fields.

    A receptive field is written 35 px /8 @ 3.5: each unit sees 35 pixels, its neighbour 8 pixels further on,
    and the first one is centred on pixel 3.5. "exact": the borders are reached; "bound": it lies within;
    "whole input": every unit sees everything; "unknown": an operation could not be followed.
    """
    network = source.load()
    graph = network.graph()
    if as_json:
        from striate.results import encode_json

        click.echo(encode_json({"network": network.name, **graph.to_dict()}))
        return
    for note in network.notes:
        click.echo(note, err=True)
    show(graph)


def show(graph: Graph) -> None:
    """Print the table: styled and as wide as the terminal on one, plain and in full elsewhere."""
    if not sys.stdout.isatty():
        for _, line in format_table(graph, width=None):
            click.echo(line)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    styles = {"heading": "bold", "module": "", "operation": "dim", "merge": "#2e86ab", "total": "bold"}
    for role, line in format_table(graph, width=console.width):
        console.print(Text(line, style=styles[role]))
