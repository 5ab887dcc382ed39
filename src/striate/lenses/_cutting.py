"""Cut out of an atlas's pictures what its units answer to, with a backward signal beside each. Not a lens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate import address, progress
from striate.atlas.opened import Atlas, LayerAtlas
from striate.errors import ImageError, NetworkError, OptionError, RuleError
from striate.lenses._atlas import names_of_classes
from striate.lenses._windows import grown, is_large, smallest_square, windows
from striate.network import Network
from striate.results.patches import Beside, Patch, Which, cut
from striate.results.words import count, number
from striate.tap import gradient
from striate.targets import Targets

__all__ = ["SHARE", "Crop", "Cutter", "Place", "class_name", "places"]

Crop = Literal["auto", "field", "signal"]

SHARE = 0.9
"""Share of a signal's energy that the part of a picture holds which stands for the whole."""

_AT_ONCE = 32  # pictures that are read and sent through together
_APART = 1e-2  # an answer that differs by more of its size than this is not the atlas's


class Place(NamedTuple):
    """One picture of an atlas, and where in its map a unit answers most.

    Args:
        channel: of the layer.
        picture: number in the atlas.
        position: row and column in the map; None of a vector.
        value: the answer, as the atlas has it.
    """

    channel: int
    picture: int
    position: tuple[int, int] | None
    value: float


def places(layer: LayerAtlas, channel: int, which: Which, most: int) -> list[Place]:
    """Return the places of a unit that are to be shown, in their order.

    Args:
        layer: of the atlas.
        channel: of the layer.
        which: top, bottom, or a strip of the atlas's sample from the least to the most.
        most: how many; fewer where there are not so many pictures.

    Raises:
        OptionError: the atlas keeps fewer than that.
    """
    if most < 1:
        raise OptionError(f"top must be at least 1, got {most}.")
    if which == "strip":
        rows = layer.strip(channel, most)
        found = (layer.sample_pictures[rows], layer.sample_values[rows, channel], layer.sample_positions[rows, channel])
    else:
        kept = layer.top_pictures.shape[1]
        if most > kept:
            raise OptionError(
                f"{most} patches of each unit, and the atlas keeps {kept}. Ask for {kept}, or build it with top={most}."
            )
        if which == "top":
            found = (layer.top_pictures[channel], layer.top_values[channel], layer.top_positions[channel])
        else:
            found = (layer.bottom_pictures[channel], layer.bottom_values[channel], layer.bottom_positions[channel])
    pictures, values, positions = (np.asarray(one)[:most].tolist() for one in found)
    return [
        Place(channel, picture, (row, column) if row >= 0 else None, value)
        for picture, value, (row, column) in zip(pictures, values, positions, strict=True)
        if picture >= 0
    ]


