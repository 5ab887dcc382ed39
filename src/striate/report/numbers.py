"""Every number behind a report, as JSON. Rounds nothing, draws nothing."""

from __future__ import annotations

from typing import Any

from striate import __version__
from striate.files import shown
from striate.report.visit import Visit
from striate.results.base import Json

__all__ = ["layer_rows", "numbers"]


def numbers(visit: Visit) -> dict[str, Json]:
    """Collect network, pictures, layers, and for each run its recipe and numbers, or its refusal.

    Large arrays stand as {shape, dtype, base64}; `striate.results.decode_array` reads them.
    """
    network = visit.network
    graph = network.graph(*visit.images.shape[2:])
    results, refused = {}, {}
    for key, run in visit.runs.items():
        if run.result is None:
            refused[key] = {"lens": run.lens, "why": run.refusal}
        else:
            results[key] = {"recipe": run.result.recipe.to_dict(), **run.result.numbers()}
    return {
        "striate": __version__,
        "network": {
            "name": network.name,
            "weights": network.weights_hash,
            "parameters": graph.parameters,
            "multiply_adds": graph.macs,
            "input": network.spec.to_dict(),
            "notes": list(network.notes),
        },
        "target": visit.target,
        "pictures": [{"name": name, "path": shown(path)} for name, path in zip(visit.names, visit.paths, strict=True)],
        "broken": [{"path": shown(broken.path), "why": broken.text} for broken in visit.broken],
        "results": results,
        "refused": refused,
        "layers": layer_rows(graph),
    }


def layer_rows(graph: Any) -> list[dict[str, Json]]:
    """Return the steps of a network (`Graph.rows`) as plain values, receptive fields included."""
    return [
        {
            "address": row.address,
            "kind": row.kind,
            "functional": row.functional,
            "shape": list(row.shape),
            "kernel": row.kernel,
            "stride": row.stride,
            "padding": row.padding,
            "dilation": row.dilation,
            "groups": row.groups,
            "parameters": row.parameters,
            "multiply_adds": row.macs,
            "inputs": list(row.inputs),
            "field": {
                "size": row.field.size,
                "stride": row.field.stride,
                "first_centre": row.field.centre,
                "status": row.field.status,
            },
        }
        for row in graph.rows
    ]
