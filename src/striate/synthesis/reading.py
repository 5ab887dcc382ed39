"""Read the values of many objectives off one run: gathered by layer, a few operations for a whole batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from striate.synthesis.objectives import Kind, Objective, Term
from striate.tap import Tapped

__all__ = ["Reading"]


@dataclass(frozen=True)
class _Bundle:
    """Terms of one kind at one place.

    Attributes:
        rows: pictures that they belong to, (R,).
        weights: (R,).
        channels: (R,).
        positions: (R, 2), of units.
        vectors: (R, C), of directions.
        focus: share of a channel's value that is its middle unit's; the rest is the mean over its map.
    """

    place: str | None
    kind: Kind
    power: float
    rows: Tensor
    weights: Tensor
    channels: Tensor
    positions: Tensor
    vectors: Tensor | None
    focus: float

    def read(self, output: Tensor) -> Tensor:
        """Return the value of each term, (R,) in float32, of what the place gives: (B, C, h, w) or (B, C)."""
        if self.kind == "layer":
            chosen = output if len(self.rows) == len(output) else output[self.rows]
            return chosen.float().square().flatten(1).sum(1) / 2
        if self.kind == "direction":
            assert self.vectors is not None
            return _compared(output[self.rows].float(), self.vectors, self.power)
        chosen = output[self.rows, self.channels].float()  # (R, h, w) or (R,)
        if chosen.dim() == 1:
            return chosen
        if self.kind == "unit":
            return chosen[torch.arange(len(chosen), device=chosen.device), self.positions[:, 0], self.positions[:, 1]]
        if self.kind == "strongest":
            return chosen.amax((1, 2))  # its slope is shared among equals: a map at its ceiling moves as one
        if not self.focus:
            return chosen.mean((1, 2))
        middle = chosen[:, chosen.shape[1] // 2, chosen.shape[2] // 2]
        return (1 - self.focus) * chosen.mean((1, 2)) + self.focus * middle


class Reading:
    """The objectives of one batch, sorted by what is read off together.

    Attributes:
        places: layers that a run has to reach.
        logits: whether it has to go on to the end.
        label: what the first objective is called.
    """

    def __init__(self, objectives: Sequence[Objective], device: torch.device, focus: float = 0.0) -> None:
        """Sort the terms.

        Args:
            objectives: one for each picture, B.
            device: that the network is on.
            focus: share of a channel's value that is its middle unit's, from 0 to 1.
        """
        self._told = (tuple(objectives), device, focus)
        self._count = len(objectives)
        self.label = objectives[0].label
        places = dict.fromkeys(place for objective in objectives for place in objective.places)
        self.places = [place for place in places if place is not None]
        self.logits = None in places
        found: dict[tuple[str | None, Kind, float], list[tuple[int, Term]]] = {}
        for row, objective in enumerate(objectives):
            for term in objective.terms:
                found.setdefault((term.place, term.kind, term.power), []).append((row, term))
        self._bundles = [_bundle(key, terms, device, focus) for key, terms in found.items()]
        self._several = torch.tensor([len(objective.terms) > 1 for objective in objectives], device=device)
        self._families = _families(objectives, device)

    def only(self, rows: Sequence[int]) -> Reading:
        """Return the objectives of some of the pictures."""
        objectives, device, focus = self._told
        return Reading([objectives[row] for row in rows], device, focus)

    def values(self, tapped: Tapped) -> Tensor:
        """Return the value of each objective, (B,) in float32, without what keeps pictures apart."""
        total: Tensor | None = None
        for bundle in self._bundles:
            output = tapped.logits if bundle.place is None else tapped.outputs[bundle.place]
            assert output is not None
            if total is None:
                total = torch.zeros(self._count, device=output.device)
            total = total.index_add(0, bundle.rows, bundle.weights * bundle.read(output))
        assert total is not None
        return total

    def peaks(self, tapped: Tapped) -> Tensor:
        """Return the largest value of each objective's channel, (B,) in float32; NaN where it is not one channel."""
        found: Tensor | None = None
        for bundle in self._bundles:
            output = tapped.logits if bundle.place is None else tapped.outputs[bundle.place]
            assert output is not None
            if found is None:
                found = torch.full((self._count,), torch.nan, device=output.device)
            if bundle.kind in ("channel", "unit", "strongest"):
                largest = output[bundle.rows, bundle.channels].float().reshape(len(bundle.rows), -1).amax(1)
                found = found.index_copy(0, bundle.rows, largest)
        assert found is not None
        return found.masked_fill(self._several, torch.nan)

    def likeness(self, tapped: Tapped, values: Tensor) -> Tensor | None:
        """Return what is subtracted for pictures that are too much alike, (B,); None where none should differ."""
        if not self._families:
            return None
        total = torch.zeros_like(values)
        for place, strength, rows in self._families:
            maps = tapped.outputs[place][rows].float()
            maps = maps.flatten(2) if maps.dim() == 4 else maps.unsqueeze(2)  # (F, C, positions), of a vector 1
            grams = (maps @ maps.transpose(1, 2)).flatten(1)
            grams = grams / grams.norm(dim=1, keepdim=True).clamp(min=1e-10)
            alike = grams @ grams.T
            others = alike.sum(1) - alike.diagonal()
            size = values[rows].detach().abs().mean()
            total = total.index_add(0, rows, strength * size * others / (len(rows) - 1))
        return total


def _bundle(
    key: tuple[str | None, Kind, float], terms: list[tuple[int, Term]], device: torch.device, focus: float
) -> _Bundle:
    vectors = [term.vector for _, term in terms if term.vector is not None]
    return _Bundle(
        *key,
        rows=torch.tensor([row for row, _ in terms], device=device),
        weights=torch.tensor([term.weight for _, term in terms], dtype=torch.float32, device=device),
        channels=torch.tensor([term.channel for _, term in terms], device=device),
        positions=torch.tensor([term.position or (0, 0) for _, term in terms], device=device),
        vectors=torch.stack(vectors).to(device) if vectors else None,
        focus=focus,
    )


def _families(objectives: Sequence[Objective], device: torch.device) -> list[tuple[str, float, Tensor]]:
    """Find the pictures that should differ from one another: layer, strength and rows of each set."""
    found: dict[tuple[str, str, float], list[int]] = {}
    for row, objective in enumerate(objectives):
        if objective.apart_at is not None and objective.apart:
            found.setdefault((objective.label, objective.apart_at, objective.apart), []).append(row)
    return [
        (place, strength, torch.tensor(rows, device=device))
        for (_, place, strength), rows in found.items()
        if len(rows) > 1
    ]


def _compared(output: Tensor, vectors: Tensor, power: float) -> Tensor:
    """Return dot * max(0.1, cos)^power of outputs (R, C, h, w) or (R, C) with vectors (R, C), meaned over the map."""
    maps = output.flatten(2) if output.dim() == 4 else output.unsqueeze(2)  # (R, C, places)
    dots = torch.einsum("rcp,rc->rp", maps, vectors)
    if power:
        lengths = maps.norm(dim=1) * vectors.norm(dim=1, keepdim=True)
        dots = dots * (dots / lengths.clamp(min=1e-10)).clamp(min=0.1) ** power
    return dots.mean(1)
