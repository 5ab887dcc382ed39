"""The lens `activations`: what the channels of chosen layers answer."""

from __future__ import annotations

from collections.abc import Sequence

from striate.errors import NetworkError
from striate.lenses._lens import lens
from striate.network import Images, Network
from striate.results import Activations
from striate.tap import activations as tapped

__all__ = ["activations"]


@lens
def activations(network: Network, images: Images, *, layers: str | Sequence[str] | None = None) -> Activations:
    """Show every feature map of chosen layers.

    The network is run once, as far as the deepest of them.

    Args:
        network: that is asked.
        images: (N, C, H, W), normalised, or paths.
        layers: one address or several, or "all"; the last layer of each resolution unless given.

    Returns:
        For each layer the maps (N, C, h, w), or (N, C) where it has none, with their receptive fields.

    Raises:
        AddressError: no such layer.
        NetworkError: a layer gives neither maps nor a vector, or no layer was named and none has a map.
    """
    batch = network.batch(images)
    graph = network.graph(*batch.shape[2:])
    if layers is None:
        places = [layer.address for layer in graph.stages()]
    elif layers == "all":
        places = [layer.address for layer in graph.maps()]
    else:
        places = [layers] if isinstance(layers, str) else list(layers)
    if not places:
        raise NetworkError(f"no layer of {network.name} gives a feature map. Name the layers: layers=..., --layers.")
    outputs = tapped(network, batch, places).outputs
    return Activations(
        maps={place: output.float().cpu() for place, output in outputs.items()},
        fields={place: graph.layer(place).field for place in outputs},
        pictures=network.spec.pixels(batch),
    )
