"""How good it is: what it takes for what, and how each class fares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from striate import drawing
from striate.report.run_visit import RunVisit
from striate.results._charts import short_name
from striate.results.confusions import Confusions
from striate.results.per_class import PerClass

__all__ = ["PLACE", "TITLE", "build"]

PLACE = 20
TITLE = "How good it is"

DRAWN = 24  # classes whose matrix is a table that can be read
PAIRS = 15
LETTERS = 24  # of a name beside the matrix; both its ends are kept
LISTED = 40  # classes that are all listed; of more, the weakest
WEAKEST = 20
LEAST = 5e-4  # difference of accuracies that is worth a word
_DARK = 0.55  # of the colour scale: figures on darker cells are light


def build(told: RunVisit) -> Mapping[str, Any] | None:
    """Return the matrix, the pairs that are confused most, and the figures of each class."""
    table = told.table
    if table is None:
        return {"why": told.why}
    if not len(table.judged):
        return {"why": "the class of no validation picture is known, so nothing is right or wrong"}
    confusions, classes = table.confusions(), table.per_class
    told.made["evaluation"] = table
    return {
        "why": "",
        "caption": table.sentence() + _otherwise(told),
        "matrix": _matrix(confusions),
        "pairs": [
            {
                "true": confusions.name(pair.true),
                "said": confusions.name(pair.said),
                "times": pair.times,
                "share": 100 * pair.share,
            }
            for pair in confusions.pairs()[:PAIRS]
        ],
        "classes": _classes(classes),
        "classes_caption": classes.caption(),
        "many": len(classes),
    }


def _otherwise(told: RunVisit) -> str:
    """Say so where the training found another accuracy, which it works out in its own precision."""
    best = told.run.best
    if told.table is None or best is None or best.validation_accuracy is None:
        return ""
    if abs(best.validation_accuracy - told.table.accuracy) < LEAST:
        return ""
    found = f"{100 * best.validation_accuracy:.2f} %"
    return f" In the course of the training it was {found}, worked out in the training's own precision."


def _matrix(confusions: Confusions) -> Mapping[str, Any]:
    """Return the cells of the matrix; of many classes those that are confused most."""
    chosen = confusions.chosen(DRAWN)
    sizes = confusions.counts.sum(1)
    rows = []
    for true in chosen.tolist():
        shares = np.sqrt(confusions.counts[true, chosen] / max(int(sizes[true]), 1))
        colours = drawing.magma(shares)
        rows.append(
            {
                "name": confusions.name(true),
                "short": short_name(confusions.name(true), LETTERS),
                "cells": [
                    {
                        "times": int(confusions.counts[true, said]),
                        "colour": "#" + bytes(colour).hex(),
                        "dark": float(share) <= _DARK,
                        "title": f"{confusions.name(true)} taken for {confusions.name(said)}",
                    }
                    for said, colour, share in zip(chosen.tolist(), colours, shares, strict=True)
                ],
            }
        )
    return {
        "names": [(confusions.name(one), short_name(confusions.name(one), LETTERS)) for one in chosen.tolist()],
        "brief": all(len(confusions.name(one)) <= 3 for one in chosen.tolist()),
        "rows": rows,
        "left_out": len(confusions) - len(chosen),
        "many": len(confusions),
    }


def _classes(classes: PerClass) -> list[Mapping[str, Any]]:
    """Return the figures of the classes, the weakest first; those without pictures last."""
    order = classes.weakest(None if len(classes) <= LISTED else WEAKEST).tolist()
    if len(classes) <= LISTED:
        order += np.flatnonzero(classes.support == 0).tolist()
    return [
        {
            "name": classes.name(index),
            "pictures": int(classes.support[index]),
            "figures": [_figure(values[index]) for values in (classes.recall, classes.precision, classes.f1)],
        }
        for index in order
    ]


def _figure(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
