"""Which layers of a network are meant: by their addresses, and by words for several together. Runs nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from torch import nn

from striate.errors import AddressError, NetworkError
from striate.graph import Graph, Layer
from striate.network import Network

__all__ = ["WORDS", "choose_layers", "is_measurable", "is_word"]

_RECTIFIER = re.compile(r"\w*ReLU6?|Hardtanh")


def _convolutions(network: Network, graph: Graph) -> list[Layer]:
    return [layer for layer in graph.layers if _is_convolution(network.module.get_submodule(layer.name), layer.kind)]


def _is_convolution(module: nn.Module, kind: str) -> bool:
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d):
        return True
    return "Conv" in kind and next(module.children(), None) is None


def _rectifiers(_network: Network, graph: Graph) -> list[Layer]:
    return [layer for layer in graph.layers if _RECTIFIER.fullmatch(layer.kind)]


def _stages(_network: Network, graph: Graph) -> list[Layer]:
    return graph.stages()


def _all(_network: Network, graph: Graph) -> list[Layer]:
    return [layer for layer in graph.layers if is_measurable(layer)]


WORDS: dict[str, Callable[[Network, Graph], list[Layer]]] = {
    "convolutions": _convolutions,
    "rectifiers": _rectifiers,
    "stages": _stages,
    "all": _all,
}
"""What several layers together can be called."""


def is_word(network: Network, text: str) -> bool:
    """Tell whether a text is a word for several layers; a layer of that very name comes first."""
    return text in WORDS and text not in network.graph().names


def is_measurable(layer: Layer) -> bool:
    """Tell whether a layer gives a map (N, C, h, w) or a vector (N, C) for each picture."""
    return layer.shape[0] == 1 and (layer.spatial is not None or len(layer.shape) == 2)


def choose_layers(network: Network, layers: str | Sequence[str] | None) -> list[Layer]:
    """Return the layers that are asked for, in the order of the network, each once.

    Args:
        network: that has them.
        layers: addresses ("name" is the last call of a module that is called several times, "name~k" the k-th) and
            words: "convolutions", "rectifiers", "stages" (the last layer at each resolution), "all". None for all
            convolutions.

    Raises:
        AddressError: no such layer.
        NetworkError: a layer gives neither a map nor a vector, or a word means no layer of this network.
    """
    graph = network.graph()
    asked = ["convolutions"] if layers is None else [layers] if isinstance(layers, str) else list(layers)
    if not asked:
        raise AddressError("no layers were named. Leave them out for all convolutions.")
    chosen: set[str] = set()
    for text in asked:
        if is_word(network, text):
            found = [layer for layer in WORDS[text](network, graph) if is_measurable(layer) and _sees(graph, layer)]
            if not found:
                there = ", ".join(graph.names[:6]) + (", ..." if len(graph.names) > 6 else "")
                raise NetworkError(f"{network.name} has no {text} among its modules. Name layers of it: {there}.")
        else:
            layer = graph.layer(text)
            if not is_measurable(layer):
                raise NetworkError(
                    f"layer {text!r} gives {' x '.join(map(str, layer.shape))} for one picture, neither a feature map "
                    "(1 x C x H x W) nor a vector (1 x C), so its units have no value. Leave it out."
                )
            found = [layer]
        chosen.update(layer.address for layer in found)
    return [layer for layer in graph.layers if layer.address in chosen]


def _sees(graph: Graph, layer: Layer) -> bool:
    """Tell whether a layer gives something for each picture; else it has no step, as one that encodes positions."""
    return layer.row is not None or all(other.row is None for other in graph.layers)  # no steps are known at all
