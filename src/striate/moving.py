"""Move pictures, and ask where the units of a map should be afterwards: shift, scale, rotation.

Arithmetic on tensors and receptive fields; runs no network and draws nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

import torch
from torch import Tensor

from striate.geometry import Field, Span

__all__ = ["Kind", "Move", "Places", "moved", "places", "sampled"]

Kind = Literal["shift", "scale", "rotation"]

_NEAR = 1e-6  # of a unit: positions that come this close to a unit are on it


@dataclass(frozen=True)
class Move:
    """One movement of the picture's content.

    Attributes:
        kind: of movement.
        amount: pixels to the right (or down), factor of enlargement, or degrees against the clock; the last two
            about the middle of the picture.
        down: the shift goes down instead.
    """

    kind: Kind
    amount: float
    down: bool = False

    def sources(self, points: Tensor, size: tuple[int, int]) -> Tensor:
        """Return where the content at some points comes from.

        Args:
            points: (..., 2), rows and columns in pixels, float64.
            size: height and width of the picture.
        """
        if self.kind == "shift":
            return points - points.new_tensor([self.amount, 0.0] if self.down else [0.0, self.amount])
        middle = points.new_tensor([(side - 1) / 2 for side in size])
        if self.kind == "scale":
            return middle + (points - middle) / self.amount
        angle = math.radians(self.amount)
        # rows run downwards: against the clock on the screen
        turn = points.new_tensor([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
        return middle + (points - middle) @ turn.T


@dataclass(frozen=True)
class Places:
    """Where the units of one map come from under one movement.

    Attributes:
        units: (P,), those that are compared, as indices into the flattened map.
        sources: (P, 2), rows and columns in the map of the unmoved picture, float64.
        clean: (P,), True for those that see neither padding nor what the movement brought in at the border, in
            both runs.
    """

    units: Tensor
    sources: Tensor
    clean: Tensor


def moved(images: Tensor, move: Move) -> Tensor:
    """Move the content of pictures; what comes in at the border is 0 (the mean colour).

    Args:
        images: (N, C, H, W), normalised.
        move: by how much.

    Returns:
        Shape (N, C, H, W). Between pixels values are interpolated bilinearly; a shift moves them exactly.
    """
    height, width = images.shape[2:]
    grid = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"), -1).double()
    points = _snapped(move.sources(grid.view(-1, 2), (height, width)))
    ends = points.new_tensor([height - 1, width - 1])
    inside = ((points >= 0) & (points <= ends)).all(1).to(images.device)
    values = sampled(images, points) * inside
    return values.view(images.shape).contiguous(memory_format=torch.channels_last)


def sampled(maps: Tensor, points: Tensor) -> Tensor:
    """Read maps between their units, bilinearly; beyond the outermost units values stay.

    Args:
        maps: (N, C, h, w).
        points: (P, 2), rows and columns in units, float64.

    Returns:
        Shape (N, C, P). Exactly the unit's value where a point lies on a unit.
    """
    height, width = maps.shape[2:]
    flat = maps.flatten(2)
    points = points.to(maps.device)
    lower = points.floor()
    share = (points - lower).to(maps.dtype)
    total = maps.new_zeros(*maps.shape[:2], len(points))
    for down in (0, 1):
        for across in (0, 1):
            rows = (lower[:, 0] + down).clamp(0, height - 1).long()
            columns = (lower[:, 1] + across).clamp(0, width - 1).long()
            weight = (share[:, 0] if down else 1 - share[:, 0]) * (share[:, 1] if across else 1 - share[:, 1])
            if bool(weight.any()):
                total += flat[:, :, rows * width + columns] * weight
    return total


def places(move: Move, field: Field, size: tuple[int, int]) -> Places:
    """Find which units of a map show the same content before and after a movement.

    Args:
        move: of the picture.
        field: receptive fields of the layer.
        size: height and width of its map.

    Returns:
        The units whose centre, and its source, lie in the picture and between units of the map; which of them are
        clean follows from what their windows hold (`Span.limits`).
    """
    spans = [_placed(span, units, side) for span, units, side in zip(field.spans, size, field.picture, strict=True)]
    grid = torch.stack(torch.meshgrid(*(torch.arange(units) for units in size), indexing="ij"), -1).view(-1, 2).double()
    jump = grid.new_tensor([float(span.jump) for span in spans])
    first = grid.new_tensor([float(span.low + span.high) / 2 for span in spans])
    units = _snapped((move.sources(first + jump * grid, field.picture) - first) / jump)
    last = grid.new_tensor([side - 1 for side in size])
    frame = grid.new_tensor([side - 1 for side in field.picture])
    centres = move.sources(first + jump * grid, field.picture)
    kept = ((units >= 0) & (units <= last) & (centres >= -0.5) & (centres <= frame + 0.5)).all(1)
    clean = kept & _clean(move, field, grid, units)
    chosen = kept.nonzero().flatten()
    return Places(chosen, units[chosen], clean[chosen])


def _placed(span: Span, units: int, side: int) -> Span:
    """Return the span, or an even division of the picture where units have no place of their own."""
    if span.known and span.jump > 0:
        return span
    jump = Fraction(side, units)
    return replace(span, jump=jump, low=Fraction(0), high=jump - 1, exact=False)


def _clean(move: Move, field: Field, grid: Tensor, sources: Tensor) -> Tensor:
    """Tell which units see no padding and nothing but content that was in the picture before, (P,)."""
    good = torch.ones(len(grid), dtype=torch.bool)
    corners = []
    for axis, (span, side) in enumerate(zip(field.spans, field.picture, strict=True)):
        if not span.known or span.jump <= 0 or span.always is not None or span.mirrored:
            return torch.zeros_like(good)
        first, last = (0.0, side - 1.0) if span.limits is None else (float(span.limits[0]), float(span.limits[1]))
        low, high, jump = float(span.low), float(span.high), float(span.jump)
        corners.append((low + jump * grid[:, axis], high + jump * grid[:, axis]))
        for units in (grid[:, axis], sources[:, axis].floor(), sources[:, axis].ceil()):
            good &= (low + jump * units >= first - _NEAR) & (high + jump * units <= last + _NEAR)
    for rows in corners[0]:  # a window's corners all in the old picture: all of it
        for columns in corners[1]:
            origin = move.sources(torch.stack([rows, columns], -1), field.picture)
            frame = origin.new_tensor([side - 1 for side in field.picture])
            good &= ((origin >= -_NEAR) & (origin <= frame + _NEAR)).all(1)
    return good


def _snapped(points: Tensor) -> Tensor:
    """Set points on the unit that they all but lie on, so that rounding does not mix in its neighbour."""
    whole = points.round()
    return torch.where((points - whole).abs() < _NEAR, whole, points)
