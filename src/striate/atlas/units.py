"""What an atlas tells of the units of one layer. Reads arrays that lie on disk; opens none of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.atlas import histogram, store
from striate.errors import AtlasError, OptionError
from striate.geometry import Field

__all__ = ["LayerAtlas"]

Array = NDArray[Any]


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
