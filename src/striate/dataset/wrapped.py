"""Pictures of a PyTorch data set: whatever has a length and gives items by number. Reads no files itself."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, Subset, TensorDataset

from striate import progress
from striate.dataset.arrays import as_numpy, check_labels
from striate.dataset.pictures import PictureSet
from striate.dataset.preparing import fit_pixels, hashed
from striate.errors import DataError, ImageError
from striate.files import one_line
from striate.images import as_channels
from striate.spec import InputSpec

__all__ = ["WrappedSet", "wrap"]

_IMAGE_KEYS = ("image", "img", "images", "pixel_values", "picture", "x")
_LABEL_KEYS = ("label", "labels", "target", "y", "fine_label")


def wrap(dataset: Any, *, labels: Any = None, prepared: bool = False) -> WrappedSet:
    """Make a set of a map-style PyTorch data set.

    Args:
        dataset: has a length and items: a picture, or a tuple or dict of a picture and its label.
        labels: one for each picture, instead of those in the data set.
        prepared: items are what the network takes: their transform resizes and normalises.

    Raises:
        DataError: it has no length or no items by number.
    """
    if isinstance(dataset, DataLoader):
        raise DataError("A DataLoader was given, which mixes and normalises. Give its data set: loader.dataset.")
    if isinstance(dataset, IterableDataset | Mapping) or not (
        hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")
    ):
        raise DataError(
            f"{type(dataset).__name__} has no length or gives no items by number: a map-style data set is needed, with "
            "__len__ and __getitem__."
        )
    if not len(dataset):
        raise DataError(f"{type(dataset).__name__} is empty: there is no picture in it.")
    return WrappedSet(dataset, labels=labels, prepared=prepared)


class WrappedSet(PictureSet):
    """Pictures that a PyTorch data set gives: Pillow images, arrays (H, W, C) or tensors (C, H, W).

    Its items are asked for one at a time, as data sets are written for processes and may share a file among threads.
    What is in a folder is read faster when the folder itself is opened.

    Attributes:
        dataset: the data set itself.
        prepared: items are what the network takes.
    """

    def __init__(self, dataset: Any, *, labels: Any = None, prepared: bool = False) -> None:
        """Wrap a data set; its labels are taken from it without reading its pictures where that is possible."""
        count = len(dataset)
        known = _known_labels(dataset) if labels is None else labels
        names = getattr(dataset, "classes", None)
        super().__init__(
            None if known is None else check_labels(known, count, "The data set's labels"),
            description=f"{count:,} picture{'s' * (count > 1)} of the data set {type(dataset).__name__}",
            class_names=list(map(str, names)) if isinstance(names, list | tuple) and names else None,
        )
        self.dataset = dataset
        self._lock = threading.Lock()
        self.prepared = prepared

    def __len__(self) -> int:
        return len(self.dataset)

    def name(self, index: int) -> str:
        """Return the number of a picture."""
        return str(index)

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class of each picture; where only the items tell it, all of them are read once."""
        if self._labels is None:
            found = np.full(len(self), -1, dtype=np.int64)
            told = False
            for index in progress.track(range(len(self)), "reading the labels"):
                try:
                    label = self._item(index)[1]
                except ImageError:
                    continue  # what is wrong with it is said when the picture is read
                if label is None and not told:
                    break  # the first item stands for all
                told = True
                found[index] = -1 if label is None else label
            self._labels = check_labels(found, len(self), "The data set's labels")
        return self._labels

    def pixels(self, index: int) -> NDArray[Any]:
        """Return a picture as the data set gives it, as (H, W, C)."""
        item = self._picture(index)
        return np.asarray(as_channels(item, 3, self._called(index))) if isinstance(item, Image.Image) else item

    def fitted(self, index: int, spec: InputSpec) -> NDArray[Any]:
        """Return a picture brought to size: Pillow images as if from a file, the rest as arrays."""
        item, name = self._picture(index), self._called(index)
        if self.prepared:
            if isinstance(item, Image.Image) or item.shape != (*spec.size, spec.channels):
                raise ImageError(
                    f"{name} is {_shape_of(item)}, where a prepared one is a tensor of "
                    f"{spec.channels} x {spec.height} x {spec.width}."
                )
            values = item.astype(np.float32, copy=False)
            if not np.isfinite(values).all():
                raise ImageError(f"{name} holds NaN or infinite numbers.")
            return values
        if not isinstance(item, Image.Image):
            try:
                return fit_pixels(item, spec, name)
            except ImageError as error:
                if item.dtype == np.uint8:
                    raise
                hint = "If they are normalised for this network already, open the data set with prepared=True."
                raise ImageError(f"{error} {hint}") from error
        try:
            values = np.asarray(spec.fit(as_channels(item, spec.channels, name)))
        except ImageError as error:
            raise ImageError(f"{name}: {error}") from error
        return values[:, :, None] if values.ndim == 2 else values

    def mark(self, index: int) -> str:
        """Return a hash of the picture's numbers; "broken" where it cannot be read."""
        try:
            return hashed(self.pixels(index))
        except ImageError:
            return "broken"

    def _called(self, index: int) -> str:
        return f"Picture {index}"

    def _picture(self, index: int) -> Image.Image | NDArray[Any]:
        """Return the picture of an item: a Pillow image, or an array (H, W, C)."""
        picture, name = self._item(index)[0], self._called(index)
        if isinstance(picture, Image.Image):
            return picture
        from_tensor = isinstance(picture, Tensor)
        values = as_numpy(picture) if isinstance(picture, Tensor) else np.asarray(picture)
        if values.ndim == 2:
            values = values[:, :, None]
        elif values.ndim == 3 and (from_tensor or values.shape[0] < values.shape[2]):
            values = np.moveaxis(values, 0, 2)  # tensors are C x H x W
        if values.ndim != 3 or not values.size or not (values.dtype == np.uint8 or values.dtype.kind == "f"):
            raise ImageError(
                f"{name} is {_shape_of(values)}; a tensor C x H x W, an array H x W x C (uint8, or float in [0, 1]) or "
                "a Pillow image is needed."
            )
        return values

    def _item(self, index: int) -> tuple[Any, int | None]:
        """Return picture and label of an item, whatever form it has."""
        if not 0 <= index < len(self):
            raise IndexError(f"there is no picture {index}; there are {len(self)}.")
        try:
            with self._lock:
                item = self.dataset[index]
        except Exception as error:  # it is the user's code that is run
            raise ImageError(
                f"{self._called(index)}: the data set failed ({type(error).__name__}: {one_line(error)})."
            ) from error
        if isinstance(item, Mapping):
            picture = next((item[key] for key in _IMAGE_KEYS if key in item), None)
            label = next((item[key] for key in _LABEL_KEYS if key in item), None)
        elif isinstance(item, tuple | list) and item:
            picture, label = item[0], item[1] if len(item) > 1 else None
        else:
            picture, label = item, None
        if picture is None:
            raise ImageError(f"{self._called(index)}: there is no picture in what the data set gives.")
        return picture, _whole(label)


