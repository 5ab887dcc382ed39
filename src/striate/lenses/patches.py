"""The lens `patches`: the places in a data set to which a unit answers most, cut out by its receptive field."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from striate.address import parse
from striate.atlas.opened import Atlas
from striate.errors import OptionError
from striate.geometry import Field
from striate.lenses._atlas import Source, Unit, called, find_units, layer_before, opened
from striate.lenses._cutting import Crop, Cutter, places
from striate.lenses._lens import lens
from striate.lenses._windows import seen
from striate.network import Network
from striate.results import Patches, Recipe
from striate.results.patches import Beside, PatchRow, Which
from striate.results.words import count, number

__all__ = ["patches"]


@lens
def patches(
    network: Network,
    atlas: Source,
    target: str | int | Sequence[str | int],
    *,
    top: int = 9,
    which: Which = "top",
    beside: Beside = "guided",
    crop: Crop = "auto",
    context: float = 0.0,
    units: int = 10,
) -> Patches:
    """Show to which patches of a data set a unit answers.

    The pictures come from the atlas's list, the place from its strongest position in each, and the patch is what
    the unit sees from there. A deep unit sees nearly all of the picture and answers to a part of it: there the
    smallest square is cut out that holds 90 % of the energy of the signal beside it. The strongest pictures alone
    mislead: look at the weakest and at a strip over all answers as well.

    Args:
        network: that is asked; the one that the atlas was built with.
        atlas: an atlas, or its folder.
        target: a unit (LAYER:CHANNEL), a class, or a whole layer, of which some units are shown; one or several.
        top: patches of each unit, at most as many as the atlas keeps (of a strip, as its sample holds).
        which: top, bottom, or strip (at even steps from the weakest to the strongest answer of a sample).
        beside: guided (backprop), deconvnet or gradient of that very unit in that very picture; or none.
        crop: field (all that the unit sees), signal (the part that counts), or auto: the latter where the unit sees
            more than half of the picture's height or width.
        context: how much around it is shown, as a share of what the unit sees.
        units: of a whole layer so many are shown, evenly spread over those that fire at all.

    Returns:
        Patches with the pictures, places, answers and signals.

    Raises:
        AddressError: no such unit, or its layer is not in the atlas.
        AtlasError: no atlas, or one of another network.
        OptionError: more patches than the atlas keeps.

    Source: Zeiler and Fergus 2013, arXiv:1311.2901, figure 2 (the top nine with the deconvnet beside them);
        Springenberg et al. 2014, arXiv:1412.6806, figure 3 (guided backprop, ten patches of each of several units);
        Yosinski et al. 2015, arXiv:1506.06579, section 2.
    """
    if context < 0:
        raise OptionError(f"context must be 0 or more, got {context}.")
    if units < 1:
        raise OptionError(f"units must be at least 1, got {units}.")
    held = opened(network, atlas)
    chosen = [unit for one in find_units(network, held, target) for unit in _spread(held, one, units)]
    cutter = Cutter(network, held, beside, context, crop)
    rows: dict[int, PatchRow] = {}
    fields: dict[str, Field] = {}
    for place in dict.fromkeys(unit.place for unit in chosen):  # the units of a layer go through together
        layer = held.layer(place)
        fields[place] = layer.field
        own = [index for index, unit in enumerate(chosen) if unit.place == place]
        wanted = [places(layer, chosen[index].channel, which, top) for index in own]
        found = iter(cutter.patches(layer, [one for each in wanted for one in each]))
        for index, each in zip(own, wanted, strict=True):
            channel = chosen[index].channel
            rows[index] = PatchRow(
                address=str(chosen[index]),
                patches=tuple(next(found) for _ in each),
                fires=float(layer.fires[channel]),
                mean=float(layer.mean[channel]),
                std=float(layer.std[channel]),
                called=called(network, held, chosen[index]),
            )
    return Patches(
        rows=tuple(rows[index] for index in range(len(chosen))),
        which=which,
        beside=beside,
        total=len(held.pictures),
        field=_field_words(fields),
        recipe=Recipe(notes=(*cutter.notes, *_cautions(network, list(rows.values()), which, beside))),
    )


def _cautions(network: Network, rows: list[PatchRow], which: Which, beside: Beside) -> Iterator[str]:
    """Say where patches or signals mean less than they seem to."""
    if which == "top":
        tied = [row for row in rows if len(row.patches) > 1 and row.patches[0].value == row.patches[-1].value]
        cut_off = [row for row in tied if row.patches[0].value > 0]
        if cut_off:
            place = parse(cut_off[0].address).place
            before = layer_before(network, place)
            hint = f" {before}, before it, tells them apart." if before else ""
            value = number(cut_off[0].patches[0].value)
            yield (
                f"{count(len(cut_off), 'unit')} answered alike ({value}) in all of the pictures shown, which are just "
                f"the first with that answer: {place} is cut off there.{hint}"
            )
        if len(cut_off) < len(tied):
            dead = ", ".join(row.address for row in tied if row not in cut_off)
            yield f"Never above 0, so that the pictures shown mean nothing: {dead}."
    if beside == "deconvnet" and not any(
        "max" in row.kind.lower() and "pool" in row.kind.lower() for row in network.graph().rows
    ):
        yield (
            "This network has no max pooling, whose switches tie the deconvnet to its picture: "
            "what it gives is nearly the same for all."
        )


def _spread(atlas: Atlas, one: Unit | str, most: int) -> list[Unit]:
    """Return a unit as it is; of a whole layer some that fire, evenly spread over its channels."""
    if isinstance(one, Unit):
        return [one]
    layer = atlas.layer(one)
    alive = np.setdiff1d(np.arange(layer.channels), layer.dead())
    if not len(alive):
        alive = np.arange(layer.channels)
    picked = alive[np.unique(np.linspace(0, len(alive) - 1, min(most, len(alive))).round().astype(int))]
    return [Unit(one, int(channel)) for channel in picked]


def _field_words(fields: dict[str, Field]) -> str:
    """Say what the units of each layer see; of many layers nothing, for no one would read it."""
    if len(fields) > 3:
        return ""
    words = [seen(field) if len(fields) == 1 else f"{place}: {seen(field)}" for place, field in fields.items()]
    return " ".join(words)
