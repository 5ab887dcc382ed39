"""What fine-tuning in stages gave, and whether a stage helped: counts and words. Trains nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from striate.learn.run import Run
from striate.learn.transferring.stages import Stage
from striate.network import Network
from striate.results.evaluation import Evaluation
from striate.results.shares import standard_error
from striate.results.words import count

__all__ = ["Tuned", "TunedStage", "as_given", "judged"]


@dataclass(frozen=True)
class TunedStage:
    """What one stage gave.

    Attributes:
        stage: what learned in it; None for the network as it was given.
        accuracy: on the validation pictures, in [0, 1].
        error: standard error of the accuracy, as of independent pictures.
        loss: mean cross entropy on the validation pictures, nats.
        pictures: validation pictures.
        seconds: of training, with its validations; 0 for the network as it was given.
        gain: accuracy less that of the best before; None for the network as it was given.
        gain_error: standard error of that difference, if neither were better: the root of the number of pictures that
            only one of the two is right about, as a share of all.
        words: what that says, in a sentence.
    """

    stage: Stage | None
    accuracy: float
    error: float
    loss: float
    pictures: int
    seconds: float
    gain: float | None
    gain_error: float | None
    words: str

    @property
    def helps(self) -> bool:
        """Whether it is better than the best before by more than the standard error of the difference."""
        return self.gain is not None and self.gain_error is not None and self.gain > self.gain_error

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON-able values; of the stage its number."""
        return {
            "stage": None if self.stage is None else self.stage.number,
            "weights_trained": 0 if self.stage is None else self.stage.parameters,
            "accuracy": self.accuracy,
            "error": self.error,
            "loss": self.loss,
            "pictures": self.pictures,
            "seconds": self.seconds,
            "gain": self.gain,
            "gain_error": self.gain_error,
            "helps": self.helps,
            "words": self.words,
        }


@dataclass(frozen=True)
class Tuned:
    """A network that was fine-tuned in stages.

    Attributes:
        rows: the network as it was given, then each stage that was trained.
        best: index of the best row.
        network: of that row, in evaluation mode.
        run: the training of that row; None where no stage was better than what was given.
        ended: why no further stage was trained, in a sentence.
        notes: more to say.
    """

    rows: tuple[TunedStage, ...]
    best: int
    network: Network
    run: Run | None
    ended: str
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Of all trainings."""
        return sum(row.seconds for row in self.rows)

    def caption(self) -> str:
        """Say how it went: a sentence for each row, and why it ended."""
        row = self.rows[self.best]
        which = "the network as it was given" if row.stage is None else f"that of stage {row.stage.number}"
        return " ".join((*(one.words for one in self.rows), self.ended, f"The best is {which}."))

    def to_dict(self) -> dict[str, Any]:
        """Return what tuning.json says of the course."""
        return {"rows": [row.to_dict() for row in self.rows], "best": self.best, "ended": self.ended}


def as_given(table: Evaluation) -> TunedStage:
    """Return the row of the network before any stage."""
    accuracy, pictures = table.accuracy, len(table.judged)
    words = f"As given, it is right about {_right(table)} ({100 * accuracy:.1f} %)."
    return TunedStage(None, accuracy, standard_error(accuracy, pictures), table.loss, pictures, 0.0, None, None, words)


def judged(stage: Stage, table: Evaluation, before: Evaluation, known: TunedStage, seconds: float) -> TunedStage:
    """Compare a stage with the best before it, picture by picture.

    Args:
        stage: what learned.
        table: what the network says of the validation pictures after it.
        before: what the best network before it said.
        known: the row of that network.
        seconds: that the stage took.

    Source: McNemar 1947, Note on the sampling error of the difference between correlated proportions.
    """
    _, now, then = np.intersect1d(table.indices, before.indices, return_indices=True)
    right, was = table.right[now], before.right[then]
    won, lost, pictures = int((right & ~was).sum()), int((was & ~right).sum()), len(now)
    accuracy = table.accuracy
    gain, gain_error = (won - lost) / pictures, math.sqrt(won + lost) / pictures
    much = f"{100 * known.accuracy:.1f} % before, {100 * accuracy:.1f} % now"
    change = f"it puts {count(won, 'picture')} right and {lost:,} wrong"
    if gain > gain_error:
        verdict = "it helps"
    elif gain > 0:
        verdict = "no more than chance would give"
    else:
        verdict = "it does not help"
    words = (
        f"Stage {stage.number} ({stage.name}) is right about {_right(table)}: {much}; {change}, a difference of "
        f"{100 * gain:.1f} with a standard error of {100 * gain_error:.1f} points: {verdict}."
    )
    return TunedStage(
        stage, accuracy, standard_error(accuracy, len(table.judged)), table.loss, len(table.judged), seconds, gain,
        gain_error, words,
    )  # fmt: skip


def _right(table: Evaluation) -> str:
    return f"{int(table.right[table.judged].sum()):,} of {count(len(table.judged), 'validation picture')}"
