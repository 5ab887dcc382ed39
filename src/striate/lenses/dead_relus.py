"""The lens `dead_relus`: units that never fire on some pictures, by layer, beside what random first weights give."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from striate.errors import NetworkError, OptionError
from striate.lenses._firing import RECTIFIES
from striate.lenses._lens import lens
from striate.nets.initial import Initial, initialise
from striate.network import Images, Network
from striate.rectifiers import Rectified, rectified
from striate.results import DeadRelus, Recipe
from striate.results.dead_units import LayerLife
from striate.running import run, undisturbed
from striate.streaming import in_chunks

__all__ = ["dead_relus"]

_TOGETHER = 32  # pictures that share the statistics of batch norm: fixed, so that numbers depend on no machine


@lens
def dead_relus(
    network: Network, images: Images, *, threshold: float = 0.001, initial: Initial = "he-normal", seed: int = 0
) -> DeadRelus:
    """Count the units behind each rectifier that never fire on some pictures, and those of random first weights.

    A rectifier passes no gradient where its input is below 0. A unit for which that is so at all places of all
    pictures is dead: what it reads is never changed by training. A unit of a map is a channel. Every kind of rectifier
    is seen: a module, a function, in place, shared, ReLU6, clamped at 0.

    The comparison is the same network with weights drawn anew, where batch norm takes the statistics of the pictures
    themselves, as in the first step of a training.

    Args:
        network: that is asked; it is not changed.
        images: (N, C, H, W), normalised, or paths; hundreds tell more than a few.
        threshold: a unit that fires in a smaller share of the pictures than this is nearly dead.
        initial: how the weights of the comparison are drawn (see `striate.nets.initialise`).
        seed: of the comparison.

    Returns:
        For each rectifier, in the order of the run, how often its units fire, in both networks.

    Raises:
        NetworkError: there is no rectifier in it, or one gives NaN.
        OptionError: `threshold` is no share.

    Source: Lu et al. 2019, arXiv:1903.06733, section 1 (dying ReLU); Glorot, Bordes and Bengio 2011, "Deep sparse
        rectifier neural networks", section 3.1.
    """
    if not 0 <= threshold <= 1:
        raise OptionError(f"threshold is a share of the pictures, from 0 to 1, got {threshold}.")
    batch = network.batch(images)
    with undisturbed(network.module):
        seen = _seen(network, network.module, batch, network.piece())
    if not seen:
        raise NetworkError(
            f"{network.name} has no rectifier (ReLU, ReLU6, clamp at 0): no unit of it can be dead in this way."
        )
    notes, random = [], {}
    try:
        random = _random(network, batch, initial, seed)
    except NetworkError as error:  # weights that no rule is known for
        notes.append(f"Without comparison: {error}")
    names = _names(list(seen))
    lives = tuple(
        LayerLife(
            address=names[place],
            kind=RECTIFIES,
            following=RECTIFIES,
            final=True,
            fires=tally.fires(),
            constant=(),
            threshold=threshold,
        )
        for place, tally in seen.items()
    )
    return DeadRelus(
        layers=lives,
        active=tuple(tally.active() for tally in seen.values()),
        random=tuple(random[place].fires() if place in random else None for place in seen),
        initial=initial,
        seed=seed,
        total=len(batch),
        recipe=Recipe(notes=tuple(notes)),
    )


@dataclass
class _Tally:
    """What one rectifier let through so far: by picture, whether each unit fires, and at which share of its places."""

    fired: list[Tensor] = field(default_factory=list)
    shares: list[Tensor] = field(default_factory=list)

    def add(self, output: Tensor, count: int) -> None:
        """Take note of an output for `count` pictures: a map (N, C, H, W), or rows (N, ..., C)."""
        units = output.unsqueeze(0) if output.dim() < 2 else output
        if units.dim() != 4:
            units = units.movedim(-1, 1)
        if bool(units.isnan().any()):  # which is not above 0, and not silent either
            raise NetworkError("a rectifier gives NaN for these pictures: the weights are spoilt.")
        flat = (units > 0).flatten(2) if units.dim() > 2 else (units > 0).unsqueeze(2)
        if len(flat) != count:  # windows of pictures, or one row for all
            flat = flat.movedim(0, 1).flatten(1)[None].expand(count, -1, -1)
        self.fired.append(flat.any(2).cpu())
        self.shares.append(flat.float().mean(2).cpu())

    def fires(self) -> NDArray[np.float64]:
        """Return the share of the pictures in which each unit is above 0 somewhere, (C,)."""
        return np.asarray(torch.cat(self.fired).double().mean(0).numpy())

    def active(self) -> NDArray[np.float64]:
        """Return the share of places at which each unit is above 0, mean over the pictures, (C,)."""
        return np.asarray(torch.cat(self.shares).double().mean(0).numpy())


def _seen(network: Network, module: nn.Module, batch: Tensor, piece: int) -> dict[Rectified, _Tally]:
    """Run a module, held still already, and tally what its rectifiers let through; so many pictures at a time."""
    tallies: dict[Rectified, _Tally] = {}

    def run_piece(start: int, stop: int) -> None:
        pieces: dict[Rectified, _Tally] = {}

        def act(place: Rectified, output: Tensor) -> None:
            pieces[place] = _Tally()
            pieces[place].add(output, stop - start)

        with rectified(module, act):
            run(module, batch[start:stop])
        if tallies and pieces.keys() != tallies.keys():
            raise NetworkError(f"{network.name} takes different ways for different pictures. Give them one by one.")
        for place, piece in pieces.items():  # here, where nothing can run out of memory any more
            held = tallies.setdefault(place, _Tally())
            held.fired += piece.fired
            held.shares += piece.shares

    with torch.no_grad():
        in_chunks(len(batch), run_piece, size=piece, task="rectifiers")
    return tallies


def _random(network: Network, batch: Tensor, initial: Initial, seed: int) -> dict[Rectified, _Tally]:
    """Tally the rectifiers of the same network with first weights drawn anew."""
    with undisturbed(network.module):
        fresh = copy.deepcopy(network.module)
    draw = torch.Generator().manual_seed(seed)
    fresh.cpu()
    with torch.random.fork_rng(devices=[]):  # layers that draw by themselves
        torch.default_generator.manual_seed(seed)
        initialise(fresh, initial, draw)
    fresh.to(network.device)
    with undisturbed(fresh):
        several = len(batch) > 1 and not network.one_by_one  # one value has no spread
        if several:
            _each(fresh, nn.modules.batchnorm._BatchNorm, lambda part: part.train())
        return _seen(network, fresh, batch, _together(len(batch)) if several else network.piece())


def _together(count: int) -> int:
    """Return how many pictures share their statistics: such that no single one is left over, which has none."""
    return next((size for size in range(_TOGETHER, 1, -1) if count % size != 1), count)


def _each(module: nn.Module, kind: type[nn.Module], act: Callable[[nn.Module], object]) -> None:
    for part in module.modules():
        if isinstance(part, kind):
            act(part)


def _names(places: list[Rectified]) -> dict[Rectified, str]:
    """Call each rectifier by its address, and by its number where its module holds several, or more than it."""
    calls: dict[str, int] = {}
    orders: dict[tuple[str, int], int] = {}
    for place in places:
        calls[place.name] = max(calls.get(place.name, 0), place.call)
        orders[place.name, place.call] = max(orders.get((place.name, place.call), 0), place.order)
    names = {}
    for place in places:
        address = place.name if calls[place.name] == 1 else f"{place.name}~{place.call}"
        several = orders[place.name, place.call] > 1
        word = f"relu {place.order}" if several else "relu"
        names[place] = address if place.own else f"{address}: {word}" if address else word
    return names
