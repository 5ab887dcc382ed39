"""The course of one training, epoch by epoch, and what it says: whether it over-fits. Reads a table; draws nothing."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from striate.errors import DataError
from striate.files import one_line, shown
from striate.results.words import number

__all__ = ["Curve", "Numbers", "Verdict", "percent", "read_history"]

_LEVEL: Final = 0.05  # of the test for a trend
_MUCH: Final = 0.1  # share of the first training loss by which it falls beyond doubt
_LEAST: Final = 0.02  # share of the lowest validation loss by which it has to rise

Kind = Literal["over-fitting", "stalled", "learning", "nothing learned", "too short", "no validation"]
Numbers = NDArray[np.float64]


class Row(Protocol):
    """One epoch, as a training keeps it."""

    @property
    def epoch(self) -> int: ...
    @property
    def rate(self) -> float: ...
    @property
    def train_loss(self) -> float: ...
    @property
    def train_accuracy(self) -> float: ...
    @property
    def validation_loss(self) -> float | None: ...
    @property
    def validation_accuracy(self) -> float | None: ...
    @property
    def best(self) -> bool: ...


@dataclass(frozen=True)
class Verdict:
    """What the curves of a training say.

    Args:
        kind: of course that it took.
        words: the same as a sentence, with its numbers.
        since: epoch of the lowest validation loss; None without validation.
    """

    kind: Kind
    words: str
    since: int | None = None


@dataclass(frozen=True, eq=False)
class Curve:
    """The course of one training, E epochs.

    Args:
        name: of the training.
        epochs: (E,), from 1.
        train_loss: (E,), over the pictures as they were trained on, nats.
        train_accuracy: (E,), in [0, 1].
        validation_loss: (E,), nats; not a number where an epoch was not validated.
        validation_accuracy: (E,), in [0, 1]; likewise.
        rate: (E,), learning rate at the end of each epoch.
        best: the epoch whose weights were kept; None where none was.
    """

    name: str
    epochs: NDArray[np.int64]
    train_loss: Numbers
    train_accuracy: Numbers
    validation_loss: Numbers
    validation_accuracy: Numbers
    rate: Numbers
    best: int | None

    def __len__(self) -> int:
        return len(self.epochs)

    @classmethod
    def of(cls, name: str, rows: Iterable[Row]) -> Curve:
        """Return the course that the rows of a history tell.

        Args:
            name: of the training.
            rows: in the order of the epochs.

        Raises:
            DataError: there are none.
        """
        held = list(rows)
        if not held:
            raise DataError(f"{name} has no history yet: not one epoch is over.")

        def column(key: str) -> Numbers:
            values = [getattr(row, key) for row in held]
            return np.array([math.nan if value is None else value for value in values], dtype=np.float64)

        return cls(
            name=name,
            epochs=np.array([row.epoch for row in held], dtype=np.int64),
            train_loss=column("train_loss"),
            train_accuracy=column("train_accuracy"),
            validation_loss=column("validation_loss"),
            validation_accuracy=column("validation_accuracy"),
            rate=column("rate"),
            best=next((row.epoch for row in reversed(held) if row.best), None),
        )

    @property
    def validated(self) -> NDArray[np.int64]:
        """Places of the epochs that were validated."""
        return np.flatnonzero(np.isfinite(self.validation_loss))

    def verdict(self) -> Verdict:
        """Say what the curves mean: whether it over-fits, and since when.

        Let b be the epoch of the lowest validation loss. It over-fits when, over the epochs after b, the validation
        loss has a rising trend and the training loss a falling one, and the validation loss ends at least 2 % above
        its lowest. A trend is what the test of Mann and Kendall finds at 5 %, one-sided. It counts pairs of epochs
        only, so it holds for losses of any size and for the scatter of validation; and it is fair in spite of b
        being chosen: without a trend, the epochs after the lowest come in any order alike. Four of them are needed,
        for three in order happen by chance in one case of six.

        Training losses are compared with each other only. That they are measured on augmented pictures, with dropout
        and before each step, shifts them against those of validation, which hence say nothing by their distance.

        Source: Kendall 1938 (the statistic); Mann 1945, Nonparametric tests against trend.
        """
        places = self.validated
        if not len(places):
            way = "falls" if _trend(self.train_loss) < 0 else "goes"
            course = f"{way} from {_span(self.train_loss[0], self.train_loss[-1])}"
            course = course if len(self) > 1 else f"is {number(self.train_loss[0])}"
            words = f"Training loss {course}. Without validation pictures nobody can say whether it over-fits."
            return Verdict("no validation", words)
        validation, training = self.validation_loss[places], self.train_loss[places]
        low = int(np.argmin(validation))
        since = int(self.epochs[places[low]])
        after = validation[low + 1 :]
        lasts = _span(training[low], training[-1])
        if len(after) < 4:
            return self._short(places, since)
        falls = _trend(training[low + 1 :]) < 0
        late = float(np.median(after[len(after) // 2 :]))
        if falls and _trend(after) > 0 and late >= (1 + _LEAST) * validation[low]:
            words = (
                f"Validation loss rises since epoch {since} ({_span(validation[low], validation[-1])}) while training "
                f"loss falls ({lasts}): over-fitting."
            )
            return Verdict("over-fitting", words + self._still_better(places[low], places), since)
        if falls:
            words = (
                f"Validation loss has not been lower than at epoch {since} ({number(validation[low])}), while training "
                f"loss goes on falling ({lasts})."
            )
            if not self._grew(places[low], places):
                words += " What it learned since then does not carry over to new pictures: it begins to over-fit."
            return Verdict("stalled", words + self._still_better(places[low], places), since)
        words = (
            f"Validation loss was lowest at epoch {since} ({number(validation[low])}), and training loss has not "
            f"fallen since ({lasts}): no over-fitting is seen, and no progress either."
        )
        return Verdict("stalled", words, since)

    def _short(self, places: NDArray[np.int64], since: int) -> Verdict:
        """Judge a course that ended soon after its lowest validation loss."""
        validation, training = self.validation_loss[places], self.train_loss[places]
        lowest = f"Validation loss was lowest at epoch {since} of {int(self.epochs[-1])} ({number(validation.min())})"
        if len(places) < 4:
            return Verdict("too short", f"{lowest}. Too few epochs to speak of a trend.", since)
        # of four or five epochs a single one out of order hides a trend, however far the loss came down
        falls = _trend(training) < 0 or training[-1] < (1 - _MUCH) * training[0]
        if falls and _trend(validation) < 0:
            return Verdict("learning", f"{lowest}, and both losses fall: no over-fitting is seen.", since)
        if falls:
            return Verdict("learning", f"{lowest}, and training loss falls: no over-fitting is seen.", since)
        words = (
            f"{lowest}. Training loss does not fall ({_span(training[0], training[-1])}): it learns next to nothing."
        )
        return Verdict("nothing learned", words, since)

    def _grew(self, low: int, places: NDArray[np.int64]) -> bool:
        """Whether the accuracy is greater at the end than it was when the loss was lowest."""
        return bool(self.validation_accuracy[places[-1]] > self.validation_accuracy[low])

    def _still_better(self, low: int, places: NDArray[np.int64]) -> str:
        """Say what the accuracy did meanwhile."""
        then = percent(self.validation_accuracy[low])
        best = percent(np.nanmax(self.validation_accuracy[places]))
        last = percent(self.validation_accuracy[places[-1]])
        if self._grew(low, places):
            return (
                f" Validation accuracy grew from {then} to {last} all the same: it gets more pictures right, and is "
                "surer where it is wrong."
            )
        return f" Validation accuracy was {best} at best and is {last} at the end."


def read_history(path: str | Path, *, name: str | None = None) -> Curve:
    """Read the course of a training from its `history.csv`.

    Args:
        path: of the file, or of the folder of the run that holds it.
        name: of the training; that of the folder unless given.

    Raises:
        DataError: there is no such file, or it is no history of a training.
    """
    path = Path(path)
    file = path / "history.csv" if path.is_dir() else path
    if path.is_dir() and not file.exists() and (path / "transfer.json").exists():
        raise DataError(
            f"{shown(path)} was left by a transfer, which has no epochs of its own. Where it fine-tuned, each stage is "
            f"a run that has: {shown(path / 'tuning' / 'stages' / '2')}; likewise {shown(path / 'scratch')}."
        )
    try:
        content = file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise DataError(
            f"{shown(file)} cannot be read ({one_line(error)}). Give the folder of a run: striate train makes one."
        ) from error
    try:
        rows = [_Read(row) for row in csv.DictReader(io.StringIO(content))]
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise DataError(f"{shown(file)} is no history of a training ({one_line(error)}).") from error
    return Curve.of(name or shown(file.parent.resolve().name or file.stem), rows)


class _Read:
    """A row of the file: every column is there, and is a number or empty."""

    def __init__(self, row: dict[str, str]) -> None:
        self.epoch = int(row["epoch"])
        self.rate = float(row["rate"])
        self.train_loss = float(row["train_loss"])
        self.train_accuracy = float(row["train_accuracy"])
        self.validation_loss = float(row["validation_loss"]) if row["validation_loss"] else None
        self.validation_accuracy = float(row["validation_accuracy"]) if row["validation_accuracy"] else None
        self.best = bool(int(row["best"]))


def _trend(values: Numbers) -> int:
    """Return 1 for a rising trend, -1 for a falling one, 0 for none at 5 %, one-sided (Mann and Kendall)."""
    from scipy.stats import kendalltau

    held = values[np.isfinite(values)]
    if len(held) < 4 or held.max() == held.min():
        return 0
    places = np.arange(len(held))
    for way, side in ((1, "greater"), (-1, "less")):
        if float(kendalltau(places, held, alternative=side).pvalue) < _LEVEL:
            return way
    return 0


def _span(first: float, last: float) -> str:
    return f"{number(float(first))} to {number(float(last))}"


def percent(share: Any) -> str:
    """Write a share: 0.932 is "93.2 %"."""
    return f"{100 * share:.1f} %"
