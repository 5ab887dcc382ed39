"""Pictures made for units of a network, with what they reach. Draws sheets; runs no network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from striate import drawing
from striate.files import write_bytes
from striate.images import encode_png
from striate.results._contrast import contrast_to_show, stronger, words_of
from striate.results._gallery import draw_gallery
from striate.results._numbering import numbered_sheet
from striate.results._rows import Rows, draw_rows
from striate.results.base import Json, Result, encode_array
from striate.results.drawn import Drawing, Pixels
from striate.results.words import count, number, shape

__all__ = ["Made", "Synthesis"]

ALONE = 12  # pictures of one layer that are drawn one by one, with words; more make a sheet
ACROSS = 12  # pictures in a row at most where several layers stand on one sheet
MOST = 256  # on one sheet: more would be too small to see
MOST_ROWS = 16  # of one layer among several
PALE = 0.65  # of a failed picture is paper
STRIPS = 2  # pictures at most that are shown with the way to them
_TIE = 1e-4  # relative: values this near are the same
LISTED = 12  # failed units that a caption names


@dataclass(frozen=True, eq=False)
class Made:
    """Pictures of one size, made in one run.

    Args:
        title: address of the layer, "classes", or another word for what they have in common.
        labels: n addresses, one for each picture.
        numbers: n short forms of them, to stand below a picture.
        pictures: uint8, (n, C, H, W): what the network was shown, divided by 255.
        reached: (n,), the objective of these pictures.
        peaks: (n,), the largest value of the unit's channel anywhere in them (of a class its logit); NaN where the
            objective is not of one unit.
        start: (n,), the objective of the pictures that the ascent began with.
        best_steps: (n,), steps made before each.
        curve: (n, k), the objective on the way.
        curve_steps: (k,), steps made before.
        frames: uint8, (n, f, C, h, w), small pictures on the way.
        frame_steps: (f,), steps made before.
        real: (n,), the largest value of the unit in any real picture of an atlas; NaN where that is not known.
        size_note: why the pictures are as large as they are; empty for the usual size.
        whole: these stand for a layer: all of its channels, or some that are evenly spread.
        depth: where the layer stands among all of the network, from 1; 0 where it is no layer.
        layers: how many there are.
        layer_channels: how many the layer has; 0 where it is no layer.
        sees: what one of its units sees, in words; empty where that is not known.
    """

    title: str
    labels: tuple[str, ...]
    numbers: tuple[str, ...]
    pictures: NDArray[np.uint8]
    reached: NDArray[np.float32]
    peaks: NDArray[np.float32]
    start: NDArray[np.float32]
    best_steps: NDArray[np.int64]
    curve: NDArray[np.float32]
    curve_steps: tuple[int, ...]
    frames: NDArray[np.uint8]
    frame_steps: tuple[int, ...]
    real: NDArray[np.float32]
    size_note: str = ""
    whole: bool = False
    depth: int = 0
    layers: int = 0
    layer_channels: int = 0
    sees: str = ""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def failed(self) -> NDArray[np.bool_]:
        """(n,), the pictures that are not to be believed.

        Those that stay below the best real picture where that is known (one that ends at the same value does not: a
        ReLU6 has a ceiling); elsewhere those without a finite value, or with none above the start's.
        """
        rising = np.isfinite(self.reached) & (self.reached > self.start)
        known = np.isfinite(self.real) & np.isfinite(self.peaks)
        return np.where(known, ~(self.peaks >= self.real - _TIE * np.abs(self.real)), ~rising)

    @property
    def place(self) -> str:
        """Where the layer stands, and what one of its units sees, in a sentence; empty where it is no layer."""
        sees = f"; a unit sees {self.sees}" if self.sees else ""
        return f"Layer {self.depth} of {self.layers}{sees}." if self.depth else ""

    @property
    def share(self) -> str:
        """How many of a layer's channels there are, in a sentence; empty where it is not a part of a whole layer."""
        made = len(set(self.labels))
        return f"{made:,} of {self.layer_channels:,} channels." if self.whole and made < self.layer_channels else ""

    def shown(self, index: int) -> Pixels:
        """Return one picture as it is shown, uint8 (H, W, 3): the first three channels, or the first in grey."""
        return _as_shown(self.pictures[index])

    def verdict(self, index: int) -> str:
        """Say in words how far a picture is to be believed."""
        reached, start, real, peak = (
            float(values[index]) for values in (self.reached, self.start, self.real, self.peaks)
        )
        if not math.isfinite(reached):
            return "No picture: the value is no finite number."
        said = f"Reached {number(reached)}, from {number(start)} at the start."
        if math.isfinite(real) and math.isfinite(peak):
            if self.failed[index]:
                beside = f"less than the best real picture ({number(real)}): the picture failed."
            elif peak > real + _TIE * abs(real):
                times = f", {number(peak / real, 2)} times" if real > 0 else ""
                beside = f"more than any real picture ({number(real)}){times}."
            else:
                beside = "as much as the best real picture."
            if peak == reached:
                return f"{said} {beside[0].upper()}{beside[1:]}"
            return f"{said} Its largest answer is {number(peak)}: {beside}"
        return said if reached > start else f"{said} The picture failed: nothing was won."


