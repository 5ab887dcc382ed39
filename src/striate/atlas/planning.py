"""What a build has to do: compared with the atlas that is there, cut into jobs. Reads no picture, runs no network."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.atlas.choosing import choose_features
from striate.atlas.opened import Atlas, as_json
from striate.atlas.reaching import batch_size
from striate.atlas.scanning import Job
from striate.atlas.shares import cut, drawn, lots
from striate.choosing import choose_layers
from striate.dataset.pictures import PictureSet
from striate.errors import AtlasError, DataError, OptionError
from striate.files import shown
from striate.graph import Layer
from striate.network import Network

__all__ = [
    "DEFAULTS",
    "FEATURES_ONLY",
    "Labels",
    "Plan",
    "bytes_of",
    "find_labels",
    "is_steady",
    "make_plan",
    "row_of",
    "settings_of",
    "source_number",
    "still_broken",
]

_PROBES = 16  # pictures by whose numbers a set without files is known again

DEFAULTS: dict[str, Any] = {
    "top": 9,
    "batch": None,
    "seed": 0,
    "histograms": True,
    "classes": True,
    "sample": 256,
    "vectors": 10_000,
    "logits": False,
    "dtype": "float16",
    "keep": None,
}

FEATURES_ONLY: dict[str, Any] = {
    **DEFAULTS,
    "top": 0,
    "histograms": False,
    "classes": False,
    "sample": 0,
    "vectors": 0,
    "keep": False,
    "pool": "average",
}
"""The same for an atlas that tallies no unit (its `top` is 0): it keeps features, and nothing else."""

_BEFORE: dict[str, Any] = {"pool": "average"}  # of atlases that do not say so


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels of a set, as the atlas keeps them.

    Attributes:
        values: (N,) int64, -1 where unknown.
        names: of the classes, or None.
        are_classes: they count the classes of the network.
    """

    values: NDArray[np.int64]
    names: tuple[str, ...] | None
    are_classes: bool


@dataclass(frozen=True, eq=False)
class Plan:
    """One step of a build.

    Attributes:
        kind: "pictures" (seen by all layers of the atlas) or "layers" (that see all its pictures).
        job: for those who scan.
        labels: of the new pictures, in the order of the set; None where there are none.
        source: how the manifest describes where the pictures come from; None for "layers".
        identity: what must be the same for an interrupted step to go on.
    """

    kind: str
    job: Job
    labels: Labels | None
    source: dict[str, Any] | None
    identity: dict[str, Any]


def settings_of(
    network: Network, source: PictureSet, base: Atlas | None, given: dict[str, Any], defaults: dict[str, Any]
) -> dict[str, Any]:
    """Return the settings of an atlas: as given, as they were when it was begun, or the defaults.

    Raises:
        AtlasError: the atlas was begun with others.
        OptionError: they do not go with the network.
    """
    if base is not None:
        was: dict[str, Any] = base.manifest["options"]
        were = {name: was.get(name, _BEFORE.get(name)) for name in given}
        wrong = [f"{name} was {were[name]!r}, is {value!r}" for name, value in given.items() if value != were[name]]
        if wrong:
            raise AtlasError(
                f"the atlas {shown(base.path)} was begun with other options ({'; '.join(wrong)}). Leave them out to "
                "extend it, or build another atlas."
            )
        return was
    settings = defaults | given
    if settings["batch"] is None:
        settings["batch"] = batch_size(network)
    if network.one_by_one and settings["batch"] > 1:
        raise OptionError(f"batch must be 1, got {settings['batch']}: {network.name} takes one picture at a time.")
    if settings["keep"] is None:
        settings["keep"] = source.origin is None and source.path(0) is None
    return settings


def find_labels(network: Network, source: PictureSet) -> Labels | None:
    """Return the labels of a set, and tell whether they are classes of the network.

    They are where each name is one of the network's (then they are renumbered to its order), where there are as many
    as it has classes, or where they have no names and are within its classes. Not so where names were numbered by the
    alphabet and only some are the network's: a class that is called otherwise moves those between.
    """
    if not source.labelled:
        return None
    values, names, classes = source.labels, source.class_names, network.graph().classes
    if names is None:
        return Labels(values, network.class_names, True) if int(values.max()) < classes else Labels(values, None, False)
    own, theirs = _compared(network.class_names, names)
    if own is not None and len(set(own)) == len(own) and set(theirs) <= set(own):
        order = np.array([own.index(name) for name in theirs], np.int64)
        return Labels(np.where(values >= 0, order[values], -1), network.class_names, True)
    moved = own is not None and theirs != own and bool(set(theirs) & set(own)) and list(names) == sorted(names)
    if len(names) == classes and not moved:
        return Labels(values, network.class_names or names, True)
    return Labels(values, names, False)


