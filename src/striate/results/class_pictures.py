"""Pictures made for classes, with what the network says of them. Runs no network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from striate.results._contrast import contrast_to_show, stronger, words_of
from striate.results._numbering import numbered_sheet
from striate.results.base import Json, Result, encode_array
from striate.results.drawn import Drawing, Pixels
from striate.results.words import count, number, probability, shape

__all__ = ["ClassPictures"]

ALONE = 12  # pictures that are drawn one by one, with words; more make a sheet
MOST = 256  # on one sheet
LISTED = 12  # failed classes that a caption names


@dataclass(frozen=True, eq=False)
class ClassPictures(Result):
    """N pictures in which a network sees as much of a class as it can.

    Args:
        pictures: uint8, (N, C, H, W).
        target: address of each class.
        scores: (N,), what the class gets before softmax, at the network's own input size.
        begun: (N,), the same of the pictures that the ascent began with, at the size of the pictures.
        probabilities: (N,), of the class, at the network's own input size.
        named: what the network takes each picture for.
        best: (N,), with which probability.
        best_steps: (N,), steps made before each.
        method: the recipe's name.
    """

    pictures: NDArray[np.uint8]
    target: tuple[str, ...]
    scores: NDArray[np.float32]
    begun: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    named: tuple[str, ...]
    best: NDArray[np.float32]
    best_steps: NDArray[np.int64]
    method: str
    by_picture: ClassVar[bool] = False

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def recognised(self) -> NDArray[np.bool_]:
        """(N,), the pictures of which no class is more probable than theirs."""
        return self.probabilities >= self.best

    def sentence(self, index: int) -> str:
        """Say what the network says of one picture."""
        sure = probability(float(self.probabilities[index]))
        name = self.target[index].removeprefix("class:")
        if self.recognised[index]:
            says = f"The network says {name} ({sure})."
        else:
            said = f"{self.named[index]} ({probability(float(self.best[index]))})"
            says = f"The picture failed: the network says {said}, and {name} has {sure}."
        return f"{says} Score {number(float(self.scores[index]))}, {number(float(self.begun[index]))} at the start."

    def shown(self, index: int) -> Pixels:
        """Return one picture as it is shown, uint8 (H, W, 3): the first three channels, or the first in grey."""
        values = self.pictures[index]
        kept = values[:3] if len(values) >= 3 else np.repeat(values[:1], 3, axis=0)
        return np.ascontiguousarray(np.moveaxis(kept, 0, -1))

    def caption(self) -> str:
        """Say what is shown, and how often the class is recognised."""
        good = int(self.recognised.sum())
        if len(self) == 1:
            return f"A picture of {self.target[0]} by the recipe {self.method}. {self.sentence(0)}"
        text = f"{count(len(self), 'class picture')} by the recipe {self.method}. "
        if not good:
            return f"{text}The network says the class first for none of them."
        least = probability(float(self.probabilities[self.recognised].min())).removeprefix(">")
        return f"{text}The network says the class first for {good} of them, with a probability of at least {least}."

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawings, ready for JSON."""
        each = [
            {
                "target": self.target[index],
                "recognised": bool(self.recognised[index]),
                "probability": float(self.probabilities[index]),
                "said": self.named[index],
                "probability_said": float(self.best[index]),
                "score": float(self.scores[index]),
                "score_at_the_start": float(self.begun[index]),
                "best_step": int(self.best_steps[index]),
            }
            for index in range(len(self))
        ]
        return {"method": self.method, "classes": each, "pictures": encode_array(self.pictures)}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name."""
        arrays: dict[str, NDArray[Any]] = {
            "pictures": self.pictures,
            "target": np.array(self.target),
            "scores": self.scores,
            "begun": self.begun,
            "probabilities": self.probabilities,
            "best": self.best,
            "best_steps": self.best_steps,
        }
        return arrays

    def drawings(self) -> list[Drawing]:
        """Return each picture with its sentence; a sheet where there are many."""
        if len(self) > ALONE:
            return [self._sheet()]
        size = shape(self.pictures.shape[2:])
        drawings = []
        for index, label in enumerate(self.target):
            times = contrast_to_show([self.shown(index)])
            words = f"{size} pixels. {self.sentence(index)}{words_of(times)}"
            drawings.append(Drawing(label, words, stronger(self.shown(index), times)))
        return drawings

    def _sheet(self) -> Drawing:
        shown = range(min(len(self), MOST))
        words = [self.target[index].removeprefix("class:") for index in shown]
        columns = max(1, math.ceil(math.sqrt(len(shown) * 1.3)))
        cells = [self.shown(index) for index in shown]
        times = contrast_to_show(cells)
        cells = [stronger(cell, times) for cell in cells]
        pixels, labels = numbered_sheet(cells, words, columns=columns, room=0.02)
        text = f"{count(len(self), 'class picture')} of {shape(self.pictures.shape[2:])} pixels.{words_of(times)}"
        if len(self) > MOST:
            text += f" The first {MOST} are shown."
        bad = [words for words, good in zip(self.target, self.recognised, strict=True) if not good]
        if bad:
            more = f" and {len(bad) - LISTED} more" if len(bad) > LISTED else ""
            text += f" Failed: {', '.join(bad[:LISTED])}{more}."
        return Drawing("classes", text, pixels, labels=labels)
