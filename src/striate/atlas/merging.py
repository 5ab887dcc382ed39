"""Put shares together, behind what an atlas holds already, and make the result the atlas. Runs no network.

Shares are folded in in their order, one at a time; what there is for each picture goes from file to file. So memory
holds the statistics of the units once, and never the pictures.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import striate
from striate.atlas import store
from striate.atlas.joining import Units, from_atlas
from striate.atlas.opened import Atlas, as_json
from striate.atlas.planning import Plan, row_of, source_number, still_broken
from striate.atlas.shares import drawn, lots, read_share
from striate.dataset.pictures import PictureSet
from striate.errors import AtlasError
from striate.graph import Layer
from striate.network import Network

__all__ = ["merge"]

Array = NDArray[Any]
_PER_PICTURE = ("predictions", "probabilities", "losses", "logits")
_SAMPLES = ("vectors", "pictures", "positions")
_PIECE = 16 * 2**20  # bytes that are copied at a time


def merge(network: Network, source: PictureSet, base: Atlas | None, plan: Plan, out: Path, work: Path) -> None:
    """Merge the finished shares of a plan with the atlas that is there, and put the result in its place.

    Raises:
        AtlasError: a share is broken, or no picture could be read.
        OutputError: the result cannot be written; the atlas is as it was.
    """
    data = store.new_data(out)
    try:
        entries = _Merge(network, source, base, plan, data, work).all()
        store.commit(out, data, entries)
    except BaseException:
        shutil.rmtree(data, ignore_errors=True)
        raise


class _Merge:
    """One merge on its way."""

    def __init__(
        self, network: Network, source: PictureSet, base: Atlas | None, plan: Plan, data: Path, work: Path
    ) -> None:
        self.network, self.source, self.base = network, source, base
        self.plan, self.job, self.data, self.work = plan, plan.job, data, work
        self.written: list[str] = []
        self.before = 0 if base is None or plan.kind == "layers" else len(base)
        good, self.broken = self._survey()
        self.indices = self.job.indices[good]
        self.before_broken: list[dict[str, Any]] = []
        if base is not None:
            again = self.job.indices if plan.kind == "pictures" else np.zeros(0, np.int64)
            self.before_broken = still_broken(source, base, again)
        self.count = self.before + len(good)
        # the number of each picture of the job in the atlas: those that are broken have none
        self.numbers = np.full(self.job.first + len(self.job.indices), -1, np.int64)
        self.numbers[: self.before] = np.arange(self.before)
        self.numbers[self.job.first + good] = self.before + np.arange(len(good))
        self.good = good

    def _survey(self) -> tuple[NDArray[np.int64], list[tuple[int, str]]]:
        """Find out which pictures could be read.

        Raises:
            AtlasError: none could, or one that could when the atlas was begun cannot any more.
        """
        good: list[Array] = []
        broken: list[tuple[int, str]] = []
        for share in self._shares():
            good.append(share["places"])
            broken += zip(share["broken_places"].tolist(), share["broken_reasons"].tolist(), strict=True)
        found = np.concatenate(good).astype(np.int64)
        if broken and (self.plan.kind == "layers" or not (len(found) + self.before)):
            what = "none of the pictures can be read" if not len(found) else f"{len(broken)} cannot be read any more"
            raise AtlasError(f"{what}. The first: {broken[0][1]}")
        return found, broken

    def _shares(self) -> Iterator[Any]:
        for share in self.job.shares:
            with read_share(self.work, share) as arrays:  # type: ignore[attr-defined]  # an NpzFile closes itself
                yield arrays

    def all(self) -> dict[str, Any]:
        """Write everything, and return the manifest's entries."""
        settings = self.job.settings
        layers = self._units()
        if self.plan.kind == "layers":
            self._carry_over()
        else:
            self._pictures()
            self._labels()
            for name in _PER_PICTURE:
                self._per_picture(name)
            if settings["keep"]:
                self._keep_pictures()
        features = self._features()
        base = None if self.base is None else self.base.manifest
        labels = self.plan.labels
        known = base is not None and base["label_names"] is not None
        named = base is not None and (labels is None or known or self.base.labels is not None)  # type: ignore[union-attr]
        return {
            "version": striate.__version__,
            "torch": torch.__version__,
            "network": {
                "name": self.network.name,
                "factory": self.network.factory,
                "weights_hash": self.network.weights_hash,
                "spec": as_json(self.network.spec.to_dict()),
                "class_names": self.network.class_names,
            },
            "pictures": self.count,
            "broken": len(self.broken) + len(self.before_broken),
            "label_names": base["label_names"] if named and base else None if labels is None else labels.names,
            "labels_are_classes": base["labels_are_classes"] if named and base else bool(labels and labels.are_classes),
            "sources": self._sources(),
            "layers": layers,
            "features": features,
            "options": settings,
            "arrays": sorted(self.written),
        }

    # --- units

    def _units(self) -> list[dict[str, Any]]:
        """Fold the shares into the statistics of the units, and return the entries of the layers."""
        job, base = self.job, self.base
        if not job.layers and (base is None or not base.layers):
            return []  # features only
        joined = Units(job.layers, job.settings, self._class_count())
        grows = base is not None and self.plan.kind == "pictures"
        if grows and base is not None:
            joined.take(from_atlas(base))
        if job.layers:
            for share in self._shares():
                joined.fold(share)
        arrays = joined.arrays(self.numbers)
        entries = [_entry(layer) for layer in job.layers]
        if base is not None and not grows:
            entries, arrays = self._beside(base, entries, arrays)
        if base is None or grows:
            arrays |= self._sample(joined)
        for name, array in arrays.items():
            self._write(name, array.shape, array.dtype, [array])
        return entries

    def _beside(
        self, base: Atlas, entries: list[dict[str, Any]], arrays: dict[str, Array]
    ) -> tuple[list[dict[str, Any]], dict[str, Array]]:
        """Put new layers among those that are there, in the order of the network."""
        old: list[dict[str, Any]] = base.manifest["layers"]
        arrays |= self._sample_rows(base)
        order = {layer.address: index for index, layer in enumerate(self.network.graph().layers)}
        both = sorted(
            [(order[entry["address"]], entry, False) for entry in old]
            + [(order[entry["address"]], entry, True) for entry in entries],
            key=lambda item: item[0],
        )
        starts = {False: 0, True: 0}
        pieces: list[tuple[bool, slice]] = []
        for _, entry, new in both:
            pieces.append((new, slice(starts[new], starts[new] + entry["channels"])))
            starts[new] += entry["channels"]
        result = {}
        for name, array in arrays.items() if entries else ():
            across = name in ("sample_values", "sample_positions", "class_sums")  # units are their second dimension
            were = base.arrays[name]
            found = [
                (array if new else were)[:, units] if across else (array if new else were)[units]
                for new, units in pieces
            ]
            result[name] = np.concatenate(found, 1 if across else 0)
        return [entry for _, entry, _ in both], result

    def _sample(self, joined: Units) -> dict[str, Array]:
        """Choose the sample anew among the old one and what the shares drew."""
        if not self.job.settings["sample"]:
            return {}
        kept = [self._sample_of(joined.widths)]
        if self.base is not None and "sample_pictures" in self.base.arrays:
            old = self.base.arrays
            kept.insert(0, (old["sample_pictures"], old["sample_values"], old["sample_positions"]))
        pictures, values, positions = (np.concatenate([one[index] for one in kept]) for index in range(3))
        wanted = drawn(lots(map(self._name, pictures.tolist()), self.job.settings["seed"], "sample"), self._limit())
        return {
            "sample_pictures": pictures[wanted],
            "sample_values": values[wanted],
            "sample_positions": positions[wanted],
        }

    def _sample_rows(self, base: Atlas) -> dict[str, Array]:
        """Return what new layers gave in the sample that the atlas has."""
        if "sample_pictures" not in base.arrays or not self.job.layers:
            return {}
        _, values, positions = self._sample_of(Units(self.job.layers, self.job.settings, 0).widths)
        return {"sample_values": values, "sample_positions": positions}

    def _sample_of(self, widths: NDArray[np.int64]) -> tuple[Array, Array, Array]:
        parts = [(share["sample_pictures"], share["sample_values"], share["sample_places"]) for share in self._shares()]
        pictures, values, places = (np.concatenate([part[index] for part in parts]) for index in range(3))
        rows, columns = np.divmod(places, np.maximum(widths, 1))
        positions = np.where((widths > 0)[:, None], np.stack([rows, columns], 2), -1).astype(np.int16)
        return self.numbers[pictures], values, positions

    def _limit(self) -> int:
        return int(self.job.settings["sample"])

    def _class_count(self) -> int:
        """Count the classes of all labels, old and new; 0 without labels or where their means are not wanted."""
        if not self.job.settings["classes"]:
            return 0
        sizes = [0]
        if self.plan.labels is not None:
            sizes += [len(self.plan.labels.names or ()), int(self.plan.labels.values.max()) + 1]
        if self.base is not None and "class_counts" in self.base.arrays:
            sizes.append(len(self.base.arrays["class_counts"]))
        return max(sizes)

    # --- pictures

    def _name(self, number: int) -> str:
        if self.base is not None and number < len(self.base):
            return self.base.pictures.name(number)
        return self.source.name(int(self.indices[number - self.before]))

    def _pictures(self) -> None:
        number = source_number(self.source, self.base)
        old = [] if self.base is None else self.base.pictures.rows
        new = (row_of(self.source, index, number) for index in self.indices.tolist())
        store.write_lines(self.data, "pictures", _chained(old, new))
        broken = (
            row_of(self.source, int(self.job.indices[place]), number) | {"reason": reason}
            for place, reason in self.broken
        )
        store.write_lines(self.data, "broken", _chained(self.before_broken, broken))

    def _sources(self) -> list[dict[str, Any]]:
        entries = [] if self.base is None else list(self.base.manifest["sources"])
        if self.plan.source is not None:
            number = source_number(self.source, self.base)
            entries[number : number + 1] = [self.plan.source]
        return entries

    def _labels(self) -> None:
        old = None if self.base is None else self.base.labels
        if self.plan.labels is None and old is None:
            return
        new = np.full(len(self.indices), -1, np.int64)
        if self.plan.labels is not None:
            new = self.plan.labels.values[self.indices]
        parts = [] if self.base is None else [np.full(len(self.base), -1, np.int64) if old is None else old]
        labels = np.concatenate([*parts, new])
        self._write("labels", labels.shape, np.int64, [labels])
        if count := self._class_count():
            counts = np.bincount(labels[labels >= 0], minlength=count).astype(np.int64)
            self._write("class_counts", counts.shape, np.int64, [counts])

    def _per_picture(self, name: str) -> None:
        """Write what each picture has one row of: the old rows, then those of the shares."""
        old = None if self.base is None else self.base.arrays.get(name)
        found = next((share[name] for share in self._shares() if name in share), None)
        if found is None and old is None:
            return
        like: Array = found if found is not None else np.asarray(old)[:0]

        def parts() -> Iterator[Array]:
            if self.before:
                yield np.full((self.before, *like.shape[1:]), np.nan, like.dtype) if old is None else old
            for share in self._shares():
                if name in share:
                    yield share[name]
                else:
                    yield np.full((len(share["places"]), *like.shape[1:]), np.nan, like.dtype)

        self._write(name, (self.count, *like.shape[1:]), like.dtype, parts())

    def _keep_pictures(self) -> None:
        spec = self.network.spec

        def copies() -> Iterator[Array]:
            if self.base is not None and "pictures" in self.base.arrays:
                yield self.base.arrays["pictures"]
            for index in self.indices.tolist():
                pixels = spec.denormalise(self.source.read(index, spec)).mul_(255).round_().clamp_(0, 255)
                yield pixels.byte().permute(1, 2, 0).numpy()[None]

        self._write("pictures", (self.count, *spec.size, spec.channels), np.uint8, copies())

    def _carry_over(self) -> None:
        """Take over what new layers leave as it is, without copying where the disk allows it."""
        assert self.base is not None
        for name in ("pictures.jsonl", "broken.jsonl"):
            _link(self.base.folder / name, self.data / name)
        for name in self.base.arrays:
            if name not in self.written:
                _link(self.base.folder / f"{name}.npy", self.data / f"{name}.npy")
                self.written.append(name)

    # --- features

    def _features(self) -> list[dict[str, Any]]:
        """Write features and vectors of single positions, and return their entries in the order of the network."""
        old = [] if self.base is None else list(self.base.manifest["features"])
        if self.plan.kind == "pictures":
            numbers = {entry["place"]: entry["number"] for entry in old}
            for index, layer in enumerate(self.job.features):
                number = numbers.setdefault(layer.address, index)
                self._feature(index, number, grows=self.base is not None)
            if old:
                return old
            return [_feature_entry(layer, index, self.job.settings) for index, layer in enumerate(self.job.features)]
        start = max((entry["number"] for entry in old), default=-1) + 1
        for index, layer in enumerate(self.job.features):
            self._feature(index, start + index, grows=False)
            old.append(_feature_entry(layer, start + index, self.job.settings))
        order = {layer.address: index for index, layer in enumerate(self.network.graph().layers)}
        return sorted(old, key=lambda entry: order[entry["place"]])

    def _feature(self, index: int, number: int, *, grows: bool) -> None:
        name, kept = f"features-{index}", f"features-{number}"
        shape = _shape(self.job.features[index], self.job.settings)

        def parts() -> Iterator[Array]:
            if grows and self.base is not None:
                yield from _pieces(self.base.arrays[kept])
            for share in self._shares():
                if name in share:
                    yield share[name]

        self._write(kept, (self.count, *shape), self.job.settings["dtype"], parts())
        if self.job.settings["vectors"]:
            self._vectors(index, number, grows=grows)

    def _vectors(self, index: int, number: int, *, grows: bool) -> None:
        """Write the vectors of single positions that were drawn, choosing anew where there are more than wanted."""
        names = [f"samples-{index}-{what}" for what in _SAMPLES]
        found = [tuple(share[name] for name in names) for share in self._shares() if names[0] in share]
        parts = [(vectors, self.numbers[pictures], positions) for vectors, pictures, positions in found]
        if grows and self.base is not None:
            old = [self.base.arrays[f"samples-{number}-{what}"] for what in _SAMPLES]
            parts.insert(0, (old[0], old[1], old[2]))
        vectors, pictures, positions = (np.concatenate([part[one] for part in parts]) for one in range(3))
        limit = int(self.job.settings["vectors"])
        if len(pictures) > limit:
            wanted = drawn(lots(map(self._name, pictures.tolist()), self.job.settings["seed"], "vectors"), limit)
            vectors, pictures, positions = vectors[wanted], pictures[wanted], positions[wanted]
        for what, array in zip(_SAMPLES, (vectors, pictures, positions), strict=True):
            self._write(f"samples-{number}-{what}", array.shape, array.dtype, [array])

    def _write(self, name: str, shape: tuple[int, ...], dtype: Any, parts: Any) -> None:
        store.write_array(self.data, name, shape, dtype, parts)
        self.written.append(name)


def _entry(layer: Layer) -> dict[str, Any]:
    return {
        "address": layer.address,
        "kind": layer.kind,
        "channels": layer.channels,
        "map": layer.map_size,
        "field": store.field_to(layer.field),
    }


def _feature_entry(layer: Layer, number: int, settings: dict[str, Any]) -> dict[str, Any]:
    return {
        "place": layer.address,
        "number": number,
        "features": True,
        "samples": settings["vectors"] > 0,
        "shape": _shape(layer, settings),
    }


def _shape(layer: Layer, settings: dict[str, Any]) -> tuple[int, ...]:
    """Return the shape of one picture's features."""
    return (layer.channels, *((layer.map_size or ()) if settings.get("pool") == "whole" else ()))


def _pieces(array: Array) -> Iterator[Array]:
    """Yield an array in pieces of a few megabytes, so that it need not lie in memory whole."""
    step = max(_PIECE // max(array[:1].nbytes, 1), 1)
    for start in range(0, len(array), step):
        yield array[start : start + step]


def _chained(old: Sequence[Any], new: Iterator[Any]) -> Iterator[Any]:
    yield from old
    yield from new


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        try:
            shutil.copyfile(source, target)
        except OSError as error:
            raise store.unwritable(target, error) from error
