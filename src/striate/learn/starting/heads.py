"""Find the layers that make the logits of a network. Reads its graph; changes nothing."""

from __future__ import annotations

from torch import nn

from striate.errors import NetworkError
from striate.network import Network

__all__ = ["head_of"]


def head_of(network: Network) -> tuple[str, ...]:
    """Return the names of the layers whose outputs become the logits.

    The last layer with weights on every way to the logits: a dense layer, or a convolution whose map is averaged.
    What stands behind it and has no weights (pooling, softmax, a rectifier, a factor) is passed over.

    Raises:
        NetworkError: the last thing with weights is no such layer.
    """
    graph = network.graph()
    parts = dict(network.module.named_modules())
    found: list[str] = []
    todo, seen = list(graph.ends), set()
    while todo:
        index = todo.pop(0)
        if index < 0 or index in seen:
            continue
        seen.add(index)
        row = graph.rows[index]
        name = row.address.partition("~")[0]
        part = parts.get(name)
        if not row.functional and isinstance(part, nn.Linear | nn.Conv2d):
            if _units(part) == graph.classes:
                found.append(name)
                continue
            raise NetworkError(
                f"the last layer of {network.name} with weights, {name}, gives {_units(part)} numbers, not one for "
                f"each of its {graph.classes} classes."
            )
        if row.parameters:
            raise NetworkError(
                f"the last layer of {network.name} with weights, {name or 'an operation of its own'} ({row.kind}), is "
                "neither dense nor a convolution, so it is not known how to make it for other classes. Build the "
                "network for as many classes as there are."
            )
        todo.extend(row.inputs)
    if not found:
        raise NetworkError(f"no layer of {network.name} is found that makes its logits.")
    return tuple(dict.fromkeys(found))


def _units(part: nn.Linear | nn.Conv2d) -> int:
    return part.out_features if isinstance(part, nn.Linear) else part.out_channels
