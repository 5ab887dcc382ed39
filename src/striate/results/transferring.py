"""What became of a trained network on other pictures: every way that was tried, in one table. Runs no network."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from striate.errors import DataError
from striate.results._charts import draw_words, words_height
from striate.results._gallery import blank
from striate.results._inches import rasterised
from striate.results._transfer_chart import draw_transfer, transfer_height
from striate.results.base import Json, Recipe, Result
from striate.results.drawn import Drawing
from striate.results.likeness import Amount, Likeness
from striate.results.words import count, seconds

__all__ = ["Transfer", "Way"]

Kind = Literal["head", "tuned", "scratch"]
_WIDTH: Final = 9.0  # inches
_EDGE: Final = 0.3


@dataclass(frozen=True)
class Way:
    """One way to a classifier, and what it gave.

    Attributes:
        name: what was done: "logistic on bn2", "fine-tuned: the head, then blocks.5 and all behind it".
        kind: "head" on features of the network as it was, "tuned" where the network's own weights were changed,
            "scratch" where it was trained from random weights.
        accuracy: on the validation pictures, in [0, 1].
        error: standard error of the accuracy.
        seconds: of this step alone; what came before it (features, earlier stages) is not in it.
        weights: numbers that were learned in it.
        places: layers whose features a head reads.
        note: what was chosen or decided, in words.
        expected: accuracy by cross-validation on the training pictures, where there was one.
    """

    name: str
    kind: Kind
    accuracy: float
    error: float
    seconds: float
    weights: int
    places: tuple[str, ...] = ()
    note: str = ""
    expected: float | None = None


@dataclass(frozen=True, eq=False)
class Transfer(Result):
    """Every way that was tried to use a network for other pictures.

    Attributes:
        ways: in the order in which they were tried.
        amount: how many pictures there were to learn from.
        likeness: how like they are to what the network knows.
        strategy: what the table of the lectures says, in words.
        why: it says so, in a sentence with the numbers.
        validation: pictures that all ways were measured on.
        feature_seconds: that the features took, once for all heads.
        chosen: which of the ways the network that was kept came by.
        path: the folder with that network; None where it is not known.
    """

    ways: tuple[Way, ...]
    amount: Amount
    likeness: Likeness
    strategy: str
    why: str
    validation: int
    feature_seconds: float
    chosen: int
    path: Path | None = None

    by_picture = False

    def __len__(self) -> int:
        return len(self.ways)

    @property
    def best(self) -> Way:
        """The way that the kept network came by: the one with the largest accuracy, of equal ones the first."""
        return self.ways[self.chosen]

    def of(self, kind: Kind) -> Way | None:
        """Return the best way of a kind, None where there is none."""
        return max((way for way in self.ways if way.kind == kind), key=lambda way: way.accuracy, default=None)

    # --- in words

    def caption(self) -> str:
        """Say what was best, by how much, and how far that can be believed."""
        best = self.best
        said = [
            f"Best of {count(len(self), 'way')} on {count(self.validation, 'validation picture')}: {best.name}, "
            f"{_percent(best.accuracy)} (standard error {100 * best.error:.1f})."
        ]
        if close := self._close():
            is_ = "is" if close == 1 else "are"
            said.append(
                f"{count(close, 'other')} {is_} within two standard errors of it, and as the best of several on the "
                "same pictures it is a little flattered."
            )
        head, tuned, scratch = self.of("head"), self.of("tuned"), self.of("scratch")
        if head is not None and tuned is not None:
            gain = 100 * (tuned.accuracy - head.accuracy)
            said.append(
                f"Fine-tuning gave {abs(gain):.1f} points {'more' if gain >= 0 else 'less'} than the best head."
            )
        transferred = max(filter(None, (head, tuned)), key=lambda way: way.accuracy, default=None)
        if scratch is not None and transferred is not None:
            gain = 100 * (transferred.accuracy - scratch.accuracy)
            more = "more" if gain >= 0 else "less"
            said.append(
                f"From random weights the same network reached {_percent(scratch.accuracy)}: transfer gave "
                f"{abs(gain):.1f} points {more}."
            )
        return " ".join(said)

    def sentences(self) -> list[str]:
        """Say what there was to learn from, how like it is, and what follows."""
        return [self.amount.sentence(), *self.likeness.sentences(), self.why, self.cost()]

    def cost(self) -> str:
        """Say what the features took."""
        return f"Features of all pictures took {seconds(self.feature_seconds)}, once for all heads."

    def table(self) -> list[tuple[str, str, str, str, str]]:
        """Return the rows as they are to be read: way, accuracy, standard error, time, weights learned."""
        return [
            (
                way.name,
                _percent(way.accuracy),
                f"{100 * way.error:.1f}",
                seconds(way.seconds),
                f"{way.weights:,}",
            )
            for way in self.ways
        ]

    def _close(self) -> int:
        best = self.best
        return sum(
            way is not best and best.accuracy - way.accuracy <= 2 * math.hypot(way.error, best.error)
            for way in self.ways
        )

    # --- in numbers

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawing, ready for JSON."""
        return {
            "strategy": self.strategy,
            "why": self.why,
            "amount": {**asdict(self.amount), "much": self.amount.much},
            "likeness": self.likeness.to_dict(),
            "validation": self.validation,
            "feature_seconds": self.feature_seconds,
            "chosen": self.chosen,
            "ways": [{**asdict(way), "places": list(way.places)} for way in self.ways],
        }

    @classmethod
    def from_dict(cls, plain: dict[str, Any], path: Path | None = None) -> Transfer:
        """Read what `numbers` gave.

        Raises:
            DataError: it is something else.
        """
        try:
            amount = {name: value for name, value in plain["amount"].items() if name != "much"}
            return cls(
                ways=tuple(Way(**{**way, "places": tuple(way["places"])}) for way in plain["ways"]),
                amount=Amount(**amount),
                likeness=Likeness.from_dict(plain["likeness"]),
                strategy=plain["strategy"],
                why=plain["why"],
                validation=plain["validation"],
                feature_seconds=plain["feature_seconds"],
                chosen=plain["chosen"],
                path=path,
                recipe=Recipe.from_dict(plain.get("recipe", {})),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"what a transfer gave cannot be read ({type(error).__name__}: {error}). Do it again."
            ) from error

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the raw arrays by name."""
        return {
            "accuracy": np.array([way.accuracy for way in self.ways]),
            "error": np.array([way.error for way in self.ways]),
            "seconds": np.array([way.seconds for way in self.ways]),
            "weights": np.array([way.weights for way in self.ways], np.int64),
            "nearest_mean": np.array([depth.accuracy for depth in self.likeness.depths]),
        }

    # --- drawn

    def drawings(self) -> list[Drawing]:
        """Return table and charts as one drawing."""
        figure = blank(_WIDTH, 0.2 + self._height)
        self._draw(figure, 0.1)
        return [Drawing("transfer", self.caption(), rasterised(figure))]

    def figure(self) -> Figure:
        """Draw the ways with their accuracies, and how well each depth tells the classes apart."""
        words = f"{self.why} {self.caption()}"
        top = _EDGE + words_height(words, _WIDTH - 2 * _EDGE) + 0.15
        figure = blank(_WIDTH, top + self._height + _EDGE)
        draw_words(figure, _EDGE, _EDGE, "transfer", words)
        self._draw(figure, top)
        return figure

    @property
    def _height(self) -> float:
        return transfer_height(len(self.ways), len(self.likeness.depths))

    def _draw(self, figure: Figure, top: float) -> None:
        draw_transfer(
            figure,
            top,
            self.table(),
            [(way.accuracy, way.error, way.kind) for way in self.ways],
            self.chosen,
            self.likeness,
        )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
