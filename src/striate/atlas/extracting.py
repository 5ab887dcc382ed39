"""Keep the features of a whole data set on disk: an atlas that tallies no unit. Plans; the work is `building`'s."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from striate.atlas.building import carry_out, given
from striate.atlas.choosing import choose_features
from striate.atlas.opened import Atlas
from striate.atlas.planning import FEATURES_ONLY, Plan, bytes_of, make_plan, settings_of
from striate.atlas.shares import Share
from striate.dataset.pictures import PictureSet
from striate.errors import OptionError, OutputError
from striate.files import byte_count, shown
from striate.network import Network

__all__ = ["Kind", "Pool", "features", "features_bytes"]

Pool = Literal["average", "whole"]
Kind = Literal["float16", "float32"]


def features(
    network: Network,
    source: Any,
    out: str | os.PathLike[str],
    *,
    layers: str | Sequence[str] | None = None,
    pool: Pool | None = None,
    dtype: Kind | None = None,
    batch: int | None = None,
    workers: int | None = None,
) -> Atlas:
    """Send every picture of a set through a network once, and keep on disk what some layers gave: their features.

    The folder is an atlas without units: `atlas.open` opens it, `Atlas.features` reads a layer's features from the
    disk, and `Atlas.xy` gives them to scikit-learn. The network is run no further than the deepest of the layers, so
    there are no predictions. As with `build`, pictures that cannot be read or used are left out and listed; more
    pictures and layers can be added; what was interrupted goes on when it is started again and gives the same bits;
    and under torchrun the processes share the work.

    Args:
        network: that is looked at.
        source: the pictures: what `striate.dataset.open` takes.
        out: folder of the atlas. One that `build` made is extended by features.
        layers: addresses and words ("convolutions", "rectifiers", "stages", "all"); the last map, and what the
            classifier reads where that is more, unless given.
        pool: "average" (unless given): maps are averaged, each picture has D = C numbers. "whole": maps are kept as
            they are, (C, H, W), hundreds of times as much.
        dtype: "float16" (unless given; to 3 digits, and up to 65,504) or "float32".
        batch: pictures in one pass; 16 on a processor and 128 on a GPU unless given.
        workers: threads that decode; as many as there are processors unless given.

    Returns:
        The atlas, opened.

    Raises:
        AddressError: no such layer.
        AtlasError: another process is at work there, or what is there is of another network or other options.
        DataError: the source cannot be opened, holds no pictures, or others each time it is read.
        NetworkError: the network cannot be run, or a layer has no values.
        OptionError: an option makes no sense.
        OutputError: there is something else in the folder, or the disk has no room; that is seen before it begins.
        Stopped: the user asked to stop; finished shares are kept.
    """
    if pool not in (None, "average", "whole"):
        raise OptionError(f"pool must be 'average' or 'whole', got {pool!r}.")
    if dtype not in (None, "float16", "float32"):
        raise OptionError(f"dtype must be 'float16' or 'float32', got {dtype!r}.")
    if batch is not None and batch < 1:
        raise OptionError(f"batch must be at least 1, got {batch}.")
    if layers is not None and not layers:
        raise OptionError("no layers were named. Leave them out for the last map.")
    options = given(pool=pool, dtype=dtype, batch=batch)

    def make(pictures: PictureSet, base: Atlas | None) -> Plan | None:
        settings = settings_of(network, pictures, base, options, FEATURES_ONLY)
        wanted = layers
        if layers is None and base is not None and not base.feature_places:
            wanted = [layer.address for layer in choose_features(network, None)]
        return make_plan(network, pictures, base, None, wanted, settings)

    def check(plan: Plan, lacking: Sequence[Share], base: Atlas | None) -> None:
        _check_room(Path(out), plan, lacking, base)

    return carry_out(network, source, out, make, workers, check)


def features_bytes(
    network: Network,
    count: int,
    *,
    layers: str | Sequence[str] | None = None,
    pool: Pool = "average",
    dtype: Kind = "float16",
) -> int:
    """Return what the features of so many pictures take on the disk, without anything being run.

    Args:
        network: whose layers they are.
        count: pictures.
        layers: as `features` takes them.
        pool: likewise.
        dtype: likewise.

    Raises:
        AddressError: no such layer.
        NetworkError: a layer gives neither a map nor a vector.
    """
    return count * bytes_of(choose_features(network, layers), {"pool": pool, "dtype": dtype})


def _check_room(folder: Path, plan: Plan, lacking: Sequence[Share], base: Atlas | None) -> None:
    """Make sure that the disk holds the shares that are still to be done, and then all features beside them.

    Raises:
        OutputError: it does not.
    """
    job = plan.job
    each = bytes_of(job.features, job.settings)
    rows = len(job.indices) + (len(base) if base is not None and plan.kind == "pictures" else 0)
    final = rows * each
    wanted = final + sum(share.stop - share.start for share in lacking) * each
    try:
        free = shutil.disk_usage(folder).free
    except OSError:  # what is wrong with it is said when it is written to
        return
    if wanted > free:
        raise OutputError(
            f"the features of {rows:,} pictures take {byte_count(final)}, and up to {byte_count(wanted)} while they "
            f"are put together; the disk of {shown(folder)} has {byte_count(free)} left. Make room there, name a "
            "folder on another disk, or keep less: fewer layers, averages (pool=, without --whole), or float16 "
            "(dtype=, --dtype)."
        )
