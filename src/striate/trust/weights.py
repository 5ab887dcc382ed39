"""Copies of a network whose layers forget what they have learned, from the top down; the network itself stays.

A layer that forgets draws its weights anew (He's normal distribution, no bias) and is then scaled so that its output
is as widely spread as the trained layer's was on the same pictures; a normalisation gets slope 1 and no shift, and
takes its statistics from these pictures. Without that, a network of fifty layers dies or saturates on the way, and
its maps would change for that reason alone. Other weights (of an activation, the scale of a branch) are shuffled.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn

from striate.errors import NetworkError
from striate.graph import Graph
from striate.network import Network
from striate.running import first_tensor, run, undisturbed

__all__ = ["forgetful", "layers_below"]


def layers_below(network: Network, images: Tensor, place: str | None) -> list[tuple[str, ...]]:
    """Return the layers with weights that are run on the way to a score, from the bottom up.

    Each is a module with a matrix or kernels, and those that follow it up to the next one (its normalisation).

    Args:
        network: that is asked.
        images: (N, C, H, W); only their shape counts.
        place: layer that holds the score; None for the classes.

    Raises:
        NetworkError: there are none.
    """
    graph = network.graph(*images.shape[2:])
    asked = graph.ends if place is None else (graph.layer(place).row,)
    # an operation stands under the module that makes it; a network that could not be traced lists its modules only
    run_in_turn = [graph.rows[index].address.partition("~")[0] for index in _before(graph, asked)] or graph.names
    turn: dict[str, int] = {}
    for index, name in enumerate(run_in_turn):
        while name not in turn:
            turn[name] = index  # of a module with parts, the turn of its first part
            name = name.rpartition(".")[0]
    held = [name for name, part in network.module.named_modules() if _weights(part) and name in turn]
    layers: list[list[str]] = []
    headed = True  # what comes before the first kernels belongs to them
    for name in sorted(held, key=turn.__getitem__):
        head = _is_head(network.module.get_submodule(name))
        if not layers or (head and headed):
            layers.append([])
            headed = False
        layers[-1].append(name)
        headed = headed or head
    if not layers:
        raise NetworkError(f"{network.name} has no weights below the target that could be randomised.")
    return [tuple(layer) for layer in layers]


def _before(graph: Graph, asked: Sequence[int | None]) -> list[int]:
    """Return the steps that those asked for depend on, they included, in order; all where that is not known."""
    todo = [index for index in asked if index is not None]
    if not todo:
        return list(range(len(graph.rows)))
    found: set[int] = set()
    while todo:
        index = todo.pop()
        if index >= 0 and index not in found:  # -1 is the picture itself
            found.add(index)
            todo += graph.rows[index].inputs
    return sorted(found)


def forgetful(
    network: Network, images: Tensor, layers: Sequence[tuple[str, ...]], counts: Sequence[int], seed: int
) -> Iterator[Network]:
    """Yield one copy of a network again and again, while more and more of its layers forget.

    Args:
        network: left as it is.
        images: (N, C, H, W): what the copy is scaled on; the first few are used.
        layers: from the bottom up, as `layers_below` gives them.
        counts: how many at the top have forgotten at each stage, growing.
        seed: of the weights drawn.

    Yields:
        The same copy each time: use it before asking for the next.

    Raises:
        NetworkError: the network cannot be copied, or the copy cannot be run.
    """
    images = images[: network.piece()]
    twin = _copied(network)
    generator = torch.Generator().manual_seed(seed)
    spreads = _spreads(twin, images, [name for layer in layers for name in layer])
    forgotten: list[str] = []
    done = 0
    for count in counts:
        for layer in layers[len(layers) - count : len(layers) - done][::-1]:
            for name in layer:
                _forget(twin.module.get_submodule(name), generator)
                forgotten.append(name)
        done = count
        _settle(twin, images, forgotten, spreads)
        yield twin


def _copied(network: Network) -> Network:
    """Copy a network, its weights included, in evaluation mode and without gradients of weights."""
    twin = copy.copy(network)  # what is known of its structure holds for the copy as well
    try:
        with undisturbed(network.module):  # nobody else's hooks are copied with it
            twin.module = copy.deepcopy(network.module)
    except Exception as error:
        raise NetworkError(
            f"{network.name} cannot be copied ({type(error).__name__}: {error}), so its weights cannot be randomised: "
            "the network itself is never changed."
        ) from error
    return twin


def _forget(part: nn.Module, generator: torch.Generator) -> None:
    """Give the weights of one module new values, in place."""
    norm = _is_norm(part)
    with torch.no_grad():
        for name, weight in _weights(part).items():
            if norm:
                weight.fill_(0 if "bias" in name else 1)
            elif weight.dim() > 1:
                drawn = torch.randn(weight.shape, generator=generator, device="cpu")
                weight.copy_(drawn * (2 / max(weight[0].numel(), 1)) ** 0.5)
            elif _is_head(part):
                weight.zero_()  # a bias
            else:
                weight.copy_(weight[torch.randperm(len(weight), generator=generator).to(weight.device)])


def _spreads(twin: Network, images: Tensor, names: Sequence[str]) -> dict[str, float]:
    """Return the standard deviation of each layer's output, at its first call."""
    found: dict[str, float] = {}

    def watch(name: str) -> Callable[[nn.Module, object, object], None]:
        def keep(_module: nn.Module, _inputs: object, output: object) -> None:
            tensor = first_tensor(output)
            if tensor is not None and name not in found:
                found[name] = float(tensor.float().std())

        return keep

    with ExitStack() as stack:
        for name in names:
            stack.callback(twin.module.get_submodule(name).register_forward_hook(watch(name)).remove)
        _run(twin, images)
    return found


