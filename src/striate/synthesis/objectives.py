"""What a picture is made for: units, channels, layers, classes and directions, added, subtracted and weighed.

Objectives are small values with an algebra, as lucid taught: ``objective(network, "layer3:17") - 0.5 * other``.
What many of them read off one run is gathered in a `Reading`, so that a batch of hundreds costs a few operations.

Source: Olah, Mordvintsev and Schubert 2017, "Feature Visualization", distill.pub/2017/feature-visualization
    (objectives and diversity).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from striate.address import parse
from striate.errors import AddressError, OptionError
from striate.graph import Graph
from striate.network import Network
from striate.targets import resolve

__all__ = ["Objective", "Term", "direction", "objective"]

Kind = Literal["channel", "unit", "strongest", "layer", "direction"]

_SIGN = re.compile(r"\s+([+-])\s+")
_WEIGHT = re.compile(r"([+-]?)\s*(?:((?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?)\s*\*\s*)?(.+)", re.DOTALL)


@dataclass(frozen=True, eq=False)
class Term:
    """One thing that is read off a run, with its weight.

    Attributes:
        place: layer, "name" or "name~k"; None for the logits.
        kind: "channel": the mean over the channel's map (of a vector or the logits its entry). "unit": one unit.
            "strongest": the largest value of the channel's map. "layer": half the squared length of everything that
            the layer gives. "direction": what the layer gives, compared with a vector at every place, see `direction`.
        label: address, as it is shown.
        weight: that it counts with; below 0 it is made small.
        channel: of the layer, or class.
        position: row and column of a unit.
        vector: (C,), of a direction.
        power: of a direction's cosine.
    """

    place: str | None
    kind: Kind
    label: str
    weight: float = 1.0
    channel: int = 0
    position: tuple[int, int] | None = None
    vector: Tensor | None = None
    power: float = 0.0


@dataclass(frozen=True, eq=False)
class Objective:
    """A sum of terms, to be made large.

    Attributes:
        terms: at least one.
        apart: how much pictures of the same objective in one job are kept apart, see `diverse`.
        apart_at: layer at which they are compared; None for none.
    """

    terms: tuple[Term, ...]
    apart: float = 0.0
    apart_at: str | None = None

    @property
    def label(self) -> str:
        """The sum in words: "layer3:17 - 0.5*layer3:20". Read again, it has the very same weights."""
        text = ""
        for term in self.terms:
            size = "" if abs(term.weight) == 1 else f"{_exact(abs(term.weight))}*"
            sign = ("-" if term.weight < 0 else "") if not text else (" - " if term.weight < 0 else " + ")
            text += f"{sign}{size}{term.label}"
        return text

    @property
    def places(self) -> tuple[str | None, ...]:
        """The layers that have to be reached, each once; None stands for the logits."""
        found = [term.place for term in self.terms]
        return tuple(dict.fromkeys([*found, self.apart_at] if self.apart_at is not None else found))

    def __add__(self, other: Objective) -> Objective:
        if not isinstance(other, Objective):
            return NotImplemented
        return replace(self, terms=(*self.terms, *other.terms))

    def __neg__(self) -> Objective:
        return self * -1.0

    def __sub__(self, other: Objective) -> Objective:
        if not isinstance(other, Objective):
            return NotImplemented
        return self + -other

    def __mul__(self, factor: float) -> Objective:
        return replace(self, terms=tuple(replace(term, weight=term.weight * factor) for term in self.terms))

    __rmul__ = __mul__

    def diverse(self, place: str | None = None, strength: float = 1.0) -> Objective:
        """Return this objective with the wish that its pictures differ from one another.

        What counts is how alike their layer's correlations between channels are (cosine of the Gram matrices, as in
        a texture): it is subtracted, weighed by the value that the pictures have reached. lucid's weight of 100
        suits activations of the size of its one network; as a share of the value it suits any.

        Args:
            place: layer that is compared; the first of this objective's unless given.
            strength: 0 for none; 1 takes away as much as the value, were the pictures the same.

        Raises:
            OptionError: the strength is negative, or the objective has no layer to compare at.

        Source: Olah et al. 2017, "Diversity"; lucid, `objectives.diversity`.
        """
        if not strength >= 0:
            raise OptionError(f"the strength of diversity must be 0 or more, got {strength}.")
        chosen = place if place is not None else next((found for found in self.places if found is not None), None)
        if chosen is None and strength:
            raise OptionError(f"{self.label} lies at no layer: name the layer at which its pictures should differ.")
        return replace(self, apart=strength, apart_at=chosen if strength else None)


def _exact(weight: float) -> str:
    """Write a weight as short as it can be read back: 2.0 is "2"."""
    short = f"{weight:g}"
    return short if float(short) == weight else repr(float(weight))


def objective(network: Network, target: str | int, size: int | Sequence[int] | None = None) -> Objective:
    """Return the objective of an address, or of a sum of addresses.

    Args:
        network: that it is an address of.
        target: "layer3:17" (a channel's mean), "layer3:17@6,6" (a unit), "layer3:17@max" (the strongest unit of a
            channel), "layer3" (the whole layer, as in DeepDream), "class:tabby" (its logit, before softmax) or a
            class's index; or a sum of them with weights: "class:281 - 0.5*class:282". Signs stand between blanks.
        size: height and width of the pictures, or one number for both; the network's own unless given. It decides
            which units a map has.

    Raises:
        AddressError: a part of it is no address of this network, or there is none.
        NetworkError: the network cannot be run on pictures of that size.
    """
    height, width = (size, size) if isinstance(size, int) else (size or network.spec.size)
    graph = network.graph(height, width)
    if isinstance(target, int):
        return Objective((_term(network, graph, f"class:{target}"),))
    parts = _SIGN.split(target.strip())
    terms = []
    for sign, part in zip(["+", *parts[1::2]], parts[::2], strict=True):
        match = _WEIGHT.fullmatch(part.strip())
        if match is None:
            raise AddressError(f"{target!r} is no sum of addresses: write such as 'layer3:17 - 0.5*layer3:20'.")
        own, weight, address = match.groups()
        factor = float(weight or 1) * (-1 if sign == "-" else 1) * (-1 if own == "-" else 1)
        terms.append(replace(_term(network, graph, address), weight=factor))
    return Objective(tuple(terms))


def _term(network: Network, graph: Graph, text: str) -> Term:
    """Resolve one address."""
    address = parse(text)
    if address.label is None and address.channel is None:
        return Term(graph.layer(address.place).address, "layer", str(address))
    found = resolve(network, text, torch.empty((1, *graph.picture), device="meta"))
    channel, position = found.channels[0], found.positions[0]
    assert channel is not None  # an address names its channel or class
    if isinstance(position, tuple):
        return Term(found.place, "unit", found.labels[0], channel=channel, position=position)
    return Term(found.place, "strongest" if position else "channel", found.labels[0], channel=channel)


def direction(
    network: Network, place: str, vector: Tensor, *, power: float = 2.0, label: str | None = None
) -> Objective:
    """Return the objective of a direction in a layer's space of channels.

    At every place of the map the vector there is compared with the wanted one: dot * max(0.1, cos)^power, and the
    mean over the map is taken. The dot product alone is won by strength in any direction that has a share of the
    wanted one; the cosine asks for that direction and no other.

    Args:
        network: that the layer is of.
        place: layer, "name" or "name~k".
        vector: (C,), one number for each of its channels.
        power: of the cosine; 0 for the dot product alone.
        label: what to call it; the layer with "direction" unless given.

    Raises:
        AddressError: no such layer.
        OptionError: the vector has not one finite number for each channel, is zero, or the power is negative.

    Source: lucid, `objectives.direction` and `objectives_util._dot_cossim`; Carter et al. 2019, "Activation Atlas".
    """
    layer = network.graph().layer(place)
    if vector.shape != (layer.channels,):
        shape = " x ".join(map(str, vector.shape))
        raise OptionError(f"a direction of {shape} for {place!r}, which has {layer.channels} channels.")
    if not bool(vector.isfinite().all()) or not bool(vector.any()):
        raise OptionError(f"the direction for {place!r} is zero, or not all of it is finite: it points nowhere.")
    if power < 0:
        raise OptionError(f"power must be 0 or more, got {power}.")
    term = Term(layer.address, "direction", label or f"{place} direction", vector=vector.float().cpu(), power=power)
    return Objective((term,))
