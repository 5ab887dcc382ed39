"""The lens `unit_card`: all that a data set and the weights tell of one unit, on one sheet."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from striate.atlas.opened import Atlas, LayerAtlas
from striate.atlas.selecting import selectivity
from striate.errors import AddressError
from striate.lenses._alike import Alike, by_answers, by_weights, chance, weights_of
from striate.lenses._atlas import Source, Unit, called, find_units, layer_before, opened
from striate.lenses._cutting import Cutter, class_name, places
from striate.lenses._firing import RECTIFIES, firing
from striate.lenses._lens import lens
from striate.lenses._windows import seen
from striate.network import Network
from striate.results import Recipe, UnitCard
from striate.results.patches import Beside
from striate.results.unit_card import ClassAnswer, KernelPart, SimilarUnit
from striate.results.words import shape

__all__ = ["unit_card"]

_BINS = 32  # of the histogram that is drawn
_CLASSES = 8
_INPUTS = 8  # of which the weights are drawn
_ALIKE = 5


@lens
def unit_card(
    network: Network,
    atlas: Source,
    target: str | int,
    *,
    top: int = 9,
    beside: Beside = "guided",
    blind: bool = False,
) -> UnitCard:
    """Show everything that is known of one unit.

    What it answers to most, least, and in between; how often it fires; to which classes it answers; by what weights
    it reads the layer before; and which units answer like it or have weights like its own.

    Args:
        network: that is asked; the one that the atlas was built with.
        atlas: an atlas, or its folder.
        target: a unit (LAYER:CHANNEL) or a class.
        top: patches in each row, at most as many as the atlas keeps.
        beside: guided (backprop), deconvnet or gradient beside the top patches; or none.
        blind: read no pictures. The card has numbers, places and boxes alone then, in a fraction of the time: for
            whoever shows the pictures by other means.

    Returns:
        The card.

    Raises:
        AddressError: no such unit, or a whole layer.
        AtlasError: no atlas, or one of another network.
        OptionError: more patches than the atlas keeps.

    Source: Morcos et al. 2018, arXiv:1803.06959, section 2.3 (class selectivity index).
    """
    held = opened(network, atlas)
    unit = find_units(network, held, target)[0]
    if isinstance(unit, str):
        raise AddressError(f"{unit!r} is a whole layer. Name one unit of it, such as {unit}:0.")
    layer = held.layer(unit.place)
    cutter = Cutter(network, held, "none" if blind else beside, blind=blind)
    rows = [places(layer, unit.channel, which, top) for which in ("top", "bottom", "strip")]
    strongest = tuple(cutter.patches(layer, rows[0]))
    plain = Cutter(network, held, blind=blind)
    others = [tuple(plain.patches(layer, row)) for row in rows[1:]]
    following, shares, borders = firing(network, layer)
    counts, edges = _rebinned(
        np.asarray(layer.histogram[unit.channel]),
        np.asarray(layer.edges),
        float(layer.smallest[unit.channel]),
        float(layer.largest[unit.channel]),
    )
    answers, rest, selective = _by_class(held, layer, unit.channel)
    alike, compared = by_answers(network, held, unit, held.layers, _ALIKE)
    weighted = unit.place if weights_of(network, unit.place) is not None else layer_before(network, unit.place)
    parallel = [] if weighted is None else by_weights(network, Unit(weighted, unit.channel), _ALIKE)

    def shown(one: Alike) -> SimilarUnit:
        of = held.layer(one.unit.place)
        first = plain.patches(of, places(of, one.unit.channel, "top", 1))
        return SimilarUnit(str(one.unit), one.likeness, first[0] if first else None, called(network, held, one.unit))

    return UnitCard(
        address=str(unit),
        called=called(network, held, unit),
        place=(
            f"Channel {unit.channel} of {layer.channels:,} in {unit.place} ({layer.kind}, {shape(layer.shape)}), layer "
            f"{held.layers.index(unit.place) + 1} of the {len(held.layers)} in the atlas. "
            + ("It ends with a rectifier." if following.words == RECTIFIES else f"After it: {following.words}."),
            seen(layer.field) if layer.map_size is not None else "",
        ),
        top=strongest,
        bottom=others[0],
        strip=others[1],
        beside=cutter.beside,
        total=len(held.pictures),
        counts=counts,
        edges=edges,
        rectified=following.final,
        fires=float(shares[unit.channel]),
        border=float(borders[unit.channel]),
        mean=float(layer.mean[unit.channel]),
        std=float(layer.std[unit.channel]),
        classes=answers,
        others=rest,
        selectivity=selective,
        kernel=None if weighted is None else _kernel(network, weighted, unit.channel),
        alike=tuple(shown(one) for one in alike),
        chance=chance(compared, len(layer.sample_pictures)),
        # of a rectifier the units stand in the atlas under its own address
        parallel=tuple(shown(one._replace(unit=Unit(unit.place, one.unit.channel))) for one in parallel),
        recipe=Recipe(notes=cutter.notes),
    )


def _rebinned(
    counts: NDArray[np.integer], edges: NDArray[np.float64], smallest: float, largest: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Spread the fine bins of an atlas over even bins between the extremes; each bin as if it were even inside.

    Args:
        counts: (B,), pictures in each bin.
        edges: (B + 1,), ascending.
        smallest: answer to a picture.
        largest: answer to a picture.

    Returns:
        Pictures in each of the even bins, whole numbers with the same sum; their borders. One bin where all answers
        are the same.
    """
    total = int(counts.sum())
    if not largest > smallest:
        return np.array([total], dtype=np.int64), np.array([smallest, largest])
    even = np.linspace(smallest, largest, _BINS + 1)
    starts, ends = np.clip(edges[:-1], smallest, largest), np.clip(edges[1:], smallest, largest)
    below = np.zeros(_BINS + 1)  # pictures below each border
    for counted, start, end in zip(counts, starts, ends, strict=True):
        if counted:
            below += counted * (np.clip((even - start) / (end - start), 0, 1) if end > start else even > start)
    whole = np.rint(below).astype(np.int64)
    whole[0], whole[-1] = 0, total
    return np.diff(whole), even


