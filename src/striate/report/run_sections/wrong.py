"""What it gets wrong, and why: the worst mistakes, with what speaks for either class and how far to believe that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from striate import registry, trust
from striate.report.explanations import Explanation, cell, scales, windows
from striate.report.run_visit import RunVisit
from striate.report.sections.why import CHECKED, STEPS, TOP
from striate.report.visit import Visit
from striate.results import DeletionCurves, Heatmap, Randomisation
from striate.trust import Explainer

__all__ = ["PLACE", "TITLE", "build"]

PLACE = 40
TITLE = "What it gets wrong"

SAID = Explanation(
    "grad_cam",
    "Grad-CAM",
    "grad_cam",
    "Where the last maps hold evidence for what it says.",
    "grad_cam",
)
TRUE = Explanation(
    "grad_cam_true",
    "Grad-CAM",
    "grad_cam",
    "Where they hold evidence for what it is; on the same scale.",
    "grad_cam",
)
COVERED = Explanation(
    "occlusion",
    "Occlusion",
    "occlusion",
    "How far the score of what it says drops when a black patch covers the place.",
    "occlusion",
    windows,
)


def build(told: RunVisit) -> Mapping[str, Any] | None:
    """Return each mistake with its explanations."""
    if told.table is None or not len(told.table.judged):
        return None
    wrong = len(told.table.worst())
    confusions = told.table.confusions()
    common = {"wrong": wrong, "total": len(told.table.judged), "listed": [], "why": told.why}
    if told.visit is None:
        listed = [
            {
                "name": one.name,
                "said": confusions.name(one.said),
                "true": confusions.name(one.true),
                "one": one,
            }
            for one in told.mistakes
        ]
        return {**common, "mistakes": [], "listed": listed, "refused": {}, "checked": None}
    visit = told.visit
    runs = {
        one.key: visit.run(one.lens, key=one.key, **one.chosen(visit), target=targets)
        for one, targets in (
            (SAID, [one.said for one in told.mistakes]),
            (TRUE, [one.true for one in told.mistakes]),
            (COVERED, [one.said for one in told.mistakes]),
        )
    }
    maps = {key: run.result for key, run in runs.items() if isinstance(run.result, Heatmap)}
    shown = [one for one in (SAID, TRUE, COVERED) if one.key in maps]
    curves, randomised = _checked(visit, maps, [one.said for one in told.mistakes]) if told.trust else ({}, None)
    everywhere = scales(shown, maps, None)
    mistakes = []
    for index, one in enumerate(told.mistakes):
        here = scales(shown, maps, index)
        cells = [
            {
                **(drawn := cell(each, runs[each.key], maps[each.key], index, here, everywhere)),
                "here": next(view for view in drawn["views"] if "here" in view["scales"].split()),
                "areas": curves[each.key].sentence(each.key, index) if each.key in curves else "",
                "judged": randomised is not None and each.key in randomised.names,
            }
            for each in shown
        ]
        names = {"said": confusions.name(one.said), "true": confusions.name(one.true)}
        mistakes.append({"index": index, "name": one.name, "one": one, "cells": cells, **names})
    return {
        **common,
        "mistakes": mistakes,
        "refused": {runs[one.key].refusal: one.name for one in (SAID, TRUE, COVERED) if runs[one.key].result is None},
        "checked": {
            "curves": bool(curves),
            "randomised": randomised,
            "by": min(CHECKED, len(told.mistakes)),
        },
    }


def _checked(
    visit: Visit, maps: Mapping[str, Heatmap], said: Sequence[int]
) -> tuple[dict[str, DeletionCurves], Randomisation | None]:
    """Check the maps: does the score follow their pixels, and do they depend on what the network has learned?"""
    found: dict[str, DeletionCurves] = {}
    together = {"deletion_and_insertion": (SAID.key, COVERED.key), "deletion_and_insertion_true": (TRUE.key,)}
    for key, keys in together.items():
        held = {name: maps[name] for name in keys if name in maps}
        if held:
            make = partial(trust.curves, visit.network, visit.images, held, steps=STEPS)
            result = visit.keep(key, "trust.curves", make).result
            if isinstance(result, DeletionCurves):
                found.update(dict.fromkeys(held, result))
    there = [one for one in (SAID, COVERED) if one.key in maps]
    if not there:
        return found, None
    judged = {one.key: maps[one.key] for one in there}
    lenses = [Explainer(one.key, registry.function(one.lens), one.chosen(visit)) for one in there]
    randomised = visit.keep(
        "randomisation",
        "trust.randomisation",
        lambda: trust.randomisation(
            visit.network,
            visit.images,
            lenses,
            list(said),
            stages=1,
            share=TOP,
            most=CHECKED,
            heatmaps=judged,
        ),
    ).result
    return found, randomised if isinstance(randomised, Randomisation) else None
