"""Put what is asked for in order before an ascent: sizes, start pictures, who stands beside whom, random numbers."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from striate.errors import OptionError
from striate.network import Network
from striate.synthesis.objectives import Objective
from striate.synthesis.sizing import checked

__all__ = ["arranged_start", "by_place", "families", "generators_of", "pixels_seen", "size_of"]


def size_of(network: Network, size: int | tuple[int, int] | None, start: Tensor | str | None) -> tuple[int, int]:
    """Return height and width of the pictures: those asked for, of the start, or the network's own.

    Raises:
        OptionError: the network cannot be run on them.
    """
    if size is None and isinstance(start, Tensor) and start.dim() == 4:
        size = (start.shape[2], start.shape[3])
    height, width = (size, size) if isinstance(size, int) else (size or network.spec.size)
    return checked(network, height, width)


def arranged_start(start: Tensor, order: list[int], network: Network, size: tuple[int, int]) -> Tensor:
    """Check start pictures, and put them into the order in which they are worked on."""
    wanted = (network.spec.channels, *size)
    if start.dim() != 4 or tuple(start.shape[1:]) != wanted or len(start) not in (1, len(order)):
        raise OptionError(
            f"start pictures of {' x '.join(map(str, start.shape))} for {len(order)} pictures of "
            f"{' x '.join(map(str, wanted))}: give one, or one for each."
        )
    if not bool(start.isfinite().all()) or float(start.min()) < 0 or float(start.max()) > 1:
        raise OptionError("start pictures must have values from 0 to 1. Network.spec.denormalise gives them back.")
    start = start.detach().float()
    return start.expand(len(order), -1, -1, -1) if len(start) == 1 else start[order]


def pixels_seen(network: Network, objective: Objective, size: tuple[int, int]) -> int | None:
    """Return how many pixels a unit of the objective's deepest layer sees; None where it is all, or not known."""
    most = 0
    for place in objective.places:
        window = None if place is None else network.graph(*size).layer(place).field.size
        if window is None:
            return None
        most = max(most, *window)
    return most


def by_place(objectives: Sequence[Objective]) -> list[int]:
    """Return the rows sorted so that those that ask for the same layers, and families, stand together."""
    places: dict[tuple[str | None, ...], int] = {}
    families: dict[tuple[str, str | None, float], int] = {}
    keys = []
    for row, objective in enumerate(objectives):
        place = places.setdefault(objective.places, row)
        family = families.setdefault((objective.label, objective.apart_at, objective.apart), row)
        keys.append((place, family if objective.apart else row, row))
    return [row for *_, row in sorted(keys)]


def families(objectives: list[Objective]) -> list[list[int]]:
    """Return where families begin, and where the last ends, for each set of layers that are asked for."""
    found: list[list[int]] = []
    for row, objective in enumerate(objectives):
        before = objectives[row - 1] if row else None
        if before is None or before.places != objective.places:
            if found:
                found[-1].append(row)
            found.append([row])
        elif not (objective.apart and (before.label, before.apart) == (objective.label, objective.apart)):
            found[-1].append(row)
    found[-1].append(len(objectives))
    return found


def generators_of(objectives: list[Objective], seed: int) -> list[torch.Generator]:
    """Return random numbers for each picture, made of the seed, its objective and how many had the same before."""
    seen: Counter[str] = Counter()
    generators = []
    for objective in objectives:
        words = f"{seed}/{objective.label}/{seen[objective.label]}"
        seen[objective.label] += 1
        number = int.from_bytes(hashlib.blake2b(words.encode(), digest_size=8).digest(), "little")
        generators.append(torch.Generator().manual_seed(number >> 1))
    return generators
