"""Planes through the weights of a network, on which paths of many weights can be drawn. Runs no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Plane", "across_paths", "at_random"]


@dataclass(frozen=True, eq=False)
class Plane:
    """Two directions from where the paths begin.

    Attributes:
        first: (P,), all weights one after another; any length.
        second: (P,), not parallel to the first.
    """

    first: Tensor
    second: Tensor

    def moved(self, along_first: float, along_second: float) -> Tensor:
        """Return by how much the weights differ from the start at a place of the plane: (P,)."""
        return along_first * self.first + along_second * self.second

    def place(self, moved: Tensor) -> Tensor:
        """Return the place of the plane that is nearest to a point: (2,), float64, on the CPU.

        Args:
            moved: (P,), the point minus the start.
        """
        pair = torch.stack([self.first, self.second]).double()
        # the directions need not be at right angles
        found: Tensor = torch.linalg.solve(pair @ pair.T, pair @ moved.double()).cpu()
        return found

    def share(self, places: NDArray[np.float64], lengths: NDArray[np.float64]) -> float:
        """Return how much of a path's movement the plane holds, 0 to 1: the share of squared distances from the start.

        Args:
            places: (T, 2) of the path.
            lengths: (T,), squared distances of its points from the start.
        """
        pair = torch.stack([self.first, self.second]).double()
        gram = (pair @ pair.T).cpu().numpy()
        held = np.einsum("ti,ij,tj->t", places, gram, places)
        return float(min(1.0, held.sum() / lengths.sum())) if lengths.sum() > 0 else 1.0


def across_paths(paths: Sequence[Sequence[Tensor]]) -> Plane:
    """Return the plane through the start in which paths move most: the first two principal components of their points.

    Each path counts the same, however far it goes: its points are divided by the distance of the furthest. The plane
    goes through the start, so nothing is subtracted. Found by the products of the points with each other, which are
    few, and not by their weights, which are many.

    Args:
        paths: for each some points (P,), minus the start.

    Source: Li et al. 2018, arXiv:1712.09913, section 7.2 (who take the points of one path, about its end).
    """
    points: list[Tensor] = []
    for path in paths:
        furthest = max(float(point.double().norm()) for point in path)
        if furthest > 0:
            points += [point / (furthest * len(path) ** 0.5) for point in path]
    if not points:
        raise ValueError("no path moves, so there is no direction in which it does")
    products = torch.stack([torch.stack([torch.dot(one, other) for other in points]) for one in points]).double().cpu()
    _, vectors = torch.linalg.eigh((products + products.T) / 2)
    directions: list[Tensor] = []
    for index in (-1, -2):
        if len(points) < 2 and directions:
            break
        shares = vectors[:, index]
        direction = torch.zeros_like(points[0])
        for share, point in zip(shares.tolist(), points, strict=True):
            direction += share * point
        for before in directions:  # rounding of small products must not bring the first back
            direction -= torch.dot(direction, before) * before
        length = float(direction.double().norm())
        if length > 1e-6:
            # most paths go towards the right, and up
            ends = sum(float(torch.dot(direction, path[-1]).sign()) for path in paths)
            directions.append(direction / (length if ends >= 0 else -length))
    if len(directions) < 2:  # all points on one line: any second direction will do
        directions.append(_beside(directions[0]))
    return Plane(directions[0], directions[1])


def at_random(weights: Sequence[Tensor], generator: torch.Generator) -> Plane:
    """Return a plane of two random directions, each filter's part as long as the filter.

    So a step along the plane changes strong and weak filters by the same share. Biases and weights of normalisations
    stay as they are.

    Args:
        weights: those at the start.
        generator: what draws, on the CPU.

    Source: Li et al. 2018, arXiv:1712.09913, section 4.
    """
    directions = []
    for _ in range(2):
        parts = []
        for weight in weights:
            if weight.dim() <= 1:
                parts.append(torch.zeros_like(weight).flatten())
                continue
            drawn = torch.randn(weight.shape, generator=generator).to(weight)
            filters, own = drawn.flatten(1), weight.flatten(1)
            parts.append((filters * (own.norm(dim=1) / filters.norm(dim=1).clamp(min=1e-12))[:, None]).flatten())
        directions.append(torch.cat(parts))
    return Plane(directions[0], directions[1])


def _beside(direction: Tensor) -> Tensor:
    """Return a direction at right angles to another: that of the weight in which it says least."""
    other = torch.zeros_like(direction)
    other[direction.abs().argmin()] = 1
    other -= torch.dot(other, direction) * direction
    length: Tensor = other.norm()
    return other / length
