"""What units answer to in a data set: patches cut out of pictures, a backward signal beside each. Data and words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from striate import drawing
from striate.geometry import Box
from striate.results import _patch_cells, _patch_rows
from striate.results.base import Json, Result
from striate.results.drawn import Drawing, Pixels
from striate.results.words import count, number, span

__all__ = ["Beside", "Patch", "PatchRow", "Patches", "Which", "cut", "patch_arrays", "percent"]

Which = Literal["top", "bottom", "strip"]
Beside = Literal["guided", "deconvnet", "gradient", "none"]

_ORDERS = {
    "top": "The {k} of {n} in which each unit answers most",
    "bottom": "The {k} of {n} in which each unit answers least",
    "strip": "{k} of {n} at even steps of each unit's answers, from the least to the most",
}
SIGNALS = {"guided": "guided backprop", "deconvnet": "deconvnet", "gradient": "gradient", "none": ""}
"""What the row of signals is called; nothing where there is none."""

_SIGNALS = {
    "guided": "guided backprop of that very unit",
    "deconvnet": "the deconvnet's picture of that very unit",
    "gradient": "the gradient of that very unit",
}


@dataclass(frozen=True, eq=False)
class Patch:
    """The place of one picture where a unit answers most.

    Args:
        picture: number of the picture in the atlas, from 0.
        name: what the atlas calls it, such as its file's name.
        value: the unit's answer there, as the atlas has it.
        position: row and column in the unit's map; None of a vector.
        field: what the unit sees there, (top, left, bottom, right) in pixels, inclusive, cut at the borders.
        window: what is cut out, likewise, but it may reach beyond the borders.
        narrowed: the window is not what the unit sees but the smallest square that holds most of the signal.
        whole: the picture as the network saw it, uint8 (H, W, 3); None where it cannot be read any more.
        signal: what a backward rule gives in the window, float32 (C, h, w): 3 channels or their sum; or None.
        label: the class that the picture is of, where that is known; else empty.
        said: the class that the network takes it for; else empty.
    """

    picture: int
    name: str
    value: float
    position: tuple[int, int] | None
    field: Box
    window: Box
    whole: Pixels | None
    signal: NDArray[np.float32] | None = None
    narrowed: bool = False
    label: str = ""
    said: str = ""

    @property
    def pixels(self) -> Pixels | None:
        """What is cut out, uint8 (h, w, 3), black where there is no picture; None without the picture."""
        if self.whole is None:
            return None
        return np.asarray(cut(self.whole, self.window)[0], dtype=np.uint8)

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Where the window reaches beyond the picture: (h, w)."""
        top, left, bottom, right = self.window
        if self.whole is None:
            return np.ones((bottom - top + 1, right - left + 1), dtype=bool)
        return cut(self.whole[:, :, 0], self.window)[1]

    @property
    def frame(self) -> Box:
        """What is to be framed in the whole picture: what was cut out, without what was added around it."""
        return self.window if self.narrowed else self.field

    @property
    def words(self) -> str:
        """The class to be written below it: what it is, else what the network says; may be empty."""
        return self.label or self.said

    def to_dict(self) -> dict[str, Json]:
        """Return every number as JSON-able values."""
        return {
            "picture": self.picture,
            "name": self.name,
            "value": self.value,
            "position": None if self.position is None else list(self.position),
            "field": list(self.field),
            "window": list(self.window),
            "narrowed": self.narrowed,
            "read": self.whole is not None,
            "label": self.label,
            "said": self.said,
        }


@dataclass(frozen=True, eq=False)
class PatchRow:
    """The patches of one unit.

    Args:
        address: of the unit, such as "layer3:17".
        patches: in their order; fewer than were asked for where there are not so many pictures.
        fires: share of all pictures in which its answer is above 0, in [0, 1].
        mean: of its map over all positions of all pictures.
        std: likewise.
        called: what the unit stands for, where that is known: the class of a logit; else empty.
        remark: said of it instead of `sentence`'s words.
    """

    address: str
    patches: tuple[Patch, ...]
    fires: float
    mean: float
    std: float
    called: str = ""
    remark: str = ""

    @property
    def title(self) -> str:
        """The address, with what it stands for."""
        return f"{self.address} ({self.called})" if self.called else self.address

    def agreement(self) -> tuple[str, int]:
        """Return the class that most of the patches share, and how many do; ("", 0) where none is known."""
        known = [patch.words for patch in self.patches if patch.words]
        return Counter(known).most_common(1)[0] if known else ("", 0)

    def sentence(self) -> str:
        """Say how the unit answers, and whether its pictures are of one class."""
        if self.remark:
            return self.remark
        if not self.patches:
            return "No picture is known for this unit."
        values = [patch.value for patch in self.patches]
        fires = f"Above 0 in {percent(self.fires)} of the pictures"
        same = min(values) == max(values) and len(values) > 1
        text = f"{fires}; here {'always ' + number(values[0]) if same else span(min(values), max(values))}."
        name, times = self.agreement()
        if times > 1 and 2 * times >= len(self.patches):
            text += f" {times} of {len(self.patches)}: {name}."
        return text


