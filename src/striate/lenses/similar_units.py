"""The lens `similar_units`: the units of a network that answer to the same pictures as one of them."""

from __future__ import annotations

from typing import Literal

from striate.errors import AddressError, OptionError
from striate.lenses._alike import by_answers, chance
from striate.lenses._atlas import Source, Unit, called, find_units, opened
from striate.lenses._cutting import Cutter, places
from striate.lenses._lens import lens
from striate.network import Network
from striate.results import Recipe, SimilarUnits
from striate.results.patches import Beside, PatchRow
from striate.results.words import number

__all__ = ["similar_units"]


@lens
def similar_units(
    network: Network,
    atlas: Source,
    target: str | int,
    *,
    units: int = 9,
    top: int = 6,
    within: Literal["atlas", "layer"] = "atlas",
    beside: Beside = "guided",
) -> SimilarUnits:
    """Find the units that answer most like one of them, and show what each answers to.

    Two units are alike when their largest answers rise and fall together over the atlas's sample of pictures
    (Pearson's correlation). The same unit before or after its own normalisation and rectifier is passed over.

    Args:
        network: that is asked; the one that the atlas was built with.
        atlas: an atlas, or its folder.
        target: a unit (LAYER:CHANNEL) or a class.
        units: how many like it are shown.
        top: patches of each unit, at most as many as the atlas keeps.
        within: atlas (all of its layers) or layer (that of the unit).
        beside: guided (backprop), deconvnet or gradient beside each patch; or none.

    Returns:
        The unit and those like it, with correlations and patches.

    Raises:
        AddressError: no such unit, or a whole layer.
        AtlasError: no atlas, or one of another network or without a sample.
        OptionError: an option makes no sense.
    """
    if units < 1:
        raise OptionError(f"units must be at least 1, got {units}.")
    held = opened(network, atlas)
    unit = find_units(network, held, target)[0]
    if isinstance(unit, str):
        raise AddressError(f"{unit!r} is a whole layer. Name one unit of it, such as {unit}:0.")
    looked = held.layers if within == "atlas" else (unit.place,)
    alike, compared = by_answers(network, held, unit, looked, units)
    cutter = Cutter(network, held, beside)

    def row(one: Unit, remark: str) -> PatchRow:
        layer = held.layer(one.place)
        return PatchRow(
            address=str(one),
            patches=tuple(cutter.patches(layer, places(layer, one.channel, "top", top))),
            fires=float(layer.fires[one.channel]),
            mean=float(layer.mean[one.channel]),
            std=float(layer.std[one.channel]),
            called=called(network, held, one),
            remark=remark,
        )

    others = [row(one.unit, f"r = {number(one.likeness, 2)}") for one in alike]
    return SimilarUnits(
        rows=(row(unit, "the unit itself"), *others),
        correlations=(1.0, *(one.likeness for one in alike)),
        beside=beside,
        compared=compared,
        sampled=len(held.layer(unit.place).sample_pictures),
        total=len(held.pictures),
        within="all layers of the atlas" if within == "atlas" else unit.place,
        chance=chance(compared, len(held.layer(unit.place).sample_pictures)),
        recipe=Recipe(notes=cutter.notes),
    )
