"""The lens `filters`: the kernels of a convolution as pictures."""

from __future__ import annotations

from torch import Tensor

from striate.errors import NetworkError
from striate.lenses._lens import lens
from striate.network import Network
from striate.results import FilterBank

__all__ = ["filters"]


@lens
def filters(network: Network, *, layer: str | None = None) -> FilterBank:
    """Show what a convolution looks for: its kernels.

    Args:
        network: that is asked.
        layer: a convolution; the first one unless given.

    Returns:
        Weights (K, C, h, w), in colour where they lie on an RGB picture.

    Raises:
        AddressError: no such layer.
        NetworkError: the layer has no two-dimensional kernels.
    """
    graph = network.graph()
    modules = dict(network.module.named_modules())
    kernels = {
        place.name: weight
        for place in graph.layers
        if isinstance(weight := getattr(modules[place.name], "weight", None), Tensor) and weight.dim() == 4
    }
    first = next(
        (row.address.partition("~")[0] for row in graph.rows if row.address.partition("~")[0] in kernels), None
    )
    name = first if layer is None else graph.layer(layer).name
    if name is None:
        raise NetworkError(f"no layer of {network.name} has two-dimensional kernels.")
    if name not in kernels:
        raise NetworkError(
            f"layer {name!r} ({type(modules[name]).__name__}) has no two-dimensional kernels. "
            f"The first that has is {first!r}."
        )
    weight = kernels[name].detach().float().cpu().clone()
    return FilterBank(
        weights=weight, layer=name, colour=name == first and weight.shape[1] == 3 == network.spec.channels
    )