@dataclass(frozen=True, eq=False)
class Patches(Result):
    """What some units of a network answer to in a data set.

    Args:
        rows: one for each unit.
        which: "top", "bottom" or "strip".
        beside: the backward rule that was asked for, or "none".
        total: pictures in the atlas.
        field: what is to be said of the receptive fields.
    """

    rows: tuple[PatchRow, ...]
    which: Which
    beside: Beside
    total: int
    field: str
    by_picture: ClassVar[bool] = False

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def target(self) -> tuple[str, ...]:
        """The units, as they go into the recipe."""
        return tuple(row.address for row in self.rows)

    def caption(self) -> str:
        """Say what is shown."""
        most = max((len(row.patches) for row in self.rows), default=0)
        text = _ORDERS[self.which].format(k=most, n=count(self.total, "picture")) + ", each at its strongest place."
        every = [patch for row in self.rows for patch in row.patches]
        if any(patch.narrowed for patch in every):
            who = "Of each" if all(patch.narrowed for patch in every) else "Where a unit sees much of the picture"
            text += f" {who} the smallest square is cut out that holds 90 % of the energy of what is drawn beside it."
        if self.beside != "none":
            text += f" Beside each patch {_SIGNALS[self.beside]}, each on its own scale; mid-grey is zero."
        if any(patch.missing.any() for patch in every if patch.whole is not None):
            text += " Striped: beyond the picture's border, where there is only padding."
        return f"{text} {self.field}".strip()

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawings, ready for JSON."""
        return {
            "which": self.which,
            "beside": self.beside,
            "pictures_in_atlas": self.total,
            "units": [
                {
                    "address": row.address,
                    "called": row.called,
                    "fires": row.fires,
                    "mean": row.mean,
                    "std": row.std,
                    "patches": [patch.to_dict() for patch in row.patches],
                }
                for row in self.rows
            ],
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name; patches may differ in size, so each has its own: patch_UNIT_RANK."""
        return {"addresses": np.array(self.target), **patch_arrays([row.patches for row in self.rows])}

    def drawings(self) -> list[Drawing]:
        """Return the sheet of each unit."""
        return [
            Drawing(row.title, row.sentence(), _patch_rows.pixels(row, signal=SIGNALS[self.beside]))
            for row in self.rows
        ]

    def cells(self, side: int, *, signals: bool = False) -> Pixels:
        """Return the patches of all units, row after row, as squares of one size.

        Args:
            side: of the squares, in pixels; patches are fitted into them, undistorted.
            signals: the signal of each instead of its pixels, each on its own scale.

        Returns:
            uint8, (P, side, side, 3); what cannot be read, or has no signal, is empty.
        """
        every = [patch for row in self.rows for patch in row.patches]
        made = np.empty((len(every), side, side, 3), dtype=np.uint8)
        made[:] = drawing.rgb(drawing.MISSING)
        for square, patch in zip(made, every, strict=True):
            pixels = patch.pixels
            if signals:
                pixels = None if patch.signal is None else _patch_cells.signal_pixels(patch.signal, patch.missing)
            if pixels is None:
                continue
            fitted = _patch_cells.fitted(pixels, side, patch.missing)
            top, left = (side - fitted.shape[0]) // 2, (side - fitted.shape[1]) // 2
            square[top : top + fitted.shape[0], left : left + fitted.shape[1]] = fitted
        return made

    def figure(self) -> Figure:
        """Draw all units below each other: with their whole pictures where there are few, two by two where many."""
        return _patch_rows.figure(
            self.rows, heading=self.recipe.lens, caption=self.caption(), signal=SIGNALS[self.beside]
        )


def cut(values: NDArray[np.generic], window: Box) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """Cut a window out of a picture, which may reach beyond its borders.

    Args:
        values: shape (H, W) or (H, W, C).
        window: first row, first column, last row, last column, inclusive; may lie partly outside.

    Returns:
        The window, zero where there is no picture; and (h, w), True there.
    """
    top, left, bottom, right = window
    height, width = values.shape[:2]
    found = np.zeros((bottom - top + 1, right - left + 1, *values.shape[2:]), values.dtype)
    missing = np.ones(found.shape[:2], dtype=bool)
    rows, columns = slice(max(top, 0), min(bottom + 1, height)), slice(max(left, 0), min(right + 1, width))
    inside = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
    if rows.start < rows.stop and columns.start < columns.stop:
        found[inside] = values[rows, columns]
        missing[inside] = False
    return found, missing


def patch_arrays(rows: Sequence[Sequence[Patch]]) -> dict[str, NDArray[Any]]:
    """Return the numbers of rows of patches as arrays (U, k, ...), and the pixels of each patch by itself."""
    most = max((len(row) for row in rows), default=0)
    pictures = np.full((len(rows), most), -1, dtype=np.int64)
    values = np.full((len(rows), most), np.nan)
    positions = np.full((len(rows), most, 2), -1, dtype=np.int64)
    fields = np.full((len(rows), most, 4), -1, dtype=np.int64)
    windows = np.full((len(rows), most, 4), -1, dtype=np.int64)
    arrays: dict[str, NDArray[Any]] = {}
    for row, patches in enumerate(rows):
        for rank, patch in enumerate(patches):
            pictures[row, rank], values[row, rank] = patch.picture, patch.value
            positions[row, rank] = patch.position if patch.position is not None else -1
            fields[row, rank], windows[row, rank] = patch.field, patch.window
            if (pixels := patch.pixels) is not None:
                arrays[f"patch_{row}_{rank}"] = pixels
            if patch.signal is not None:
                arrays[f"signal_{row}_{rank}"] = patch.signal
    numbers = {"pictures": pictures, "values": values, "positions": positions, "fields": fields, "windows": windows}
    return {**numbers, **arrays}


def percent(share: float) -> str:
    """Write a share as per cent; neither none nor all is written for what is not."""
    if 0 < share < 0.001:
        return "less than 0.1 %"
    if 0.999 < share < 1:
        return "more than 99.9 %"
    return f"{number(100 * share)} %"
