"""The lens `dead_units`: units that never fire in a whole data set, and whether that is death."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from striate.atlas.opened import LayerAtlas
from striate.errors import OptionError
from striate.lenses._atlas import Source, find_place, opened
from striate.lenses._firing import firing
from striate.lenses._lens import lens
from striate.network import Network
from striate.results import DeadUnits, Recipe
from striate.results.dead_units import LayerLife

__all__ = ["dead_units"]

_SAME = 1e-6  # a spread below this part of the mean is rounding


@lens
def dead_units(
    network: Network, atlas: Source, *, layers: str | Sequence[str] | None = None, threshold: float = 0.001
) -> DeadUnits:
    """Count the units of each layer that never fire in a data set.

    A unit whose rectified value is 0 in every picture is dead: nothing after it can use it, and no gradient reaches
    its weights. Before a rectifier that is to be above 0 nowhere; between them may stand a batch normalisation,
    whose own threshold then takes the place of 0. Before anything else a value below 0 counts as well, and
    never to be above 0 is no death.

    Args:
        network: that is asked; the one that the atlas was built with.
        atlas: an atlas, or its folder.
        layers: one address or several of the atlas; all unless given.
        threshold: a unit that fires in a smaller share of the pictures than this is nearly dead.

    Returns:
        For each layer the units that never fire, that nearly never do, and that are constant.

    Raises:
        AddressError: a layer is not in the network, or not in the atlas.
        AtlasError: no atlas, or one of another network.
        OptionError: `threshold` is no share.

    Source: Lu et al. 2019, arXiv:1903.06733, section 1 (dying ReLU).
    """
    if not 0 <= threshold <= 1:
        raise OptionError(f"threshold is a share of the pictures, from 0 to 1, got {threshold}.")
    held = opened(network, atlas)
    held.check_units()
    asked = [layers] if isinstance(layers, str) else layers
    places = held.layers if asked is None else tuple(dict.fromkeys(find_place(network, held, one) for one in asked))
    lives = [_life(network, held.layer(place), threshold) for place in places]
    notes = []
    if unknown := [life.address for life in lives if np.isnan(life.fires).any()]:
        notes.append(
            f"How often some units of {', '.join(unknown[:3])}{', ...' * (len(unknown) > 3)} fire is not known: the "
            "batch normalisation after them turns their sign around, and an atlas keeps no minima."
        )
    return DeadUnits(layers=tuple(lives), total=len(held.pictures), recipe=Recipe(notes=tuple(notes)))


def _life(network: Network, layer: LayerAtlas, threshold: float) -> LayerLife:
    following, fires, _ = firing(network, layer)
    same = (layer.largest == layer.smallest) & (layer.std <= _SAME * np.abs(layer.mean))
    dead = (fires == 0) if following.final else np.zeros(len(fires), dtype=bool)
    return LayerLife(
        address=layer.address,
        kind=layer.kind,
        following=following.words,
        final=following.final,
        fires=fires,
        constant=tuple(np.flatnonzero(same & ~dead).tolist()),
        threshold=threshold,
        gate=following.gate,
    )