def _by_class(atlas: Atlas, layer: LayerAtlas, channel: int) -> tuple[tuple[ClassAnswer, ...], float, float | None]:
    """Return the classes to which a unit answers most, its mean answer to all but the first, and its selectivity."""
    if layer.class_mean is None or atlas.labels is None:
        return (), float("nan"), None
    means = np.asarray(layer.class_mean[channel])
    known = np.flatnonzero(np.isfinite(means))
    if len(known) < 2:
        return (), float("nan"), None
    order = known[np.argsort(-means[known], kind="stable")]
    labels = np.asarray(atlas.labels)
    answers = tuple(
        ClassAnswer(int(one), class_name(atlas.label_names, int(one)), float(means[one]), int((labels == one).sum()))
        for one in order[:_CLASSES]
    )
    index = float(selectivity(means[None])[0])
    return answers, float(means[order[1:]].mean()), index if np.isfinite(index) else None


def _kernel(network: Network, place: str, channel: int) -> KernelPart | None:
    """Return the weights of a unit over the inputs that count most."""
    weights = weights_of(network, place)
    if weights is None or weights.dim() > 4 or channel >= len(weights):
        return None
    own = weights[channel].float().cpu().numpy()  # (C,), (C, l) or (C, h, w)
    own = own.reshape(len(own), *(1,) * (3 - own.ndim), *own.shape[1:])
    graph = network.graph()
    row = graph.layer(place).row
    colour = len(own) == 3 == network.spec.channels and row is not None and graph.rows[row].inputs == (-1,)
    sizes = np.linalg.norm(own.reshape(len(own), -1), axis=1)
    chosen = np.arange(len(own)) if colour else np.argsort(-sizes, kind="stable")[:_INPUTS]
    depthwise = len(own) == 1
    return KernelPart(
        address=place,
        weights=np.ascontiguousarray(own[chosen]),
        channels=(channel,) if depthwise else tuple(int(one) for one in chosen),
        inputs=len(own),
        colour=colour,
        largest=float(np.abs(own).max()),
    )
