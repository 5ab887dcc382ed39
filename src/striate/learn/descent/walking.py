"""Let an optimiser walk downhill from one place, and find a rate at which it walks well. Knows no network."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate import progress
from striate.errors import OptionError
from striate.learn.descent.rules import Rule, rule
from striate.results.optimizer_paths import Path

__all__ = ["LECTURE", "TASK", "Ground", "Rates", "Walk", "calm_rate", "check_walks", "notes_on", "path_of", "walk"]

LECTURE: Final = (
    "sgd",
    "momentum",
    "nesterov",
    "adagrad",
    "adadelta",
    "rmsprop",
    "adam",
    "adamax",
    "nadam",
    "amsgrad",
)
"""The ten optimisers of the lecture (row B11)."""
TASK: Final = "paths of optimisers"

Rates = Literal["calm", "own"] | float


@dataclass(frozen=True)
class Ground:
    """What is walked on.

    Attributes:
        start: weights that every walk begins with.
        height: of weights; what is to become less.
        lost: whether weights of such a height are so far off that walking on is no use.
    """

    start: Sequence[Tensor]
    height: Callable[[Sequence[Tensor]], Tensor]
    lost: Callable[[float, Sequence[Tensor]], bool]


@dataclass(frozen=True)
class Walk:
    """How a walk went.

    Attributes:
        heights: before each step, and after the last one.
        lost: it ended early, being lost.
    """

    heights: tuple[float, ...]
    lost: bool

    @property
    def mean(self) -> float:
        """The mean height, infinite where the walk was lost: small for one that goes down fast and stays there."""
        return math.inf if self.lost else sum(self.heights) / len(self.heights)


def walk(
    rule: Rule,
    rate: float,
    ground: Ground,
    steps: int,
    see: Callable[[int, Sequence[Tensor]], None] | None = None,
) -> Walk:
    """Take steps against the whole gradient, without weight decay.

    Args:
        rule: of the optimiser.
        rate: learning rate.
        ground: to walk on.
        steps: how many.
        see: told the weights before each step, and after the last.

    Raises:
        Stopped: the user asked to stop.
    """
    weights = [one.detach().clone().requires_grad_() for one in ground.start]
    given = {"rate": rate, "weight_decay": 0.0}
    optimizer = rule.build([{"params": weights}], rule.settings(**given))
    heights: list[float] = []
    for step in range(steps + 1):
        progress.check_stop(TASK)
        with torch.enable_grad():
            height = ground.height(weights)
            heights.append(float(height.detach()))
            lost = not math.isfinite(heights[-1]) or ground.lost(heights[-1], weights)
            if see is not None:
                see(step, weights)
            if lost or step == steps:
                return Walk(tuple(heights), lost)
            slopes = torch.autograd.grad(height, weights, allow_unused=True)
        for weight, slope in zip(weights, slopes, strict=True):
            weight.grad = slope
        optimizer.step()
    raise AssertionError("the last step returns")


def calm_rate(rule: Rule, rates: Sequence[float], ground: Ground, steps: int, goal: float) -> float:
    """Return the smallest of some rates with which a walk ends at a height or below it.

    Larger ones would get there sooner, swinging to and fro. Every few of the rates are tried first, from the smallest
    on, then those that were left out before the first that gets there. Where none does, the rate with which the mean
    height of the walk is least; where all are lost, the smallest.

    Args:
        rule: of the optimiser.
        rates: to try.
        ground: to walk on.
        steps: of a walk.
        goal: the height.
    """
    rates = sorted(rates)
    walks: dict[int, Walk] = {}

    def arrives(index: int) -> bool:
        if index not in walks:
            walks[index] = walk(rule, rates[index], ground, steps)
        return not walks[index].lost and walks[index].heights[-1] <= goal

    stride = max(1, round(math.sqrt(len(rates))))
    coarse = range(0, len(rates), stride)
    first = next((index for index in coarse if arrives(index)), None)
    if first is None:  # finer, around the best of them
        best = min(coarse, key=lambda index: (walks[index].mean, index))
        around = range(max(0, best - stride + 1), min(len(rates), best + stride))
    else:
        around = range(max(0, first - stride + 1), first + 1)
    found = next((index for index in around if arrives(index)), None)
    return rates[found if found is not None else min(walks, key=lambda index: (walks[index].mean, index))]


def check_walks(optimizers: Sequence[str], steps: int, rates: Rates) -> None:
    """Refuse what cannot be walked.

    Raises:
        OptionError: no such optimiser, none or one twice, no steps, or a rate that is not above 0.
    """
    for one in optimizers:
        rule(one)
    if not optimizers or len(set(optimizers)) < len(optimizers):
        raise OptionError("name at least one optimizer, and each once.")
    if steps < 1:
        raise OptionError(f"steps must be at least 1, got {steps}.")
    if isinstance(rates, str):
        if rates not in ("calm", "own"):
            raise OptionError(f"rates are calm, own or a number above 0, got {rates!r}.")
    elif not 0 < rates < math.inf:
        raise OptionError(f"rates must be above 0, got {rates}.")


def path_of(name: str, rate: float, gone: Walk, places: NDArray[np.float64], share: float | None = None) -> Path:
    """Put together where an optimiser went."""
    return Path(name=name, rate=rate, places=places, losses=gone.heights, lost=gone.lost, share=share)


def notes_on(paths: Sequence[Path], rates: Rates, tried: int, goal: str) -> tuple[str, ...]:
    """Say how the rates were chosen, and who was lost."""
    notes = []
    if rates == "calm":
        notes.append(
            f"Each optimiser has the smallest rate, of {tried}, with which it ends at {goal}; where none gets there, "
            "the one with the lowest mean."
        )
    if gone := [one.name for one in paths if one.lost]:
        notes.append(f"Lost on the way, and given up there: {', '.join(gone)}.")
    return tuple(notes)
