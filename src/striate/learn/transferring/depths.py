"""At which depths a network is read for other pictures: a few layers from early to deep, and what its head reads."""

from __future__ import annotations

from collections.abc import Sequence

from striate.atlas.choosing import choose_features
from striate.choosing import choose_layers, is_measurable
from striate.errors import NetworkError
from striate.graph import Graph
from striate.learn.transferring.own_head import head_place
from striate.nets.joined import INSIDE, Joined
from striate.network import Network

__all__ = ["DEPTHS", "choose_depths"]

DEPTHS = 4


def choose_depths(network: Network, layers: str | Sequence[str] | None = None) -> tuple[str, ...]:
    """Return layers from early to deep, the last of which a classifier reads by itself.

    Unless they are named these are the last layers at each resolution, the deepest four, whose receptive fields grow
    from one to the next by twice and more; and what the network's own classifier reads, where that is more than the
    mean of the last map. Of a network that was transferred before the deepest is the deepest that its head reads, and
    the head itself is passed over: another takes its place.

    Args:
        network: that is read.
        layers: addresses and words, as for `striate.atlas.features`; of them the deepest stands for "one layer".

    Raises:
        AddressError: no such layer.
        NetworkError: no layer gives a map or a vector.
    """
    if layers is not None:
        return tuple(layer.address for layer in choose_layers(network, layers))
    graph = network.graph()
    if isinstance(network.module, Joined):
        return _of_backbone(graph, network.module)
    order = {layer.address: place for place, layer in enumerate(graph.layers)}
    own = head_place(network)
    deep = [layer.address for layer in choose_features(network, None)]
    if not deep:
        raise NetworkError(
            f"no layer of {network.name} gives a map or a vector for each picture, so there are no features. Name "
            "layers that do (layers=, --layer)."
        )
    last = deep[-1] if own is None else own
    maps = [layer.address for layer in graph.stages() if is_measurable(layer)]
    if len(deep) == 1:  # what the head reads is the mean of that map
        maps = [address for address in maps if address != deep[0]][-(DEPTHS - 1) :]
    found = {*maps[-DEPTHS:], last}
    return tuple(sorted((one for one in found if order[one] <= order[last]), key=order.__getitem__))


def _of_backbone(graph: Graph, module: Joined) -> tuple[str, ...]:
    """Return layers of a backbone, up to the deepest that its head reads."""
    read = {(f"{INSIDE}{place.layer}", place.call) for place in module.places}
    place = max(place for place, layer in enumerate(graph.layers) if (layer.name, layer.call) in read)
    before, last = {layer.address for layer in graph.layers[:place]}, graph.layers[place]
    maps = [layer for layer in graph.stages() if is_measurable(layer) and layer.address in before]
    if maps and (last.spatial is None or last.keeps) and last.channels == maps[-1].channels:
        del maps[-1]  # the last is the same, pooled
    return (*(layer.address for layer in maps[-(DEPTHS - 1) :]), last.address)
