"""What it says: the best classes of each picture, as a sentence and as bars."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from striate.report.visit import Visit
from striate.results import Predictions

__all__ = ["PLACE", "TITLE", "build"]

PLACE = 10
TITLE = "What it says"


def build(visit: Visit) -> Mapping[str, Any] | None:
    """Return for each picture its sentence and its five best classes."""
    run = visit.run("predictions")
    if not isinstance(run.result, Predictions):
        return {"run": run, "cards": []}
    top = run.result.top(5)
    cards = [
        {"name": name, "said": run.result.said(index), "top": top[index], "index": index}
        for index, name in enumerate(visit.names)
    ]
    return {"run": run, "cards": cards}
