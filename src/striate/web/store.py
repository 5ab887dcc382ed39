"""The pictures of a page, by id: samples named when it was started, and what was uploaded. Runs no network.

A picture's id is the hash of its bytes. No request can name a file: what is not in here does not exist.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from striate.drawing import resample_bilinear
from striate.errors import ImageError, StriateError
from striate.files import byte_count, shown
from striate.images import read_array, read_image

if TYPE_CHECKING:
    from striate.web.house import Limits

__all__ = ["SAMPLES", "Picture", "Store", "UnknownError"]

SAMPLES = 200  # pictures of a folder that are offered at most
_NAME = 80  # letters of a name that are kept


class UnknownError(StriateError, LookupError):
    """Something asked for by an id that nothing here has."""


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture, as the bytes of its file.

    Attributes:
        id: sixteen hexadecimal digits of the bytes (BLAKE2b).
        name: what to call it.
        data: the bytes, or the file that they lie in.
        width: pixels, upright.
        height: likewise.
        sample: it was there from the start, and stays.
        max_pixels: that are decoded.
        array: channels, where it is a ``.npy`` array; None for a picture.
    """

    id: str
    name: str
    data: bytes | Path
    width: int
    height: int
    sample: bool
    max_pixels: int
    array: int | None = None

    def decoded(self, channels: int, short_side: int | None = None) -> Image.Image | NDArray[np.float32]:
        """Return it upright, in the mode of so many channels; an array (H, W, C) where it is a ``.npy`` file.

        Raises:
            ImageError: it cannot be read any more, or has other channels.
        """
        if self.array is not None:
            held = self.data if isinstance(self.data, bytes) else self.data.read_bytes()
            return read_array(held, channels, name=self.name)
        return read_image(
            self.data, channels=channels, short_side=short_side, max_pixels=self.max_pixels, name=self.name
        )

    def pixels(self, side: int | None = None) -> NDArray[np.uint8]:
        """Return it to be shown, uint8 (H, W, 3), its longer side no longer than `side`."""
        scale = min(1.0, 1.0 if side is None else side / max(self.width, self.height))
        size = max(1, round(self.height * scale)), max(1, round(self.width * scale))
        if self.array is not None:
            values = np.asarray(self.decoded(self.array))
            shown_of = values[:, :, :3] if values.shape[2] >= 3 else values[:, :, :1].repeat(3, axis=2)
            pixels = np.rint(shown_of * 255).astype(np.uint8)
        else:
            pixels = np.asarray(self.decoded(3, None if scale == 1 else min(size)))
        return pixels if pixels.shape[:2] == size else resample_bilinear(pixels, size)


class Store:
    """All pictures of a page. Safe for many threads.

    Attributes:
        broken: what was wrong with sample pictures that were left out.
        left_out: how many sample pictures were too many.
    """

    def __init__(self, samples: Sequence[Path], limits: Limits, channels: int = 3) -> None:
        """Read the samples.

        Args:
            samples: files; those that cannot be read are left out.
            limits: of pixels and uploads.
            channels: that the network takes; where picture files have not so many, pictures are ``.npy`` arrays.

        Raises:
            ImageError: there are samples, and not one can be read.
        """
        self._limits = limits
        self._array = None if channels in (1, 3, 4) else channels
        self._guard = threading.Lock()
        self._uploads: OrderedDict[str, Picture] = OrderedDict()
        self.left_out = max(0, len(samples) - SAMPLES)
        with ThreadPoolExecutor() as pool:
            read = list(pool.map(self._sample, samples[:SAMPLES]))
        self.broken = [found for found in read if isinstance(found, str)]
        self._samples = {found.id: found for found in read if isinstance(found, Picture)}
        if samples and not self._samples:
            raise ImageError(f"not one of {len(read)} sample pictures can be read (the first: {self.broken[0]})")

    def __len__(self) -> int:
        return len(self._samples) + len(self._uploads)

    def all(self) -> list[Picture]:
        """Return all pictures: the samples by name, then what was uploaded, the latest last."""
        with self._guard:
            return [*self._samples.values(), *self._uploads.values()]

    def get(self, picture: str) -> Picture:
        """Return a picture.

        Raises:
            UnknownError: there is none with this id.
        """
        with self._guard:
            if picture in self._uploads:
                self._uploads.move_to_end(picture)
                return self._uploads[picture]
            if picture in self._samples:
                return self._samples[picture]
        raise UnknownError(
            f"no picture {shown(picture)}: it was never here, or had to make room for others. Give it again."
        )

    def add(self, data: bytes, name: str) -> Picture:
        """Take a picture in.

        Args:
            data: bytes of a file.
            name: what to call it.

        Raises:
            ImageError: it is no picture, damaged, or larger than the limits.
        """
        name = "".join(letter for letter in name if letter.isprintable())[:_NAME].strip() or "picture"
        if len(data) > self._limits.upload:
            raise ImageError(
                f"{name} has {byte_count(len(data))}, more than the {byte_count(self._limits.upload)} that are taken. "
                "Make it smaller first."
            )
        made = self._picture(data, name, sample=False)
        with self._guard:
            if made.id in self._samples:
                return self._samples[made.id]
            self._uploads[made.id] = made
            self._uploads.move_to_end(made.id)
            while len(self._uploads) > self._limits.uploads or self._held() > self._limits.room:
                self._uploads.popitem(last=False)
        return made

    def _held(self) -> int:
        return sum(len(one.data) for one in self._uploads.values() if isinstance(one.data, bytes))

    def _sample(self, path: Path) -> Picture | str:
        try:
            return self._picture(path, shown(path.name), sample=True)  # bytes that are no letters cannot be sent
        except (ImageError, OSError) as error:
            return str(error)

    def _picture(self, data: bytes | Path, name: str, *, sample: bool) -> Picture:
        held = data if isinstance(data, bytes) else data.read_bytes()
        digest = hashlib.blake2b(held, digest_size=8).hexdigest()
        if self._array is not None:
            height, width = read_array(held, self._array, name=name).shape[:2]
        else:
            width, height = read_image(held, max_pixels=self._limits.pixels, name=name).size
        return Picture(digest, name, data, width, height, sample, self._limits.pixels, self._array)
