"""The lens `strongest_units`: which units answer to a picture more than to nearly all of a data set."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from striate.atlas.opened import Atlas, LayerAtlas
from striate.errors import AtlasError, OptionError
from striate.lenses._atlas import Source, find_place, opened
from striate.lenses._cutting import Cutter, places
from striate.lenses._lens import lens
from striate.network import Images, Network
from striate.results import Recipe, StrongestUnits
from striate.results.patches import PatchRow
from striate.results.strongest_units import Strong
from striate.tap import activations

__all__ = ["strongest_units"]

STRONG = 0.25  # of a unit's largest answer in the data set: less is not strong, however rarely it fires


@lens
def strongest_units(
    network: Network,
    images: Images,
    atlas: Source,
    *,
    layer: str | None = None,
    units: int = 4,
    top: int = 6,
) -> StrongestUnits:
    """Show which units answer to a picture more than to nearly all of a data set, and to what else they answer.

    An answer counts by the share of the data set's pictures to which the unit answers less, so that units with large
    numbers do not push out the others. The patches are those of the data set that the unit answers to most.

    Args:
        network: that is asked; the one that the atlas was built with.
        images: (N, C, H, W), normalised, or paths.
        atlas: an atlas, or its folder.
        layer: one of the atlas; the deepest with a map unless given.
        units: of each picture so many.
        top: patches of each unit, at most as many as the atlas keeps.

    Returns:
        For each picture its units, with their place in it and their patches.

    Raises:
        AddressError: the atlas does not hold the layer.
        AtlasError: no atlas, or one of another network.
        OptionError: fewer than one unit, or more patches than the atlas keeps.
    """
    if units < 1:
        raise OptionError(f"units must be at least 1, got {units}.")
    held = opened(network, atlas)
    known = held.layer(_deepest(held) if layer is None else find_place(network, held, layer))
    batch = network.batch(images)
    output = activations(network, batch, [known.address]).outputs[known.address].float()
    maps = (output if output.dim() == 4 else output[:, :, None, None]).cpu().numpy()
    flat = maps.reshape(*maps.shape[:2], -1)
    values, first = flat.max(2), flat.argmax(2)  # (N, C)
    size = known.field.picture == tuple(batch.shape[2:])
    chosen = [_chosen(known, row, units) for row in values]
    cutter = Cutter(network, held)
    wanted = sorted({channel for row in chosen for channel in row})
    each = {channel: places(known, channel, "top", min(top, known.top_pictures.shape[1])) for channel in wanted}
    cut = iter(cutter.patches(known, [one for channel in wanted for one in each[channel]]))
    fires, mean, std = known.fires, known.mean, known.std
    rows = {
        channel: PatchRow(
            address=f"{known.address}:{channel}",
            patches=tuple(next(cut) for _ in each[channel]),
            fires=float(fires[channel]),
            mean=float(mean[channel]),
            std=float(std[channel]),
        )
        for channel in wanted
    }
    return StrongestUnits(
        strongest=tuple(
            tuple(
                _strong(known, rows[channel], channel, float(values[picture, channel]), at, boxed=size)
                for channel in row
                for at in [divmod(int(first[picture, channel]), maps.shape[3]) if output.dim() == 4 else None]
            )
            for picture, row in enumerate(chosen)
        ),
        layer=known.address,
        total=len(held),
        pictures=network.spec.pixels(batch),
        recipe=Recipe(notes=cutter.notes),
    )


def _deepest(held: Atlas) -> str:
    maps = [place for place in held.layers if held.layer(place).map_size is not None]
    return (maps or list(held.layers))[-1]


def _chosen(known: LayerAtlas, values: NDArray[np.float32], most: int) -> list[int]:
    """Return the channels that answer more than in the most pictures; of equals, nearest to their largest answer.

    A unit that hardly ever fires would be unusual whenever it does: it has to come to a part of its largest answer.
    """
    largest = np.maximum(np.asarray(known.largest, dtype=np.float64), 1e-30)
    share = values / largest
    below = np.array([_below(known, channel, float(value)) for channel, value in enumerate(values)])
    order = np.lexsort((-share, -np.nan_to_num(below), share < STRONG))
    return [int(channel) for channel in order[:most] if values[channel] > 0]


def _strong(
    known: LayerAtlas, row: PatchRow, channel: int, value: float, at: tuple[int, int] | None, *, boxed: bool
) -> Strong:
    box = None
    if at is not None and boxed and known.field.status != "unknown":
        box = known.field.box(*at, own=True)
    return Strong(row, value, at, box, _below(known, channel, value))


def _below(known: LayerAtlas, channel: int, value: float) -> float:
    """Return the share of pictures in which a unit certainly answers less, from its histogram."""
    if value > float(known.largest[channel]):
        return 1.0
    try:
        bins = known.histogram[channel]
    except AtlasError:
        return float("nan")
    here = min(int(np.searchsorted(known.edges, value, side="right")) - 1, len(bins) - 1)
    return float(np.asarray(bins[:here], dtype=np.float64).sum() / max(known.pictures, 1))
