"""Skipped pictures: what could not be read, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from striate.report.run_visit import RunVisit

__all__ = ["PLACE", "TITLE", "build"]

PLACE = 70
TITLE = "Skipped pictures"

LISTED = 200


def build(told: RunVisit) -> Mapping[str, Any] | None:
    """Return the names and reasons; nothing where all could be read."""
    if not told.skipped:
        return None
    return {"skipped": told.skipped[:LISTED], "more": max(0, len(told.skipped) - LISTED), "all": len(told.skipped)}
