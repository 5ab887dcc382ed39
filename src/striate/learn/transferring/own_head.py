"""A linear head put into the network itself, so that fine-tuning goes on from it; and what that head reads.

Trains nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from striate.errors import NetworkError
from striate.learn.starting.heads import head_of
from striate.learn.starting.naming import LIBRARIES
from striate.learn.starting.start import start
from striate.nets.heads import Head
from striate.nets.joined import joined
from striate.nets.wrapped import is_ours
from striate.network import Network
from striate.running import run, undisturbed
from striate.tap import activations
from striate.zoo import BUILT_IN

__all__ = ["head_place", "with_head"]

_NEAR = 1e-4  # of the largest number: means of maps are added up in another order
_PASSING = re.compile(r"\w*Dropout\w*|Identity|Flatten")


def head_place(network: Network) -> str | None:
    """Return the layer whose averaged maps (or vector) the network's own head reads.

    It is found by looking: the deepest layer that gives, averaged, what comes in at the head.

    Returns:
        Its address; None where the head reads something else (maps that are flattened, several layers), or there are
        several heads.

    Raises:
        NetworkError: the network cannot be run.
    """
    try:
        names = head_of(network)
    except NetworkError:
        return None
    part = network.module.get_submodule(names[0])
    if len(names) > 1 or not _is_linear(part):
        return None
    image = _probe(network)
    read = _averaged(_read(network, part, image))
    graph = network.graph()
    layers = [
        layer
        for layer in graph.layers
        if layer.channels == read.shape[1] and layer.shape[0] == 1 and (layer.spatial or len(layer.shape) == 2)
    ]
    outputs = activations(network, image, [layer.address for layer in layers]).outputs if layers else {}
    largest = float(read.abs().max())
    alike = [
        layer for layer in layers if float((_averaged(outputs[layer.address]) - read).abs().max()) <= _NEAR * largest
    ]
    telling = [layer for layer in alike if not _PASSING.fullmatch(layer.kind)]
    found = telling or alike
    return found[-1].address if found and largest > 0 else None


def with_head(network: Network, head: Head, class_names: Sequence[str] | None = None) -> Network:
    """Put a linear head that was fitted on what the network's own head reads (`head_place`) in its place.

    The network stays as it is. The new one is the same architecture for other classes, with the same layers, so that
    every one of them can be fine-tuned, and it is made again by name. Where it is not known how the network is made
    for other classes, or something non-linear stands behind its head, the head is joined to it from outside
    (`nets.joined`), which gives the same logits.

    Args:
        network: on whose features the head was fitted.
        head: of kind "linear".
        class_names: names of its classes.

    Raises:
        NetworkError: the head is not linear, or not for these features.
    """
    if head.kind != "linear":
        raise NetworkError(
            f"a {head.kind} head cannot stand where the last layer of {network.name} does: that is linear. Join it "
            "from outside (striate.nets.joined)."
        )
    place = head_place(network)
    if place is None:
        raise NetworkError(
            f"the last layer of {network.name} does not read a vector or averaged maps of one layer, so a head on "
            "features cannot take its place. Join it from outside (striate.nets.joined)."
        )
    outside = joined(network, [place], head, class_names)  # says what does not fit
    made = _for_classes(network, head.classes, class_names)
    if made is None or not _put(made, head):
        return outside
    image = _probe(network)
    wanted, got = outside(image), made(image)
    if float((wanted - got).abs().max()) > _NEAR * float(wanted.abs().max()):
        return outside
    return made


def _is_linear(part: nn.Module) -> bool:
    """Tell whether averaging before a layer is as good as averaging after it."""
    if isinstance(part, nn.Conv2d):
        return set(part.kernel_size) == set(part.stride) == {1} and part.groups == 1 and not any(map(int, part.padding))
    return isinstance(part, nn.Linear)


def _probe(network: Network) -> Tensor:
    """Return one picture of noise, as the network takes it."""
    spec = network.spec
    image = torch.rand((1, spec.channels, *spec.size), generator=torch.Generator().manual_seed(0))
    return network.batch(spec.normalise(image))


def _read(network: Network, part: nn.Module, image: Tensor) -> Tensor:
    """Return what comes in at a layer."""
    found: list[Tensor] = []
    handle = part.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0].clone()))
    try:
        with undisturbed(network.module), torch.no_grad():
            run(network.module, image)
    finally:
        handle.remove()
    return found[-1]


def _averaged(output: Tensor) -> Tensor:
    return output.mean((2, 3)) if output.dim() == 4 else output


def _for_classes(network: Network, classes: int, class_names: Sequence[str] | None) -> Network | None:
    """Build the same architecture for other classes, with all weights but its head's; None where that is not known."""
    made_as = network.factory or getattr(network.module, "made_as", None)
    if not isinstance(made_as, str):
        return None
    if not (is_ours(made_as) or made_as in BUILT_IN or made_as.partition(":")[0] in LIBRARIES):
        return None
    spec = network.spec
    usual = spec.channels == 3 and not is_ours(made_as)
    plain = made_as if is_ours(made_as) else made_as.partition(",")[0]
    try:
        made = start(plain, classes=classes, channels=None if usual else spec.channels, size=spec.size)
    except NetworkError:
        return None
    own, given = made.module.state_dict(), network.module.state_dict()
    head = head_of(made)
    kept = {name: weight for name, weight in own.items() if name.rpartition(".")[0] not in head}
    if any(name not in given or given[name].shape != weight.shape for name, weight in kept.items()):
        return None
    made.module.load_state_dict({name: given[name] for name in kept}, strict=False)
    made.spec, made.name, made.notes = spec, network.name, network.notes
    made.class_names = None if class_names is None else tuple(class_names)
    made.module.to(network.device, network.dtype)
    return made


def _put(network: Network, head: Head) -> bool:
    """Write a linear head over that of a network; False where it has no room for it."""
    (name,) = head_of(network)
    part = network.module.get_submodule(name)
    state = head.state_dict()
    weight, bias = state["layer.weight"], state["layer.bias"]
    own, offset = part.weight, part.bias
    if not isinstance(own, Tensor) or own.numel() != weight.numel() or not isinstance(offset, Tensor):
        return False
    with torch.no_grad():
        own.copy_(weight.view_as(own))
        offset.copy_(bias)
    return True
