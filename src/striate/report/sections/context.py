"""In context: the pictures of an atlas that are nearest to each picture, and what its strongest units answer to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from striate import drawing
from striate.report.pictures import photo_uri
from striate.report.visit import Visit
from striate.results import Neighbours, StrongestUnits
from striate.results._patch_cells import fitted
from striate.results.drawn import Pixels
from striate.results.patches import Patch
from striate.results.strongest_units import Strong

__all__ = ["PLACE", "TITLE", "build"]

PLACE = 40
TITLE = "In context"

NEAREST = 8
UNITS, PATCHES = 4, 6
SIDE = 112  # pixels of a small picture's longer side


def build(visit: Visit) -> Mapping[str, Any] | None:
    """Return for each picture its neighbours and units; None without an atlas."""
    if visit.atlas is None:
        return None
    nearest = visit.run("neighbours", top=max(1, min(NEAREST, len(visit.atlas) - 1)))
    units = visit.run("strongest_units", units=UNITS, top=PATCHES)
    near = nearest.result if isinstance(nearest.result, Neighbours) else None
    strong = units.result if isinstance(units.result, StrongestUnits) else None
    return {
        "total": len(visit.atlas),
        "near": near,
        "nearest_run": nearest,
        "strong": strong,
        "units_run": units,
        "pictures": [
            {
                "index": index,
                "name": name,
                "spaces": _spaces(near, index) if near else [],
                "units": [_unit(one) for one in strong.strongest[index]] if strong else [],
            }
            for index, name in enumerate(visit.names)
        ],
    }


def _spaces(near: Neighbours, index: int) -> list[Mapping[str, Any]]:
    """Return the rows of neighbours of one picture, one for each space."""
    return [
        {
            "name": space.name,
            "pixels": space.name == "pixels",
            "cells": [
                {
                    "name": found.name,
                    "words": found.words,
                    "other": near.is_other(index, int(number)),
                    "distance": float(distance),
                    "uri": None if found.pixels is None else photo_uri(_small(found.pixels)),
                }
                for number, distance in zip(space.indices[index], space.distances[index], strict=True)
                for found in [near.found[int(number)]]
            ],
        }
        for space in near.spaces
    ]


def _unit(one: Strong) -> Mapping[str, Any]:
    return {
        "address": one.row.address,
        "words": one.sentence(),
        "cells": [_patch(patch) for patch in one.row.patches],
    }


def _patch(patch: Patch) -> Mapping[str, Any]:
    pixels = patch.pixels
    if pixels is not None:  # striped where the unit sees beyond the picture
        pixels = fitted(pixels, SIDE, patch.missing) if patch.missing.any() else _small(pixels)
    return {
        "name": patch.name,
        "words": patch.words,
        "value": patch.value,
        "other": False,
        "uri": None if pixels is None else photo_uri(pixels),
    }


def _small(pixels: Pixels) -> Pixels:
    """Return a picture no larger than it is shown."""
    height, width = pixels.shape[:2]
    scale = SIDE / max(height, width)
    if scale >= 1:
        return pixels
    size = max(1, round(height * scale)), max(1, round(width * scale))
    return np.asarray(drawing.resample_bilinear(pixels, size))
