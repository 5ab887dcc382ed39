"""What a network says of every picture of a set: one table, from which all figures come. Runs no network."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from striate.address import class_name
from striate.errors import DataError
from striate.files import one_line, shown
from striate.results._gallery import blank
from striate.results._inches import draw_image, inch_axes
from striate.results._inches import rasterised as rasterise
from striate.results.base import Json, Recipe, Result, encode_array
from striate.results.calibration import Calibration
from striate.results.confusions import Confusions, Mistake
from striate.results.drawn import Drawing
from striate.results.per_class import PerClass
from striate.results.words import count, number

__all__ = ["Evaluation"]

_FORMAT: Final = "striate-predictions-1"
_ENDS: Final = "\n"  # of a name; one in a name is written as \n
_KEYS: Final = ("format", "names", "class_names", "labels", "indices", "probabilities", "losses", "skipped", "pictures")


@dataclass(frozen=True, eq=False)
class Evaluation(Result):
    """What a network says of N pictures about K classes.

    The table is made once (`striate.learn.evaluate`); everything else is worked out from it, and counts the pictures
    whose class is known. It is kept as `predictions.npz`: numbers and UTF-8 text, nothing that would be run.

    Args:
        names: of the pictures, N of them.
        labels: (N,), int64: the class that each picture is of, -1 where it is unknown.
        probabilities: (N, K), float32: what the network gives to each class; rows sum to 1.
        losses: (N,), float32: cross-entropy with the true class, nats; not a number where that is unknown.
        indices: (N,), int64: place of each picture in its set.
        class_names: K names, or None.
        pictures: identity of the pictures and their labels: sixteen hexadecimal digits.
        skipped: name of each picture that could not be read, and why.
    """

    names: tuple[str, ...]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    losses: NDArray[np.float32]
    indices: NDArray[np.int64]
    class_names: tuple[str, ...] | None = None
    pictures: str = ""
    skipped: tuple[tuple[str, str], ...] = ()

    by_picture = False

    def __len__(self) -> int:
        return len(self.names)

    # --- what follows from the table

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return int(self.probabilities.shape[1])

    def name(self, index: int) -> str:
        """Return what to call a class."""
        return f"class {index}" if self.class_names is None else class_name(self.class_names, index)

    @cached_property
    def predictions(self) -> NDArray[np.int64]:
        """The class that the network gives most to, (N,); of equals the first."""
        return np.asarray(self.probabilities.argmax(1), dtype=np.int64)

    @cached_property
    def confidences(self) -> NDArray[np.float32]:
        """The probability that it gives to that class, (N,)."""
        return np.asarray(self.probabilities.max(1))

    @property
    def judged(self) -> NDArray[np.int64]:
        """Rows of the pictures whose class is known, (M,)."""
        return np.flatnonzero(self.labels >= 0)

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """Whether the network is right about each picture, (N,); wrong where the class is unknown."""
        return np.asarray(self.predictions == self.labels)

    @property
    def accuracy(self) -> float:
        """Share of the pictures of known class that the network is right about; not a number where there is none."""
        rows = self.judged
        return float(self.right[rows].mean()) if len(rows) else float("nan")

    def top_accuracy(self, best: int) -> float:
        """Share of the pictures of known class whose class is among so many that the network gives most to."""
        rows = self.judged
        if not len(rows):
            return float("nan")
        own = self.probabilities[rows, self.labels[rows]]
        # of equals the first comes first, as in `predictions`
        before = np.arange(self.classes)[None] < self.labels[rows][:, None]
        ahead = (self.probabilities[rows] > own[:, None]) | ((self.probabilities[rows] == own[:, None]) & before)
        return float((ahead.sum(1) < best).mean())

    @property
    def loss(self) -> float:
        """Mean cross-entropy of the pictures of known class, nats; not a number where there is none."""
        rows = self.judged
        return float(self.losses[rows].mean(dtype=np.float64)) if len(rows) else float("nan")

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """How many pictures of class (row) are taken for class (column), (K, K)."""
        counts = np.zeros((self.classes, self.classes), dtype=np.int64)
        rows = self.judged
        np.add.at(counts, (self.labels[rows], self.predictions[rows]), 1)
        return counts

    @property
    def per_class(self) -> PerClass:
        """Precision, recall, F1 and number of pictures of each class."""
        return PerClass(counts=self.confusion, class_names=self.class_names, recipe=self.recipe)

    @property
    def calibration(self) -> Calibration:
        """How far the probabilities can be taken at their word."""
        rows = self.judged
        own = self.probabilities[rows, self.labels[rows]].astype(np.float64)
        squares = np.square(self.probabilities[rows], dtype=np.float64).sum(1)
        return Calibration(
            confidences=self.confidences[rows],
            right=self.right[rows],
            loss=self.loss,
            brier=float((squares - 2 * own + 1).mean()) if len(rows) else float("nan"),
            recipe=self.recipe,
        )

    def worst(self, most: int | None = None) -> NDArray[np.int64]:
        """Return the rows of the pictures that the network is wrong about, that of the largest loss first.

        Args:
            most: how many; all unless given.
        """
        rows = self.judged
        wrong = rows[~self.right[rows]]
        return wrong[np.argsort(-self.losses[wrong], kind="stable")][:most]

    def confusions(self, mistakes: Sequence[Mistake] | int = 0) -> Confusions:
        """Return the confusion matrix as a result of its own, with the worst mistakes.

        Args:
            mistakes: with their pictures (`striate.learn.mistakes` reads them), or how many without.

        Raises:
            DataError: no picture's class is known.
        """
        if not len(self.judged):
            raise DataError("nothing is right or wrong here: no picture's class is known. Give pictures with labels.")
        shown_ones = self.mistakes(mistakes) if isinstance(mistakes, int) else tuple(mistakes)
        return Confusions(counts=self.confusion, class_names=self.class_names, mistakes=shown_ones, recipe=self.recipe)

    def mistakes(self, most: int | None = None) -> tuple[Mistake, ...]:
        """Return the worst mistakes, without their pictures.

        Args:
            most: how many; all unless given.
        """
        return tuple(
            Mistake(
                picture=int(self.indices[row]),
                name=self.names[row],
                true=int(self.labels[row]),
                said=int(self.predictions[row]),
                probability=float(self.confidences[row]),
                loss=float(self.losses[row]),
                pixels=None,
            )
            for row in self.worst(most).tolist()
        )

    # --- as a result

    def sentence(self) -> str:
        """Say how often the network is right."""
        rows = self.judged
        text = ""
        if len(rows):
            text = (
                f"Right about {int(self.right[rows].sum()):,} of {count(len(rows), 'picture')} "
                f"({100 * self.accuracy:.2f} %), loss {number(self.loss)}."
            )
            if self.classes > 10:
                text += f" The true class is among the first five for {100 * self.top_accuracy(5):.2f} %."
        if unknown := len(self) - len(rows):
            text += f" The class of {count(unknown, 'picture')} is not known."
        if self.skipped:
            text += f" {count(len(self.skipped), 'picture')} could not be read."
        return text.strip()

    def caption(self) -> str:
        """Say how often the network is right, and how far its probabilities can be believed."""
        return f"{self.sentence()} {self.calibration.sentence()}" if len(self.judged) else self.sentence()

    def numbers(self) -> dict[str, Json]:
        """Return the figures, and the table that they come from, ready for JSON."""
        known = len(self.judged) > 0
        return {
            "pictures": len(self),
            "judged": len(self.judged),
            "accuracy": self.accuracy,
            "top_five": self.top_accuracy(5) if self.classes > 10 else None,
            "loss": self.loss,
            "calibration": self.calibration.numbers() if known else None,
            "per_class": self.per_class.numbers(),
            "confusion": encode_array(self.confusion),
            "skipped": [{"name": name, "why": why} for name, why in self.skipped],
            "names": list(self.names),
            "labels": encode_array(self.labels),
            "predictions": encode_array(self.predictions),
            "confidences": encode_array(self.confidences),
            "losses": encode_array(self.losses),
        }

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the table: numbers, and names as UTF-8."""
        return {
            "format": _written([_FORMAT]),
            "names": _written(self.names),
            "class_names": _written(self.class_names or ()),
            "labels": self.labels,
            "indices": self.indices,
            "probabilities": self.probabilities,
            "losses": self.losses,
            "skipped": _written([text for pair in self.skipped for text in pair]),
            "pictures": _written([self.pictures]),
        }

    def drawings(self) -> list[Drawing]:
        """Return the matrix, the classes and the reliability diagram; nothing where no class is known."""
        if not len(self.judged):
            return []
        parts = (self.confusions(), self.per_class, self.calibration)
        titles = ("confusions", "classes", "calibration")
        return [
            Drawing(title, part.caption(), rasterise(part.figure())) for title, part in zip(titles, parts, strict=True)
        ]

    def figure(self) -> Figure:
        """Draw the matrix, the classes and the reliability diagram below each other."""
        sheets = [one.pixels for one in self.drawings()]
        if not sheets:
            return super().figure()
        width = 9.0
        heights = [width * one.shape[0] / one.shape[1] for one in sheets]
        figure = blank(width, sum(heights))
        axes = inch_axes(figure)
        down = 0.0
        for one, height in zip(sheets, heights, strict=True):
            draw_image(axes, one, 0, down, height, smooth=True)
            down += height
        return figure

    # --- kept

    @classmethod
    def load(cls, path: str | Path, *, weights: str | None = None, pictures: str | None = None) -> Evaluation:
        """Read what `save` wrote to an `.npz` file.

        Args:
            path: of the file.
            weights: hash that the weights of the network must have had (`Network.weights_hash`).
            pictures: identity that the pictures must have had (`striate.learn.judging.evaluate.identity`).

        Raises:
            DataError: there is no such file, it is none of these tables, or it is of other weights or pictures.
        """
        path = Path(path)
        held = _read(path)
        try:
            marks = _texts(held["format"])
            if marks != [_FORMAT]:
                raise ValueError(f"it is marked {marks}")
            recipe = Recipe.from_dict(json.loads(str(held["recipe"])))
            texts = _texts(held["skipped"])
            made = cls(
                names=tuple(_texts(held["names"])),
                labels=held["labels"],
                probabilities=held["probabilities"],
                losses=held["losses"],
                indices=held["indices"],
                class_names=tuple(_texts(held["class_names"])) or None,
                pictures=_texts(held["pictures"])[0],
                skipped=tuple(zip(texts[::2], texts[1::2], strict=True)),
                recipe=recipe,
            )
            made._check()
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise DataError(
                f"{shown(path)} is no table of predictions ({one_line(error)}). Make it again: striate evaluate."
            ) from error
        if weights is not None and weights != recipe.weights:
            raise DataError(
                f"{shown(path)} is what another network said: its weights are {recipe.weights or 'unknown'}, those of "
                f"this network {weights}. Make the table again: striate evaluate."
            )
        if pictures is not None and pictures != made.pictures:
            raise DataError(
                f"{shown(path)} is about other pictures or labels: theirs are {made.pictures or 'unknown'}, these "
                f"{pictures}. Make the table again: striate evaluate."
            )
        return made

    def _check(self) -> None:
        """Refuse columns that do not fit each other."""
        rows, classes = len(self.names), self.probabilities.shape[-1]
        shapes = {"labels": (rows,), "indices": (rows,), "losses": (rows,), "probabilities": (rows, classes)}
        for name, expected in shapes.items():
            column: NDArray[Any] = getattr(self, name)
            kind = np.floating if name in ("losses", "probabilities") else np.integer
            if column.shape != expected or not np.issubdtype(column.dtype, kind):
                raise ValueError(f"{name} is {column.dtype} {column.shape} for {rows} names and {classes} classes")
        if self.class_names is not None and len(self.class_names) != classes:
            raise ValueError(f"{len(self.class_names)} class names for {classes} classes")
        if rows and not -1 <= int(self.labels.min()) <= int(self.labels.max()) < classes:
            raise ValueError(f"labels from {self.labels.min()} to {self.labels.max()} for {classes} classes")


