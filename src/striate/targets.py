"""What is to be explained: from addresses to one score for each picture. Runs no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from striate.address import Address, parse
from striate.errors import AddressError
from striate.graph import Graph
from striate.network import Network

__all__ = ["Target", "Targets", "join", "resolve"]

Target = str | int | None | Sequence[str | int | None] | Tensor


@dataclass(frozen=True)
class Targets:
    """One score for each picture of a batch, all at one place of the network.

    Attributes:
        place: layer (with its call) whose output holds the scores; None for the logits.
        channels: class or channel for each picture; None stands for the top class.
        positions: for each picture row and column of the unit, "max" for the strongest, or None for the
            mean over the map.
        labels: address of each, as it is shown; made definite by `settle`.
    """

    place: str | None
    channels: tuple[int | None, ...]
    positions: tuple[tuple[int, int] | str | None, ...]
    labels: tuple[str, ...]

    @property
    def settled(self) -> bool:
        """Whether every class and position is a definite one."""
        return None not in self.channels and "max" not in self.positions

    def settle(self, output: Tensor, network: Network) -> Targets:
        """Replace "top class" and "strongest unit" by those of the given output.

        Args:
            output: (N, K) or (N, C, h, w), of the clean pictures.
            network: gives the classes their names.
        """
        if self.settled:
            return self
        channels, positions, labels = list(self.channels), list(self.positions), list(self.labels)
        for index, values in enumerate(output.detach()):
            if channels[index] is None:
                top = int(values.flatten(1).mean(1).argmax() if values.dim() > 1 else values.argmax())
                channels[index], labels[index] = top, class_label(network, top, len(values))
            if positions[index] == "max":
                strongest = int(values[channels[index]].argmax())
                positions[index] = divmod(strongest, values.shape[-1])
                labels[index] = labels[index].removesuffix("max") + "{},{}".format(*divmod(strongest, values.shape[-1]))
        return replace(self, channels=tuple(channels), positions=tuple(positions), labels=tuple(labels))

    def scores(self, output: Tensor) -> Tensor:
        """Read the score of each picture off an output.

        Args:
            output: (N, K) or (N, C, h, w).

        Returns:
            Shape (N,): the logit, the unit's value, or the channel's mean over its map.
        """
        rows = torch.arange(len(output), device=output.device)
        channels = torch.tensor(self.channels, device=output.device)
        chosen = output[rows, channels]  # (N,) or (N, h, w)
        if chosen.dim() == 1:
            return chosen
        if self.positions[0] is None:
            return chosen.mean((1, 2))
        places = torch.tensor(self.positions, device=output.device)
        return chosen[rows, places[:, 0], places[:, 1]]

    def pick(self, rows: Sequence[int]) -> Targets:
        """Return the targets of the pictures in `rows`, in that order, repeated as they are."""
        return replace(
            self,
            channels=tuple(self.channels[row] for row in rows),
            positions=tuple(self.positions[row] for row in rows),
            labels=tuple(self.labels[row] for row in rows),
        )


def join(parts: Sequence[Targets]) -> Targets:
    """Put the targets of several batches together, one after another."""
    return replace(
        parts[0],
        channels=tuple(channel for part in parts for channel in part.channels),
        positions=tuple(position for part in parts for position in part.positions),
        labels=tuple(label for part in parts for label in part.labels),
    )


def class_label(network: Network, index: int, count: int) -> str:
    """Return the address of a class, by name where the name stands for it alone."""
    name = network.class_name(index)
    try:
        if name and network.class_index(name, count) == index:
            return f"class:{name}"
    except AddressError:
        pass
    return f"class:{index}"


def resolve(network: Network, target: Target, images: Tensor) -> Targets:
    """Turn what the user asked for into one target for each picture.

    Args:
        network: that is asked.
        target: an address, a class index, None for the top class of each picture; or a list, tensor or array
            with one for each picture, all at the same layer.
        images: the pictures, (N, C, H, W); only their shape counts.

    Raises:
        AddressError: not in this network, not of one layer, or not as many as there are pictures.
    """
    count = len(images)
    graph = network.graph(*images.shape[2:])
    # tensors, and the arrays and numbers of numpy
    asked: Any = target
    plain = asked.tolist() if hasattr(asked, "tolist") else asked
    given = [plain] * count if plain is None or isinstance(plain, str | int) else list(plain)
    if len(given) != count:
        raise AddressError(
            f"{len(given)} targets for {count} picture{'s' * (count != 1)}. Give one, or one for each picture."
        )
    found = [_resolve_one(network, graph, one) for one in given]
    places = {place for place, *_ in found}
    if len(places) > 1:
        names = ", ".join(sorted(str(place or "the classes") for place in places))
        raise AddressError(f"targets at different places ({names}) in one call. Ask for each place by itself.")
    positions = [position for _, _, position, _ in found]
    if len({position is None for position in positions}) > 1:
        raise AddressError("channels and single units in one call. Ask for the channels and the units separately.")
    return Targets(
        place=places.pop(),
        channels=tuple(channel for _, channel, _, _ in found),
        positions=tuple(positions),
        labels=tuple(label for *_, label in found),
    )


_Found = tuple[str | None, int | None, tuple[int, int] | str | None, str]


def _resolve_one(network: Network, graph: Graph, target: str | int | None) -> _Found:
    if target is None:
        return None, None, None, "class:top"
    address = Address(label=str(target)) if isinstance(target, int) else parse(target)
    if address.label is not None:
        index = network.class_index(address.label, graph.classes)
        return None, index, None, class_label(network, index, graph.classes)
    layer = graph.layer(address.place)
    if address.channel is None:
        raise AddressError(
            f"{address.layer!r} is a whole layer of {layer.channels} channels. "
            f"Name one: {address}:0 to {address}:{layer.channels - 1}."
        )
    if address.channel >= layer.channels:
        raise AddressError(
            f"no channel {address.channel} in {address.place!r}: it has {layer.channels}, 0 to {layer.channels - 1}."
        )
    size = layer.map_size
    if address.position is not None:
        if size is None:
            raise AddressError(
                f"{address.place!r} has no map, so {address} has no position. Write {address.place}:{address.channel}."
            )
        if isinstance(address.position, tuple) and not (
            address.position[0] < size[0] and address.position[1] < size[1]
        ):
            raise AddressError(
                f"no unit {address.position[0]},{address.position[1]} in {address.place!r}: "
                f"its map is {size[0]} x {size[1]} "
                f"(rows 0 to {size[0] - 1}, columns 0 to {size[1] - 1})."
            )
    return address.place, address.channel, address.position, str(address)
