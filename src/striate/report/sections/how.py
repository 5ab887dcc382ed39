"""How this was made: the network's layers, and the recipe and time of each lens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from striate.report.visit import Visit
from striate.results.words import number, shape

__all__ = ["PLACE", "TITLE", "build", "layer_row"]

PLACE = 90
TITLE = "How this was made"


def build(visit: Visit) -> Mapping[str, Any] | None:
    """Return the layer table, and what was run."""
    graph = visit.network.graph(*visit.images.shape[2:])
    return {
        "graph": graph,
        "rows": [layer_row(row.to_dict()) for row in graph.rows],
        "recipes": [run.result.recipe for run in visit.runs.values() if run.result is not None],
        "refused": [run for run in visit.runs.values() if run.result is None],
        "seconds": sum(run.result.recipe.seconds for run in visit.runs.values() if run.result is not None),
    }


def layer_row(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Write one step of the network as the cells of a table."""
    field = row["field"]
    return {
        "address": row["address"],
        "kind": row["kind"],
        "functional": row["functional"],
        "shape": shape(row["shape"][1:]),  # of one picture
        "window": _window(row),
        "parameters": f"{row['parameters']:,}" if row["parameters"] else "",
        "multiply_adds": f"{row['multiply_adds']:,}" if row["multiply_adds"] else "",
        "field": shape(field["size"]) if field["size"] else "",
        "step": _step(field),
        "status": field["status"],
    }


def _step(field: Mapping[str, Any]) -> str:
    """Write how far apart the fields of neighbours lie; nothing where all see the same."""
    if not field["stride"] or field["status"] == "whole input":
        return ""
    return " x ".join(number(step) for step in dict.fromkeys(field["stride"]))


def _window(row: Mapping[str, Any]) -> str:
    """Write kernel, stride, padding, dilation and groups as short as they can be understood."""
    if not row["kernel"]:
        return ""
    parts = [shape(row["kernel"])]
    for word, name, plain in (("stride", "stride", 1), ("pad", "padding", 0), ("dilation", "dilation", 1)):
        values = dict.fromkeys(row[name] or ())
        if values and list(values) != [plain]:
            parts.append(f"{word} {' x '.join(str(value) for value in values)}")
    if (row["groups"] or 1) > 1:
        parts.append(f"groups {row['groups']}")
    return ", ".join(parts)
