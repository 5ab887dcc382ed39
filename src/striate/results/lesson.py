"""What a lesson shows: trainings that differ in one thing, on one chart, and what follows. Runs no network."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.figure import Figure

from striate.results._charts import draw_words, words_height
from striate.results._gallery import blank
from striate.results.base import Json
from striate.results.curves import LearningCurves

__all__ = ["Arm", "Lesson"]

_EDGE = 0.3  # inches
_WIDTH = 9.0


@dataclass(frozen=True)
class Arm:
    """One of the trainings.

    Args:
        name: as in the chart.
        weights: numbers that it learns.
        kept: numbers that it keeps beside them: means and variances of batch norm.
        accuracy: in [0, 1], on the validation pictures, of its last epoch.
        best: the best of all epochs.
        train_accuracy: on the training pictures, of its last epoch.
        seconds: that it took.
    """

    name: str
    weights: int
    kept: int
    accuracy: float
    best: float
    train_accuracy: float
    seconds: float


@dataclass(frozen=True, eq=False)
class Lesson(LearningCurves):
    """Trainings that differ in one thing.

    Args:
        curves: of each.
        arms: what each reached, in the same order.
        setting: what is the same in all of them, in words.
        moral: what follows from them, in words.
    """

    arms: tuple[Arm, ...]
    setting: str
    moral: str

    def caption(self) -> str:
        """Say what is compared, and what follows."""
        return f"{self.setting} {self.moral}"

    def numbers(self) -> dict[str, Json]:
        """Return every number behind the drawing, ready for JSON."""
        arms = [
            {
                "name": arm.name,
                "weights": arm.weights,
                "kept": arm.kept,
                "validation_accuracy": arm.accuracy,
                "best_validation_accuracy": arm.best,
                "train_accuracy": arm.train_accuracy,
                "seconds": arm.seconds,
            }
            for arm in self.arms
        ]
        return {"setting": self.setting, "moral": self.moral, "arms": arms, **super().numbers()}

    def figure(self) -> Figure:
        """Draw the curves under the words."""
        caption = self.caption()
        top = _EDGE + words_height(caption, _WIDTH - 2 * _EDGE) + 0.15
        figure = blank(_WIDTH, top + self._height + _EDGE)
        draw_words(figure, _EDGE, _EDGE, self.recipe.lens, caption)
        self._draw(figure, top)
        return figure
