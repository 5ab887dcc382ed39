"""What lenses on an atlas share: it is opened and checked, addresses are looked up among its layers. Not a lens."""

from __future__ import annotations

import os
from collections.abc import Sequence
from difflib import get_close_matches
from typing import NamedTuple

from striate.address import class_name, find_class, parse
from striate.atlas.opened import Atlas
from striate.atlas.opened import open as open_atlas
from striate.errors import AddressError
from striate.files import shown
from striate.network import Network

__all__ = [
    "Source",
    "Unit",
    "called",
    "find_place",
    "find_units",
    "layer_before",
    "logits_place",
    "names_of_classes",
    "opened",
]

Source = Atlas | str | os.PathLike[str]


class Unit(NamedTuple):
    """One channel of one layer of an atlas.

    Args:
        place: address of the layer, as the atlas has it.
        channel: index of the channel.
    """

    place: str
    channel: int

    def __str__(self) -> str:
        return f"{self.place}:{self.channel}"


def opened(network: Network, atlas: Source) -> Atlas:
    """Return an atlas, opened where only its folder is given, once it is known to be of this very network.

    Args:
        network: that is asked.
        atlas: an open atlas, or its folder.

    Raises:
        AtlasError: there is none, it is broken, or it was built by other weights.
    """
    found = atlas if isinstance(atlas, Atlas) else open_atlas(atlas)
    found.check(network)
    return found


def find_place(network: Network, atlas: Atlas, layer: str) -> str:
    """Return the address of a layer as the atlas has it.

    Args:
        network: that is asked.
        atlas: of this network.
        layer: "name" (its last call) or "name~k".

    Raises:
        AddressError: the network has no such layer, or the atlas was built without it; the text proposes the nearest.
        AtlasError: the atlas keeps features only.
    """
    atlas.check_units()
    layer = layer.strip()
    if layer in atlas.layers:
        return layer
    place = network.graph().layer(layer).address  # says so where the network has none
    if place in atlas.layers:
        return place
    before = layer_before(network, place)
    close = get_close_matches(place, atlas.layers, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(close)}?" if close else ""
    if before in atlas.layers:
        hint = f" What it goes on with comes from {before}, which is."
    held = ", ".join(atlas.layers[:8]) + (f", ... ({len(atlas.layers)} in all)" if len(atlas.layers) > 8 else "")
    raise AddressError(
        f"layer {place!r} is not in the atlas {shown(atlas.path)}.{hint} It holds {held}. "
        f"To add the layer, build into the same folder again with --layers {place}."
    )


def find_units(network: Network, atlas: Atlas, target: str | int | Sequence[str | int]) -> list[Unit | str]:
    """Look up what was asked for among the layers of an atlas.

    Args:
        network: that is asked.
        atlas: of this network.
        target: one address or several: LAYER:CHANNEL, LAYER, or a class (its index, or class:NAME), which is
            the unit of the layer that gives the logits.

    Returns:
        In their order: a `Unit` for each channel, and the address of each whole layer as the atlas has it.

    Raises:
        AddressError: not in the network, not in the atlas, or a single position of a map.
    """
    asked = [target] if isinstance(target, str | int) else list(target)
    if not asked:
        raise AddressError("no unit was named. Write LAYER:CHANNEL, such as layer4.1.conv2:17.")
    return [_find(network, atlas, f"class:{one}" if isinstance(one, int) else one) for one in asked]


def called(network: Network, atlas: Atlas, unit: Unit) -> str:
    """Return the name of the class whose logit a unit is; empty where it is none or there are no names."""
    names = names_of_classes(network, atlas)
    if unit.place != logits_place(network) or names is None or unit.channel >= len(names):
        return ""
    return class_name(names, unit.channel)


def names_of_classes(network: Network, atlas: Atlas) -> Sequence[str] | None:
    """Return the names of the network's classes, from the atlas's labels where the network has none of its own."""
    if network.class_names is not None:
        return network.class_names
    return atlas.label_names if atlas.labels_are_classes else None


def logits_place(network: Network) -> str | None:
    """Return the address of the layer that gives the logits, or None where that is not known."""
    graph = network.graph()
    return next((layer.address for layer in graph.layers[::-1] if layer.row in graph.ends), None)


def layer_before(network: Network, place: str) -> str | None:
    """Return the address of the convolution or linear layer whose values a layer goes on with, or None."""
    graph = network.graph()
    row = graph.layer(place).row
    while row is not None and row >= 0 and not (step := graph.rows[row]).macs:
        row = step.inputs[0] if len(step.inputs) == 1 else None
    found = None if row is None or row < 0 else graph.rows[row].address
    return None if found in (None, "", place) else found


def _class_index(network: Network, atlas: Atlas, label: str) -> int:
    if network.class_names is None:
        return find_class(label, names_of_classes(network, atlas), network.graph().classes)
    return network.class_index(label, network.graph().classes)


def _find(network: Network, atlas: Atlas, text: str) -> Unit | str:
    address = parse(text)
    if address.label is not None:
        last = logits_place(network)
        index = _class_index(network, atlas, address.label)
        if last is None:
            raise AddressError(f"it is not known which layer gives the logits, so {text} is no unit of the atlas.")
        return Unit(find_place(network, atlas, last), index)
    if address.position is not None:
        raise AddressError(
            f"{text} is one position of a map, and an atlas knows the strongest position in each picture. "
            f"Write {address.place}:{address.channel}."
        )
    place = find_place(network, atlas, address.place)
    if address.channel is None:
        return place
    channels = atlas.layer(place).channels
    if address.channel >= channels:
        raise AddressError(f"no channel {address.channel} in {place!r}: it has {channels}, 0 to {channels - 1}.")
    return Unit(place, address.channel)
