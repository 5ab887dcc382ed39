"""Which layers stand for the depths of a network, where nobody names them. Runs no network."""

from __future__ import annotations

from striate.errors import NetworkError
from striate.graph import Graph, Layer

__all__ = ["finer", "middle", "over_depth", "pixels_a_unit"]


def over_depth(graph: Graph, count: int) -> list[Layer]:
    """Return at most `count` layers from fine to coarse: the last at each resolution, evenly chosen.

    Raises:
        NetworkError: no layer has a map.
    """
    return _evenly(_stages(graph), count)


def middle(graph: Graph) -> Layer:
    """Return a layer that sees parts of things: the last at the coarsest resolution but one.

    Raises:
        NetworkError: no layer has a map.
    """
    stages = _stages(graph)
    return stages[-2] if len(stages) > 1 else stages[-1]


def finer(graph: Graph, layer: Layer, count: int) -> list[Layer]:
    """Return at most `count` layers from fine to coarse that lie before a layer: the last at each finer resolution.

    Where there is no finer one, as before a network's first stride, it is the layer itself, or the finest with a map.

    Raises:
        NetworkError: no layer has a map.
    """
    stages = _stages(graph)
    coarse = pixels_a_unit(graph, layer)
    found = [stage for stage in stages if pixels_a_unit(graph, stage) < coarse]
    return _evenly(found or [layer if layer.map_size is not None else stages[0]], count)


def pixels_a_unit(graph: Graph, layer: Layer) -> float:
    """Return how many pixels of the picture's side one unit of a layer stands for; all of them without a map."""
    height, width = graph.picture[1:]
    rows, columns = layer.map_size or (1, 1)
    return float((height * width / (rows * columns)) ** 0.5)


def _stages(graph: Graph) -> list[Layer]:
    stages = graph.stages()
    if not stages:
        raise NetworkError("no layer of this network gives a feature map. Name the layers.")
    return stages


def _evenly(layers: list[Layer], count: int) -> list[Layer]:
    if len(layers) <= count:
        return layers
    if count == 1:
        return layers[-1:]
    places = [round(index * (len(layers) - 1) / (count - 1)) for index in range(count)]
    return [layers[place] for place in places]
