"""The pictures of an atlas: what they are called, and how they are read again. Runs no network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from striate import dataset
from striate.dataset.pictures import PictureSet
from striate.errors import DataError, ImageError
from striate.files import shown
from striate.network import Network
from striate.spec import InputSpec

__all__ = ["MOVED", "Pictures"]

MOVED = (
    "If the pictures were moved, say where they are: --atlas-pictures PATH on the command line, "
    "striate.atlas.open(ATLAS, source=PATH) in Python."
)

PROBED = 16  # pictures that are looked for where they are said to be

Array = NDArray[Any]


class Pictures:
    """The pictures of an atlas, in the order in which they are numbered.

    Attributes:
        rows: an entry for each, as it lies on disk: name, source, index in it; path and mark where it has a file.
    """

    def __init__(
        self,
        rows: Sequence[dict[str, Any]],
        manifest: dict[str, Any],
        spec: InputSpec,
        kept: Array | None,
        source: Path | None,
    ) -> None:
        """Take the list; use `open`."""
        self.rows = rows
        self._spec = spec
        self._kept = kept
        self._moved = source
        self._origins: list[dict[str, Any] | None] = [entry["origin"] for entry in manifest["sources"]]
        self._sets: dict[int, PictureSet] = {}

    def __len__(self) -> int:
        return len(self.rows)

    def check(self) -> None:
        """Make sure that the pictures are where they are said to have been moved, as far as a few of them tell.

        Raises:
            ImageError: not one of them is there.
        """
        if self._moved is None or self._kept is not None or not len(self):
            return
        some = {round(part * (len(self) - 1) / PROBED) for part in range(PROBED + 1)}
        files = [file for index in sorted(some) if (file := self.path(index)) is not None]
        if files and not any(file.exists() for file in files):
            raise ImageError(
                f"the pictures of the atlas are not in {shown(self._moved)}: there is no {shown(files[0])}. Give the "
                "folder in which they lie by the names that they had when the atlas was built."
            )

    def name(self, index: int) -> str:
        """Return what to call a picture: its path within the source, or its number there."""
        return str(self.rows[index]["name"])

    def path(self, index: int) -> Path | None:
        """Return the file of a picture, or None where it has none of its own."""
        row = self.rows[index]
        if row.get("path") is None:
            return None
        return Path(row["path"]) if self._moved is None else self._moved / row["name"]

    def read(self, index: int, network: Network) -> Tensor:
        """Read a picture as the network was given it.

        Args:
            index: of the picture.
            network: for which it is read.

        Returns:
            (C, H, W), float32, normalised, on the CPU.

        Raises:
            ImageError: it cannot be read any more.
        """
        if self._kept is not None:
            return self._spec.preprocess(np.array(self._kept[index]))
        file = self.path(index)
        if file is None:
            row = self.rows[index]
            source = self._set(row["source"], index)
            if row["index"] >= len(source):
                raise ImageError(
                    f"picture {self.name(index)} of the atlas is no longer there: {source.description} are left."
                )
            return source.read(row["index"], self._spec)
        if not file.exists():
            raise ImageError(f"{shown(file)}, picture {index} of the atlas, is no longer there. {MOVED}")
        return network.read(file)[0]

    def _set(self, number: int, index: int) -> PictureSet:
        """Open again what pictures without a file of their own came from."""
        if number not in self._sets:
            origin = self._origins[number]
            if origin is None:
                raise ImageError(
                    f"picture {self.name(index)} of the atlas came from memory, and the atlas was built without copies "
                    "of the pictures. Build it with keep=True to have them in it."
                )
            # of several sources only one can be meant; a folder holds pictures with files of their own
            moved = {} if self._moved is None or self._moved.is_dir() else {"source": str(self._moved)}
            try:
                self._sets[number] = dataset.open(**(origin | moved))
            except DataError as error:
                raise ImageError(f"{error} {MOVED}") from error
        return self._sets[number]

    def shown(self, index: int, side: int | None = None) -> NDArray[np.uint8]:
        """Return a picture to show, cut as the network saw it.

        Args:
            index: of the picture.
            side: pixels of its longer side; as the network saw it unless given.

        Returns:
            (H, W, 3), uint8.

        Raises:
            ImageError: it cannot be read any more.
        """
        values: NDArray[np.uint8] = self._spec.pixels(self.read(index, _Reader(self._spec))[None])[0]
        if side is None or side == max(values.shape[:2]):
            return values
        scale = side / max(values.shape[:2])
        size = max(round(values.shape[1] * scale), 1), max(round(values.shape[0] * scale), 1)
        # small pictures keep their hard pixels when they are enlarged
        way = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX
        resized: NDArray[np.uint8] = np.asarray(Image.fromarray(values).resize(size, way))
        return resized


class _Reader(Network):
    """A network of no layers: all that reading a picture asks for is its specification."""

    def __init__(self, spec: InputSpec) -> None:
        super().__init__(torch.nn.Identity(), spec)
