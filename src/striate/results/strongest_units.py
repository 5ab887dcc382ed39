"""Which units answer to a picture more than they do to nearly all of a data set, and to what else. Runs no network."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from striate import drawing
from striate.geometry import Box
from striate.results._charts import draw_words, short_name, words_height
from striate.results._gallery import DENSITY, GREY, MONOSPACE, blank
from striate.results._inches import draw_frame, draw_image, inch_axes, rasterised, write
from striate.results._patch_cells import fitted
from striate.results.base import Json, Result
from striate.results.drawn import Drawing, Pixels
from striate.results.patches import PatchRow
from striate.results.words import count, number

__all__ = ["Strong", "StrongestUnits"]

_EDGE: Final = 0.3  # inches
_OWN: Final = 1.3  # width of the picture, and of each patch in a row
_CELL: Final = 0.85
_GAP: Final = 0.08


@dataclass(frozen=True, eq=False)
class Strong:
    """A unit that answers strongly to a picture.

    Args:
        row: the unit, its patches in the data set, and how often it fires there.
        value: its largest answer in this picture.
        position: row and column of that in its map; None of a vector.
        box: what it sees there, (top, left, bottom, right) in pixels, inclusive; None where that is unknown.
        below: share of the data set's pictures in which it answers less, at least, in [0, 1]; not a number where the
            atlas keeps no histograms.
    """

    row: PatchRow
    value: float
    position: tuple[int, int] | None
    box: Box | None
    below: float

    def sentence(self) -> str:
        """Say how strong the answer is, and what else the unit answers to."""
        text = f"Answers {number(self.value)}"
        if not np.isnan(self.below):
            others = "any picture" if self.below >= 1 else _percent(self.below)
            text += f", more than to {others} of the data set"
        name, times = self.row.agreement()
        if 2 * times >= len(self.row.patches) > 1:
            text += f"; {times} of its {len(self.row.patches)} strongest: {name}"
        return f"{text}."


@dataclass(frozen=True, eq=False)
class StrongestUnits(Result):
    """For N pictures, the units of a layer that answer to them more than to nearly all of a data set.

    Args:
        strongest: for each picture its units, the most unusual first.
        layer: whose units they are.
        total: pictures in the atlas.
        pictures: uint8, (N, H, W, 3), as the network saw them.
    """

    strongest: tuple[tuple[Strong, ...], ...]
    layer: str
    total: int
    pictures: Pixels

    def __len__(self) -> int:
        return len(self.pictures)

    def caption(self) -> str:
        """Say what is shown."""
        each = max(len(units) for units in self.strongest)
        if not each:
            return f"No unit of {self.layer} is above 0 in {'this picture' if len(self) == 1 else 'these pictures'}."
        return (
            f"For each picture the {count(each, 'unit')} of {self.layer} that answer to it more than to nearly all of "
            f"{count(self.total, 'picture')}: where they answer, and the pictures that they answer to most."
        )

    def sentence(self, picture: int) -> str:
        """Name the units of one picture, and what they answer to."""
        units = self.strongest[picture]
        if not units:
            return f"No unit of {self.layer} answers to it."
        parts = []
        for one in units:
            name, times = one.row.agreement()
            known = 2 * times >= len(one.row.patches) > 1
            parts.append(one.row.address + (f" ({name})" if known else ""))
        return f"Unusually strong: {', '.join(parts)}."

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawings, ready for JSON."""
        return {
            "layer": self.layer,
            "total": self.total,
            "pictures": [
                [
                    {
                        "address": one.row.address,
                        "value": one.value,
                        "position": None if one.position is None else list(one.position),
                        "box": None if one.box is None else list(one.box),
                        "below": one.below,
                        "fires": one.row.fires,
                        "patches": [patch.to_dict() for patch in one.row.patches],
                    }
                    for one in units
                ]
                for units in self.strongest
            ],
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name."""
        most = max((len(units) for units in self.strongest), default=0)
        values = np.full((len(self), most), np.nan, dtype=np.float32)
        for row, units in enumerate(self.strongest):
            values[row, : len(units)] = [one.value for one in units]
        addresses = [[one.row.address for one in units] + [""] * (most - len(units)) for units in self.strongest]
        return {"pictures": self.pictures, "values": values, "addresses": np.array(addresses, dtype=str)}

    def drawings(self) -> list[Drawing]:
        """Return for each picture a sheet of its units with their patches."""
        return [
            Drawing(self.layer, self.sentence(picture), rasterised(self._sheet([picture], "")))
            for picture in range(len(self))
        ]

    def figure(self) -> Figure:
        """Draw the units of all pictures."""
        return self._sheet(range(len(self)), self.caption())

    def _sheet(self, shown: Sequence[int], caption: str) -> Figure:
        patches = max((len(one.row.patches) for units in self.strongest for one in units), default=1)
        width = max(2 * _EDGE + _OWN + 0.2 + patches * (_CELL + _GAP), 6.5)
        ratio = self.pictures.shape[1] / self.pictures.shape[2]
        row = max(_OWN * ratio, _CELL * ratio + 0.5) + 0.15
        top = _EDGE + (words_height(caption, width - 2 * _EDGE) + 0.1 if caption else 0)
        blocks = [0.25 + max(len(self.strongest[picture]), 1) * row + 0.1 for picture in shown]
        figure = blank(width, top + sum(blocks) + _EDGE / 2)
        if caption:
            draw_words(figure, _EDGE, _EDGE, "strongest_units", caption)
        axes = inch_axes(figure)
        for picture, block in zip(shown, blocks, strict=True):
            words = textwrap.shorten(self.sentence(picture), round((width - 2 * _EDGE) * 13))
            write(axes, _EDGE, top, words, size=8.5, weight="bold", above=False)
            for place, one in enumerate(self.strongest[picture]):
                self._draw(axes, picture, one, top + 0.25 + place * row, ratio, width)
            top += block
        return figure

    def _draw(self, axes: Axes, picture: int, one: Strong, down: float, ratio: float, width: float) -> None:
        small = self.pictures.shape[1] < 96
        right = draw_image(axes, self.pictures[picture], _EDGE, down, _OWN * ratio, smooth=not small)
        whole = (0, 0, self.pictures.shape[1] - 1, self.pictures.shape[2] - 1)
        if one.box is not None and one.box != whole:
            scale = _OWN / self.pictures.shape[2]
            draw_frame(axes, one.box, (_EDGE, down), scale, (right, down + _OWN * ratio))
        left = _EDGE + _OWN + 0.2
        write(axes, left, down + 0.1, one.row.address, size=8, family=MONOSPACE)
        words = textwrap.shorten(one.sentence(), round((width - _EDGE - left) * 14), placeholder="...")
        write(axes, left, down + 0.27, words, size=7.5, colour=GREY)
        for patch in one.row.patches:
            if (pixels := patch.pixels) is None:
                write(axes, left, down + 0.7, "not readable", size=6.5, colour=GREY)
            else:
                height = min(_CELL * ratio, _CELL * pixels.shape[0] / pixels.shape[1])
                beyond = bool(patch.missing.any())  # the unit sees more than the picture has there
                pixels = fitted(pixels, round(_CELL * DENSITY), patch.missing) if beyond else pixels
                draw_image(axes, pixels, left, down + 0.34, height, smooth=not beyond and pixels.shape[1] >= 96)
            write(
                axes,
                left,
                down + 0.34 + _CELL * ratio + 0.11,
                short_name(patch.words, 15),
                size=6.5,
                colour=drawing.INK,
            )
            left += _CELL + _GAP


def _percent(share: float) -> str:
    """Write a share without rounding it up to all."""
    return ">99.9 %" if share > 0.999 else f"{100 * share:.1f} %"
