"""The lens `style`: what one picture shows in the manner of another."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from striate.errors import NetworkError, OptionError
from striate.graph import Layer
from striate.lenses._fingerprint import fingerprint
from striate.lenses._lens import lens
from striate.network import Images, Network
from striate.progress import finishing
from striate.results import Recipe, Stylised
from striate.synthesis.depths import finer, middle
from striate.synthesis.descent import descend
from striate.synthesis.matching import Styling, gram
from striate.synthesis.penalties import total_variation
from striate.synthesis.showing import opened, shown
from striate.tap import Tapped, activations

__all__ = ["style"]

_DEPTHS = 5  # layers of the style unless they are named: as many as in the paper
_NOISE = 0.2  # standard deviation of the noise that a picture may be begun as
_LEAST_VARIATION = 1e-3


@lens
def style(
    network: Network,
    images: Images,
    *,
    style: str | os.PathLike[str] | Sequence[str] | Tensor,
    strength: float = 100.0,
    content_layers: str | Sequence[str] | None = None,
    style_layers: str | Sequence[str] | None = None,
    start: Literal["content", "noise"] = "content",
    steps: int = 150,
    rate: float = 0.04,
    variation: float = 0.5,
    seed: int = 0,
    chunk: int | None = None,
) -> Stylised:
    """Show what is in a picture in the manner of another one.

    The picture is changed until some shallow layers' channels go together as they do in the style, wherever in the
    picture, while a deeper layer still answers as it did. Any network will do, but not alike: the method was found
    with VGG, and others give other, often finer-grained textures; random weights give little more than colours.
    The search is smoothed gradients with Adam, for all pictures at once, where the paper takes L-BFGS: after 80
    gradients it is further on EfficientNet-Lite0 (cost 0.53 against 0.96), behind on an untrained VGG-16.

    Args:
        network: that compares the pictures.
        images: (N, C, H, W), normalised, or paths: what is shown.
        style: how: a picture, or one for each; paths, or (1 or N, C, h, w), normalised.
        strength: what the style counts beside the content, 0 or more; both count as shares of what is wanted.
        content_layers: whose answers are kept; the last layer at the coarsest resolution but one unless given.
        style_layers: whose correlations are matched; the last at each resolution finer than the content's, up to
            five, unless given.
        start: content begins with the picture itself, noise with noise, as the paper does.
        steps: of the search.
        rate: what a pixel changes by in a step, about, at the beginning, on the scale from 0 to 1.
        variation: weight of the total variation, as a share of the picture's own, against noise; 0 or more.
        seed: of the noise.
        chunk: pictures in one pass; chosen by the device unless given, halved when memory runs out.

    Returns:
        The pictures made, with the errors in content and style.

    Raises:
        AddressError: no such layer.
        ImageError: a style that cannot be read, or has not the network's channels.
        OptionError: an option that makes no sense, or not one style or one for each picture.
        NetworkError: a layer of the style has no map, or gives no finite number.

    Source: Gatys, Ecker and Bethge 2016, "Image Style Transfer Using Convolutional Neural Networks", CVPR.
    """
    for name, value in (("strength", strength), ("variation", variation)):
        if not 0 <= value < math.inf:
            raise OptionError(f"{name} must be 0 or more, and finite, got {value}.")
    batch = network.batch(images)
    manner = network.batch(style)
    if len(manner) not in (1, len(batch)):
        pictures = "picture" if len(batch) == 1 else "pictures"
        raise OptionError(f"{len(manner)} styles for {len(batch)} {pictures}. Give one, or one for each picture.")
    graph = network.graph(*batch.shape[2:])
    content = _named(graph.layer, content_layers) or [middle(graph)]
    textures = _named(graph.layer, style_layers) or finer(graph, content[-1], _DEPTHS)
    for layer in textures:
        if layer.map_size is None:
            raise NetworkError(
                f"layer {layer.address!r} gives no map, and a style is how channels go together over a map. "
                f"The last layer that has one is {graph.last_map().address!r}."
            )
    with torch.inference_mode(False), torch.no_grad():
        pixels, cut = opened(network.spec, batch)
        how = network.spec.denormalise(manner).float().clamp(0, 1)
        places = [layer.address for layer in textures]
        grams = {place: gram(maps.float()) for place, maps in activations(network, manner, places).outputs.items()}
        cost = Styling(
            content=activations(network, batch, [layer.address for layer in content]).outputs,
            style=grams,
            strength=strength,
            variation=variation,
            variations=total_variation(pixels).clamp(min=_LEAST_VARIATION * pixels[0].numel()),
        )
        before = pixels if start == "content" else _noise(pixels, seed)
        found = descend(network, before, cost.places, cost, steps=steps, rate=rate, chunk=chunk, task="style")
        with finishing():
            made = _tapped(network, found.pictures, cost.places)
            plain = _tapped(network, pixels, cost.places)
        return Stylised(
            pictures=shown(pixels),
            styles=shown(how),
            made=found.pictures.cpu().contiguous(),
            shown=shown(found.pictures),
            content_layers=tuple(cost.content),
            style_layers=tuple(cost.style),
            content_errors=cost.content_error(made, slice(None)).cpu(),
            style_errors=cost.style_error(made, slice(None)).cpu(),
            plain_errors=cost.style_error(plain, slice(None)).cpu(),
            costs=found.curve,
            recipe=Recipe(notes=(*cut, *found.notes), others={"style": tuple(map(fingerprint, manner.cpu()))}),
        )


def _named(layer_at: Callable[[str], Layer], places: str | Sequence[str] | None) -> list[Layer]:
    """Return the layers that were named; none where none was."""
    return [layer_at(place) for place in ([places] if isinstance(places, str) else places or ())]


def _tapped(network: Network, pixels: Tensor, places: Sequence[str]) -> Tapped:
    """Return what layers give for pictures from 0 to 1."""
    return activations(network, network.batch(network.spec.normalise(pixels)), places)


def _noise(pixels: Tensor, seed: int) -> Tensor:
    """Return grey noise, the same for all pictures, so that one comes out alike in any batch."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(pixels.shape[1:], generator=generator) * _NOISE + 0.5
    return drawn.clamp(0, 1).to(pixels.device).expand_as(pixels)
