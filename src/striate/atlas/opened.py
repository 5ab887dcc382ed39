"""Read an atlas: what every unit and every picture gave, from arrays that stay on disk until they are asked for.

Builds nothing and runs no network; the arrays are as `store` lays them out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.atlas import store
from striate.atlas.pictures import Pictures
from striate.atlas.units import LayerAtlas
from striate.errors import AddressError, AtlasError, DataError, OptionError
from striate.files import shown
from striate.network import Network
from striate.spec import InputSpec

__all__ = ["Atlas", "LayerAtlas", "Pictures", "Samples", "open"]

Array = NDArray[Any]
_BLOCK = 16 * 2**20  # bytes that are read at a time


def open(path: str | os.PathLike[str], *, source: str | os.PathLike[str] | None = None) -> Atlas:
    """Open an atlas for reading.

    Args:
        path: its folder.
        source: where the pictures lie now, if they were moved since the atlas was built.

    Raises:
        AtlasError: there is none, it is unfinished or broken, or of another version.
        ImageError: the pictures are not in `source`.
    """
    for last in (False, True):
        found = store.manifest(path)
        try:
            held = Atlas(Path(path), found, None if source is None else Path(source))
            held.pictures.check()
            return held
        except FileNotFoundError as error:
            # between manifest and arrays a build may have put others in their place: look once more
            if last:
                raise AtlasError(
                    f"the atlas {shown(path)} is not whole: {shown(error.filename)} is missing. Copy it again, with "
                    "all that is in its folder, or build it anew."
                ) from error
    raise AssertionError  # the loop returns or raises


class Atlas:
    """What a network saw in a whole data set.

    Attributes:
        path: its folder.
        manifest: what it is: network, specification, layers, options, versions.
        layers: addresses in the order of the network.
        pictures: the pictures that were seen, in their order.
        labels: (N,) int64, -1 where unknown; None where no picture has one.
        class_names: names of the classes that the network predicts, or None.
        label_names: names of the classes of `labels`, or None; the same as `class_names` where `labels_are_classes`.
        arrays: all arrays by name, as they lie on disk.
        folder: where they lie.
        broken_rows: the entries of the pictures that were set aside, as they lie on disk.
        spec: what the network expects of a picture.
        labels_are_classes: the labels count the network's own classes, so that predictions can be right or wrong.
        predicts: predictions and probabilities were kept; not where it keeps features only.
        losses: (N,) float32, cross-entropy with the label in nats, NaN where there is none; None without labels.
        logits: (N, K) float16, or None where they were not kept.
    """

    def __init__(self, path: Path, manifest: dict[str, Any], source: Path | None = None) -> None:
        """Open the arrays; use `open`."""
        folder = path / str(manifest["data"])
        self.path = path
        self.manifest = manifest
        self.folder = folder
        self.arrays: dict[str, Array] = {name: store.array(folder, name) for name in manifest["arrays"]}
        self.layers: tuple[str, ...] = tuple(entry["address"] for entry in manifest["layers"])
        self.spec = InputSpec.from_dict(manifest["network"]["spec"])
        self.broken_rows = store.Lines(folder, "broken")
        self.pictures = Pictures(store.Lines(folder, "pictures"), manifest, self.spec, self._maybe("pictures"), source)
        self.labels = self._maybe("labels")
        self.class_names = _names(manifest["network"]["class_names"])
        self.label_names = _names(manifest["label_names"])
        self.labels_are_classes: bool = manifest["labels_are_classes"]
        self.predicts = "predictions" in self.arrays
        self.losses = self._maybe("losses")
        self.logits = self._maybe("logits")
        total = len(self.predictions) if self.predicts else int(manifest["pictures"])
        if len(self.pictures) != total:
            raise AtlasError(
                f"the atlas {shown(path)} is not whole: its list has {len(self.pictures):,} of "
                f"{total:,} pictures. Copy it again, with all that is in its folder, or build it anew."
            )

    def __repr__(self) -> str:
        what = f"{len(self.layers)} layers" if self.layers else f"features of {', '.join(self.feature_places)}"
        return f"Atlas({self.manifest['network']['name']}, {len(self.pictures):,} pictures, {what})"

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def broken(self) -> tuple[tuple[str, str], ...]:
        """The pictures that were set aside: name and reason of each."""
        return tuple((row["name"], row["reason"]) for row in self.broken_rows)

    @property
    def predictions(self) -> Array:
        """The class with the largest logit in each picture, (N,) int64; -1 where the network gives none.

        Raises:
            AtlasError: the atlas keeps features only.
        """
        return self._of_the_classes("predictions")

    @property
    def probabilities(self) -> Array:
        """The probability of that class (softmax), (N,) float32.

        Raises:
            AtlasError: the atlas keeps features only.
        """
        return self._of_the_classes("probabilities")

    def _of_the_classes(self, name: str) -> Array:
        if name not in self.arrays:
            raise AtlasError(
                f"{shown(self.path)} keeps features only: the network was stopped before its classes, so there are no "
                f"{name}. Build an atlas in another folder to have them: striate atlas build."
            )
        return self.arrays[name]

    def check_units(self) -> None:
        """Make sure that the atlas knows of units, and not of features only.

        Raises:
            AtlasError: it was made by `features`.
        """
        if not self.layers:
            raise AtlasError(
                f"{shown(self.path)} keeps features only ({', '.join(self.feature_places)}), and nothing of any unit. "
                "Build an atlas in another folder to have that: striate atlas build."
            )

    def check(self, network: Network) -> None:
        """Make sure that the atlas is of this very network.

        Raises:
            AtlasError: other weights, or another specification of the input.
        """
        was = self.manifest["network"]
        if was["weights_hash"] != network.weights_hash:
            raise AtlasError(
                f"the atlas {shown(self.path)} was built with {was['name']} (weights {was['weights_hash']}), not with "
                f"this {network.name} (weights {network.weights_hash}). Give the same network, or build another atlas."
            )
        if self.spec != network.spec:
            before, now = as_json(self.spec.brief()), as_json(network.spec.brief())
            differing = [name for name in {**before, **now} if now.get(name) != before.get(name)]
            raise AtlasError(
                f"the atlas {shown(self.path)} was built with another specification of the input: "
                + "; ".join(f"{name} was {before.get(name)}, is {now.get(name)}" for name in differing)
                + ". Give the same one, or build another atlas."
            )

    def layer(self, place: str) -> LayerAtlas:
        """Return what is known of a layer.

        Args:
            place: its address; "name" alone is the last call of a module that is called several times.

        Raises:
            AddressError: it is not in the atlas; the text proposes the nearest.
            AtlasError: the atlas keeps features only.
        """
        self.check_units()
        entries = self.manifest["layers"]
        calls = [index for index, one in enumerate(self.layers) if one == place or one.partition("~")[0] == place]
        if not calls:
            close = get_close_matches(place, self.layers, n=3, cutoff=0.5)
            hint = f" Did you mean {' or '.join(close)}?" if close else ""
            raise AddressError(
                f"layer {place!r} is not in the atlas {shown(self.path)}.{hint} "
                f"It holds {len(self.layers)}: {', '.join(self.layers[:6])}{', ...' if len(self.layers) > 6 else ''}."
            )
        index = self.layers.index(place) if place in self.layers else calls[-1]
        start = sum(entry["channels"] for entry in entries[:index])
        return LayerAtlas(entries[index], start, self.arrays, len(self), self.manifest)

    @property
    def feature_places(self) -> tuple[str, ...]:
        """The layers whose features were kept for every picture."""
        return tuple(entry["place"] for entry in self.manifest["features"])

    def features(self, place: str | None = None) -> Array:
        """Return what a layer gave for every picture, on disk, float16 or float32.

        Args:
            place: one of `feature_places`; the deepest unless given.

        Returns:
            (N, D), averaged over the map; (N, C, H, W) where whole maps were kept (`features` with pool="whole").

        Raises:
            AddressError: they were not kept.
        """
        return self.arrays[f"features-{self._feature_index(place, 'features')}"]

    def feature_file(self, place: str | None = None) -> Path:
        """Return the file in which the features of a layer lie.

        Raises:
            AddressError: they were not kept.
        """
        return self.folder / f"features-{self._feature_index(place, 'features')}.npy"

    def averaged(self, place: str | None = None) -> Array:
        """Return what `features` does, with whole maps averaged: (N, D), on disk, or else worked out, float32.

        Raises:
            AddressError: they were not kept.
        """
        kept = self.features(place)
        if kept.ndim == 2:
            return kept
        found = np.empty(kept.shape[:2], np.float32)
        for rows in _blocks(kept, np.arange(len(kept))):
            found[rows] = kept[rows].mean((2, 3), dtype=np.float32)
        return found

    def xy(
        self, places: str | Sequence[str] | None = None, *, rows: Sequence[int] | NDArray[np.integer[Any]] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return features and labels as scikit-learn takes them: X and y.

        Args:
            places: one of `feature_places`, or several, whose features stand side by side in their order; the deepest
                unless given. Whole maps are flattened.
            rows: which pictures, in this order; all unless given.

        Returns:
            X, (M, D) float32, and y, (M,) int64, in memory. Pictures without a label are left out: row m is the m-th
            of ``rows[labels[rows] >= 0]``.

        Raises:
            AddressError: the features were not kept.
            DataError: none of the pictures has a label.
            OptionError: a row that there is not.
        """
        asked = [places] if places is None or isinstance(places, str) else list(places)
        wanted = np.arange(len(self)) if rows is None else np.asarray(rows)
        if wanted.dtype == np.bool_:
            wanted = np.flatnonzero(wanted)
        if len(wanted) and not (wanted.min() >= 0 and wanted.max() < len(self)):
            outside = int(wanted.max() if wanted.max() >= len(self) else wanted.min())
            raise OptionError(f"rows lie from 0 to {len(self) - 1:,}, the pictures of the atlas, got {outside:,}.")
        known = wanted[:0] if self.labels is None else wanted[self.labels[wanted] >= 0]
        if self.labels is None or not len(known):
            which = "no picture of" if rows is None else f"none of these {len(wanted):,} pictures of"
            raise DataError(
                f"{which} {shown(self.path)} has a label, so there is no y. Give labels where the pictures are read: "
                "a folder for each class, a labels.csv, or dataset.open(..., labels=)."
            )
        kept = [self.features(place) for place in asked]
        widths = [int(np.prod(one.shape[1:])) for one in kept]
        x = np.empty((len(known), sum(widths)), np.float32)
        for one, start, width in zip(kept, np.cumsum([0, *widths]), widths, strict=False):
            for block in _blocks(one, known):
                x[block, start : start + width] = one[known[block]].reshape(-1, width)
        return x, np.asarray(self.labels[known], np.int64)

    def samples(self, place: str | None = None) -> Samples:
        """Return vectors of single positions, drawn at random from all positions of all pictures.

        Args:
            place: one of `feature_places`; the deepest unless given.

        Raises:
            AddressError: they were not kept.
            AtlasError: they were kept by an older version.
        """
        index = self._feature_index(place, "samples")
        vectors, pictures, positions = (
            self.arrays[f"samples-{index}-{what}"] for what in ("vectors", "pictures", "positions")
        )
        return Samples(vectors, pictures, positions)

    def _feature_index(self, place: str | None, what: str) -> int:
        places = [entry["place"] for entry in self.manifest["features"] if entry[what]]
        if not places:
            raise AddressError(
                f"the atlas {shown(self.path)} was built without {what}. Build into it again to add "
                "them: features=LAYER (--features LAYER)."
            )
        wanted = places[-1] if place is None else place
        calls = [one for one in places if one.partition("~")[0] == wanted]
        if wanted not in places and calls:
            wanted = calls[-1]  # "name" alone is the last call
        if wanted not in places:
            raise AddressError(
                f"no {what} of {wanted!r} in the atlas {shown(self.path)}; there are those of {', '.join(places)}."
            )
        entry = self.manifest["features"][self.feature_places.index(wanted)]
        if "number" not in entry:
            raise AtlasError(
                f"the atlas {shown(self.path)} was built by a version that kept {what} in another way. To use those of "
                f"{wanted}, build the atlas anew in another folder: striate atlas build."
            )
        return int(entry["number"])

    def _maybe(self, name: str) -> Array | None:
        return self.arrays.get(name)


@dataclass(frozen=True, eq=False)
class Samples:
    """Vectors of single positions of a layer.

    Attributes:
        vectors: (M, C).
        pictures: (M,) int64, the picture of each.
        positions: (M, 2) int32, row and column in the map; -1 where the layer gives a vector.
    """

    vectors: Array
    pictures: Array
    positions: Array


def _blocks(array: Array, rows: NDArray[np.integer[Any]]) -> Iterator[slice]:
    """Yield the rows in blocks for which an array is a few megabytes."""
    step = max(_BLOCK // max(array[:1].nbytes, 1), 1)
    for start in range(0, len(rows), step):
        yield slice(start, min(start + step, len(rows)))


def as_json(values: Any) -> Any:
    """Return values as they come back from JSON: lists for tuples."""
    if isinstance(values, dict):
        return {key: as_json(value) for key, value in values.items()}
    return [as_json(value) for value in values] if isinstance(values, list | tuple) else values


def _names(found: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if found is None else tuple(found)
