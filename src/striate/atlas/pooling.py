"""Features of a few pictures in memory: what layers give, averaged over their maps. Writes nothing to the disk."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from striate import dataset, progress
from striate.atlas.choosing import choose_features
from striate.atlas.reaching import batch_size, filled, places_of, run_to
from striate.errors import DataError, OptionError
from striate.files import shown
from striate.network import Network

__all__ = ["pooled"]

TASK = "features"
_NAMED = 3  # broken pictures that an error names


def pooled(
    network: Network,
    source: Any,
    layers: str | Sequence[str] | None = None,
    *,
    indices: Sequence[int] | NDArray[np.integer[Any]] | None = None,
    batch: int | None = None,
    workers: int | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Return what layers give for each picture of a set, averaged over their maps, in memory.

    The numbers are those of `features` with float32 and the same batch, bit for bit where the pictures meet in the
    same batches. Every picture has to be good: where one cannot be read, rows would no longer stand for pictures.

    Args:
        network: that is run, up to the deepest of the layers.
        source: the pictures: what `striate.dataset.open` takes.
        layers: addresses and words ("convolutions", "stages", ...); the last map, and what the classifier reads where
            that is more, unless given.
        indices: which pictures, in this order; all unless given.
        batch: pictures in one pass; 16 on a processor and 128 on a GPU unless given.
        workers: threads that decode; as many as there are processors unless given.

    Returns:
        By address, in the order of the network: (N, D), float32. A layer that was named without its call is the last
        call of its module ("relu" may come back as "relu~5").

    Raises:
        AddressError: no such layer.
        DataError: pictures that cannot be read, or for which a layer gives NaN or infinity; they are named.
        NetworkError: the network cannot be run, or a layer has no values.
        OptionError: `batch` or an index makes no sense.
        Stopped: the user asked to stop.
    """
    pictures = dataset.open(source)
    chosen = choose_features(network, layers)
    order = np.arange(len(pictures), dtype=np.int64) if indices is None else np.asarray(indices, dtype=np.int64)
    if outside := [int(one) for one in order if not 0 <= one < len(pictures)]:
        raise OptionError(f"indices lie from 0 to {len(pictures) - 1:,} in {pictures.description}, got {outside[0]}.")
    size = batch_size(network) if batch is None else batch
    if network.one_by_one and size > 1:
        raise OptionError(f"batch must be 1, got {size}: {network.name} takes one picture at a time.")
    places, arrangers = places_of(chosen), {layer.address: layer for layer in chosen}
    found = {layer.address: np.empty((len(order), layer.channels), np.float32) for layer in chosen}
    broken: list[str] = []
    batches = dataset.stream(pictures, network.spec, order, batch=size, workers=workers, device=network.device)
    done = 0
    with contextlib.closing(batches):
        for part in batches:
            progress.report(progress.Event(TASK, done, len(order)))
            broken += [reason for _, reason in part.broken]
            rows = slice(done, done + part.asked)
            done += part.asked
            if broken or not chosen:
                continue  # only the others that are broken are still looked for

            def see(place: str, output: Tensor, rows: slice = rows) -> None:
                arranged = arrangers[place].arranged(output, size).float()
                means = arranged.mean((2, 3)) if arranged.dim() == 4 else arranged
                found[place][rows] = means[: rows.stop - rows.start].cpu().numpy()

            run_to(network, filled(network.batch(part.images), size), places, see, logits=False)
    progress.report(progress.Event(TASK, len(order), len(order)))
    if broken:
        raise DataError(
            f"{len(broken):,} of {len(order):,} pictures cannot be read: {'; '.join(broken[:_NAMED])}"
            f"{'; ...' if len(broken) > _NAMED else ''} Leave them out (indices=), or keep the features on the disk "
            "with striate.atlas.features, which lists such pictures and goes on without them."
        )
    for place, values in found.items():
        wrong = np.flatnonzero(~np.isfinite(values).all(1))
        if len(wrong):
            names = ", ".join(shown(pictures.name(int(order[row]))) for row in wrong[:_NAMED])
            raise DataError(
                f"layer {place!r} gives NaN or infinite numbers for {len(wrong):,} of {len(order):,} pictures (the "
                f"first: {names}). Leave them out (indices=), or the layer."
            )
    return found
