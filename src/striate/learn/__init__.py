"""Train a network on pictures, and keep the whole course of it. Shows nothing.

`fit(network, "photos/", out="run")` trains; `Run.open("run")` reads what it left, `striate.load("run")` gives the best
network. `start` makes the network, `check` looks at the pictures before, `evaluate` at the predictions afterwards.
`transfer(network, "photos/", out="run")` uses a trained network for other pictures, in all the ways that there are.
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
from striate.learn.transferring.heads import HEADS, fit_head
from striate.learn.transferring.own_head import with_head
from striate.learn.transferring.stages import plan_stages
from striate.learn.transferring.transfer import transfer
from striate.learn.transferring.tuning import fine_tune
from striate.learn.untrained.first_layer import set_first_layer
from striate.learn.untrained.first_layers import compare_first_layers
from striate.learn.untrained.random_features import random_features
from striate.learn.untrained.ranking import rank_nets
from striate.results.evaluation import Evaluation

__all__ = [
    "HEADS",
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
    "compare_first_layers",
    "evaluate",
    "find_rate",
    "fine_tune",
    "fit",
    "fit_head",
    "make_optimizer",
    "make_schedule",
    "on_surface",
    "plan_stages",
    "random_features",
    "rank_nets",
    "resume",
    "set_first_layer",
    "split",
    "standardized",
    "start",
    "transfer",
    "with_head",
]
