"""Show pictures to a network and ask which way is up: values and gradients of one piece. Moves nothing itself."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Literal

import torch
from torch import Tensor

from striate.errors import NetworkError, OptionError
from striate.network import Network
from striate.rectifiers import waking
from striate.running import undisturbed
from striate.synthesis.reading import Reading
from striate.tap import follow

__all__ = ["Precision", "arithmetic", "as_taken", "measured", "uphill"]

Precision = Literal["auto", "float32", "bfloat16"]


def arithmetic(network: Network, precision: Precision) -> torch.dtype | None:
    """Return the number type that convolutions are worked out in; None for the network's own.

    Args:
        network: on its device.
        precision: "auto" takes bfloat16 where the device has instructions for it.

    Raises:
        OptionError: no such precision.
    """
    if precision not in ("auto", "float32", "bfloat16"):
        raise OptionError(f"no precision {precision!r}; there are auto, float32, bfloat16.")
    if precision == "auto" and network.dtype == torch.float32 and _gains(network.device):
        return torch.bfloat16
    return torch.bfloat16 if precision == "bfloat16" else None


def _gains(device: torch.device) -> bool:
    """Tell whether a device reckons faster with bfloat16 (on a processor of that kind 1.8 times, ResNet-50)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        asked = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
        return any(bool(ask()) for ask in asked if ask is not None)
    return False


def uphill(
    network: Network,
    images: Tensor,
    reading: Reading,
    *,
    kind: torch.dtype | None = None,
    wake: bool = True,
    lean: Network | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the values of a piece's objectives, and the gradient of each with respect to its picture.

    A picture that gets no gradient at all, because its unit is silent everywhere, is run once more and gets one that
    passes silent rectifiers (`rectifiers.waking`).

    Args:
        network: that looks.
        images: (B, C, H, W), values from 0 to 1.
        reading: the objectives, one for each picture.
        kind: number type of the convolutions; the network's own unless given.
        wake: run pictures without a gradient once more.
        lean: a copy that gives the same faster, see `folding`, to be run in its place.

    Returns:
        Values (B,) in float32, without what keeps pictures apart, and the gradient, shaped like `images`, with it.

    Raises:
        NetworkError: the network cuts the gradient on the way.
    """
    leaf = images.detach().requires_grad_()
    # held on the way back too, where a network that saves memory runs parts of itself once more (checkpointing)
    with undisturbed(network.module) if lean is None or lean is network else nullcontext():
        values, goal = _followed(network, leaf, reading, kind, lean)
        found = torch.autograd.grad(goal.sum(), leaf, allow_unused=True)[0] if goal.requires_grad else None
    if found is None:
        raise NetworkError(
            f"{network.name} gives {reading.label} without a gradient back to the picture: it cuts the gradient on the "
            "way (detach, no_grad, an operation on whole numbers), so no picture can be made for it."
        )
    gradient: Tensor = found
    if wake and len(silent := (~gradient.flatten(1).any(1)).nonzero().flatten()):
        gradient[silent] = _woken(network, images.detach()[silent], reading.only(silent.tolist()), kind)
    return values.detach(), gradient


def measured(network: Network, images: Tensor, reading: Reading) -> tuple[Tensor, Tensor]:
    """Look at pictures (B, C, H, W) as they are, in the network's own number type.

    Returns:
        The values of the objectives, and the largest values of their channels (see `Reading.peaks`), (B,) each.
    """
    tapped = follow(network, as_taken(network, images.detach()), reading.places, logits=reading.logits)
    return reading.values(tapped).detach(), reading.peaks(tapped).detach()


def _followed(
    network: Network, images: Tensor, reading: Reading, kind: torch.dtype | None, lean: Network | None = None
) -> tuple[Tensor, Tensor]:
    """Return the values, and what is to be raised."""
    with torch.enable_grad(), torch.autocast(images.device.type, kind or torch.bfloat16, enabled=kind is not None):
        seen = as_taken(network, images)
        tapped = follow(network if lean is None else lean, seen, reading.places, logits=reading.logits)
    with torch.enable_grad():
        values = reading.values(tapped)
        alike = reading.likeness(tapped, values)
    return values, values if alike is None else values - alike


def as_taken(network: Network, images: Tensor) -> Tensor:
    """Return pictures with values from 0 to 1 as the network takes them."""
    normalised = network.spec.normalise(images).to(network.dtype)
    return normalised.contiguous(memory_format=torch.channels_last)


def _woken(network: Network, images: Tensor, reading: Reading, kind: torch.dtype | None) -> Tensor:
    """Return a gradient for pictures that got none."""
    leaf = images.requires_grad_()
    with undisturbed(network.module):
        _, goal = _followed(network, leaf, reading, kind)
        return waking(goal, leaf)