def _written(texts: Sequence[str]) -> NDArray[np.uint8]:
    """Return texts as one row of UTF-8, each ended by a line feed; names of files that are none survive as they are."""
    whole = "".join(text.replace("\\", "\\\\").replace("\n", "\\n") + _ENDS for text in texts)
    return np.frombuffer(whole.encode("utf-8", "surrogateescape"), dtype=np.uint8)


def _texts(values: NDArray[np.uint8]) -> list[str]:
    """Read what `_written` wrote."""
    if values.dtype != np.uint8 or values.ndim != 1:
        raise ValueError(f"text as {values.dtype} {values.shape}")
    whole = values.tobytes().decode("utf-8", "surrogateescape")
    if whole and not whole.endswith(_ENDS):
        raise ValueError("text without its end")
    return [
        re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], one) for one in whole.split(_ENDS)[:-1]
    ]


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """Return the entries of the file; nothing in it is run."""
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:
        raise DataError(f"{shown(path)} cannot be read ({one_line(error)}). striate evaluate makes it.") from error
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as held:
            return {name: held[name] for name in (*_KEYS, "recipe")}
    except Exception as error:  # zipfile, zlib and numpy report by many types
        raise DataError(
            f"{shown(path)} is no table of predictions ({one_line(error)}). Make it again: striate evaluate."
        ) from error