@dataclass(frozen=True, eq=False)
class Synthesis(Result):
    """Pictures made for units, channels, layers or classes.

    Args:
        made: the pictures, by layer and size, in the order in which they were asked for.
        method: the recipe's name.
        real_pictures: how many real pictures they are compared with; 0 for none.
        precision: number type of the convolutions on the way; what is reached is worked out in the network's own.
    """

    made: tuple[Made, ...]
    method: str
    real_pictures: int = 0
    precision: str = ""
    by_picture: ClassVar[bool] = False

    def __len__(self) -> int:
        return sum(len(one) for one in self.made)

    @property
    def labels(self) -> tuple[str, ...]:
        """The addresses of all pictures."""
        return tuple(label for one in self.made for label in one.labels)

    @property
    def failed(self) -> tuple[str, ...]:
        """The addresses of the pictures that are not to be believed, see `Made.failed`."""
        return tuple(label for one in self.made for label, bad in zip(one.labels, one.failed, strict=True) if bad)

    def picture(self, label: str) -> Pixels:
        """Return the (first) picture of an address as it is shown, uint8 (H, W, 3).

        Raises:
            KeyError: none was made for it.
        """
        for one in self.made:
            if label in one.labels:
                return one.shown(one.labels.index(label))
        raise KeyError(f"no picture of {label!r}; there are {', '.join(self.labels[:6])}")

    def save_pictures(self, folder: str | Path) -> list[Path]:
        """Write every picture as a PNG of its own, pixel for pixel what the network was shown.

        Args:
            folder: made where it is missing; the files are called after the addresses.

        Returns:
            The paths, in order.

        Raises:
            OutputError: a file cannot be written.
        """
        paths = []
        for one in self.made:
            for index, label in enumerate(one.labels):
                name = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in label)
                before = one.labels[:index].count(label)
                path = Path(folder) / f"{name}{f'-{before + 1}' if before else ''}.png"
                write_bytes(path, encode_png(one.shown(index)))
                paths.append(path)
        return paths

    def caption(self) -> str:
        """Say what is shown, and how many pictures failed."""
        if len(self) == 1:
            text = f"A picture made for {self.labels[0]} by the recipe {self.method}."
        else:
            text = f"{count(len(self), 'picture')} made by the recipe {self.method}."
        if self.beside:
            text += " The layers stand in the order of the network."
        failed = len(self.failed)
        if self.real_pictures:
            known = sum(int(np.isfinite(one.real).sum()) for one in self.made)
            below = sum(int((np.isfinite(one.real) & one.failed).sum()) for one in self.made)
            text += (
                f" {known - below} of {known} make their unit answer as much as the best of "
                f"{count(self.real_pictures, 'real picture')}, or more."
            )
        if failed:
            text += f" Pale: {count(failed, 'picture')} that failed."
        return text

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawings, ready for JSON."""
        return {
            "method": self.method,
            "real_pictures": self.real_pictures,
            "precision": self.precision,
            "failed": list(self.failed),
            "made": [_numbers(one) for one in self.made],
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name: those of each layer begin with its address."""
        found: dict[str, NDArray[Any]] = {}
        for index, one in enumerate(self.made):
            start = f"{index}-{one.title}".replace("/", "_")
            found |= {
                f"{start}-labels": np.array(one.labels),
                f"{start}-pictures": one.pictures,
                f"{start}-reached": one.reached,
                f"{start}-peaks": one.peaks,
                f"{start}-start": one.start,
                f"{start}-curve": one.curve,
                f"{start}-real": one.real,
            }
        return found

    @property
    def beside(self) -> tuple[Made, ...]:
        """What stands on one sheet by depth, what is no layer last; nothing unless there are several whole layers."""
        if sum(one.whole for one in self.made) < 2:
            return ()
        return tuple(sorted(self.made, key=lambda one: one.depth or math.inf))

    def figure(self) -> Figure:
        """Draw everything on one figure.

        Sheets are as wide as it is, for they have many small pictures; of several whole layers each has its rows.
        """
        drawings = self.drawings()
        if beside := self.beside:
            across = [min(ACROSS, len(one)) for one in beside]
            words = [_about(one, MOST_ROWS * columns) for one, columns in zip(beside, across, strict=True)]
            rows = [Rows(*layer) for layer in zip(drawings, across, words, strict=True)]
            return draw_rows(rows, heading=self.recipe.lens, caption=self.caption())
        columns = 1 if any(one.whole or len(one) > ALONE for one in self.made) else None
        return draw_gallery(drawings, heading=self.recipe.lens, caption=self.caption(), columns=columns)

    def drawings(self) -> list[Drawing]:
        """Return a sheet for each whole layer or large set, a picture for each other unit.

        Where there are no more than two pictures, the way to each stands beside it. Of several whole layers all that
        there is comes in rows, by depth.
        """
        if beside := self.beside:
            return [_sheet(one, min(ACROSS, len(one))) for one in beside]
        drawings = []
        for one in self.made:
            if one.whole or len(one) > ALONE:
                drawings.append(_sheet(one))
                continue
            for index, label in enumerate(one.labels):
                times = contrast_to_show([one.shown(index)])
                drawings.append(Drawing(label, self._words(one, index, times), _paled(one, index, times)))
                if len(self) <= STRIPS:
                    drawings.append(_way(one, index, times))
        return drawings

    def _words(self, one: Made, index: int, times: int) -> str:
        note = f" {one.size_note}" if one.size_note else ""
        return f"{shape(one.pictures.shape[2:])} pixels. {one.verdict(index)}{words_of(times)}{note}"


