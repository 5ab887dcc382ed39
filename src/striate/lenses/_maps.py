"""What the lenses share that weigh a layer's maps: the choice of the layer, and the way onto the picture. No lens."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from striate.errors import NetworkError
from striate.graph import Layer
from striate.network import Network
from striate.results import place, stretch

__all__ = ["Placement", "Variant", "chosen_map", "laid", "placement_notes", "weighed"]

Placement = Literal["centres", "stretch"]
Variant = Literal["grad-cam", "grad-cam++", "layer-cam", "hires-cam"]


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


def weighed(maps: Tensor, slopes: Tensor, variant: Variant) -> Tensor:
    """Sum maps (N, C, h, w), weighed by their gradient, over the channels: (N, h, w). Sources: those of `grad_cam`."""
    if variant == "hires-cam":
        return (slopes * maps).sum(1)
    if variant == "layer-cam":
        return (slopes.clamp(min=0) * maps).sum(1)
    if variant == "grad-cam":
        weights = slopes.mean((2, 3), keepdim=True)
        return (weights * maps).sum(1)
    # the score's exponential, of which the paper takes derivatives, cancels up to a factor for each picture
    below = 2 + maps.sum((2, 3), keepdim=True) * slopes
    share = 1 / below.where(below != 0, below.new_ones(()))
    weights = (share * slopes.clamp(min=0)).sum((2, 3), keepdim=True)
    return (weights * maps).sum(1)
