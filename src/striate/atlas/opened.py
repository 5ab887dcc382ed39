"""Read an atlas: what every unit and every picture gave, from arrays that stay on disk until they are asked for.

Builds nothing and runs no network; the arrays are as `store` lays them out.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.atlas import histogram, store
from striate.atlas.pictures import Pictures
from striate.errors import AddressError, AtlasError, OptionError
from striate.files import shown
from striate.geometry import Field
from striate.network import Network
from striate.spec import InputSpec

__all__ = ["Atlas", "LayerAtlas", "Pictures", "Samples", "open"]

Array = NDArray[Any]


def open(path: str | os.PathLike[str], *, source: str | os.PathLike[str] | None = None) -> Atlas:
    """Open an atlas for reading.

    Args:
        path: its folder.
        source: where the pictures lie now, if they were moved since the atlas was built.

    Raises:
        AtlasError: there is none, it is unfinished or broken, or of another version.
    """
    for last in (False, True):
        found = store.manifest(path)
        try:
            return Atlas(Path(path), found, None if source is None else Path(source))
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
        predictions: (N,) int64, the class with the largest logit; -1 where the network gives none.
        probabilities: (N,) float32, its probability (softmax).
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
        self.predictions = self.arrays["predictions"]
        self.probabilities = self.arrays["probabilities"]
        self.losses = self._maybe("losses")
        self.logits = self._maybe("logits")
        if len(self.pictures) != len(self.predictions):
            raise AtlasError(
                f"the atlas {shown(path)} is not whole: its list has {len(self.pictures):,} of "
                f"{len(self.predictions):,} pictures. Copy it again, with all that is in its folder, or build it anew."
            )

    def __repr__(self) -> str:
        return f"Atlas({self.manifest['network']['name']}, {len(self.pictures):,} pictures, {len(self.layers)} layers)"

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def broken(self) -> tuple[tuple[str, str], ...]:
        """The pictures that were set aside: name and reason of each."""
        return tuple((row["name"], row["reason"]) for row in self.broken_rows)

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
        """
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
        """Return what a layer gave for every picture, averaged over its map: (N, D), float16 or float32, on disk.

        Args:
            place: one of `feature_places`; the deepest unless given.

        Raises:
            AddressError: they were not kept.
        """
        return self.arrays[f"features-{self._feature_index(place, 'features')}"]

    def samples(self, place: str | None = None) -> Samples:
        """Return vectors of single positions, drawn at random from all positions of all pictures.

        Args:
            place: one of `feature_places`; the deepest unless given.

        Raises:
            AddressError: they were not kept.
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
        if wanted not in places:
            raise AddressError(
                f"no {what} of {wanted!r} in the atlas {shown(self.path)}; there are those of {', '.join(places)}."
            )
        return int(self.manifest["features"][self.feature_places.index(wanted)]["number"])

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


class LayerAtlas:
    """What the units of one layer gave in a whole data set.

    The value of a unit in a picture is its maximum over the map (the entry itself where the layer gives a vector).

    Attributes:
        address: of the layer.
        kind: class of the module.
        shape: (C, h, w), or (C,) where the layer gives a vector.
        channels: C.
        field: receptive fields of its units.
        pictures: how many pictures were seen.
    """

    edges = histogram.EDGES

    def __init__(
        self, entry: dict[str, Any], start: int, arrays: dict[str, Array], pictures: int, manifest: dict[str, Any]
    ) -> None:
        """Take the layer's part of the arrays; use `Atlas.layer`."""
        self.address: str = entry["address"]
        self.kind: str = entry["kind"]
        self.channels: int = entry["channels"]
        self.shape: tuple[int, ...] = (self.channels, *(entry["map"] or ()))
        self.field: Field = store.field_from(entry["field"])
        self.pictures = pictures
        self._units = slice(start, start + self.channels)
        self._arrays = arrays
        self._options = manifest["options"]

    def __repr__(self) -> str:
        return f"LayerAtlas({self.address}, {' x '.join(map(str, self.shape))}, {self.pictures:,} pictures)"

    @property
    def map_size(self) -> tuple[int, int] | None:
        """Height and width of the map, or None."""
        return None if len(self.shape) == 1 else (self.shape[1], self.shape[2])

    @property
    def top_values(self) -> Array:
        """The largest values of each unit, (C, k) float32, descending; NaN beyond the number of pictures."""
        return self._of("top_values")

    @property
    def top_pictures(self) -> Array:
        """The pictures that gave them, (C, k) int64; -1 beyond the number of pictures. Of equals the earlier wins."""
        return self._of("top_pictures")

    @property
    def top_positions(self) -> Array:
        """Where in the map: row and column, (C, k, 2) int32; -1 where the layer gives a vector.

        Of equal maxima the leftmost, and of those the topmost.
        """
        return self._of("top_positions")

    @property
    def bottom_values(self) -> Array:
        """The smallest values of each unit, (C, k) float32, ascending; NaN beyond the number of pictures."""
        return self._of("bottom_values")

    @property
    def bottom_pictures(self) -> Array:
        """The pictures that gave them, (C, k) int64; -1 beyond the number of pictures. Of equals the earlier wins."""
        return self._of("bottom_pictures")

    @property
    def bottom_positions(self) -> Array:
        """Where in the map: row and column, (C, k, 2) int32; -1 where the layer gives a vector."""
        return self._of("bottom_positions")

    @property
    def count(self) -> int:
        """Over how many numbers of each unit `mean` and `std` go: pictures times positions of the map."""
        height, width = self.map_size or (1, 1)
        return self.pictures * height * width

    @property
    def mean(self) -> Array:
        """Mean over all positions of all pictures, (C,) float64."""
        return self._of("sums") / max(self.count, 1)

    @property
    def std(self) -> Array:
        """Standard deviation over all positions of all pictures (divided by their number), (C,) float64.

        Its square is good to a millionth of the mean square: where the mean is 100 deviations from 0, to a hundredth.
        """
        variance = self._of("squares") / max(self.count, 1) - self.mean**2
        return np.sqrt(np.maximum(variance, 0))  # type: ignore[no-any-return]  # an array

    @property
    def fires(self) -> Array:
        """Share of the pictures in which the value is above 0, (C,) float64."""
        return self._of("fired") / max(self.pictures, 1)

    @property
    def largest(self) -> Array:
        """The largest value of each unit, (C,) float32."""
        return self._of("largest")

    @property
    def smallest(self) -> Array:
        """The smallest value of each unit (its maximum in the picture where that is least), (C,) float32."""
        return self._of("smallest")

    @property
    def histogram(self) -> Array:
        """How many pictures have a value in each bin, (C, bins); the borders are `edges`.

        Raises:
            AtlasError: the atlas was built without.
        """
        return self._wanted("histogram", "histograms")

    def quantile(self, q: float) -> Array:
        """Return a quantile of each unit's values over the pictures, (C,) float32, within 1/16 of the true one.

        Args:
            q: from 0 (the smallest) to 1 (the largest); rank floor(q * (N - 1)) is meant.

        Raises:
            OptionError: `q` is outside.
            AtlasError: the atlas was built without histograms.
        """
        if not 0 <= q <= 1:
            raise OptionError(f"a quantile lies from 0 to 1, got {q}.")
        if q in (0, 1) and self.pictures:
            return self.smallest if q == 0 else self.largest
        return histogram.quantiles(self.histogram, q, self.smallest, self.largest)

    @property
    def sample_pictures(self) -> Array:
        """The pictures of the fixed random sample, (S,) int64, ascending; the same for all layers.

        Raises:
            AtlasError: the atlas was built without.
        """
        return self._wanted("sample_pictures", "sample", units=False)

    @property
    def sample_values(self) -> Array:
        """The values of the units in the sample, (S, C) float32."""
        return self._wanted("sample_values", "sample", units=False)[:, self._units]

    @property
    def sample_positions(self) -> Array:
        """Row and column of the maximum in the sample, (S, C, 2) int16; -1 where the layer gives a vector."""
        return self._wanted("sample_positions", "sample", units=False)[:, self._units]

    def strip(self, channel: int, count: int) -> NDArray[np.int64]:
        """Choose pictures of the sample that stand for all values of a unit, from the weakest to the strongest.

        Args:
            channel: of the layer.
            count: how many; fewer where the sample is smaller.

        Returns:
            Rows of `sample_pictures`, `sample_values` and `sample_positions`, by evenly spaced quantiles.
        """
        order = np.argsort(self.sample_values[:, channel], kind="stable")
        wanted = min(count, len(order))
        # the middle of each of `count` equal parts
        ranks = ((np.arange(wanted) + 0.5) * len(order) / max(wanted, 1)).astype(np.int64)
        return order[ranks].astype(np.int64)

    @property
    def class_mean(self) -> Array | None:
        """Mean of the map over the pictures of each class, (C, K) float64; NaN for classes without pictures.

        K counts `Atlas.label_names`, or up to the largest label. None where there are no labels.
        """
        if "class_sums" not in self._arrays:
            return None
        counts = self._arrays["class_counts"]
        with np.errstate(invalid="ignore", divide="ignore"):
            means: Array = (self._arrays["class_sums"][:, self._units] / counts[:, None]).T
        return means

    def dead(self) -> NDArray[np.int64]:
        """Return the channels that are above 0 in no picture."""
        return np.flatnonzero(self._of("fired") == 0).astype(np.int64)

    def _of(self, name: str) -> Array:
        return self._arrays[name][self._units]

    def _wanted(self, name: str, option: str, *, units: bool = True) -> Array:
        if name not in self._arrays:
            raise AtlasError(f"the atlas was built without its {option}. Build it anew with them.")
        return self._of(name) if units else self._arrays[name]


def as_json(values: Any) -> Any:
    """Return values as they come back from JSON: lists for tuples."""
    if isinstance(values, dict):
        return {key: as_json(value) for key, value in values.items()}
    return [as_json(value) for value in values] if isinstance(values, list | tuple) else values


def _names(found: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if found is None else tuple(found)