def _sheet(one: Made, columns: int | None = None) -> Drawing:
    """Draw many pictures with their numbers below, those that failed pale."""
    most = MOST if columns is None else MOST_ROWS * columns
    shown, times = range(min(len(one), most)), _times(one, most)
    cells = [_paled(one, index, times) for index in shown]
    alone = columns is None
    room = 0.02 if columns is None else 0.24 / columns
    columns = columns or max(1, math.ceil(math.sqrt(len(cells) * 1.3)))
    pixels, labels = numbered_sheet(cells, [one.numbers[index] for index in shown], columns=columns, room=room)
    size = shape(one.pictures.shape[2:])
    words = [f"{count(len(one), 'picture')} of {size} pixels, the number of each below.{words_of(times)}"]
    if len(one) > most:
        words.append(f"The first {most} are shown.")
    words += [one.share, one.size_note if alone else one.place, _reaching(one), _failing(one)]
    return Drawing(one.title, " ".join(filter(None, words)), pixels, labels=labels)


def _about(one: Made, most: int) -> str:
    """Say of a layer among others what its row of pictures does not."""
    parts = one.place, one.share, words_of(_times(one, most)).strip(), _reaching(one), _failing(one)
    return " ".join(filter(None, parts))


def _times(one: Made, most: int) -> int:
    """Return how many times as strong the contrast of the first pictures is drawn."""
    shown = range(min(len(one), most))
    good = [index for index in shown if not one.failed[index]]
    return contrast_to_show([one.shown(index) for index in good or shown])


def _reaching(one: Made) -> str:
    """Say how many reach what the best real picture does; nothing where that is not known."""
    known = np.isfinite(one.real)
    if not known.any():
        return ""
    reaching = f"{int((known & ~one.failed).sum())} of {int(known.sum())} reach the best real picture's value"
    comparable = np.isfinite(one.peaks) & (one.real > 0)
    if comparable.any():
        ratio = float(np.median(one.peaks[comparable] / one.real[comparable]))
        reaching += f", {number(ratio, 2)} times as much in the median"
    return f"{reaching}."


def _failing(one: Made) -> str:
    """Name the pictures that failed; nothing where none did."""
    bad = np.flatnonzero(one.failed)
    named = ", ".join(one.numbers[index] for index in bad[:LISTED])
    more = f" and {len(bad) - LISTED} more" if len(bad) > LISTED else ""
    return f"Pale: failed ({named}{more})." if len(bad) else ""


def _way(one: Made, index: int, times: int) -> Drawing:
    """Draw the small pictures on the way to one, in rows of three."""
    cells = [stronger(_as_shown(frame), times) for frame in one.frames[index]]
    steps = [str(step) for step in one.frame_steps]
    pixels, labels = numbered_sheet(cells, steps, columns=min(3, len(cells)), room=0.04)
    return Drawing(one.labels[index], "On the way to it; below each the steps made.", pixels, labels=labels)


def _paled(one: Made, index: int, times: int) -> Pixels:
    """Return a picture as it is drawn, its contrast so many times as strong, mixed with paper where it failed."""
    pixels = stronger(one.shown(index), times)
    if not one.failed[index]:
        return pixels
    paper = np.array(drawing.rgb(drawing.PAPER), dtype=np.float32)
    return np.asarray(np.rint(pixels * (1 - PALE) + paper * PALE).astype(np.uint8))


def _as_shown(values: NDArray[np.uint8]) -> Pixels:
    """Turn (C, H, W) into (H, W, 3)."""
    kept = values[:3] if len(values) >= 3 else np.repeat(values[:1], 3, axis=0)
    return np.ascontiguousarray(np.moveaxis(kept, 0, -1))


def _numbers(one: Made) -> dict[str, Json]:
    return {
        "title": one.title,
        "labels": list(one.labels),
        "shape": list(one.pictures.shape[1:]),
        "size_note": one.size_note,
        "whole": one.whole,
        "depth": one.depth,
        "layers": one.layers,
        "layer_channels": one.layer_channels,
        "sees": one.sees,
        "reached": _listed(one.reached),
        "peaks": _listed(one.peaks),
        "start": _listed(one.start),
        "best_real": _listed(one.real),
        "failed": one.failed.tolist(),
        "best_steps": one.best_steps.tolist(),
        "curve": [_listed(row) for row in one.curve],
        "curve_steps": list(one.curve_steps),
        "frame_steps": list(one.frame_steps),
        "pictures": encode_array(one.pictures),
    }


def _listed(values: Sequence[float] | NDArray[np.float32]) -> list[float]:
    return [float(value) for value in values]
