"""What the channels of chosen layers answer to each picture. Draws feature maps; runs no network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from striate import drawing
from striate.geometry import Field
from striate.results._gallery import draw_gallery
from striate.results._numbering import numbered_sheet
from striate.results.base import Json, Result, encode_array
from striate.results.drawn import Drawing, Pixels
from striate.results.sprite import Scale, Sprite, sprite
from striate.results.words import count, shape, span

__all__ = ["Activations", "Peak"]

Peak = tuple[int, int, float]  # row and column of a unit in its map, and its answer
LINES = "#c4c4c2"  # between maps whose zero is paper
PERCENTILE = 99.9  # end of the drawn scale; a few units fire far above all others
LISTED = 16  # channels whose numbers a caption tells
CEILING = 0.001  # a largest value that this share of a layer's units have in common is a ceiling, such as ReLU6's 6

By = Literal["mean", "peak", "spread"]


@dataclass(frozen=True, eq=False)
class Activations(Result):
    """Feature maps of some layers for N pictures.

    Args:
        maps: for each layer's address, in the order of execution, a float tensor on the CPU of shape
            (N, C, h, w), or (N, C) for a layer without places.
        fields: receptive fields of the same layers; one may be missing.
        pictures: uint8, shape (N, H, W, 3), as the network saw them.
        shown: channels that are drawn of each layer and picture.
        chosen_by: which these are, see `strongest`.
    """

    maps: Mapping[str, Tensor]
    fields: Mapping[str, Field]
    pictures: Pixels
    shown: int = 16
    chosen_by: By = "spread"

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def layers(self) -> list[str]:
        """The addresses, in the order of execution."""
        return list(self.maps)

    def grid(self, layer: str) -> Tensor:
        """Return a layer's maps as (N, C, h, w), also for a layer without places (h = w = 1)."""
        maps = self.maps[layer]
        return maps[:, :, None, None] if maps.ndim == 2 else maps

    def signed(self, layer: str) -> bool:
        """Tell whether the layer has values below zero, as before a rectifier."""
        return self._signs[layer]

    @cached_property
    def _signs(self) -> dict[str, bool]:
        return {layer: bool(maps.min() < 0) for layer, maps in self.maps.items()}

    def strongest(self, layer: str, picture: int, k: int, *, by: By = "mean") -> list[int]:
        """Return the k channels that answer most to a picture, strongest first.

        Args:
            layer: address.
            picture: 0 to N - 1.
            k: how many; all when there are fewer.
            by: "mean" over the map, which is what the score of a channel is; its "peak"; or the "spread" (standard
                deviation) over the map: a channel that answers everywhere alike says little about the picture.
                Where the layer has a ceiling, as behind ReLU6, the spread counts for the share of the map below it:
                a map that is all floor and ceiling shows an outline at most. A layer without places has no spread
                and goes by its values.
        """
        maps = self.grid(layer)[picture].flatten(1).float()
        if by == "spread" and maps.shape[1] > 1:
            strength = maps.std(dim=1, correction=0)
            if (ceiling := self._ceilings[layer]) is not None:
                strength = strength * (maps < ceiling).float().mean(dim=1)
        else:
            strength = maps.amax(dim=1) if by == "peak" else maps.mean(dim=1)
        return [int(channel) for channel in strength.topk(min(k, len(strength))).indices]

    @cached_property
    def _ceilings(self) -> dict[str, float | None]:
        """The value at which each layer is cut off; None where it is not."""
        highest = {layer: float(maps.max()) for layer, maps in self.maps.items()}
        return {
            layer: highest[layer]
            if highest[layer] > 0 and float((maps == highest[layer]).float().mean()) >= CEILING
            else None
            for layer, maps in self.maps.items()
        }

    def chosen(self, layer: str, picture: int) -> list[int]:
        """Return the channels that are drawn, best first."""
        return self.strongest(layer, picture, self.shown, by=self.chosen_by)

    def zeros(self, layer: str) -> float:
        """Return the share of values that are exactly zero, in [0, 1]."""
        return float((self.maps[layer] == 0).float().mean())

    def silent(self, layer: str) -> list[int]:
        """Return the channels that are zero everywhere in all pictures."""
        return [int(channel) for channel in (self.grid(layer).abs().amax(dim=(0, 2, 3)) == 0).nonzero().flatten()]

    def mean(self, layer: str, picture: int, channel: int) -> float:
        """Return a channel's mean over its map, which is its score."""
        return float(self.grid(layer)[picture, channel].float().mean())

    def peak(self, layer: str, picture: int, channel: int) -> Peak:
        """Return where a channel answers most: row, column, and the value.

        Where several units share the largest answer, as many do behind a rectifier with a ceiling, it is the one
        whose neighbours answer most.
        """
        one = self.grid(layer)[picture, channel].float()
        value, first = one.flatten().max(dim=0)
        place, tied = int(first), one == value
        if tied.sum() > 1:
            around = nn.functional.avg_pool2d(one[None, None], 3, stride=1, padding=1)[0, 0]
            place = int(around.where(tied, around.new_tensor(-torch.inf)).argmax())
        return place // one.shape[1], place % one.shape[1], float(value)

    def scale(
        self, layer: str, picture: int | None = None, channel: int | None = None, *, percentile: float = PERCENTILE
    ) -> tuple[float, float]:
        """Return the values drawn with the first and last colour: of a layer, a picture, or one map.

        Returns:
            (-high, high) for a signed layer, (0, high) otherwise; high is 0 where nothing answers.
        """
        maps = self.grid(layer)
        maps = maps if picture is None else maps[picture : picture + 1]
        maps = maps if channel is None else maps[:, channel : channel + 1]
        values = np.nan_to_num(maps.float().numpy())
        signed = self.signed(layer)
        sizes = np.abs(values) if signed else values
        high = float(np.percentile(sizes, percentile))
        if high <= 0:
            high = max(0.0, float(sizes.max()))
        return (0.0 - high, high) if signed else (0.0, high)

    def picture(
        self, layer: str, picture: int, channel: int, low: float | None = None, high: float | None = None
    ) -> Pixels:
        """Draw one feature map, a pixel for each unit, by default on the scale of the layer."""
        if low is None or high is None:
            low, high = self.scale(layer)
        values = self.grid(layer)[picture, channel].float().numpy()
        return drawing.colour(values, signed=self.signed(layer), low=low, high=high if high > 0 else 1.0)

    def sprite(self, layer: str, picture: int, *, scale: Scale = "shared") -> Sprite:
        """Draw all maps of a layer on one sheet without gaps, a pixel for each unit."""
        return sprite(self.grid(layer)[picture].float().numpy(), signed=self.signed(layer), scale=scale)

    def extremes(self, layer: str, picture: int) -> tuple[list[float], list[float]]:
        """Return each channel's largest value and mean over its map."""
        flat = self.grid(layer)[picture].float().flatten(1)
        return flat.amax(dim=1).tolist(), flat.mean(dim=1).tolist()

    def column(self, layer: str, picture: int, row: int, column: int) -> list[float]:
        """Return what all channels answer at one place of the map."""
        values: list[float] = self.grid(layer)[picture, :, row, column].float().tolist()
        return values

    def sheet(self, layer: str, picture: int, channels: Sequence[int] | None = None, *, cell: int = 56) -> Pixels:
        """Draw feature maps side by side with hard edges, on the scale of the layer.

        Args:
            layer: address.
            picture: 0 to N - 1.
            channels: which, in this order; None takes those of `chosen`.
            cell: least width of one map, in pixels.
        """
        chosen = self.chosen(layer, picture) if channels is None else list(channels)
        cells = self._cells(layer, picture, chosen, cell)
        return drawing.sheet(cells, columns=_columns(len(cells)), background=self._background(layer))

    def _cells(self, layer: str, picture: int, channels: Sequence[int], cell: int) -> list[Pixels]:
        low, high = self.scale(layer)
        factor = max(1, math.ceil(cell / self.grid(layer).shape[-1]))
        return [drawing.enlarge(self.picture(layer, picture, channel, low, high), factor) for channel in channels]

    def _background(self, layer: str) -> str:
        return LINES if self.signed(layer) else drawing.PAPER

    def caption(self) -> str:
        """Say what is shown, with its value range."""
        if not self.maps:
            return "No layer of this network gives maps that have places. Name layers without (--layers) to see those."
        how = {"mean": "largest mean", "peak": "largest peak", "spread": "largest spread over the picture"}
        text = (
            f"{count(len(self.maps), 'layer')}, {count(len(self), 'picture')}. Of each layer the channels with the "
            f"{how[self.chosen_by]}, their numbers below; one scale for a layer."
        )
        if self.chosen_by == "spread" and any(ceiling is not None for ceiling in self._ceilings.values()):
            text += " Where a layer has a ceiling, those that are little at it go first."
        return text

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawings, ready for JSON."""
        return {"layers": {layer: self._numbers(layer) for layer in self.layers}}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name."""
        arrays: dict[str, NDArray[Any]] = {layer: maps.float().numpy() for layer, maps in self.maps.items()}
        return {**arrays, "pictures": self.pictures}

    def drawings(self) -> list[Drawing]:
        """Return one sheet for each layer and picture."""
        drawings = []
        for layer in self.layers:
            low, high = self.scale(layer)
            channels, *size = self.grid(layer).shape[1:]
            for picture in range(len(self)):
                chosen = self.chosen(layer, picture)
                listed = ", ".join(str(channel) for channel in chosen[:LISTED])
                listed += f" and {len(chosen) - LISTED} more" if len(chosen) > LISTED else ""
                words = (
                    f"Picture {picture + 1}: {len(chosen)} of {count(channels, 'channel')}, {shape(size)}: {listed}."
                )
                pixels, labels = numbered_sheet(
                    self._cells(layer, picture, chosen, cell=56),
                    [str(channel) for channel in chosen],
                    columns=_columns(len(chosen)),
                    room=0.044,
                    background=self._background(layer),
                )
                signed = self.signed(layer)
                drawings.append(Drawing(layer, words, pixels, low, high, signed=signed, sharp=True, labels=labels))
        return drawings

    def figure(self) -> Figure:
        """Draw the pictures, and below them a row of sheets for each layer."""
        cells = [
            Drawing(title=f"picture {index + 1}", caption="As the network saw it.", pixels=pixels)
            for index, pixels in enumerate(self.pictures)
        ]
        cells += self.drawings()
        columns = len(self) if len(self) <= 4 else None
        if len(self) == 1:
            columns = min(4, len(cells))
        return draw_gallery(cells, heading=self.recipe.lens, caption=self.caption(), columns=columns)

    def _numbers(self, layer: str) -> dict[str, Json]:
        """Say how a layer answers: every channel's mean and peak, and the drawn maps whole."""
        maps = self.grid(layer).float()
        flat = maps.flatten(2)  # (N, C, h*w)
        chosen = [self.chosen(layer, picture) for picture in range(len(self))]
        shown = np.stack([maps[picture, channels].numpy() for picture, channels in enumerate(chosen)])
        return {
            "shape": list(self.maps[layer].shape[1:]),
            "range": span(float(maps.min()), float(maps.max())),
            "share_of_zeros": self.zeros(layer),
            "silent_channels": self.silent(layer),
            "drawn": list(self.scale(layer)),
            "channel_means": flat.mean(dim=2).tolist(),
            "channel_peaks": flat.amax(dim=2).tolist(),
            "chosen_by": self.chosen_by,
            "chosen": chosen,
            "chosen_maps": encode_array(shown),  # (N, k, h, w)
        }


def _columns(how_many: int) -> int:
    """Make a sheet about square."""
    return max(1, math.ceil(math.sqrt(how_many)))