def make_plan(
    network: Network,
    source: PictureSet,
    base: Atlas | None,
    layers: str | Sequence[str] | None,
    features: str | Sequence[str] | None,
    settings: dict[str, Any],
) -> Plan | None:
    """Return what is to be done next: new pictures for the layers that are there, then new layers; None for nothing.

    Raises:
        AtlasError: the atlas is of another network, pictures have changed, or labels do not go together.
        DataError: the pictures for new layers are not all there.
    """
    if base is None:
        chosen = choose_layers(network, layers) if settings["top"] else []
        kept = choose_features(network, features)
        return _for_pictures(network, source, None, chosen, kept, np.arange(len(source)), settings)
    base.check(network)
    new = _new_pictures(source, base)
    there = choose_layers(network, base.layers) if base.layers else []
    if len(new):
        kept = choose_features(network, base.feature_places)
        return _for_pictures(network, source, base, there, kept, new, settings)
    wanted = [] if layers is None else choose_layers(network, layers)
    pooled = [] if features is None else choose_features(network, features)
    more = tuple(layer for layer in wanted if layer.address not in base.layers)
    more_features = tuple(layer for layer in pooled if layer.address not in base.feature_places)
    if not more and not more_features:
        return None
    return _for_layers(network, source, base, more, more_features, settings)


def _for_pictures(
    network: Network,
    source: PictureSet,
    base: Atlas | None,
    layers: Sequence[Layer],
    features: Sequence[Layer],
    indices: NDArray[np.int64],
    settings: dict[str, Any],
) -> Plan:
    labels = find_labels(network, source)
    if base is not None and labels is not None and base.labels is not None:
        was, now = (base.label_names, base.labels_are_classes), (labels.names, labels.are_classes)
        if was != now:
            raise AtlasError(
                f"the labels of {source.description} are of other classes than those of the atlas {shown(base.path)} "
                f"({_few(now[0])} instead of {_few(was[0])}). Give the same classes, or leave the labels out."
            )
    names = [source.name(index) for index in indices.tolist()]
    first = 0 if base is None else len(base)
    sample, picked = lots(names, settings["seed"], "sample"), lots(names, settings["seed"], "vectors")
    job = Job(
        layers=tuple(layers),
        features=tuple(features),
        indices=indices,
        first=first,
        labels=None if labels is None else labels.values[indices],
        shares=tuple(cut(len(indices), settings["batch"], bytes_of(features, settings))),
        sample=drawn(sample, settings["sample"]),
        vectors=drawn(picked, settings["vectors"]),
        lots=lots(names, settings["seed"], "positions"),
        settings=settings,
        new=True,
        outputs=settings["top"] > 0,
        losses=labels is not None and labels.are_classes,
    )
    described = {
        "origin": source.origin,
        "description": source.description,
        "count": len(source),
        "probes": _probes(source),
    }
    return Plan("pictures", job, labels, described, _identity("pictures", network, base, job, names, source))


def _for_layers(
    network: Network,
    source: PictureSet,
    base: Atlas,
    layers: Sequence[Layer],
    features: Sequence[Layer],
    settings: dict[str, Any],
) -> Plan:
    found = _indices_in(source, base)
    if missing := np.flatnonzero(found < 0).tolist():
        raise DataError(
            f"new layers have to see all pictures of the atlas again, and {len(missing):,} of {len(base):,} are not in "
            f"{source.description} (the first: {base.pictures.name(missing[0])}). Give a source that has them all."
        )
    names = [base.pictures.name(index) for index in range(len(base))]
    sample = np.zeros(len(base), np.bool_)
    if "sample_pictures" in base.manifest["arrays"] and layers:
        sample[base.layer(base.layers[0]).sample_pictures] = True
    job = Job(
        layers=tuple(layers),
        features=tuple(features),
        indices=found,
        first=0,
        labels=None if base.labels is None else np.asarray(base.labels),
        shares=tuple(cut(len(found), settings["batch"], bytes_of(features, settings))),
        sample=sample,
        vectors=drawn(lots(names, settings["seed"], "vectors"), settings["vectors"]),
        lots=lots(names, settings["seed"], "positions"),
        settings=settings,
        new=False,
        outputs=False,
        losses=False,
    )
    return Plan("layers", job, None, None, _identity("layers", network, base, job, names, source))


def bytes_of(features: Sequence[Layer], settings: dict[str, Any]) -> int:
    """Return what the features of one picture take on the disk."""
    whole = settings.get("pool") == "whole"
    numbers = sum(layer.channels * (math.prod(layer.map_size or ()) if whole else 1) for layer in features)
    return int(numbers * np.dtype(settings["dtype"]).itemsize)


