"""A network as a map for the eye: its layers in the order of data, what flows where, and stages. Reads a graph only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the shape of a network can be told without torch
    from striate.geometry import Field
    from striate.graph import Graph, Layer

__all__ = ["LayerMap", "Node", "Stage", "aliases", "layer_map"]


@dataclass(frozen=True)
class Node:
    """One step of the network that can be looked at.

    Attributes:
        address: by which it is tapped.
        kind: class of the module, or name of the operation that ends it ("add", "cat").
        shape: channels, rows and columns of its output; (channels,) where it is no map.
        units: channels; 0 where it gives neither maps nor a vector.
        field: receptive field of its units, or None.
        parameters: numbers learned in it.
        macs: multiply-adds for one picture.
        stage: place of its stage in the list of stages.
        inputs: addresses of the nodes that it reads from; "" is the picture.
    """

    address: str
    kind: str
    shape: tuple[int, ...]
    units: int
    field: Field | None
    parameters: int
    macs: int
    stage: int
    inputs: tuple[str, ...]


@dataclass(frozen=True)
class Stage:
    """Layers that work at one resolution.

    Attributes:
        name: that resolution, such as "56 x 56", or "vectors".
        first: address of its first layer.
        last: address of its last layer.
        layers: how many there are.
    """

    name: str
    first: str
    last: str
    layers: int


@dataclass(frozen=True)
class LayerMap:
    """All nodes in the order of execution, and the stages."""

    nodes: tuple[Node, ...]
    stages: tuple[Stage, ...]

    @property
    def edges(self) -> list[tuple[str, str]]:
        """From where to where data flow; "" is the picture."""
        return [(start, node.address) for node in self.nodes for start in node.inputs]


def layer_map(graph: Graph) -> LayerMap:
    """Draw up the map of a network.

    A step without an address of its own, such as an addition, has that of the smallest module that ends with it; where
    there is none, it is left out, and what reads from it reads from its inputs.

    Args:
        graph: of the network.
    """
    places = _places(graph)
    if not places:  # the structure is not known: layers in the order in which they finish
        return _laid([(layer, layer.kind, 0, 0, ()) for layer in graph.layers if "." not in layer.name])
    found: dict[int, tuple[str, ...]] = {-1: ("",)}  # addresses that stand for each row
    rows = []
    for index, row in enumerate(graph.rows):
        reads = tuple(dict.fromkeys(address for start in row.inputs for address in found[start]))
        layer = places.get(index)
        found[index] = reads if layer is None else (layer.address,)
        if layer is not None:
            rows.append((layer, row.kind, row.parameters, row.macs, reads))
    return _laid(rows)


def aliases(graph: Graph) -> dict[str, str]:
    """Return, for layers that end where a layer of the map ends, the address that the map has for both.

    A block and the last layer in it give the same values: "layer4" is "layer4.1.relu".
    """
    places = _places(graph)
    found = {}
    for layer in graph.layers:
        place = None if layer.row is None else places.get(layer.row)
        if place is not None and place.address != layer.address:
            found[layer.address] = place.address
    return found


def _places(graph: Graph) -> Mapping[int, Layer]:
    """Return the layer that each row is looked at by."""
    found: dict[int, Layer] = {}
    for layer in graph.layers:
        if layer.row is None or not layer.name:
            continue
        row = graph.rows[layer.row]
        before = found.get(layer.row)
        # the step's own module; else the smallest around it, rather than one that hands through what it is given
        if before is None or (row.functional and before.kind == "Identity"):
            found[layer.row] = layer
    return found


def _laid(rows: list[tuple[Layer, str, int, int, tuple[str, ...]]]) -> LayerMap:
    """Put the nodes into stages: one begins where a resolution comes up that there was not before."""
    nodes: list[Node] = []
    names: list[str] = []
    last_map = max((at for at, (layer, *_) in enumerate(rows) if _many(layer)), default=-1)
    for at, (layer, kind, parameters, macs, reads) in enumerate(rows):
        if at > last_map:
            name = "vectors"
        elif _many(layer):
            height, width = layer.map_size or (1, 1)
            name = f"{height} x {width}"
        else:  # a gate on the way, such as squeeze-and-excitation
            name = names[-1] if names else "vectors"
        if name not in names:
            names.append(name)
        elif name != names[-1]:  # a branch that lags behind
            name = names[-1]
        channels = layer.channels if layer.spatial is not None or len(layer.shape) == 2 else 0
        shape = (channels, *(layer.map_size or ())) if channels else layer.shape[1:]
        known = None if layer.field.status == "unknown" else layer.field
        nodes.append(Node(layer.address, kind, shape, channels, known, parameters, macs, len(names) - 1, reads))
    stages = []
    for index, name in enumerate(names):
        inside = [node.address for node in nodes if node.stage == index]
        stages.append(Stage(name, inside[0], inside[-1], len(inside)))
    return LayerMap(tuple(nodes), tuple(stages))


def _many(layer: Layer) -> bool:
    size = layer.map_size
    return size is not None and size[0] * size[1] > 1
