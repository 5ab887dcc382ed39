"""The paths of several optimisers on an error surface of two weights, such as lectures draw. Knows no network."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

import striate
from striate import progress
from striate.learn.descent.rules import rule
from striate.learn.descent.surfaces import surface
from striate.learn.descent.walking import LECTURE, TASK, Ground, Rates, calm_rate, check_walks, notes_on, path_of, walk
from striate.results.base import Recipe
from striate.results.optimizer_paths import OptimizerPaths, Path

__all__ = ["on_surface"]

_RATES: Final = tuple(10 ** (power / 4) for power in range(-16, 17))  # tried: 0.0001 to 10,000
_GOAL: Final = 0.001  # of the height at the start
_GRID: Final = 121  # points along each side of the surface


def on_surface(
    name: str = "beale",
    *,
    optimizers: Sequence[str] = LECTURE,
    steps: int = 100,
    rates: Rates = "calm",
    start: tuple[float, float] | None = None,
) -> OptimizerPaths:
    """Let optimisers walk on a surface of two weights.

    Args:
        name: "valley", "banana", "saddle" or "beale".
        optimizers: names of `OPTIMIZERS`.
        steps: of each, at least 1.
        rates: "calm" takes for each, of 33 rates from 0.0001 to 10,000, the smallest with which it comes down to a
            thousandth of the height that it starts from; "own" each one's usual one; a number the same for all.
        start: the two weights to begin with; the surface's own when None.

    Raises:
        OptionError: no such surface or optimiser, no steps, or a rate that is not above 0.
        Stopped: the user asked to stop.
    """
    started = time.perf_counter()
    chosen = surface(name)
    check_walks(optimizers, steps, rates)
    begin = torch.tensor(chosen.start if start is None else start, dtype=torch.float64)
    x0, x1, y0, y1 = chosen.window
    low = torch.tensor([x0 - 0.1 * (x1 - x0), y0 - 0.1 * (y1 - y0)], dtype=torch.float64)
    high = torch.tensor([x1 + 0.1 * (x1 - x0), y1 + 0.1 * (y1 - y0)], dtype=torch.float64)
    low, high = torch.minimum(low, begin), torch.maximum(high, begin)
    ground = Ground(
        start=[begin],
        height=lambda weights: chosen.height(weights[0]),
        lost=lambda height, weights: bool(((weights[0] < low) | (weights[0] > high)).any()),
    )
    goal = chosen.least + _GOAL * (float(chosen.height(begin)) - chosen.least)
    paths: list[Path] = []
    for index, one in enumerate(optimizers):
        progress.report(progress.Event(TASK, index, len(optimizers), one))
        taken = calm_rate(rule(one), _RATES, ground, steps, goal) if rates == "calm" else rule(one).rate(rates)
        points: list[Tensor] = []

        def see(_: int, weights: Sequence[Tensor], points: list[Tensor] = points) -> None:
            points.append(weights[0].detach().clone())

        gone = walk(rule(one), taken, ground, steps, see)
        paths.append(path_of(one, taken, gone, torch.stack(points).numpy()))
    progress.report(progress.Event(TASK, len(optimizers), len(optimizers)))
    across, up = (np.linspace(first, last, _GRID) for first, last in ((x0, x1), (y0, y1)))
    grid = torch.stack(torch.meshgrid(torch.from_numpy(across), torch.from_numpy(up), indexing="xy"), -1)
    return OptimizerPaths(
        paths=tuple(paths),
        across=across,
        up=up,
        heights=chosen.height(grid).numpy(),
        surface=chosen.words,
        lowest=chosen.lowest,
        least=chosen.least,
        axes=("first weight", "second weight"),
        recipe=Recipe(
            lens="on_surface",
            options={
                "name": name,
                "optimizers": list(optimizers),
                "steps": steps,
                "rates": rates,
                "start": begin.tolist(),
            },
            version=striate.__version__,
            seconds=time.perf_counter() - started,
            device="cpu",
            dtype="float64",
            torch=torch.__version__,
            notes=notes_on(paths, rates, len(_RATES), "a thousandth of the height at the start"),
        ),
    )
