"""How far to believe a map that a lens gave: the checks of `trust`, for the page. Computes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from striate import registry, trust
from striate.errors import OptionError
from striate.results import Heatmap
from striate.web.looking import Ask, identity, look, options_of

if TYPE_CHECKING:
    from striate.network import Network
    from striate.web.house import House

__all__ = ["believe"]

STEPS = 20  # points of a deletion curve: as many as tell good from bad
TOP = 0.25  # of the layers that forget


def believe(house: House, ask: Ask, network: Network) -> dict[str, Any]:
    """Check a map: do its pixels matter, and does it depend on what the network has learned?

    Args:
        house: that is looked at.
        ask: the question that the map answers.
        network: that is asked, a twin.

    Returns:
        A sentence, whether there is doubt, and the numbers, ready for JSON.

    Raises:
        OptionError: the lens gives no map over a picture.
        StriateError: what lens or checks have to say.
    """
    kept = house.results.find(identity(house, ask)) or look(house, ask, network)
    heatmap = kept.result
    if not isinstance(heatmap, Heatmap):
        raise OptionError(f"{kept.result.recipe.lens} gives no map over a picture, so there is nothing to check.")
    info = registry.describe(ask.lens)
    images = house.looked_at(ask.ids, network)
    options = options_of(house, info, ask, network)
    maps, target = {info.name: heatmap}, list(heatmap.target)
    curves = trust.curves(network, images, maps, steps=STEPS)
    judged = trust.Explainer(info.name, registry.function(info.name), options)
    forgot = trust.randomisation(network, images, judged, target, stages=1, share=TOP, heatmaps=maps)
    return {
        "sentence": f"{curves.sentence(info.name, 0)} {forgot.sentence(info.name)}",
        "doubt": not forgot.depends(info.name),
        "numbers": {
            "deletion": float(curves.deletion_areas[0, 0]),
            "insertion": float(curves.insertion_areas[0, 0]),
            "similarity": forgot.left(info.name),
        },
    }
