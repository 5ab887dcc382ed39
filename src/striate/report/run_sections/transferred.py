"""What was tried: every way of a transfer in one table, and why that strategy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from striate.learn.transferring.keeping import read_transfer
from striate.report.run_visit import RunVisit

__all__ = ["PLACE", "TITLE", "build"]

PLACE = 5
TITLE = "What was tried"


def build(told: RunVisit) -> Mapping[str, Any] | None:
    """Return the table of the ways, and how well each depth tells the classes apart; nothing for other runs."""
    if not told.run.transferred:
        return None
    found = told.attempt("transfer", lambda: read_transfer(told.run.path))
    if found is None:
        return {"why": told.refused["transfer"]}
    return {
        "why": "",
        "caption": found.caption(),
        "reason": found.why,
        "sentences": [found.amount.sentence(), *found.likeness.sentences()[1:], found.cost()],
        "ways": [
            {
                "name": way.name,
                "accuracy": way.accuracy,
                "low": max(way.accuracy - way.error, 0.0),
                "high": min(way.accuracy + way.error, 1.0),
                "error": 100 * way.error,
                "seconds": way.seconds,
                "weights": way.weights,
                "note": way.note,
                "expected": way.expected,
                "best": way is found.best,
            }
            for way in found.ways
        ],
        "depths": [
            {
                "address": depth.address,
                "channels": depth.channels,
                "field": depth.field,
                "accuracy": depth.accuracy,
                "best": depth is found.likeness.best,
            }
            for depth in found.likeness.depths
        ],
        "chance": found.likeness.chance,
    }
