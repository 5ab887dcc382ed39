"""Pictures made for the units of layers before, as `striate synthesize ... --out LAYER.npz` keeps them. Makes none."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from striate.address import parse
from striate.drawing import resample_bilinear
from striate.errors import OptionError, StriateError
from striate.files import shown
from striate.network import Network
from striate.remaking import read_recipe
from striate.results.sprite import Sprite, sprite_of_pictures

__all__ = ["Made", "Sheets"]

SIDE = 112  # pixels of a cell's longer side at most
_SHEET = 12_000_000  # pixels of a sheet, so that browsers take it
_ROOM = 2**31  # bytes of the pictures of one layer in a file
_EMPTY = 128  # grey of a unit for which nothing was made


@dataclass(frozen=True)
class Made:
    """The pictures of one layer.

    Attributes:
        path: of the file.
        key: what its arrays begin with.
        places: of the picture of each unit, by its channel.
    """

    path: Path
    key: str
    places: dict[int, int]


class Sheets:
    """What was made for the units of a network, by layer; of several files the newest counts.

    Args:
        folder: with `.npz` files of the lens synthesize; other files are passed over.
        network: for which it was made.

    Raises:
        OptionError: there is nothing of this network in the folder.
    """

    def __init__(self, folder: Path, network: Network) -> None:
        self.left_out: list[str] = []
        self._made: dict[str, Made] = {}
        for path in sorted(folder.glob("*.npz"), key=lambda one: (one.stat().st_mtime_ns, one.name)):
            try:
                self._made |= _read(path, network)
            except StriateError as error:
                self.left_out.append(str(error))
        if not self._made:
            why = f" {self.left_out[0]}" if self.left_out else ""
            raise OptionError(
                f"{shown(folder)} holds no pictures made for the units of {network.name}.{why} Make some: "
                f"striate synthesize SOURCE LAYER --out {shown(folder)}/LAYER.npz."
            )

    @property
    def layers(self) -> tuple[str, ...]:
        """Addresses of the layers whose units have pictures."""
        return tuple(self._made)

    @property
    def mark(self) -> str:
        """Changes with the files."""
        return " ".join(f"{one.path.name}:{one.path.stat().st_mtime_ns}" for one in self._made.values())

    def made(self, layer: str) -> Made:
        """Return what there is of a layer.

        Raises:
            OptionError: nothing.
        """
        if layer not in self._made:
            raise OptionError(
                f"no pictures were made for the units of {shown(layer)} before; there are some of "
                f"{', '.join(self.layers)}."
            )
        return self._made[layer]

    def sheet(self, layer: str, channels: int) -> Sprite:
        """Draw all units of a layer on one sheet; grey are those for which nothing was made.

        Raises:
            OptionError: there is nothing of this layer, or the file is not what it was.
        """
        found = self.made(layer)
        try:
            with np.load(found.path, allow_pickle=False) as arrays:
                pictures = arrays[f"{found.key}-pictures"]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise OptionError(f"{shown(found.path)} cannot be read any more: {error}") from error
        height, width = pictures.shape[2:]
        scale = min(1.0, SIDE / max(height, width), (_SHEET / (channels * height * width)) ** 0.5)
        size = max(1, int(height * scale)), max(1, int(width * scale))
        cells = np.full((channels, *size, 3), _EMPTY, np.uint8)
        for channel, place in found.places.items():
            cells[channel] = _cell(pictures[place], size)
        return sprite_of_pictures(cells)


def _cell(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a picture (C, H, W) as it is shown: its first three channels, or the first in grey."""
    colours = picture[:3] if len(picture) >= 3 else picture[:1].repeat(3, axis=0)
    pixels = np.ascontiguousarray(colours.transpose(1, 2, 0))
    return pixels if pixels.shape[:2] == size else resample_bilinear(pixels, size)


def _read(path: Path, network: Network) -> dict[str, Made]:
    """Say what a file holds, by layer.

    Raises:
        OptionError: it was not saved by synthesize, or is of other weights, or damaged.
    """
    recipe = read_recipe(path)
    if recipe.lens != "synthesize":
        raise OptionError(f"{shown(path.name)} was made by {recipe.lens}, not by synthesize.")
    if recipe.weights != network.weights_hash:
        raise OptionError(f"{shown(path.name)} was made for a network of other weights ({recipe.network}).")
    found: dict[str, Made] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {one.filename.removesuffix(".npy"): one.file_size for one in archive.infolist()}
        with np.load(path, allow_pickle=False) as arrays:
            for name in arrays.files:
                if not name.endswith("-labels") or sizes.get(f"{name[:-7]}-pictures", _ROOM) >= _ROOM:
                    continue
                for layer, places in _units(arrays[name].tolist()).items():
                    found[layer] = Made(path, name[:-7], places)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise OptionError(f"{shown(path.name)} cannot be read: {error}") from error
    channels = {one.address: one.channels for one in network.graph().layers}
    return {
        layer: one
        for layer, one in found.items()
        if layer in channels and (channels[layer] or 0) > max(one.places, default=-1)
    }


def _units(labels: Sequence[str]) -> dict[str, dict[int, int]]:
    """Return where the picture of each channel is, by layer; of several of one channel the first."""
    found: dict[str, dict[int, int]] = {}
    for place, label in enumerate(labels):
        try:
            address = parse(str(label))
        except StriateError:
            continue  # a sum of units, or a class
        if address.channel is not None and address.position is None:
            found.setdefault(address.place, {}).setdefault(address.channel, place)
    return found
