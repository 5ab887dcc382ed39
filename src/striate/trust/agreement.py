"""Do several maps of one decision tell the same story? Compares heatmaps; runs no network."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from striate.errors import OptionError
from striate.results import Agreement, Heatmap
from striate.trust._recipe import of_maps
from striate.trust.similarity import rank_similarity

__all__ = ["agreement", "shared_top"]


def agreement(heatmaps: Mapping[str, Heatmap], *, top: float = 0.1) -> Agreement:
    """Compare each map with each other: the order of all pixels, and which are the strongest.

    Maps that disagree cannot all be right about what mattered; maps that agree may still be wrong together.

    Args:
        heatmaps: at least two by name, of the same pictures and targets.
        top: share of the pixels that count as the strongest, in (0, 1].

    Returns:
        For each picture a matrix of rank correlations of absolute values, and one of shared strongest pixels.

    Raises:
        OptionError: fewer than two maps, of other pictures or targets, or `top` outside (0, 1].

    Source: Krishna et al. 2022, arXiv:2202.01602, section 3.2 (rank correlation, feature agreement).
    """
    if len(heatmaps) < 2:
        raise OptionError(f"agreement needs at least two maps, got {len(heatmaps)}.")
    if not 0 < top <= 1:
        raise OptionError(f"top must lie in (0, 1], got {top}.")
    first = next(iter(heatmaps.values()))
    for name, heatmap in heatmaps.items():
        if heatmap.scores.shape != first.scores.shape or heatmap.target != first.target:
            raise OptionError(
                f"{name} is not a map of the same pictures and targets as {next(iter(heatmaps))}: "
                f"{len(heatmap)} of {', '.join(dict.fromkeys(heatmap.target))} against "
                f"{len(first)} of {', '.join(dict.fromkeys(first.target))}."
            )
    count, pictures = len(heatmaps), len(first)
    correlation = torch.ones(pictures, count, count, dtype=torch.float64)
    overlap = torch.ones(pictures, count, count, dtype=torch.float64)
    maps = [heatmap.scores for heatmap in heatmaps.values()]
    for row in range(count):
        for column in range(row):
            alike = rank_similarity(maps[row], maps[column]).nan_to_num(nan=0.0)
            both = shared_top(maps[row], maps[column], top)
            correlation[:, row, column] = correlation[:, column, row] = alike
            overlap[:, row, column] = overlap[:, column, row] = both
    return Agreement(
        names=tuple(heatmaps),
        correlation=correlation,
        overlap=overlap,
        top=top,
        target=first.target,
        pictures=first.pictures,
        recipe=of_maps("agreement", first, {"top": top}),
    )


def shared_top(first: Tensor, second: Tensor, top: float) -> Tensor:
    """Return the share of the strongest pixels of one map that are among the strongest of the other too.

    Args:
        first: (N, H, W), by absolute value.
        second: likewise.
        top: share of the pixels that count as the strongest; at least one does.

    Returns:
        Shape (N,), float64, in [0, 1]; `top` itself is what chance gives.
    """
    pixels = first[0].numel()
    kept = max(1, round(top * pixels))
    marks = []
    for values in (first, second):
        chosen = values.flatten(1).abs().topk(kept, dim=1).indices
        marks.append(torch.zeros(len(values), pixels, dtype=torch.bool).scatter_(1, chosen, True))
    return (marks[0] & marks[1]).double().sum(1) / kept
