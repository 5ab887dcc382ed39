"""How sure it is: whether its probabilities can be taken at their word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from striate.report.run_visit import RunVisit
from striate.results.calibration import FEW, Bin, interval

__all__ = ["PLACE", "TITLE", "build"]

PLACE = 30
TITLE = "How sure it is"

SIDE = 300.0  # of the diagram, units of the drawing
LOW = 60.0  # height of the histogram


def build(told: RunVisit) -> Mapping[str, Any] | None:
    """Return the bins of the reliability diagram."""
    if told.table is None or not len(told.table.judged):
        return None
    calibration = told.table.calibration
    bins = [one for one in calibration.bins() if one.pictures]
    most = max(one.pictures for one in bins)
    return {
        "caption": calibration.caption(),
        "bins": [_bin(one, most) for one in bins],
        "most": most,
        "side": SIDE,
        "low": LOW,
        "few": FEW,
    }


def _bin(one: Bin, most: int) -> Mapping[str, Any]:
    """Return where a bin is drawn, the top left being 0."""
    low, high = interval(one)
    height = LOW * (one.pictures / most) ** 0.5
    return {
        "left": round(SIDE * one.low + 1, 2),
        "width": round(SIDE * (one.high - one.low) - 2, 2),
        "top": round(SIDE * (1 - one.right), 2),
        "height": round(SIDE * one.right, 2),
        "middle": round(SIDE * one.confidence, 2),
        "from": round(SIDE * (1 - high), 2),
        "to": round(SIDE * (1 - low), 2),
        "off": not low - 1e-9 <= one.right <= high + 1e-9,
        "pale": one.pictures < FEW,
        "count_top": round(LOW - height, 2),
        "count_height": round(height, 2),
        "title": f"{one.pictures:,} pictures, {one.confidence:.3f} sure on average, right about {one.right:.3f}",
    }