@dataclass
class Cutter:
    """Reads pictures of an atlas and cuts patches out of them; remembers what went wrong.

    Args:
        network: that built the atlas.
        atlas: open.
        beside: the backward rule for what is put beside each patch.
        context: how much around what a unit sees is cut out with it, as a share of the window's side.
        crop: "field" cuts out what a unit sees; "signal" the smallest square that holds most of what is put beside
            it; "auto" the latter where a unit sees more than half of the picture's height or width.
        blind: no picture is read: places, boxes and values are all there is. Nothing can be put beside them then.
    """

    network: Network
    atlas: Atlas
    beside: Beside = "none"
    context: float = 0.0
    crop: Crop = "auto"
    blind: bool = False
    _gone: dict[int, str] = field(default_factory=dict)
    _wholes: dict[int, NDArray[np.uint8]] = field(default_factory=dict)
    _plain: list[str] = field(default_factory=list)
    _apart: list[float] = field(default_factory=list)
    _cut_off: list[str] = field(default_factory=list)

    def patches(self, layer: LayerAtlas, wanted: Sequence[Place], task: str = "patches") -> list[Patch]:
        """Cut out patches of units of one layer, in the order in which they are asked for.

        Args:
            layer: of the atlas.
            wanted: any number; they go through the network a few at a time.
            task: what listeners to the progress hear.

        Raises:
            Stopped: the user asked to stop.
        """
        found: list[Patch] = []
        step = 1 if self.network.one_by_one else _AT_ONCE
        for start in range(0, len(wanted), step):
            progress.check_stop(task)
            if len(wanted) > step:
                progress.report(progress.Event(task, start, len(wanted), note=layer.address))
            found += self._piece(layer, wanted[start : start + step])
        if len(wanted) > step:
            progress.report(progress.Event(task, len(wanted), len(wanted), note=layer.address))
        return found

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of all that was cut so far."""
        notes = []
        if self._gone:
            first = next(iter(self._gone.values())).rstrip(".")
            verb = "is" if len(self._gone) == 1 else "are"
            notes.append(
                f"{count(len(self._gone), 'picture')} of the atlas cannot be read and {verb} left out ({first})."
            )
        if self._plain:
            notes.append(
                f"No rectifier lies between the picture and {', '.join(self._plain)}, so {_RULES[self.beside]} is the "
                "plain gradient there."
            )
        if self._cut_off:
            notes.append(f"No gradient reaches the picture from {', '.join(self._cut_off)}.")
        if self._apart:
            notes.append(
                f"{count(len(self._apart), 'answer')} came out otherwise than in the atlas, by up to "
                f"{number(max(self._apart))}: pictures have changed since, or the network runs in another precision."
            )
        return tuple(notes)

    def _piece(self, layer: LayerAtlas, wanted: Sequence[Place]) -> list[Patch]:
        if self.blind:
            return [self._patch(layer, place, None) for place in wanted]
        images = {picture: self._read(picture) for picture in dict.fromkeys(place.picture for place in wanted)}
        there = [place for place in wanted if images[place.picture] is not None]
        signals: dict[Place, NDArray[np.float32]] = {}
        if self.beside != "none" and there:
            batch = torch.stack([image for place in there if (image := images[place.picture]) is not None])
            found = self._signals(layer, self.network.batch(batch), there)
            signals = {} if found is None else dict(zip(there, found, strict=True))
        return [self._patch(layer, place, signals.get(place)) for place in wanted]

    def _read(self, picture: int) -> Tensor | None:
        """Read a picture, and keep its pixels; None where that is not possible any more."""
        if picture in self._gone:
            return None
        try:
            image = self.atlas.pictures.read(picture, self.network)
        except ImageError as error:
            self._gone[picture] = str(error)
            return None
        if picture not in self._wholes:
            self._wholes[picture] = self.network.spec.pixels(image[None])[0]
        return image

    def _signals(self, layer: LayerAtlas, batch: Tensor, wanted: Sequence[Place]) -> NDArray[np.float32] | None:
        """Send each unit's answer back to its picture: (B, C, H, W)."""
        targets = Targets(
            place=layer.address,
            channels=tuple(place.channel for place in wanted),
            positions=tuple(place.position for place in wanted),
            labels=tuple(f"{layer.address}:{place.channel}" for place in wanted),
        )
        plain = self.beside == "gradient" or layer.address in self._plain
        try:
            assert self.beside != "none"
            found = gradient(self.network, batch, targets, rule="gradient" if plain else self.beside)
        except RuleError:
            self._plain.append(layer.address)
            return self._signals(layer, batch, wanted)
        except NetworkError:
            if layer.address not in self._cut_off:
                self._cut_off.append(layer.address)
            return None
        for place, score in zip(wanted, found.scores.tolist(), strict=True):
            apart = abs(score - place.value)
            if not apart <= _APART * max(abs(place.value), 1e-3):
                self._apart.append(apart)
        values = found.values.float()
        if values.shape[1] != 3:
            values = values.sum(1, keepdim=True)
        return values.nan_to_num().cpu().numpy()

    def _patch(self, layer: LayerAtlas, place: Place, signal: NDArray[np.float32] | None) -> Patch:
        seen, window = windows(layer.field, place.position)
        counts = self.crop == "signal" or (self.crop == "auto" and is_large(layer.field, window))
        narrowed = counts and signal is not None
        if counts and self.crop == "auto":
            window = seen  # of so large a window padding says nothing
        if narrowed:
            assert signal is not None
            window = smallest_square((signal**2).sum(0), SHARE)
        window = grown(window, self.context, layer.field.picture)
        if signal is not None:
            signal = np.moveaxis(cut(np.moveaxis(signal, 0, -1), window)[0], -1, 0).astype(np.float32)
        label = -1 if self.atlas.labels is None else int(self.atlas.labels[place.picture])
        said = int(self.atlas.predictions[place.picture])
        return Patch(
            picture=place.picture,
            name=self.atlas.pictures.name(place.picture),
            value=place.value,
            position=place.position,
            field=seen,
            window=window,
            whole=self._wholes.get(place.picture),
            signal=signal,
            narrowed=narrowed,
            label="" if label < 0 else class_name(self.atlas.label_names, label),
            said="" if said < 0 else class_name(names_of_classes(self.network, self.atlas), said),
        )


_RULES = {"guided": "guided backprop", "deconvnet": "the deconvnet", "gradient": "it", "none": "it"}


def class_name(names: Sequence[str] | None, index: int) -> str:
    """Return what to call a class: its name (`address.class_name`), or its number where it has none."""
    return address.class_name(names, index) if names is not None and index < len(names) else f"class {index}"
