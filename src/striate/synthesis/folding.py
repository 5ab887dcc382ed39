"""A lean copy of a network to be run with frozen weights: batch norms taken into the convolutions before them.

In evaluation mode a batch norm multiplies and shifts each channel; with frozen weights the convolution before it can do
both. The copy shares all other weights with the network, which is not touched: other threads go on as if nothing were.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from striate.address import parse
from striate.errors import NetworkError
from striate.folding import absorbed
from striate.graph import Graph
from striate.network import Network
from striate.running import undisturbed
from striate.tap import activations

__all__ = ["folded"]

ALIKE = 1e-3  # of a layer's largest value: what folding may change in float32, which is rounding
_TRIED = 2  # pictures of noise that a copy is tried on


def folded(
    network: Network, size: tuple[int, int], places: Sequence[str | None], *, kind: torch.dtype | None = None
) -> Network:
    """Return a copy whose norms are folded into its convolutions, or the network itself where that is not possible.

    A copy is taken only where it gives what the network gives, tried on noise. It stays in evaluation mode, wants no
    gradient of weights, and knows nothing of later changes to the network.

    Args:
        network: left as it is.
        size: height and width of the pictures that will be run.
        places: whose outputs will be asked for; a convolution among them keeps its norm. None stands for the logits.
        kind: number type of the convolutions' weights, as autocast would make them in every run; the network's own
            unless given.
    """
    graph = network.graph(*size)
    pairs = _pairs(network.module, graph, [place for place in places if place is not None])
    twin = _copied(network) if pairs else None
    if twin is None:
        return network
    convolutions = [_fold(twin.module, *pair) for pair in pairs]
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand((1 if network.one_by_one else _TRIED, *graph.picture), generator=generator)
    images = network.batch(network.spec.normalise(noise))
    if not _same(network, twin, images, places):
        return network
    if kind is not None:
        _convert(twin, convolutions, images, places, kind)
    return twin


def _pairs(module: nn.Module, graph: Graph, places: Sequence[str]) -> list[tuple[str, str]]:
    """Find the convolutions that alone feed a batch norm, each called once: the names of both."""
    modules = dict(module.named_modules())
    asked = {parse(place).layer for place in places}
    readers = Counter(index for row in graph.rows for index in row.inputs)
    calls = Counter(row.address.partition("~")[0] for row in graph.rows if not row.functional)
    pairs = []
    for row in graph.rows:
        if row.functional or len(row.inputs) != 1 or row.inputs[0] < 0 or readers[row.inputs[0]] != 1:
            continue
        before = graph.rows[row.inputs[0]]
        norm, convolution = modules.get(row.address), modules.get(before.address)
        # of exactly these classes: what is derived from them may do something else
        if type(norm) is not nn.BatchNorm2d or type(convolution) is not nn.Conv2d or before.functional:
            continue
        alone = calls[row.address] == calls[before.address] == 1 and before.address not in asked
        if alone and row.inputs[0] not in graph.ends and _plain(norm) and _plain(convolution):
            assert isinstance(norm, nn.BatchNorm2d)
            if norm.running_mean is not None and norm.running_var is not None:
                pairs.append((before.address, row.address))
    return pairs


def _plain(module: nn.Module) -> bool:
    """Tell whether nothing but its forward method runs when a module is called."""
    hooks = (module._forward_hooks, module._forward_pre_hooks)
    return not any(hooks) and "forward" not in module.__dict__ and getattr(module, "_compiled_call_impl", None) is None


def _copied(network: Network) -> Network | None:
    """Copy a network but for its weights, which both hold; None where it cannot be copied."""
    with undisturbed(network.module):  # in evaluation mode, and nobody else's hooks are copied with it
        # as deepcopy is told what it has copied already
        weights = {
            id(weight): nn.Parameter(weight.detach(), requires_grad=False)
            for part in network.module.modules()
            for weight in part._parameters.values()
            if weight is not None
        }
        try:
            module = copy.deepcopy(network.module, weights)
        except Exception:  # whatever a stranger's module raises when it is copied
            return None
    twin = copy.copy(network)
    twin.module = module
    # what is known of the network holds for the copy as well; what is traced from the copy is not the network's
    twin._graphs = dict(network._graphs)
    return twin


def _fold(module: nn.Module, convolution_name: str, norm_name: str) -> nn.Conv2d:
    """Let a convolution do the work of the norm behind it, and return it."""
    convolution, norm = module.get_submodule(convolution_name), module.get_submodule(norm_name)
    assert isinstance(convolution, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    with torch.no_grad():
        weight, shift = absorbed(
            convolution.weight, convolution.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
        )
    convolution.weight, convolution.bias = (nn.Parameter(one, requires_grad=False) for one in (weight, shift))
    norm.__dict__["forward"] = _as_it_is  # still called, for whoever watches it
    norm._buffers = dict.fromkeys(norm._buffers)
    return convolution


def _as_it_is(maps: Tensor) -> Tensor:
    return maps


def _same(network: Network, twin: Network, images: Tensor, places: Sequence[str | None]) -> bool:
    """Tell whether what is asked for comes out the same, up to rounding."""
    wanted = [place for place in dict.fromkeys(places) if place is not None]
    logits = None in places
    plain = activations(network, images, wanted, logits=logits)
    try:
        lean = activations(twin, images, wanted, logits=logits)
    except NetworkError:  # parts of the copy still call those of the network
        return False
    both = [(plain.outputs[place], lean.outputs[place]) for place in wanted]
    if plain.logits is not None and lean.logits is not None:
        both.append((plain.logits, lean.logits))
    return all(bool((one - other).abs().max() <= ALIKE * one.abs().max()) for one, other in both)


def _convert(
    twin: Network, convolutions: list[nn.Conv2d], images: Tensor, places: Sequence[str | None], kind: torch.dtype
) -> None:
    """Convert the convolutions' weights once, where autocast would do it in every run, if the copy can be run so."""
    whole = [(part.weight, part.bias) for part in convolutions]
    for part, pair in zip(convolutions, whole, strict=True):
        part.weight, part.bias = (nn.Parameter(one.to(kind), requires_grad=False) for one in pair if one is not None)
    try:
        with torch.autocast(images.device.type, kind):
            activations(twin, images, [place for place in places if place is not None], logits=None in places)
    except NetworkError:  # a part of it keeps out of autocast, or is in a number type that autocast leaves alone
        for part, (weight, bias) in zip(convolutions, whole, strict=True):
            part.weight, part.bias = weight, bias
