"""What the lenses share that weigh a layer's maps: the choice of the layer, and the way onto the picture. No lens."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from striate.errors import NetworkError
from striate.graph import Layer
from striate.network import Network
from striate.results import place, stretch

__all__ = ["Placement", "chosen_map", "laid", "placement_notes"]

Placement = Literal["centres", "stretch"]


def chosen_map(network: Network, images: Tensor, layer: str | None, method: str) -> Layer:
    """Return the layer whose maps are weighed: the last one before the classifier unless one is named.

    Args:
        network: that is asked.
        images: (N, C, H, W); only their size counts.
        layer: its address, or None.
        method: what needs a map, for the error.

    Raises:
        AddressError: no such layer.
        NetworkError: it has no map.
    """
    graph = network.graph(*images.shape[2:])
    chosen = graph.last_map() if layer is None else graph.layer(layer)
    if chosen.map_size is None:
        shape = " x ".join(map(str, chosen.shape))
        raise NetworkError(
            f"layer {chosen.address!r} gives {shape}, no map, which {method} needs. "
            f"The last that has one is {graph.last_map().address!r}."
        )
    return chosen


def laid(maps: Tensor, layer: Layer, placement: Placement) -> Tensor:
    """Enlarge maps (N, h, w) of a layer to the picture's size: at the centres of its fields, or edge to edge."""
    return place(maps, layer.field) if placement == "centres" else stretch(maps, layer.field.picture)


def placement_notes(layer: Layer, placement: Placement) -> tuple[str, ...]:
    """Say so where a map could not be laid where its units look."""
    if placement == "centres" and layer.field.status == "unknown":
        return (f"The receptive field of {layer.address} is unknown, so its map is stretched from edge to edge.",)
    return ()
