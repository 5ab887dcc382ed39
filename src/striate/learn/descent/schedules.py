"""How the learning rate goes over a training: factors of it by step. Pure arithmetic: holds no weights.

A schedule's factor depends on the step alone, and for "plateau" on the losses that it has been told, so that a
training that is taken up again goes on exactly where it was.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from striate.errors import OptionError

__all__ = ["SCHEDULES", "Schedule", "make_schedule"]

SCHEDULES: Final[Mapping[str, str]] = {
    "constant": "stays as it is",
    "step": "is multiplied by `drop` after each share of the steps in `at`",
    "exponential": "falls by the same factor at every step, to `last` at the end",
    "cosine": "falls along half a wave of a cosine, to `last` at the end",
    "one-cycle": "rises along half a wave from `first`, and falls along another to `last`",
    "triangle": "rises in a straight line from `first`, and falls in another to `last`",
    "plateau": "is multiplied by `drop` when the validation loss has not fallen for more than `patience` epochs",
}
"""What the rate does under each."""

_OWN: Final[Mapping[str, Mapping[str, Any]]] = {
    "constant": {},
    "step": {"at": (0.5, 0.75), "drop": 0.1},
    "exponential": {"last": 0.01},
    "cosine": {"last": 0.0},
    "one-cycle": {"first": 1 / 25, "last": 1 / 250_000},
    "triangle": {"first": 0.2, "last": 0.0},
    "plateau": {"drop": 0.1, "patience": 5, "threshold": 1e-4, "last": 0.0},
}
_RISES: Final = {"one-cycle": 0.3, "triangle": 0.25}
"""Share of the steps in which those rise that have their warm-up in themselves."""


class Schedule:
    """One schedule over so many steps; made by `make_schedule`.

    Attributes:
        name: one of `SCHEDULES`.
        steps: of the whole training.
        warmup: steps in which the rate rises first.
        settings: those of this schedule, all of them.
        losses: what `tell` was told, one for each epoch.
    """

    def __init__(self, name: str, steps: int, warmup: int, settings: Mapping[str, Any]) -> None:
        self.name = name
        self.steps = steps
        self.warmup = warmup
        self.settings = dict(settings)
        self.losses: list[float] = []

    def __repr__(self) -> str:
        settings = "".join(f", {name}={value}" for name, value in self.settings.items())
        return f"Schedule({self.name}, steps={self.steps}, warmup={self.warmup}{settings})"

    def factor(self, step: int) -> float:
        """Return what the learning rate is multiplied by at a step, from 0; after the last one as at the end.

        Raises:
            ValueError: a step below 0.
        """
        if step < 0:
            raise ValueError(f"steps count from 0, got {step}")
        if self.name == "one-cycle":
            return self._one_cycle(step)
        if self.name == "triangle":
            return self._triangle(step)
        if step < self.warmup:
            return (step + 1) / (self.warmup + 1)  # the first step is no standstill, the one after the rise is full
        share = min(1.0, (step - self.warmup) / max(self.steps - self.warmup, 1))  # of what follows the rise
        last = float(self.settings.get("last", 0.0))
        match self.name:
            case "step":
                # compared in steps, as rounding of a share must not move a drop
                passed = sum(step >= round(at * self.steps) for at in self.settings["at"])
                return float(self.settings["drop"] ** passed)
            case "exponential":
                return float(last**share)
            case "cosine":
                return last + (1 - last) * (1 + math.cos(math.pi * share)) / 2
            case "plateau":
                return max(last, float(self.settings["drop"]) ** self._plateaus())
        return 1.0

    def tell(self, loss: float) -> None:
        """Note the validation loss of an epoch; of all schedules only "plateau" goes by it."""
        self.losses.append(float(loss))

    def state(self) -> dict[str, Any]:
        """Return what has to be kept to go on later, ready for JSON (a loss that is no number as None)."""
        return {"losses": [loss if math.isfinite(loss) else None for loss in self.losses]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` returned."""
        self.losses = [math.nan if loss is None else float(loss) for loss in state["losses"]]

    def _triangle(self, step: int) -> float:
        first, last = self.settings["first"], self.settings["last"]
        if step < self.warmup:
            return float(first + (1 - first) * step / self.warmup)
        share = min(1.0, (step - self.warmup) / max(self.steps - self.warmup, 1))
        return float(1 + (last - 1) * share)

    def _one_cycle(self, step: int) -> float:
        first, last = self.settings["first"], self.settings["last"]
        top, end = self.warmup - 1, self.steps - 1  # the steps of the highest and of the lowest rate
        if step <= top:
            return _wave(first, 1.0, step / top if top else 1.0)
        return _wave(1.0, last, min(1.0, (step - top) / max(end - top, 1)))

    def _plateaus(self) -> int:
        """Count how often the loss has stood still so far."""
        best, waited, drops = math.inf, 0, 0
        for loss in self.losses:
            better = loss < (best if math.isinf(best) else best - self.settings["threshold"] * abs(best))
            best, waited = (loss, 0) if better else (best, waited + 1)
            if waited > self.settings["patience"]:
                drops, waited = drops + 1, 0
        return drops


