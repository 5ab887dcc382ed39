"""Pictures that a network is wrongly sure of, before and after, with the size of the change. Runs no network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from striate.results._gallery import draw_gallery
from striate.results._numbering import numbered_sheet
from striate.results.base import Json, Result, encode_array
from striate.results.drawn import Drawing, Pixels
from striate.results.words import count, number, probability

__all__ = ["Fooling"]

ALONE = 8  # pictures that are drawn one by one, beside their change; more make a sheet
MOST = 256  # on one sheet
_MIDDLE, _REACH = 128, 120  # grey of no change, and how far from it the largest change is drawn


@dataclass(frozen=True, eq=False)
class Fooling(Result):
    """N pictures that were changed until a network was sure of a class.

    Args:
        starts: uint8, (N, C, H, W), before.
        pictures: uint8, (N, C, H, W), after.
        target: address of the class that each is to be taken for.
        confidence: probability that was to be exceeded.
        before: (N,), probability of the class before.
        after: (N,), and after, of the pictures of 8 bits.
        named_before: what each was taken for before.
        best_before: (N,), with which probability.
        named_after: what each is taken for after.
        steps: (N,), made for each.
        from_noise: the starts are noise, not photographs.
    """

    starts: NDArray[np.uint8]
    pictures: NDArray[np.uint8]
    target: tuple[str, ...]
    confidence: float
    before: NDArray[np.float32]
    after: NDArray[np.float32]
    named_before: tuple[str, ...]
    best_before: NDArray[np.float32]
    named_after: tuple[str, ...]
    steps: NDArray[np.int64]
    from_noise: bool
    by_picture: ClassVar[bool] = False  # one photograph may stand for many classes

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def succeeded(self) -> NDArray[np.bool_]:
        """(N,), the pictures that are taken for their class with more than the confidence asked for."""
        return self.after > self.confidence

    @property
    def largest(self) -> NDArray[np.int64]:
        """(N,), the largest change of any number of a picture, in levels of 255 (L-infinity)."""
        found: NDArray[np.int64] = np.abs(self._change()).max(axis=(1, 2, 3))
        return found

    @property
    def length(self) -> NDArray[np.float64]:
        """(N,), the length of the change (L2) on the scale where values go from 0 to 1."""
        found: NDArray[np.float64] = np.sqrt((self._change() ** 2).sum(axis=(1, 2, 3))) / 255
        return found

    @property
    def usual(self) -> NDArray[np.float64]:
        """(N,), the root of the mean square change, in levels of 255."""
        return self.length * 255 / math.sqrt(self.pictures[0].size)

    @property
    def neighbours(self) -> NDArray[np.float64]:
        """(N,), how neighbouring pixels go together (correlation): 0 in noise, near 1 in a photograph."""
        values = self.pictures.astype(np.float64)
        values -= values.mean(axis=(2, 3), keepdims=True)
        power = (values**2).sum(axis=(1, 2, 3))
        beside = (values[..., 1:] * values[..., :-1]).sum(axis=(1, 2, 3))
        found: NDArray[np.float64] = beside / np.maximum(power, 1e-12)
        return found

    def sentence(self, index: int) -> str:
        """Say what one picture is taken for, was taken for, and how far it was changed."""
        name = self.target[index].removeprefix("class:")
        if self.succeeded[index]:
            says = f"It says {name} ({_sure(self.after[index])})"
        else:
            says = f"It failed: {name} has {probability(float(self.after[index]))}, short of {self.confidence:g}"
        was = f"{self.named_before[index]} ({probability(float(self.best_before[index]))})"
        if not self.largest[index]:
            return f"{says}, without any change."
        return (
            f"{says}; before, {was}. Changed by at most {count(int(self.largest[index]), 'level')} of 255 "
            f"(root mean square {number(float(self.usual[index]), 2)}; L2 {number(float(self.length[index]))})."
        )

    def caption(self) -> str:
        """Say how many succeeded, and how large the changes are."""
        start = "noise" if self.from_noise else "photographs"
        good = self.succeeded
        text = (
            f"{int(good.sum())} of {count(len(self), 'picture')} made from {start} "
            f"{'is' if good.sum() == 1 else 'are'} taken for the chosen class "
            f"with a probability above {self.confidence:g}, checked as pictures of 8 bits."
        )
        if good.any():
            text += (
                f" Changes: at most {number(float(np.median(self.largest[good])))} levels of 255 (median), L2 "
                f"{number(float(np.median(self.length[good])))}, where values go from 0 to 1."
            )
        if self.from_noise and good.any():
            text += (
                f" Neighbouring pixels correlate by {number(float(np.abs(self.neighbours[good]).max()), 2)} at most."
            )
        return text

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawings, ready for JSON."""
        each = [
            {
                "target": self.target[index],
                "succeeded": bool(self.succeeded[index]),
                "probability": float(self.after[index]),
                "probability_before": float(self.before[index]),
                "said_before": self.named_before[index],
                "probability_said_before": float(self.best_before[index]),
                "said": self.named_after[index],
                "steps": int(self.steps[index]),
                "largest_change_in_levels": int(self.largest[index]),
                "length_of_change": float(self.length[index]),
                "neighbours_correlate": float(self.neighbours[index]),
            }
            for index in range(len(self))
        ]
        return {
            "confidence": self.confidence,
            "from_noise": self.from_noise,
            "pictures": each,
            "after": encode_array(self.pictures),
            "change": encode_array(self._change().astype(np.int16)),
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name."""
        arrays: dict[str, NDArray[Any]] = {
            "starts": self.starts,
            "pictures": self.pictures,
            "target": np.array(self.target),
            "before": self.before,
            "after": self.after,
            "steps": self.steps,
        }
        return arrays

    def shown(self, index: int) -> Pixels:
        """Return one picture as it is shown, uint8 (H, W, 3): the first three channels, or the first in grey."""
        return _as_shown(self.pictures[index])

    def change(self, index: int) -> tuple[Pixels, int]:
        """Draw one change around grey, uint8 (H, W, 3), and return how many times as strong it was made."""
        times = _REACH // max(1, int(self.largest[index]))
        drawn = _MIDDLE + max(1, times) * self._change()[index]
        return _as_shown(drawn.clip(0, 255).astype(np.uint8)), max(1, times)

    def drawings(self) -> list[Drawing]:
        """Return each picture with its change beside it; a sheet where there are many."""
        if len(self) > ALONE:
            return [self._sheet()]
        drawings = []
        for index, label in enumerate(self.target):
            drawings.append(Drawing(label, self.sentence(index), self.shown(index)))
            pixels, times = self.change(index)
            drawings.append(Drawing(label, f"The change, {times} times as strong; grey is none.", pixels))
        return drawings

    def figure(self) -> Figure:
        """Draw picture before, after and the change in a row for each."""
        if len(self) > ALONE:
            return super().figure()
        changed = self.drawings()
        cells = []
        for index in range(len(self)):
            said = f"It says {self.named_before[index]} ({probability(float(self.best_before[index]))})."
            cells.append(Drawing("before", said, _as_shown(self.starts[index])))
            cells += changed[2 * index : 2 * index + 2]
        return draw_gallery(cells, heading=self.recipe.lens, caption=self.caption(), columns=3)

    def _sheet(self) -> Drawing:
        shown = range(min(len(self), MOST))
        words = [probability(float(self.after[index])) for index in shown]
        columns = max(1, math.ceil(math.sqrt(len(shown) * 1.3)))
        pixels, labels = numbered_sheet([self.shown(index) for index in shown], words, columns=columns, room=0.02)
        failed = [self.target[index] for index in np.flatnonzero(~self.succeeded)[:12]]
        text = f"{count(len(shown), 'picture')} after the change; below each the probability of its class."
        return Drawing("classes", f"{text} Failed: {', '.join(failed)}." if failed else text, pixels, labels=labels)

    def _change(self) -> NDArray[np.int64]:
        return self.pictures.astype(np.int64) - self.starts.astype(np.int64)


def _sure(value: float) -> str:
    """Write a probability that matters in its last digits: 0.9923."""
    return ">0.9999" if value > 0.9999 else f"{value:.4f}"


def _as_shown(values: NDArray[np.uint8]) -> Pixels:
    """Turn (C, H, W) into (H, W, 3)."""
    kept = values[:3] if len(values) >= 3 else np.repeat(values[:1], 3, axis=0)
    return np.ascontiguousarray(np.moveaxis(kept, 0, -1))
