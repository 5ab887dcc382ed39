"""A network's answers for many pictures with less to do (`lean`)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from striate import lean
from striate.network import Network

__all__ = ["shortened"]


def shortened(network: Network, image: Tensor, place: str | None, pictures: int) -> Callable[[Tensor], Tensor] | None:
    """Return what does to pictures what the network does, in less time; None where its answers would be others.

    To make it takes as long as about ten pictures. Call it, and what it returns, within `running.undisturbed` and
    ``torch.no_grad``.

    Args:
        network: that is asked.
        image: (1, C, H, W), normalised: of the size of all pictures.
        place: layer whose output is asked for; None for the logits.
        pictures: about how many will be asked for.

    Returns:
        From pictures (M, C, H, W) to (M, K), or (M, C, h, w) or (M, C) of the layer.
    """
    if network.one_by_one:
        return None
    places = [] if place is None else [place]
    sparing = network.spares(image.shape[2:], pictures)
    short = lean.outputs(network.module, image, places, logits=place is None, sparing=sparing)
    if short is None:
        return None
    layer = None if place is None else network.graph(*image.shape[2:]).layer(place)

    def answer(pictures: Tensor) -> Tensor:
        output = short(pictures)[place or ""]
        return network.logits(output) if layer is None else layer.arranged(output, len(output))

    return answer
