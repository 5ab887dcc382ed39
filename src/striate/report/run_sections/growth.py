"""What units came to look for: a few of them at the moments whose networks were kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from striate.learn.judging.snapshots import develop
from striate.report.pictures import photo_uri
from striate.report.run_visit import RunVisit

__all__ = ["PLACE", "TITLE", "build"]

PLACE = 60
TITLE = "What units came to look for"

UNITS = 3
STEPS = 64


def build(told: RunVisit) -> Mapping[str, Any] | None:
    """Return for each unit what it answers to at each moment."""
    made = told.attempt("development", lambda: develop(told.run, units=UNITS, steps=STEPS))
    if made is None:
        return {"why": told.refused["development"]}
    return {
        "why": "",
        "development": made,
        "units": [
            {
                "address": unit.address,
                "sees": unit.sees,
                "words": unit.sentence(),
                "moments": [
                    {
                        "epoch": epoch,
                        "one": one,
                        "uri": photo_uri(one.patch),
                        "small": max(one.patch.shape[:2]) < 96,
                        "made": None if one.made is None else photo_uri(one.made),
                    }
                    for epoch, one in zip(made.epochs, unit.snapshots, strict=True)
                ],
            }
            for unit in made.units
        ],
    }
