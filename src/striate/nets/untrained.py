"""A copy of a network that has learned nothing: the same layers, random weights. The network itself stays."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from striate.errors import NetworkError
from striate.nets.initial import Initial, initialise
from striate.network import Network
from striate.running import run, undisturbed

__all__ = ["NOTHING", "learned_nothing", "untrained"]

NOTHING = "has learned nothing yet"
"""Words in the notes of a network that was just built."""

_BUFFERS = {"running_mean": 0.0, "running_var": 1.0, "weight": 1.0, "bias": 0.0}
"""What a normalisation that has seen nothing keeps; one that is frozen keeps its slope and shift so as well."""


def learned_nothing(network: Network) -> bool:
    """Tell whether a network is known to be as it was built: its notes say so, or its batch norms have seen nothing.

    Of others it cannot be told: weights that were learned look much like those that were drawn.
    """
    if any(NOTHING in note for note in network.notes):
        return True
    norms = [part for part in network.module.modules() if isinstance(part._buffers.get("running_mean"), Tensor)]
    return bool(norms) and all(
        torch.equal(held, torch.full_like(held, _BUFFERS[name]))
        for norm in norms
        for name in ("running_mean", "running_var")
        if isinstance(held := norm._buffers.get(name), Tensor)
    )


def untrained(
    network: Network, *, initial: Initial = "he-normal", seed: int = 0, images: Tensor | None = None
) -> Network:
    """Copy a network and draw all of its weights anew.

    Args:
        network: any whose layers are known to `striate.nets.initialise`, or draw their weights by themselves.
        initial: how weights are drawn.
        seed: of the weights.
        images: (N, C, H, W), normalised: pictures over which batch norms measure their statistics. Without any they
            have those of a new network, mean 0 and variance 1, which is to say that they do nothing.

    Returns:
        The copy, in evaluation mode, on the same device.

    Raises:
        NetworkError: it cannot be copied, or has weights that are not known how to draw.
    """
    made = copy.copy(network)  # what is known of its structure holds for the copy as well
    try:
        with undisturbed(network.module):  # nobody else's hooks are copied with it
            made.module = copy.deepcopy(network.module)
    except Exception as error:
        raise NetworkError(
            f"{network.name} cannot be copied ({type(error).__name__}: {error}), and the network itself is not changed."
        ) from error
    made.module.to("cpu")  # a seed gives the same weights wherever they are used
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # for layers that draw by themselves
        initialise(made.module, initial, torch.Generator().manual_seed(seed))
    norms = [part for part in made.module.modules() if isinstance(part._buffers.get("running_mean"), Tensor)]
    with torch.no_grad():
        for norm in norms:
            for name, value in _BUFFERS.items():
                if isinstance(held := norm._buffers.get(name), Tensor):
                    held.fill_(value)
    made.module.to(network.device).eval().requires_grad_(False)
    if images is not None and norms:
        _settle([norm for norm in norms if isinstance(norm, nn.modules.batchnorm._BatchNorm)], made, images)
    made.name = f"untrained {network.name}"
    made.notes = ()
    return made


def _settle(norms: list[nn.modules.batchnorm._BatchNorm], network: Network, images: Tensor) -> None:
    """Let batch norms measure pictures, all layers in one pass."""
    kept = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.train()
            norm.momentum = 1.0
        with torch.inference_mode(False), torch.no_grad():
            run(network.module, images)
    finally:
        for norm, momentum in zip(norms, kept, strict=True):
            norm.momentum = momentum
        network.module.eval()
