"""What the sections of the report of a training are told, and what they had made. Draws nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from striate.errors import Stopped, StriateError
from striate.learn.run import Run as Training
from striate.network import Network
from striate.progress import Event, check_stop, report
from striate.report.visit import TASK, Visit
from striate.results import Result
from striate.results.confusions import Mistake
from striate.results.curves import Curve
from striate.results.evaluation import Evaluation

__all__ = ["RunVisit"]

Made = TypeVar("Made", bound=Result)


@dataclass(eq=False)
class RunVisit:
    """What the sections of the report of a training are told.

    Args:
        run: that the report is about.
        name: of the run, as it is shown.
        network: its best.
        curve: how it went; None before the first epoch is over.
        table: what the best network says of the validation pictures; None where that cannot be had.
        why: it cannot.
        mistakes: the worst whose pictures can be shown.
        visit: of their pictures, with the runs of all lenses; None without mistakes.
        trust: explanations are to be checked.
        skipped: name of each picture that could not be read, and why.
        made: every other result, by its name in the numbers.
        refused: what could not be made, and why.
    """

    run: Training
    name: str
    network: Network
    curve: Curve | None
    table: Evaluation | None
    why: str
    mistakes: tuple[Mistake, ...]
    visit: Visit | None
    trust: bool
    skipped: tuple[tuple[str, str], ...]
    made: dict[str, Result] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    def attempt(self, key: str, make: Callable[[], Made]) -> Made | None:
        """Make a result and keep it for the numbers; None where it refuses, with the reason kept.

        Args:
            key: its name in the numbers.
            make: makes it.

        Raises:
            Stopped: someone asked to stop.
        """
        check_stop(TASK)
        report(Event(TASK, len(self.made) + len(self.refused), None, note=key.replace("_", " ")))
        try:
            made = make()
        except Stopped:
            raise
        except StriateError as error:
            self.refused[key] = str(error)
            return None
        self.made[key] = made
        return made