def _whole(label: Any) -> int | None:
    """Return a label as a whole number, None where it is none."""
    if isinstance(label, Tensor | np.ndarray):
        if label.ndim or label.dtype.is_floating_point if isinstance(label, Tensor) else label.dtype.kind not in "iu":
            return None
        return int(label)
    return int(label) if isinstance(label, int | np.integer) and not isinstance(label, bool) else None


def _known_labels(dataset: Any) -> Any:
    """Return the labels that a data set holds beside its pictures, or None."""
    if isinstance(dataset, Subset):
        known = _known_labels(dataset.dataset)
        return None if known is None else np.asarray(known)[np.asarray(dataset.indices, dtype=np.int64)]
    if isinstance(dataset, TensorDataset):
        second = dataset.tensors[1] if len(dataset.tensors) > 1 else None
        return second.numpy() if second is not None and second.ndim == 1 and not second.is_floating_point() else None
    for name in ("targets", "labels", "y"):
        held = getattr(dataset, name, None)
        if isinstance(held, Tensor | np.ndarray | Sequence) and not isinstance(held, str) and len(held) == len(dataset):
            values = np.asarray(held)
            if values.ndim == 1 and values.dtype.kind in "iu":
                return values
    return None


def _shape_of(item: Any) -> str:
    if isinstance(item, Image.Image):
        return "a Pillow image"
    return f"{' x '.join(map(str, item.shape)) or 'a single number'} of {item.dtype}"
