"""Put a small map onto the picture where its units look. Arithmetic on tensors: knows no network.

Stretching a 7 x 7 map from corner to corner claims that its outermost units sit on the picture's edge. They do
not: unit (i, j) looks around the centre of its receptive field. Between centres values are interpolated, beyond
the outermost ones they stay.
"""

from __future__ import annotations

import torch
from torch import Tensor

from striate.geometry import Field

__all__ = ["place", "placing_weights", "stretch"]


def place(maps: Tensor, field: Field) -> Tensor:
    """Enlarge maps to the picture's size with each unit at the centre of its receptive field.

    Args:
        maps: shape (N, h, w), any float dtype and device.
        field: receptive fields of the layer that the maps come from, with the picture's size.

    Returns:
        Shape (N, H, W). An axis whose units have no place of their own (receptive field unknown, or averaged
        away) is stretched from edge to edge instead.
    """
    height, width = field.picture
    centre, stride = field.centre, field.stride
    if centre is None or stride is None:
        return stretch(maps, (height, width))
    down = placing_weights(maps.shape[1], height, centre[0], stride[0])
    across = placing_weights(maps.shape[2], width, centre[1], stride[1])
    return down.to(maps) @ maps @ across.to(maps).T  # (H, h) (N, h, w) (w, W)


def stretch(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Enlarge maps bilinearly from edge to edge, as the peers do: shape (N, h, w) to (N, H, W)."""
    height, width = size
    down = placing_weights(maps.shape[1], height, 0.0, 0.0)
    across = placing_weights(maps.shape[2], width, 0.0, 0.0)
    return down.to(maps) @ maps @ across.to(maps).T


def placing_weights(units: int, length: int, centre: float, jump: float) -> Tensor:
    """Return how much each unit counts for each pixel along one axis.

    Args:
        units: how many there are, 1 or more.
        length: of the axis, in pixels.
        centre: where unit 0 looks, in pixels; pixel p covers p - 0.5 to p + 0.5.
        jump: pixels between neighbouring units; 0 or less divides the axis evenly among the units.

    Returns:
        Shape (length, units), float64, every row at least 0 and of sum 1.
    """
    if jump <= 0:
        jump = length / units
        centre = (jump - 1) / 2
    pixels = torch.arange(length, dtype=torch.float64)
    places = ((pixels - centre) / jump).clamp(0, units - 1)
    lower = places.floor().long().clamp(max=max(units - 2, 0))
    share = places - lower
    weights = torch.zeros(length, units, dtype=torch.float64)
    rows = torch.arange(length)
    weights[rows, lower] = 1 - share
    if units > 1:
        weights[rows, lower + 1] = share
    return weights