def _identity(
    kind: str, network: Network, base: Atlas | None, job: Job, names: Sequence[str], source: PictureSet
) -> dict[str, Any]:
    digest = hashlib.blake2b(digest_size=8)
    for name, index in zip(names, job.indices.tolist(), strict=True):
        digest.update(name.encode("utf-8", "surrogateescape") + b"\0")
        if source.path(index) is not None:  # others are known by their probes
            digest.update(source.mark(index).encode())
    digest.update(job.indices.tobytes())
    if job.labels is not None:
        digest.update(job.labels.tobytes())
    found = {
        "kind": kind,
        "base": None if base is None else base.manifest["data"],
        "weights": network.weights_hash,
        "input": network.spec.brief(),
        "layers": [layer.address for layer in job.layers],
        "features": [layer.address for layer in job.features],
        "options": job.settings,
        "pictures": digest.hexdigest(),
        "probes": _probes(source),
        "shares": len(job.shares),
    }
    plain: dict[str, Any] = json.loads(json.dumps(as_json(found)))
    return plain


def _new_pictures(source: PictureSet, base: Atlas) -> NDArray[np.int64]:
    """Return the pictures of a set that the atlas has not seen, and those that were broken and are others now.

    Raises:
        AtlasError: one that it has seen was changed since.
    """
    seen = {_row_key(row): row.get("mark") for row in base.pictures.rows}
    broken = {_row_key(row): row.get("mark") for row in base.broken_rows}
    number = _same_source(source, base)
    new = []
    for index in range(len(source)):
        key, mark = _key(source, index, number)
        # a picture that could not be used is not tried again as long as it is the same
        if key not in seen and (key not in broken or (mark is not None and broken[key] != mark)):
            new.append(index)
        elif key in seen and mark is not None and seen[key] != mark:
            raise AtlasError(
                f"{key} was changed since the atlas {shown(base.path)} saw it. Build another atlas, or put the "
                "picture back."
            )
    return np.array(new, np.int64)


def _indices_in(source: PictureSet, base: Atlas) -> NDArray[np.int64]:
    """Return where each picture of the atlas stands in a set, -1 where it does not."""
    number = _same_source(source, base)
    where = {_key(source, index, number)[0]: index for index in range(len(source))}
    return np.array([where.get(_row_key(row), -1) for row in base.pictures.rows], np.int64)


def still_broken(source: PictureSet, base: Atlas, again: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Return the pictures that an atlas had set aside, without those of a set that are tried again."""
    number = _same_source(source, base)
    tried = {_key(source, index, number)[0] for index in again.tolist()} if len(base.broken_rows) else set()
    return [row for row in base.broken_rows if _row_key(row) not in tried]


def _row_key(row: dict[str, Any]) -> str:
    return row["path"] if row.get("path") is not None else f"{row['source']}#{row['name']}"


def _key(source: PictureSet, index: int, number: int) -> tuple[str, str | None]:
    path = source.path(index)
    if path is not None:
        return str(path.absolute()), source.mark(index)
    return f"{number}#{source.name(index)}", None


def _same_source(source: PictureSet, base: Atlas) -> int:
    """Return the number of the source of the atlas that this set is, or the next number where it is none of them."""
    entries = base.manifest["sources"]
    for number, entry in enumerate(entries):
        same = entry["origin"] == as_json(source.origin) and len(source) >= entry["count"]
        in_files = source.path(0) is not None
        if (
            same
            and in_files == (not entry["probes"])
            and all(source.mark(index) == mark for index, mark in entry["probes"])
        ):
            return number
    return len(entries)


def _probes(source: PictureSet) -> list[list[Any]]:
    """Return index and mark of a few pictures of a set without files."""
    if source.path(0) is not None:
        return []
    indices = np.unique(np.linspace(0, len(source) - 1, _PROBES).astype(int)).tolist()
    return [[index, source.mark(index)] for index in indices]


def is_steady(source: PictureSet) -> bool:
    """Tell whether a few pictures of a set are the same when they are read twice, as random crops are not."""
    return _probes(source) == _probes(source)


def row_of(source: PictureSet, index: int, number: int) -> dict[str, Any]:
    """Return how the list of an atlas names a picture."""
    path = source.path(index)
    row = {"name": source.name(index), "source": number, "index": index}
    return row if path is None else row | {"path": str(Path(path).absolute()), "mark": source.mark(index)}


def source_number(source: PictureSet, base: Atlas | None) -> int:
    """Return the number by which the pictures of a set are listed in an atlas."""
    return 0 if base is None else _same_source(source, base)


def _compared(own: Sequence[str] | None, theirs: Sequence[str]) -> tuple[list[str] | None, list[str]]:
    """Return the names of both as they are compared: whole, where they are the same so, else without synonyms."""
    if own is None:
        return None, [_plain(name) for name in theirs]
    whole = [_plain(name) for name in own], [_plain(name) for name in theirs]
    if set(whole[1]) <= set(whole[0]):
        return whole
    return [_plain(name.split(",")[0]) for name in own], [_plain(name.split(",")[0]) for name in theirs]


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").lower().split())


def _few(names: tuple[str, ...] | None) -> str:
    return "no names" if names is None else ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
