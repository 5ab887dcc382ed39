"""How an explanation stands in a report: its name, its words, its map over the picture. Computes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from striate.report.pictures import map_uri, photo_uri
from striate.report.visit import Run, Visit
from striate.results import Heatmap
from striate.results.words import shape

__all__ = ["Explanation", "Scales", "cell", "scales", "windows"]

Ends = tuple[float, float]
Scales = dict[str, Ends]  # by Explanation.scale


@dataclass(frozen=True)
class Explanation:
    """A lens as it stands in the report.

    Args:
        key: of the run.
        name: what a person calls it.
        lens: name of the lens.
        words: what the picture shows, in a sentence.
        scale: explanations with the same word here are drawn on one scale; their values can be compared.
        options: of the lens, other than its defaults; or what gives them for the pictures at hand.
    """

    key: str
    name: str
    lens: str
    words: str
    scale: str
    options: Mapping[str, Any] | Callable[[Visit], Mapping[str, Any]] = field(default_factory=dict)

    def chosen(self, visit: Visit) -> Mapping[str, Any]:
        """Return the options for these pictures."""
        return self.options(visit) if callable(self.options) else self.options


def windows(visit: Visit) -> Mapping[str, Any]:
    """Cover a seventh of the picture's side at a time: coarse, but a picture takes a second or two."""
    side = max(1, min(visit.images.shape[2:]) // 7)
    return {"patch": side, "stride": max(1, side // 2)}


def scales(shown: Sequence[Explanation], maps: Mapping[str, Heatmap], picture: int | None) -> Scales:
    """Return one scale for each group of explanations that can be compared, in one picture or in all (None)."""
    found: Scales = {}
    for one in shown:
        low, high = maps[one.key].scale(picture)
        before = found.get(one.scale, (low, high))
        found[one.scale] = min(low, before[0]), max(high, before[1])
    return found


def cell(
    one: Explanation, run: Run, heatmap: Heatmap, index: int, here: Scales, everywhere: Scales
) -> Mapping[str, Any]:
    """Draw one explanation of one picture, over it and alone, on each scale that the switch offers."""
    chosen = {"here": here[one.scale], "all": everywhere[one.scale], "own": heatmap.scale(index)}
    views = [
        {
            # equal scales give equal pictures, which need not stand in the page twice
            "scales": " ".join(name for name, other in chosen.items() if other == ends),
            "low": ends[0],
            "high": ends[1],
            "over": photo_uri(heatmap.overlay(index, *ends)),
            "alone": map_uri(heatmap.raw(index, *ends)),
        }
        for ends in dict.fromkeys(chosen.values())
    ]
    return {
        "explanation": one,
        "run": run,
        "target": heatmap.target[index],
        "signed": heatmap.signed,
        "unit": heatmap.unit,
        "views": views,
        "layer": heatmap.details.get("layer"),
        "native": shape(heatmap.native.shape[1:]),
        "empty": heatmap.scale(index)[1] == 0,
        "trust": heatmap.trust(index),
    }
