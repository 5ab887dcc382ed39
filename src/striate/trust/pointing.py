"""Does a map look where a person says that the thing is? Compares heatmaps with boxes or masks; runs no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from striate.errors import OptionError
from striate.geometry import Box
from striate.results import Heatmap, Pointing
from striate.trust._recipe import of_maps

__all__ = ["Place", "pointing"]

Place = Box | Tensor


def pointing(
    heatmaps: Heatmap | Mapping[str, Heatmap], places: Place | Sequence[Place], *, tolerance: int = 0
) -> Pointing:
    """Ask of each map whether its strongest pixel lies in a given place, and what share of it does.

    Only evidence for the target counts: values below zero are left out.

    Args:
        heatmaps: one, or several by name.
        places: where the thing is, one for all pictures or one for each: a box (top, left, bottom, right) in pixels of
            the picture as the network saw it, the last row and column included; or a mask (H, W), true inside.
        tolerance: pixels by which the strongest one may miss the place; the paper allows 15.

    Returns:
        For each map and picture the hit, and the share of the map's positive sum inside.

    Raises:
        OptionError: a place outside the picture or empty, not one for each picture, or `tolerance` below 0.

    Source: Zhang et al. 2016, arXiv:1608.00507, section 4.1 (pointing game); Wang et al. 2019, arXiv:1910.01279,
        section 4.4 (share of the energy inside a box).
    """
    named = {heatmaps.recipe.lens or "map": heatmaps} if isinstance(heatmaps, Heatmap) else dict(heatmaps)
    if not named:
        raise OptionError("no heatmap was given to be judged.")
    if tolerance < 0:
        raise OptionError(f"tolerance must be at least 0 pixels, got {tolerance}.")
    first = next(iter(named.values()))
    size = (first.scores.shape[1], first.scores.shape[2])
    if any(heatmap.scores.shape != first.scores.shape for heatmap in named.values()):
        raise OptionError("the maps are not all of the same pictures: their shapes differ.")
    given = _one_each(places, len(first))
    inside = torch.stack([_mask(place, size, index) for index, place in enumerate(given)])  # (N, H, W)
    peaks = torch.empty(len(named), len(first), 2, dtype=torch.int64)
    hits = torch.empty(len(named), len(first), dtype=torch.bool)
    mass = torch.empty(len(named), len(first), dtype=torch.float64)
    for row, heatmap in enumerate(named.values()):
        values = heatmap.scores.double().nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
        best = values.flatten(1).argmax(1)
        peaks[row] = torch.stack([best // size[1], best % size[1]], dim=1)
        positive = values.clamp(min=0)
        whole = positive.sum((1, 2))
        mass[row] = torch.where(whole > 0, (positive * inside).sum((1, 2)) / whole, torch.nan)
        for index, peak in enumerate(peaks[row]):
            near = (inside[index].nonzero() - peak).double().norm(dim=1).min()
            hits[row, index] = bool(near <= tolerance) and bool(whole[index] > 0)
    rows_inside = [mask.any(1).nonzero().flatten() for mask in inside]
    columns_inside = [mask.any(0).nonzero().flatten() for mask in inside]
    return Pointing(
        names=tuple(named),
        hits=hits,
        mass=mass,
        area=inside.double().mean((1, 2)),
        peaks=peaks,
        boxes=tuple(
            (int(rows[0]), int(columns[0]), int(rows[-1]), int(columns[-1]))
            for rows, columns in zip(rows_inside, columns_inside, strict=True)
        ),
        heatmaps=named,
        tolerance=tolerance,
        recipe=of_maps("pointing", first, {"tolerance": tolerance}),
    )


def _one_each(places: Place | Sequence[Place], count: int) -> list[Place]:
    """Return a place for each picture."""
    if isinstance(places, Tensor):
        several: list[Any] = list(places) if places.dim() == 3 else [places]
    else:
        several = list(places)
        if all(isinstance(one, int) for one in several):  # a box by itself
            several = [tuple(several)]
    if len(several) == 1:
        return several * count
    if len(several) != count:
        raise OptionError(f"{len(several)} places for {count} pictures. Give one, or one for each picture.")
    return several


def _mask(place: Place, size: tuple[int, int], index: int) -> Tensor:
    """Return a place as a mask (H, W), true inside."""
    height, width = size
    if isinstance(place, Tensor):
        if tuple(place.shape) != size:
            found = " x ".join(map(str, place.shape))
            raise OptionError(f"the mask of picture {index + 1} is {found}, the picture {height} x {width}.")
        mask = place.bool()
        if not mask.any():
            raise OptionError(f"the mask of picture {index + 1} is empty: nothing could lie inside it.")
        return mask
    numbers = tuple(place)
    if len(numbers) != 4:
        raise OptionError(f"a box is (top, left, bottom, right), got {numbers}.")
    top, left, bottom, right = numbers
    if not (0 <= top <= bottom < height and 0 <= left <= right < width):
        raise OptionError(
            f"the box of picture {index + 1}, rows {top} to {bottom} and columns {left} to {right}, does not lie in "
            f"the picture, whose rows are 0 to {height - 1} and columns 0 to {width - 1}. "
            "Give top, left, bottom, right in pixels of the picture as the network saw it."
        )
    mask = torch.zeros(size, dtype=torch.bool)
    mask[top : bottom + 1, left : right + 1] = True
    return mask
