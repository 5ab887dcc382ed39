"""What a few units answer to over the course of a training, and how the first filters changed. Runs no network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from striate.results._charts import draw_words, short_name, words_height
from striate.results._gallery import GREY, MONOSPACE, blank
from striate.results._inches import draw_image, inch_axes, rasterised, write
from striate.results._patch_cells import fitted
from striate.results.base import Json, Result, encode_array
from striate.results.drawn import Drawing, Pixels
from striate.results.filters import FilterBank
from striate.results.words import count, number

__all__ = ["Development", "FilterChange", "Growing", "Snapshot"]

_EDGE: Final = 0.3  # inches
_CELL: Final = 1.15
_GAP: Final = 0.12
_WORDS: Final = 0.34  # below a picture
_SIDE: Final = 230  # pixels of a cell's picture


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What one unit answers to at one moment of the training.

    Args:
        value: its largest answer to any of the fixed pictures.
        picture: name of that picture.
        label: class of that picture; empty where it is unknown.
        patch: uint8 (h, w, 3): what the unit sees of it, where it answers so.
        share: of its strongest pictures, those that are of one class; not a number where classes are unknown.
        common: that class; empty where it is unknown.
        fires: share of the fixed pictures in which its largest answer is above 0.
        made: uint8 (H, W, 3): a picture made for the unit at that moment; None where none was made.
        reached: answer of the unit to that picture, the mean over its map; not a number where none was made.
    """

    value: float
    picture: str
    label: str
    patch: Pixels
    share: float
    common: str
    fires: float
    made: Pixels | None = None
    reached: float = float("nan")


@dataclass(frozen=True, eq=False)
class Growing:
    """One unit over the course.

    Args:
        address: of the channel.
        sees: height and width in pixels of what one of its units sees; None where that is unknown.
        snapshots: one for each moment.
    """

    address: str
    sees: tuple[int, int] | None
    snapshots: tuple[Snapshot, ...]

    def sentence(self) -> str:
        """Say what became of the unit."""
        first, last = self.snapshots[0], self.snapshots[-1]
        text = f"Answers {number(first.value, 2)} at most at the start, {number(last.value, 2)} at the end."
        if last.common and not np.isnan(first.share):
            text += (
                f" Of its strongest pictures {100 * first.share:.0f} % were of one class ({first.common}), "
                f"in the end {100 * last.share:.0f} % ({last.common})."
            )
        return text


@dataclass(frozen=True, eq=False)
class Development(Result):
    """What units answer to over the course of a training, always in the same pictures.

    Args:
        epochs: moments, 0 is before the training.
        units: that are followed.
        pictures: fixed pictures that all were asked about.
        strongest: how many of them count as the strongest of a unit.
        steps: in which pictures were made for the units; 0 where none were.
    """

    epochs: tuple[int, ...]
    units: tuple[Growing, ...]
    pictures: int
    strongest: int
    steps: int

    by_picture = False

    def __len__(self) -> int:
        return len(self.units)

    def caption(self) -> str:
        """Say what is shown."""
        text = (
            f"{count(len(self), 'unit')} at {count(len(self.epochs), 'moment')} of the training, always asked about "
            f"the same {count(self.pictures, 'picture')}: the part that the unit answers to most, with its answer and, "
            f"of its {self.strongest} strongest pictures, the share that is of one class."
        )
        if self.steps:
            text += (
                f" Below it a picture made for the unit in {count(self.steps, 'step')} from the same noise each time, "
                "with the mean answer that it reaches."
            )
        return text

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawing, ready for JSON."""
        return {
            "epochs": list(self.epochs),
            "pictures": self.pictures,
            "strongest": self.strongest,
            "steps": self.steps,
            "units": [
                {
                    "address": unit.address,
                    "sees": None if unit.sees is None else list(unit.sees),
                    "snapshots": [
                        {
                            "value": one.value,
                            "picture": one.picture,
                            "label": one.label,
                            "share": one.share,
                            "common": one.common,
                            "fires": one.fires,
                            "reached": one.reached,
                        }
                        for one in unit.snapshots
                    ],
                }
                for unit in self.units
            ],
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name: rows are units, columns moments."""
        rows = [unit.snapshots for unit in self.units]
        arrays: dict[str, NDArray[Any]] = {
            "epochs": np.array(self.epochs),
            "units": np.array([unit.address for unit in self.units]),
            **{
                key: np.array([[getattr(one, key) for one in row] for row in rows])
                for key in ("value", "share", "fires", "reached")
            },
        }
        for place, row in enumerate(rows):
            if all(one.made is not None for one in row):
                arrays[f"made_{place}"] = np.stack([one.made for one in row if one.made is not None])
        return arrays

    def drawings(self) -> list[Drawing]:
        """Return a row of pictures for each unit."""
        return [Drawing(unit.address, unit.sentence(), self._row(unit)) for unit in self.units]

    def figure(self) -> Figure:
        """Draw a row for each unit and a column for each moment."""
        caption = self.caption()
        top = _EDGE + words_height(caption, self._width - 2 * _EDGE) + 0.2
        figure = blank(self._width, top + len(self) * self._height + _EDGE)
        draw_words(figure, _EDGE, _EDGE, "development", caption)
        axes = inch_axes(figure)
        for place, unit in enumerate(self.units):
            self._draw(axes, unit, top + place * self._height)
        return figure

    @property
    def _width(self) -> float:
        return max(6.0, 2 * _EDGE + len(self.epochs) * (_CELL + _GAP))

    @property
    def _height(self) -> float:
        lines = 2 if self.steps else 1
        return 0.5 + lines * (_CELL + _WORDS) + 0.15

    def _row(self, unit: Growing) -> Pixels:
        figure = blank(self._width, self._height)
        self._draw(inch_axes(figure), unit, 0.05)
        return rasterised(figure)

    def _draw(self, axes: Axes, unit: Growing, top: float) -> None:
        write(axes, _EDGE, top, unit.address, size=9, family=MONOSPACE, weight="bold", above=False)
        for place, (epoch, one) in enumerate(zip(self.epochs, unit.snapshots, strict=True)):
            left = _EDGE + place * (_CELL + _GAP)
            words = "start" if epoch == 0 else f"epoch {epoch}"
            write(axes, left, top + 0.24, words, size=7.5, colour=GREY, above=False)
            lines = [number(one.value, 2)]
            if one.common:
                lines.append(f"{100 * one.share:.0f} % {short_name(one.common, 14)}")
            bottom = self._cell(axes, one.patch, left, top + 0.42, lines)
            if one.made is not None:
                self._cell(axes, one.made, left, bottom, [number(one.reached, 2)])

    def _cell(self, axes: Axes, pixels: Pixels, left: float, down: float, lines: list[str]) -> float:
        """Draw one picture with figures below, and return where the next one begins."""
        shown = fitted(pixels, _SIDE)
        height = _CELL * shown.shape[0] / max(shown.shape[:2])
        draw_image(axes, shown, left, down, height, smooth=pixels.shape[0] > 96)
        for line, words in enumerate(lines):
            write(axes, left, down + _CELL + 0.03 + 0.13 * line, words, size=7, colour=GREY, above=False)
        return down + _CELL + _WORDS