def _settle(twin: Network, images: Tensor, names: Sequence[str], spreads: dict[str, float]) -> None:
    """Scale what has forgotten to the spread it had, and measure its normalisations, all in one pass."""
    settled: set[str] = set()  # a module that is called again keeps what its first call gave it

    def scale(name: str) -> Callable[..., object]:
        def act(module: nn.Module, inputs: tuple[Tensor, ...], output: object) -> object:
            tensor = first_tensor(output)
            if name in settled or tensor is None:
                return None
            settled.add(name)
            spread = float(tensor.float().std())
            if not (spread > 0 and spreads.get(name, 0) > 0):
                return None
            for weight in _weights(module).values():
                if weight.dim() > 1:
                    weight.mul_(spreads[name] / spread)
            return module.forward(*inputs)  # again, past the hooks

        return act

    def measure(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def act(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            values = inputs[0].float().transpose(0, 1).flatten(1)  # (C, everything else)
            mean, variance = getattr(module, "running_mean", None), getattr(module, "running_var", None)
            if name in settled or values.shape[1] < 2 or mean is None or variance is None:
                return
            settled.add(name)
            mean.copy_(values.mean(1))
            variance.copy_(values.var(1))

        return act

    with ExitStack() as stack:
        for name in names:
            part = twin.module.get_submodule(name)
            if _is_norm(part):
                stack.callback(part.register_forward_pre_hook(measure(name)).remove)
            elif type(part) is nn.Linear or isinstance(part, nn.modules.conv._ConvNd):
                stack.callback(part.register_forward_hook(scale(name)).remove)
        _run(twin, images)


def _run(twin: Network, images: Tensor) -> None:
    with torch.inference_mode(False), torch.no_grad():
        run(twin.module, images)


def _weights(part: nn.Module) -> dict[str, Tensor]:
    """Return what a module itself has learned, by name; a frozen normalisation keeps it in buffers."""
    found: dict[str, Tensor | None] = dict(part._parameters)
    if _is_norm(part):
        found |= {name: part._buffers.get(name) for name in ("weight", "bias") if name in part._buffers}
    return {
        name: weight
        for name, weight in found.items()
        if weight is not None and weight.is_floating_point() and weight.dim()
    }


def _is_norm(part: nn.Module) -> bool:
    return hasattr(part, "running_mean") or "norm" in type(part).__name__.lower()


def _is_head(part: nn.Module) -> bool:
    """Tell whether a layer begins with this module: it mixes its inputs."""
    return not _is_norm(part) and any(weight.dim() > 1 for weight in _weights(part).values())
