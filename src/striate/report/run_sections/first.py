"""First filters: the kernels of the first layer before the training and after it, on one scale."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from striate import drawing, registry
from striate.errors import DataError
from striate.report.pictures import map_uri
from striate.report.run_visit import RunVisit
from striate.results import FilterBank
from striate.results.development import FilterChange
from striate.results.drawn import Pixels
from striate.results.filters import LINES

__all__ = ["PLACE", "TITLE", "build"]

PLACE = 50
TITLE = "First filters"

ENLARGED = 8  # pixels for each weight of a kernel among others


def build(told: RunVisit) -> Mapping[str, Any] | None:
    """Return each filter as it was and as it is."""
    if told.run.transferred:  # whose best was not trained from a beginning of its own
        return None
    change = told.attempt("first_filters", lambda: _change(told))
    if change is None:
        return {"why": told.refused["first_filters"]}
    bank = change.together()
    before, after = change.shown()
    return {
        "why": "",
        "change": change,
        "wide": not bank.colour and bank.weights.shape[1] > 1,
        "sides": [
            {
                "epoch": epoch,
                "cells": [{"index": index % len(change), "uri": map_uri(_filter(bank, index))} for index in chosen],
            }
            for epoch, chosen in zip(change.epochs, (before, after), strict=True)
        ],
        "left_out": len(change) - len(before),
        "largest": bank.largest,
    }


def _change(told: RunVisit) -> FilterChange:
    """Ask the lens `filters` about the start and the best network."""
    if 0 not in told.run.checkpoints:
        raise DataError("the network before the training was not kept, so its first filters cannot be shown (keep=5).")
    lens = registry.function("filters")
    first, last = lens(told.run.network(0)), lens(told.network)
    assert isinstance(first, FilterBank)
    assert isinstance(last, FilterBank)
    best = told.run.best
    return FilterChange(
        before=first.weights,
        after=last.weights,
        layer=last.layer,
        colour=last.colour,
        epochs=(0, 0 if best is None else best.epoch),
        recipe=last.recipe,
    )


def _filter(bank: FilterBank, index: int) -> Pixels:
    """Draw one filter; over several channels enlarged beforehand, so that the gaps between them stay thin."""
    channels = bank.weights.shape[1]
    if bank.colour or channels == 1:
        return bank.picture(index)
    kernels = [drawing.enlarge(bank.picture(index, channel), ENLARGED) for channel in range(channels)]
    return drawing.sheet(kernels, columns=channels, background=LINES)
