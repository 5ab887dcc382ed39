"""The lens `receptive_field`: the part of the picture that a unit can see."""

from __future__ import annotations

import torch

from striate.address import parse
from striate.errors import AddressError
from striate.lenses._lens import lens
from striate.network import Images, Network
from striate.results import ReceptiveFields
from striate.tap import activations, settle
from striate.targets import resolve

__all__ = ["receptive_field"]


@lens
def receptive_field(network: Network, images: Images, target: str) -> ReceptiveFields:
    """Draw what a unit can see of each picture.

    Args:
        network: that is asked.
        images: (N, C, H, W), normalised, or paths.
        target: a unit (LAYER:CHANNEL@ROW,COLUMN); of a channel (LAYER:CHANNEL) the unit that answers most in
            each picture; of a layer (LAYER) the unit that answers most of all.

    Returns:
        The boxes in pixels, exact, a bound, or the whole input, as the field's status says.

    Raises:
        AddressError: no such unit, or a class, which sees the whole picture.
    """
    batch = network.batch(images)
    address = parse(target)
    if address.label is not None:
        raise AddressError(f"{target!r} is a class, which sees all of the picture. Name a layer, channel or unit.")
    layer = network.graph(*batch.shape[2:]).layer(address.place)
    if layer.map_size is None:
        raise AddressError(
            f"{address.place!r} has no map: its units see all that the layer sees. Name a layer with maps."
        )
    wanted: list[str | int | None] = [str(address)] * len(batch)
    if address.channel is None:
        maps = activations(network, batch, [address.place]).outputs[address.place]
        wanted = [f"{address.place}:{int(one.flatten(1).amax(1).argmax())}@max" for one in maps]
    elif address.position is None:
        wanted = [f"{address}@max"] * len(batch)
    targets, values = settle(network, batch, resolve(network, wanted, batch))
    boxes = []
    for position in targets.positions:
        assert isinstance(position, tuple)  # settled
        boxes.append(layer.field.box(*position))
    return ReceptiveFields(
        addresses=targets.labels,
        field=layer.field,
        boxes=tuple(boxes),
        pictures=network.spec.pixels(batch),
        values=values.detach().to("cpu", torch.float32),
    )
