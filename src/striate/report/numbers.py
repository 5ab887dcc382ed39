"""Every number behind a report, as JSON. Rounds nothing, draws nothing."""

from __future__ import annotations

from striate import __version__
from striate.files import shown
from striate.report.visit import Visit
from striate.results.base import Json

__all__ = ["numbers"]


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
            "input": network.spec.brief(),
            "notes": list(network.notes),
        },
        "target": visit.target,
        "pictures": [{"name": name, "path": shown(path)} for name, path in zip(visit.names, visit.paths, strict=True)],
        "broken": [{"path": shown(broken.path), "why": broken.text} for broken in visit.broken],
        "results": results,
        "refused": refused,
        "layers": [row.to_dict() for row in graph.rows],
    }
