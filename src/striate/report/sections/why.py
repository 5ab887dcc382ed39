"""Why: what each explanation makes of each picture, side by side, on one scale for what can be compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from striate import registry, trust
from striate.report.explanations import Explanation, cell, scales, windows
from striate.report.visit import Run, Visit
from striate.results import DeletionCurves, Heatmap, Randomisation
from striate.trust import Explainer

__all__ = ["EXPLANATIONS", "PLACE", "TITLE", "build"]

PLACE = 20
TITLE = "Why"


EXPLANATIONS = (
    Explanation(
        "gradient",
        "Gradient",
        "saliency",
        "How much the score changes when a pixel does.",
        "gradient",
    ),
    Explanation(
        "smoothgrad",
        "SmoothGrad",
        "smoothgrad",
        "The gradient averaged over noisy copies of the picture.",
        "smoothgrad",
    ),
    Explanation(
        "guided",
        "Guided backprop",
        "saliency",
        "What excites the score through positive paths alone. Shows detail; often depends little on the class.",
        "guided",
        {"rule": "guided"},
    ),
    Explanation(
        "input_x_gradient",
        "Input x gradient",
        "input_x_gradient",
        "What each pixel adds to the score, to first order.",
        "share",
    ),
    Explanation(
        "integrated_gradients",
        "Integrated gradients",
        "integrated_gradients",
        "What each pixel adds to the score on the way from a blank picture.",
        "share",
    ),
    Explanation(
        "grad_cam",
        "Grad-CAM",
        "grad_cam",
        "Where the last maps hold evidence for the score.",
        "grad_cam",
    ),
    Explanation(
        "guided_grad_cam",
        "Guided Grad-CAM",
        "grad_cam",
        "Guided backprop where Grad-CAM finds evidence.",
        "guided_grad_cam",
        {"guided": True},
    ),
    Explanation(
        "occlusion",
        "Occlusion",
        "occlusion",
        "How far the score drops when a black patch covers the place.",
        "occlusion",
        windows,
    ),
    Explanation(
        "lime",
        "LIME",
        "lime",
        "What each superpixel adds to the score, by a linear model of what hiding some of them does.",
        "lime",
        {"segments": 30, "samples": 200},
    ),
)

STEPS = 10  # of a deletion curve; on four photographs its areas were within 0.02 of those of 50 steps
TOP = 0.25  # share of the network's layers that forget what they have learned, from the top
CHECKED = 2  # pictures by which it is judged whether a map depends on them


def build(visit: Visit) -> Mapping[str, Any] | None:
    """Return for each picture what every explanation shows, and why others refused."""
    runs = {one.key: visit.run(one.lens, key=one.key, **one.chosen(visit)) for one in EXPLANATIONS}
    maps = {key: run.result for key, run in runs.items() if isinstance(run.result, Heatmap)}
    shown = [one for one in EXPLANATIONS if one.key in maps]
    everywhere = scales(shown, maps, None)
    curves, randomised = _checked(visit, maps) if visit.trust and maps else (None, None)
    pictures = []
    for index, name in enumerate(visit.names):
        here = scales(shown, maps, index)
        cells = [
            {
                **cell(one, runs[one.key], maps[one.key], index, here, everywhere),
                "areas": curves.sentence(one.key, index) if curves else "",
                "depends": randomised.depends(one.key) if randomised else True,
                "dependence": randomised.short(one.key) if randomised else "",
            }
            for one in shown
        ]
        first = maps[shown[0].key] if shown else None
        pictures.append(
            {
                "index": index,
                "name": name,
                "subject": _subject(first.target[index]) if first else "",
                "target": first.target[index] if first else "",
                "score": float(first.score_values[index]) if first else None,
                "probability": curves.start(index) if curves and curves.measure == "probability" else None,
                "cells": cells,
            }
        )
    unchecked = {run.refusal for key in ("deletion_and_insertion", "randomisation") if (run := visit.runs.get(key))}
    return {
        "pictures": pictures,
        "refused": _refused(runs),
        "together": _together(shown),
        "curves": curves,
        "randomised": randomised,
        "judged_by": min(CHECKED, len(visit.names)),
        "unchecked": sorted(unchecked - {""}),
    }


def _checked(visit: Visit, maps: Mapping[str, Heatmap]) -> tuple[DeletionCurves | None, Randomisation | None]:
    """Check the maps: does the score follow their pixels, and do they depend on what the network has learned?"""
    lenses = [
        Explainer(one.key, registry.function(one.lens), one.chosen(visit)) for one in EXPLANATIONS if one.key in maps
    ]
    curves = visit.keep(
        "deletion_and_insertion",
        "trust.curves",
        lambda: trust.curves(visit.network, visit.images, maps, steps=STEPS),
    ).result
    randomised = visit.keep(
        "randomisation",
        "trust.randomisation",
        lambda: trust.randomisation(
            visit.network,
            visit.images,
            lenses,
            visit.target,
            stages=1,
            share=TOP,
            most=CHECKED,
            heatmaps=maps,
        ),
    ).result
    return (
        curves if isinstance(curves, DeletionCurves) else None,
        randomised if isinstance(randomised, Randomisation) else None,
    )


def _subject(target: str) -> str:
    """Return the class that is explained, as a person calls it; empty where the target is none."""
    name = target.removeprefix("class:")
    if name == target:
        return ""
    return f"class {name}" if name.isdecimal() else name


def _refused(runs: Mapping[str, Run]) -> dict[str, list[str]]:
    """Return the names of the explanations that are missing, by the reason why."""
    reasons: dict[str, list[str]] = {}
    for one in EXPLANATIONS:
        if runs[one.key].result is None:
            reasons.setdefault(runs[one.key].refusal, []).append(one.name)
    return reasons


def _together(shown: Sequence[Explanation]) -> list[list[str]]:
    """Return the names of explanations that stand on one scale, group by group."""
    groups: dict[str, list[str]] = {}
    for one in shown:
        groups.setdefault(one.scale, []).append(one.name)
    return [names for names in groups.values() if len(names) > 1]
