"""Train a network on pictures, and keep the whole course of it. Shows nothing.

`fit(network, "photos/", out="run")` trains; `Run.open("run")` reads what it left, `striate.load("run")` gives the best
network. `start` makes the network, `check` looks at the pictures before, `evaluate` at the predictions afterwards.
"""

from __future__ import annotations

from striate.learn.checking.check import check
from striate.learn.descent.averaging import Average
from striate.learn.descent.finder import find_rate
from striate.learn.descent.optimizers import OPTIMIZERS, make_optimizer
from striate.learn.descent.paths import on_surface
from striate.learn.descent.schedules import SCHEDULES, make_schedule
from striate.learn.judging.evaluate import evaluate
from striate.learn.loop import fit, resume
from striate.learn.pictures.augment import Augment
from striate.learn.pictures.split import Split, split
from striate.learn.pictures.standardize import standardized
from striate.learn.run import Epoch, Run
from striate.learn.settings import Settings
from striate.learn.starting.start import start
from striate.results.evaluation import Evaluation

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "Augment",
    "Average",
    "Epoch",
    "Evaluation",
    "Run",
    "Settings",
    "Split",
    "check",
    "evaluate",
    "find_rate",
    "fit",
    "make_optimizer",
    "make_schedule",
    "on_surface",
    "resume",
    "split",
    "standardized",
    "start",
]
