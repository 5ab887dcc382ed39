"""What units came to look for: a few of them at the moments whose networks were kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from striate.learn.judging.snapshots import develop
from striate.report.pictures import photo_uri
from striate.report.run_visit import RunVisit
from striate.results._charts import short_name

__all__ = ["PLACE", "TITLE", "build"]

PLACE = 60
TITLE = "What units came to look for"

UNITS = 3
STEPS = 64
LETTERS = 20  # of a class below a picture


def build(told: RunVisit) -> Mapping[str, Any] | None:
    """Return for each unit what it answers to at each moment."""
    if told.run.transferred:  # whose best was not trained from a beginning of its own
        return None
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
                        "common": short_name(one.common, LETTERS),
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
