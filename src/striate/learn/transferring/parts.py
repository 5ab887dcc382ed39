"""The layers of a network in the order in which they run, and where it can be cut between two. Looks only."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import nn
from torch.func import functional_call

from striate.errors import NetworkError
from striate.graph import Graph
from striate.learn.freezing import lies_in
from striate.network import Network
from striate.running import undisturbed

__all__ = ["Leaf", "cut", "leaves_of", "named"]

_NESTING = 0.05  # what a cut through a container costs: as if it lay beside its place by this share of all layers


@dataclass(frozen=True)
class Leaf:
    """The least that is frozen or learns as one.

    Attributes:
        name: of a module without parts, or of a weight that a module with parts holds itself.
        start: place in the order of execution.
        row: its first row in the graph; None where it has none.
        weights: numbers in it that the logits depend on.
        unused: it has weights, and the logits depend on none of them.
        is_layer: it holds a kernel or a matrix, as a normalisation does not.
        drops: it is dropout.
    """

    name: str
    start: int
    row: int | None
    weights: int
    unused: bool
    is_layer: bool
    drops: bool

    @property
    def holder(self) -> str:
        """Name of the module that it lies in."""
        return self.name.rpartition(".")[0]


def leaves_of(network: Network) -> tuple[Leaf, ...]:
    """Return the leaves of a network in the order in which they first run.

    What is never called by itself (a matrix that the module around it multiplies with) stands where the module around
    it does.

    Raises:
        NetworkError: no gradient leads from the logits to any weight.
    """
    graph = network.graph()
    used = _used(network)
    places: dict[str, int] = {}
    for place, layer in enumerate(graph.layers):
        places.setdefault(layer.name, place)
    rows: dict[str, int] = {}
    for index, row in enumerate(graph.rows):
        rows.setdefault(row.address.partition("~")[0], index)
    found: list[Leaf] = []
    before = 0
    for name, holder, part in _modules_and_weights(network.module, "", set()):
        weights = {name: part} if isinstance(part, nn.Parameter) else dict(part.named_parameters(prefix=name))
        inside = [place for other, place in places.items() if other != holder and lies_in(other, holder)]
        start = places.get(name, min(inside, default=before) if name != holder else before)
        if name not in places and not inside and holder in places:
            start = places[holder]
        before = start
        own = [place for other, place in rows.items() if lies_in(other, name)]
        counted = sum(weight.numel() for key, weight in weights.items() if key in used)
        found.append(
            Leaf(
                name,
                start,
                min(own, default=None),
                counted,
                bool(weights) and not counted,
                any(sum(side > 1 for side in weight.shape) > 1 for weight in weights.values()),
                isinstance(part, nn.modules.dropout._DropoutNd),
            )
        )
    return tuple(sorted(found, key=lambda leaf: leaf.start))  # of equals the one that is defined first


def _modules_and_weights(
    module: nn.Module, name: str, seen: set[nn.Module]
) -> Iterator[tuple[str, str, nn.Module | nn.Parameter]]:
    """Yield name, name of what is called, and the thing, for each leaf in the order of definition."""
    seen.add(module)
    children = list(module.named_children())
    own = list(module.named_parameters(recurse=False))
    stateful = any(_has_state(child) for _, child in children)
    if not children or (not stateful and (own or next(module.buffers(recurse=False), None) is not None)):
        yield name, name, module  # a normalisation with its rectifier in it is one thing
        return
    for key, weight in own:
        yield _joined(name, key), name, weight
    for key, child in children:
        if child not in seen:
            yield from _modules_and_weights(child, _joined(name, key), seen)


def _has_state(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None or next(module.buffers(), None) is not None


def _joined(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key


def _used(network: Network) -> set[str]:
    """Name the weights that the logits depend on, by a gradient for one picture; the module itself gets none."""
    module, spec = network.module, network.spec
    image = torch.rand((1, spec.channels, spec.height, spec.width), generator=torch.Generator().manual_seed(0))
    with undisturbed(module), torch.enable_grad():
        weights = {
            name: (weight.clone() if weight.is_inference() else weight.detach()).requires_grad_()
            for name, weight in module.named_parameters()
            if weight.is_floating_point()
        }
        output = functional_call(module, weights, (network.batch(spec.normalise(image)),))
        logits = network.logits(output)
        if not weights or not logits.requires_grad:
            raise NetworkError(
                f"no gradient leads from the logits of {network.name} to its weights (a forest and the like have "
                "none), so that it cannot be fine-tuned. Give it a head that can: linear or dense."
            )
        gradients = torch.autograd.grad(logits.sum(), list(weights.values()), allow_unused=True)
    return {name for name, gradient in zip(weights, gradients, strict=True) if gradient is not None}


def cut(body: Sequence[Leaf], graph: Graph, count: int) -> list[list[Leaf]]:
    """Cut leaves into parts of about equally many layers, from the first to the last.

    A cut lies before a layer, where all that comes later depends on a single result of what came before: never inside
    a block that is bridged. Of the places near to where it should lie, that at the end of a large module is taken; of
    two alike the later one, behind which fewer layers learn.

    Args:
        body: in the order of execution.
        graph: of the network, for what depends on what.
        count: parts; there are fewer where there are not as many places.
    """
    counted = [leaf.is_layer and leaf.weights > 0 for leaf in body]
    if not any(counted):
        counted = [leaf.weights > 0 for leaf in body]
    before = [0, *accumulate(counted)]  # layers before each place
    total = before[-1]
    price: dict[int, float] = {}  # of a cut, by place
    for place in range(1, len(body)):
        if 0 < before[place] < total and _begins(body, place) and _is_waist(graph, body, place):
            price[place] = _NESTING * total * _nesting(body[place - 1].name, body[place].name)
    chosen: list[int] = []
    for number in range(1, count):
        wanted = total * number / count
        free = [place for place in price if all(before[place] != before[other] for other in chosen)]
        if free:
            chosen.append(min(free, key=lambda place: (abs(before[place] - wanted) + price[place], -place)))
    return [list(body[first:last]) for first, last in pairwise([0, *sorted(chosen), len(body)])]


def _begins(body: Sequence[Leaf], place: int) -> bool:
    """Tell whether a layer begins there, or a module with a layer in it: not the normalisation of the layer before."""
    leaf, module = body[place], _beginning(body, place)
    if leaf.is_layer:
        return True
    return module != leaf.name and any(one.is_layer for one in body[place:] if lies_in(one.name, module))


def _beginning(body: Sequence[Leaf], place: int) -> str:
    """Name the largest module that begins there, or the leaf itself."""
    before, leaf = body[place - 1], body[place]
    return ".".join(leaf.name.split(".")[: _nesting(before.name, leaf.name) + 1])


def _nesting(first: str, second: str) -> int:
    """Return in how many containers two leaves lie both."""
    shared = 0
    for one, other in zip(first.split(".")[:-1], second.split(".")[:-1], strict=False):
        if one != other:
            break
        shared += 1
    return shared


def _is_waist(graph: Graph, body: Sequence[Leaf], place: int) -> bool:
    """Tell whether all that comes later depends on one row of what came before."""
    module = _beginning(body, place)  # what it does before its first layer counts too
    later = [index for index, row in enumerate(graph.rows) if lies_in(row.address.partition("~")[0], module)]
    later += [leaf.row for leaf in body[place:] if leaf.row is not None]
    if not later or not graph.ends:  # nothing is known of what depends on what
        return True
    first = min(later)
    sources = {source for row in graph.rows[first:] for source in row.inputs if source < first}
    return len(sources) <= 1


def named(chosen: Collection[Leaf], leaves: Sequence[Leaf]) -> tuple[str, ...]:
    """Name leaves as shortly as can be: a container of which all are chosen stands for them.

    Args:
        chosen: some of `leaves`.
        leaves: all that count.
    """
    wanted = {leaf.name for leaf in chosen}
    missing = {around for leaf in leaves if leaf.name not in wanted for around in _containers(leaf.name)}
    short = {
        next(one for one in _containers(leaf.name) if one not in missing): None
        for leaf in leaves
        if leaf.name in wanted
    }
    return tuple(short)


def _containers(name: str) -> list[str]:
    """Return what a leaf lies in, from the outermost inwards, and the leaf itself."""
    words = name.split(".")
    return [".".join(words[:length]) for length in range(1, len(words) + 1)]