@dataclass(frozen=True, eq=False)
class FilterChange(Result):
    """The kernels of one layer before and after a training, on one scale.

    Args:
        before: (F, C, h, w), float, on the CPU.
        after: likewise.
        layer: address of the layer.
        colour: the channels are red, green and blue.
        epochs: of both.
    """

    before: Tensor
    after: Tensor
    layer: str
    colour: bool
    epochs: tuple[int, int]

    by_picture = False

    def __len__(self) -> int:
        return len(self.before)

    @property
    def cosines(self) -> NDArray[np.float64]:
        """How alike each filter is to what it was, (F,): 1 the same but for its length; not a number where one is 0."""
        first, last = (one.double().flatten(1).numpy() for one in (self.before, self.after))
        lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(last, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.where(lengths > 0, (first * last).sum(1) / lengths, np.nan))

    @property
    def growth(self) -> NDArray[np.float64]:
        """How much longer each filter became, (F,): 1 as long as before; not a number where it was 0."""
        first, last = (np.linalg.norm(one.double().flatten(1).numpy(), axis=1) for one in (self.before, self.after))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.where(first > 0, last / first, np.nan))

    @property
    def banks(self) -> tuple[FilterBank, FilterBank]:
        """Both as banks of filters, each with its own scale."""
        first, last = (
            FilterBank(weights=one, layer=self.layer, colour=self.colour) for one in (self.before, self.after)
        )
        return first, last

    def together(self) -> FilterBank:
        """Both as one bank, the filters from before first, so that one scale holds for all."""
        import torch

        return FilterBank(weights=torch.cat([self.before, self.after]), layer=self.layer, colour=self.colour)

    def caption(self) -> str:
        """Say how far the filters moved."""
        kernels, channels, height, width = self.before.shape
        text = (
            f"{count(kernels, 'filter')} of {height} x {width} over {count(channels, 'input channel')} in "
            f"{self.layer}, {_moment(self.epochs[0])} and {_moment(self.epochs[1])}, on one scale."
        )
        cosines = self.cosines[np.isfinite(self.cosines)]
        if not len(cosines):
            return text
        if bool((self.before == self.after).all()):
            return f"{text} They are the same: this layer did not learn."
        middle, least = f"{np.median(cosines):.2f}", f"{cosines.min():.2f}"
        text += f" Cosine of a filter with what it was: {middle} in the middle, {least} at least."
        if (alike := int((cosines > 0.95).sum())) > len(cosines) / 2:
            text += f" {count(alike, 'filter')} hardly turned at all: much of what is seen was there by chance."
        return text

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawings, ready for JSON."""
        return {
            "layer": self.layer,
            "epochs": list(self.epochs),
            "cosines": self.cosines.tolist(),
            "growth": self.growth.tolist(),
            "before": encode_array(self.before.float().numpy()),
            "after": encode_array(self.after.float().numpy()),
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name."""
        return {"before": self.before.float().numpy(), "after": self.after.float().numpy(), "cosines": self.cosines}

    def drawings(self) -> list[Drawing]:
        """Return both sheets, on the scale of the larger weights."""
        bank = self.together()
        return [
            Drawing(_moment(epoch), f"{self.layer}, {_moment(epoch)}.", bank.sheet(chosen), sharp=True)
            for epoch, chosen in zip(self.epochs, self.shown(), strict=True)
        ]

    def shown(self) -> tuple[list[int], list[int]]:
        """Return the numbers, in the bank of both, of filters before and after: all, or the strongest in the end."""
        most = 64
        shown = sorted(self.banks[1].strongest(most)) if len(self) > most else list(range(len(self)))
        return shown, [index + len(self) for index in shown]


def _moment(epoch: int) -> str:
    return "before training" if epoch == 0 else f"after epoch {epoch}"
