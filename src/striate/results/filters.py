"""The kernels of one layer as pictures. Draws weights; runs no network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from striate import drawing
from striate.results._numbering import numbered_sheet
from striate.results.base import Json, Result, encode_array
from striate.results.drawn import Drawing, Label, Pixels
from striate.results.sprite import Scale, Sprite, sprite, sprite_of_pictures
from striate.results.words import count, number, shape, span

__all__ = ["FilterBank"]

MOST = 256  # kernels on one sheet: more would be too small to see
LINES = "#c4c4c2"  # between kernels whose zero is paper, which would run into each other on paper


@dataclass(frozen=True, eq=False)
class FilterBank(Result):
    """The weights of a convolution, K filters over C input channels.

    Args:
        weights: shape (K, C, h, w), float, on the CPU. C is the number of channels each filter sees, which is
            1 in a depthwise convolution.
        layer: address of the layer.
        colour: the C = 3 input channels are red, green and blue, so that a filter is a small colour picture in
            which mid-grey is zero. Otherwise each kernel is drawn on the diverging scale.
        alike: each filter was brought to the same largest weight before, so how strong they are says nothing.
    """

    weights: Tensor
    layer: str
    colour: bool
    alike: bool = False

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def largest(self) -> float:
        """The largest absolute weight of the bank: the end of the one symmetric scale."""
        return float(self.weights.abs().max())

    def norms(self) -> list[float]:
        """Return the Euclidean norm of each filter."""
        norms: list[float] = self.weights.flatten(1).norm(dim=1).tolist()
        return norms

    def picture(self, index: int, channel: int | None = None) -> Pixels:
        """Draw one filter, a pixel for each weight.

        Args:
            index: of the filter, 0 to K - 1.
            channel: its kernel over this input channel alone; None draws in colour where the bank is in colour,
                and the channels side by side otherwise.

        Returns:
            uint8, shape (h, w, 3), or (h, w * C + C - 1, 3) for channels side by side.
        """
        kernel = self.weights[index].float().numpy()  # (C, h, w)
        if channel is None and self.colour:
            return self._in_colour(kernel)
        if channel is not None:
            return self._signed(kernel[channel])
        cells = [self._signed(one) for one in kernel]
        return drawing.sheet(cells, columns=len(cells), gap=1, background=LINES) if len(cells) > 1 else cells[0]

    def strongest(self, k: int) -> list[int]:
        """Return the k filters of largest norm, strongest first."""
        return [int(index) for index in self.weights.flatten(1).norm(dim=1).topk(min(k, len(self))).indices]

    def sprite(self, *, scale: Scale = "shared") -> tuple[Sprite, str]:
        """Draw a cell for each filter on one sheet without gaps, a pixel for each place of its window.

        Returns:
            The sheet, and what a cell shows: "colour" around mid-grey; a "kernel" with its sign, where a filter sees
            one channel; else the "strength" of its weights, the root of their squares' sum over the input channels.
        """
        weights = self.weights.detach().float().numpy()  # (K, C, h, w)
        if self.colour and scale == "shared":
            return sprite_of_pictures(np.stack([self._in_colour(kernel) for kernel in weights])), "colour"
        if self.colour:
            ends = np.abs(weights).max(axis=(1, 2, 3), keepdims=True)
            scaled = weights * (self.largest / np.where(ends > 0, ends, 1))
            return sprite_of_pictures(np.stack([self._in_colour(kernel) for kernel in scaled])), "colour"
        if weights.shape[1] == 1:
            return sprite(weights[:, 0], signed=True, scale=scale), "kernel"
        return sprite(np.sqrt((weights**2).sum(axis=1)), signed=False, scale=scale), "strength"

    def sheet(self, indices: Sequence[int] | None = None, *, columns: int | None = None, cell: int = 40) -> Pixels:
        """Draw filters side by side with hard edges, each about `cell` pixels wide.

        Args:
            indices: which filters; None takes all, in their order, up to 256.
            columns: in the sheet; None chooses a sheet a little wider than high.
            cell: wanted width of one kernel, in pixels.
        """
        cells, _, own_columns = self._cells(indices, cell)
        return drawing.sheet(
            cells, own_columns if self._by_channel else columns or own_columns, background=self._background
        )

    def _cells(self, indices: Sequence[int] | None, cell: int) -> tuple[list[Pixels], list[str], int]:
        """Return the kernels of a sheet, what to write below each, and how many to set in a row."""
        chosen = list(range(min(len(self), MOST))) if indices is None else list(indices)
        factor = max(1, round(cell / self.weights.shape[-1]))
        if self._by_channel:  # a row for each filter, a column for each input channel
            chosen, channels = chosen[:16], range(min(self.weights.shape[1], 16))
            cells = [drawing.enlarge(self.picture(index, one), factor) for index in chosen for one in channels]
            return cells, ["" if one else str(index) for index in chosen for one in channels], len(channels)
        cells = [drawing.enlarge(self.picture(index), factor) for index in chosen]
        return cells, [str(index) for index in chosen], max(1, math.ceil(math.sqrt(len(cells) * 1.6)))

    @property
    def _background(self) -> str:
        return drawing.PAPER if self.colour else LINES

    def caption(self) -> str:
        """Say what is shown, with its value range."""
        kernels, channels, *size = self.weights.shape
        text = f"{count(kernels, 'filter')} of {shape(size)} over {count(channels, 'input channel')}"
        kind = "mid-grey is zero" if self.colour else "paper is zero"
        if self.alike:
            text += f"; {kind}, each filter on a scale of its own."
        else:
            text += f"; {kind}, one scale for the whole bank. Weights {self._range()}."
        most = min(kernels, 16 if self._by_channel else MOST)
        which = f"first {most} filters" if self.alike else f"{most} filters of largest norm"
        if not self._matrix and self._by_channel and (kernels > 16 or channels > 16):
            text += f" Shown: the {which} over the first {min(channels, 16)} channels."
        elif not self._matrix and kernels > MOST:
            text += f" Shown: the {which}."
        return text

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawings, ready for JSON."""
        return {
            "layer": self.layer,
            "colour": self.colour,
            "shape": list(self.weights.shape),
            "largest": self.largest,
            "norms": self.norms(),
            "weights": encode_array(self.arrays()["weights"]),
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name."""
        weights: NDArray[Any] = self.weights.detach().float().numpy()
        return {"weights": weights}

    def drawings(self) -> list[Drawing]:
        """Return one sheet of the bank; a matrix where every kernel is a single weight."""
        labels: tuple[Label, ...] = ()
        if self._matrix:
            pixels = self._signed(self.weights.detach().float().numpy()[:, :, 0, 0])
            caption = "One row for each filter, one column for each input channel."
        else:
            shown = 16 if self._by_channel else MOST
            chosen = self.strongest(shown) if len(self) > shown and not self.alike else None
            cells, words, columns = self._cells(chosen, cell=40)
            pixels, labels = numbered_sheet(cells, words, columns=columns, room=0.022, background=self._background)
            if self._by_channel:
                caption = "A row for each filter, its number below; a column for each channel."
            else:
                caption = "In their order, the number of each below." if chosen is None else "The strongest first."
        high = self.largest
        low, unit = 0.0 - high, ""
        if self.colour or self.alike:  # three colours have no one scale: the range stands in the caption
            return [Drawing(self.layer, caption, pixels, sharp=True, labels=labels)]
        return [Drawing(self.layer, caption, pixels, low, high, unit, signed=True, sharp=True, labels=labels)]

    @property
    def _matrix(self) -> bool:
        return self.weights.shape[-2:] == (1, 1) and self.weights.shape[1] > 1

    @property
    def _by_channel(self) -> bool:
        return not self.colour and self.weights.shape[1] > 1

    def _range(self) -> str:
        if not self.weights.numel():
            return number(0.0)
        return span(float(self.weights.min()), float(self.weights.max()))

    def _in_colour(self, kernel: NDArray[np.float32]) -> Pixels:
        """Draw (3, h, w) around mid-grey."""
        middle = np.moveaxis(kernel, 0, -1) / (2 * (self.largest or 1.0)) + 0.5
        return np.asarray(np.rint(np.clip(np.nan_to_num(middle, nan=0.5), 0, 1) * 255).astype(np.uint8))

    def _signed(self, kernel: NDArray[np.float32]) -> Pixels:
        high = self.largest or 1.0
        return drawing.colour(kernel, signed=True, low=-high, high=high)