def make_schedule(
    name: str,
    *,
    steps: int,
    warmup: int | float | None = None,
    first: float | None = None,
    last: float | None = None,
    drop: float | None = None,
    at: float | Sequence[float] | None = None,
    patience: int | None = None,
    threshold: float | None = None,
) -> Schedule:
    """Make a schedule by its name.

    Args:
        name: one of `SCHEDULES`.
        steps: of the whole training, at least 1.
        warmup: how long the rate rises at the beginning: a whole number of steps, or a share of all steps below 1.
            Linearly, from 1 / (warmup + 1); for "one-cycle" and "triangle" it is the rise that they have by
            themselves (30 and 25 % unless given), for the others none unless given.
        first: factor at the first step ("one-cycle", 1/25; "triangle", 0.2).
        last: factor at the end; for "plateau" the least ("exponential" 0.01, "one-cycle" 4e-6, others 0).
        drop: what "step" and "plateau" multiply by (0.1).
        at: shares of the steps at which "step" drops (0.5, 0.75), or one.
        patience: epochs without a lower loss that "plateau" bears (5); those that are not validated do not count.
        threshold: share by which a loss has to be lower to count ("plateau", 1e-4).

    Raises:
        OptionError: no such schedule, a setting that it does not have, or a value out of range.

    Source: cosine: Loshchilov and Hutter 2017, arXiv:1608.03983; one-cycle: Smith and Topin 2018, arXiv:1708.07120,
        in the form of torch's OneCycleLR; warm-up: Goyal et al. 2017, arXiv:1706.02677.
    """
    if name not in SCHEDULES:
        close = get_close_matches(str(name).lower().replace("_", "-"), SCHEDULES, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise OptionError(f"no schedule is called {name!r}.{hint} There are {', '.join(SCHEDULES)}.")
    if steps < 1:
        raise OptionError(f"a schedule needs at least one step, got {steps}.")
    given = {
        "first": first,
        "last": last,
        "drop": drop,
        "at": None if at is None else tuple(map(float, at if isinstance(at, Sequence) else (at,))),
        "patience": patience,
        "threshold": threshold,
    }
    settings = dict(_OWN[name])
    for setting, value in given.items():
        if value is None:
            continue
        if setting not in settings:
            having = [one for one, own in _OWN.items() if setting in own]
            raise OptionError(f"the schedule {name!r} has no {setting}; {', '.join(having)} {_have(having)}.")
        _check(name, setting, value)
        settings[setting] = value
    return Schedule(name, int(steps), _warmup(name, steps, warmup), settings)


def _have(names: Sequence[str]) -> str:
    return "has" if len(names) == 1 else "have"


def _warmup(name: str, steps: int, warmup: int | float | None) -> int:
    """Return the steps of the rise."""
    if warmup is None:
        warmup = _RISES.get(name, 0)
    if isinstance(warmup, float) and not warmup.is_integer():
        if not 0 <= warmup < 1:
            raise OptionError(f"warmup must be a whole number of steps, or a share of them below 1, got {warmup}.")
        return round(warmup * steps)
    if not 0 <= warmup <= steps:
        raise OptionError(f"warmup must be 0 to {steps} steps, which is the whole training; got {warmup}.")
    return int(warmup)


def _check(name: str, setting: str, value: Any) -> None:
    """Refuse a value that a setting cannot have."""
    match setting:
        case "at":
            ok, words = all(0 < one < 1 for one in value), "shares of the steps between 0 and 1"
        case "patience":
            ok, words = value >= 0, "0 epochs or more"
        case "drop":
            ok, words = 0 < value < 1, "above 0 and below 1"
        case "threshold":
            ok, words = 0 <= value < 1, "from 0 up to 1"
        case _:
            least = name == "exponential"  # which never gets to nothing
            ok, words = (0 < value <= 1) if least else (0 <= value <= 1), f"{'above' if least else 'from'} 0 up to 1"
    if not ok:
        raise OptionError(f"{setting} of the schedule {name!r} must be {words}, got {value}.")


def _wave(start: float, end: float, share: float) -> float:
    """Go from one value to another along half a wave of a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
