"""Whose features an atlas keeps for every picture. Runs nothing."""

from __future__ import annotations

from collections.abc import Sequence

from striate.choosing import choose_layers, is_measurable
from striate.graph import Graph, Layer, keeps
from striate.network import Network

__all__ = ["choose_features"]


def choose_features(network: Network, features: str | Sequence[str] | None) -> list[Layer]:
    """Return the layers whose features are kept for every picture, in the order of the network.

    Args:
        network: that has them.
        features: addresses; None for the last map and, where that is more than its mean, what the last layer reads.
            An empty list for none.

    Raises:
        AddressError: no such layer.
        NetworkError: a layer gives neither a map nor a vector.
    """
    graph = network.graph()
    if features is not None:
        named = [features] if isinstance(features, str) else list(features)
        return choose_layers(network, named) if named else []
    found = []
    if any(is_measurable(layer) for layer in graph.maps()):
        found.append(graph.last_map())
    last = _before_classifier(graph)
    if last is not None and not any(_is_pooled(graph, last, one) for one in found):
        found.append(last)
    order = {layer.address: index for index, layer in enumerate(graph.layers)}
    return sorted(found, key=lambda layer: order[layer.address])


def _is_pooled(graph: Graph, vector: Layer, from_map: Layer) -> bool:
    """Tell whether a vector is a map pooled, and nothing else."""
    row = vector.row
    while row is not None and row >= 0 and row != from_map.row:
        step = graph.rows[row]
        row = step.inputs[0] if len(step.inputs) == 1 and keeps(step.kind) else None
    return vector.channels == from_map.channels and row is not None and row == from_map.row


def _before_classifier(graph: Graph) -> Layer | None:
    """Return the layer whose vector the last linear layer reads, passing over dropout and functions (ReLU, say)."""
    if len(graph.ends) != 1 or graph.rows[graph.ends[0]].kind != "Linear":
        return None
    row = graph.rows[graph.ends[0]].inputs[0] if graph.rows[graph.ends[0]].inputs else -1
    vectors = {layer.row: layer for layer in graph.layers if layer.row is not None and len(layer.shape) == 2}
    while row >= 0:
        found = vectors.get(row)
        if found is not None and not found.keeps:
            return found
        inputs = graph.rows[row].inputs
        if len(inputs) != 1 or len(graph.rows[row].shape) != 2:
            return found
        row = inputs[0]
    return None
