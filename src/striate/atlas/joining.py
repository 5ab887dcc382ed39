"""The statistics of all units of some layers, to which one share after another is added. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from striate.atlas import histogram
from striate.atlas.opened import Atlas
from striate.atlas.ranking import NOBODY, keys_from, merged, pictures_of, values_of
from striate.graph import Layer

__all__ = ["Units", "from_atlas"]

Array = NDArray[Any]
_ENDS = ("top", "bottom")


class Units:
    """What is known of the units of some layers.

    Attributes:
        widths: (U,) int64, of the map of each unit; 0 where its layer gives a vector.
    """

    def __init__(self, layers: Sequence[Layer], settings: Mapping[str, Any], classes: int) -> None:
        """Begin with nothing.

        Args:
            layers: in order.
            settings: options of the atlas.
            classes: K, 0 where the means by class are not kept.
        """
        each = [((layer.map_size or (0, 0))[1], layer.channels) for layer in layers]
        widths, channels = np.array(each, np.int64).reshape(-1, 2).T
        self.widths = np.repeat(widths, channels)
        units, top = len(self.widths), int(settings["top"])
        self._ranks = {
            end: (np.full((units, top), NOBODY, np.int64), np.full((units, top), -1, np.int32)) for end in _ENDS
        }
        self._sums = {"sums": np.zeros(units), "squares": np.zeros(units), "fired": np.zeros(units, np.int64)}
        self._largest = np.full(units, -np.inf, np.float32)
        self._smallest = np.full(units, np.inf, np.float32)
        self._counts = np.zeros((units, histogram.BINS), np.uint32) if settings["histograms"] else None
        self._class_sums = np.zeros((classes, units)) if classes else None

    def take(self, known: Mapping[str, Array]) -> None:
        """Begin with what an atlas holds, as `from_atlas` gives it."""
        for end in _ENDS:
            self._ranks[end] = (known[f"{end}_keys"], known[f"{end}_places"])
        for name in self._sums:
            self._sums[name] = np.array(known[name])
        self._largest, self._smallest = np.array(known["largest"]), np.array(known["smallest"])
        if self._counts is not None:
            self._counts = np.array(known["histogram"])
        if self._class_sums is not None and "class_sums" in known:
            self._class_sums[: len(known["class_sums"])] = known["class_sums"]

    def fold(self, share: Mapping[str, Array]) -> None:
        """Add what a share gave; see `Tally.finish`."""
        for end in _ENDS:
            self._ranks[end] = merged(self._ranks[end], (share[f"{end}_keys"], share[f"{end}_places"]))
        for name, values in self._sums.items():
            values += share[name]
        np.maximum(self._largest, share["largest"], out=self._largest)
        np.minimum(self._smallest, share["smallest"], out=self._smallest)
        if self._counts is not None:
            self._counts.reshape(-1)[share["histogram_bins"]] += share["histogram_counts"].astype(np.uint32)
        if self._class_sums is not None and "classes" in share:
            self._class_sums[share["classes"]] += share["class_sums"]

    def arrays(self, numbers: NDArray[np.int64]) -> dict[str, Array]:
        """Return everything as it is kept on disk.

        Args:
            numbers: of the pictures in the atlas, by the numbers that they have in the shares.
        """
        found: dict[str, Array] = {}
        for end, sign in (("top", 1), ("bottom", -1)):
            keys, places = self._ranks[end]
            pictures = pictures_of(keys)
            rows, columns = np.divmod(places, np.maximum(self.widths, 1)[:, None])
            in_map = (places >= 0) & (self.widths > 0)[:, None] & (pictures >= 0)
            found[f"{end}_values"] = values_of(keys) * np.float32(sign) + np.float32(0)
            found[f"{end}_pictures"] = np.where(pictures < 0, -1, numbers[pictures.clip(0)])
            found[f"{end}_positions"] = np.where(in_map[..., None], np.stack([rows, columns], 2), -1).astype(np.int32)
        found |= self._sums
        found |= {"largest": self._largest, "smallest": self._smallest}
        if self._counts is not None:
            found["histogram"] = self._counts
        if self._class_sums is not None:
            found["class_sums"] = self._class_sums
        return found


def from_atlas(atlas: Atlas) -> dict[str, Array]:
    """Return what an atlas holds of its units, as `Units.take` wants it."""
    found = {name: np.asarray(array) for name, array in atlas.arrays.items()}
    widths = np.concatenate(
        [np.full(entry["channels"], (entry["map"] or (0, 0))[1], np.int64) for entry in atlas.manifest["layers"]]
    )
    for end, sign in (("top", 1), ("bottom", -1)):
        pictures, positions = found[f"{end}_pictures"], found[f"{end}_positions"]
        values = np.nan_to_num(found[f"{end}_values"]) * np.float32(sign) + np.float32(0)
        found[f"{end}_keys"] = np.where(pictures < 0, NOBODY, keys_from(values, pictures))
        places = positions[..., 0] * widths[:, None] + positions[..., 1]
        found[f"{end}_places"] = np.where(positions[..., 0] < 0, -1, places).astype(np.int32)
    return found
