"""How it went: the learning curves, and what they say of over-fitting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from striate.report.charts import panel
from striate.report.run_visit import RunVisit
from striate.results.curves import LearningCurves

__all__ = ["PLACE", "TITLE", "build"]

PLACE = 10
TITLE = "How it went"


def build(told: RunVisit) -> Mapping[str, Any] | None:
    """Return the curves of loss and accuracy."""
    curve = told.curve
    if curve is None:
        return None
    curves = LearningCurves((curve,))
    told.attempt("learning_curves", lambda: curves)
    changing = len(curve) > 1 and float(np.nanmax(curve.rate)) > float(np.nanmin(curve.rate))
    panels = [
        panel(
            "Loss, nats",
            curve.epochs,
            [("training", curve.train_loss), ("validation", curve.validation_loss)],
            best=curve.best,
            logarithmic=True,
        ),
        panel(
            "Accuracy",
            curve.epochs,
            [("training", curve.train_accuracy), ("validation", curve.validation_accuracy)],
            best=curve.best,
            ends=(0.0, 1.0),
        ),
    ]
    if changing:
        panels.append(panel("Learning rate", curve.epochs, [("rate", curve.rate)], ends=(0.0, np.inf)))
    return {
        "caption": curves.caption(),
        "panels": panels,
        "validated": len(curve.validated) > 0,
        "best": curve.best,
        "notes": told.run.notes,
    }
