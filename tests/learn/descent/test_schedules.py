"""Schedules by hand, and against torch.optim.lr_scheduler where it has them."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch.optim import lr_scheduler

from striate.errors import OptionError
from striate.learn.descent.schedules import SCHEDULES, make_schedule


def factors(schedule):
    return [schedule.factor(step) for step in range(schedule.steps)]


def torchs(kind, steps, **settings):
    """The rates that torch's scheduler gives for a rate of 1."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = kind(optimizer, **settings)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_by_hand():
    assert factors(make_schedule("constant", steps=3)) == [1, 1, 1]
    assert factors(make_schedule("constant", steps=4, warmup=3)) == [0.25, 0.5, 0.75, 1]
    assert factors(make_schedule("cosine", steps=4)) == pytest.approx([1, (1 + math.sqrt(0.5)) / 2, 0.5, 0.1464466])
    assert factors(make_schedule("exponential", steps=4, last=1 / 16)) == pytest.approx([1, 0.5, 0.25, 0.125])
    assert factors(make_schedule("step", steps=4, drop=0.5)) == [1, 1, 0.5, 0.25]
    assert factors(make_schedule("triangle", steps=6, warmup=2, first=0.2)) == pytest.approx(
        [0.2, 0.6, 1, 0.75, 0.5, 0.25]
    )


@pytest.mark.parametrize("steps", [20, 100])
def test_against_torch(steps):
    warmup = 5
    rise = torchs(lr_scheduler.LinearLR, warmup, start_factor=1 / (warmup + 1), total_iters=warmup)
    fall = torchs(lr_scheduler.CosineAnnealingLR, steps - warmup, T_max=steps - warmup, eta_min=0.1)
    half = [steps // 2, steps * 3 // 4]
    truth = {
        "one-cycle": torchs(lr_scheduler.OneCycleLR, steps, max_lr=1.0, total_steps=steps),
        "cosine": rise + fall,
        "exponential": torchs(lr_scheduler.ExponentialLR, steps, gamma=0.01 ** (1 / steps)),
        "step": torchs(lr_scheduler.MultiStepLR, steps, milestones=half, gamma=0.1),
    }
    made = {
        "one-cycle": make_schedule("one-cycle", steps=steps),
        "cosine": make_schedule("cosine", steps=steps, warmup=warmup, last=0.1),
        "exponential": make_schedule("exponential", steps=steps),
        "step": make_schedule("step", steps=steps),
    }
    for name, schedule in made.items():
        assert factors(schedule) == pytest.approx(truth[name], rel=1e-9), name


@pytest.mark.parametrize(
    "losses", [[3, 2, 1] * 4, [1] * 9, [1, 0.99995, 0.9999, 0.5, math.nan, 0.5, 0.4999, 0.6, 2, 0.1]]
)
def test_plateau_against_torch(losses):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, min_lr=0.1, eps=0)
    schedule = make_schedule("plateau", steps=1000, drop=0.5, patience=1, last=0.1)
    for epoch, loss in enumerate(losses):
        assert schedule.factor(10 * epoch) == pytest.approx(optimizer.param_groups[0]["lr"])
        scheduler.step(loss)
        schedule.tell(loss)
    assert schedule.factor(999) < 1


def test_plateau_goes_on_from_its_state():
    first, second = (make_schedule("plateau", steps=100, patience=1, warmup=10) for _ in range(2))
    for loss in (1.0, math.nan, 1.0):
        first.tell(loss)
    second.restore(json.loads(json.dumps(first.state(), allow_nan=False)))
    for schedule in (first, second):
        schedule.tell(1.0)
    assert factors(first) == factors(second)
    assert first.factor(50) == pytest.approx(0.1)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 3, 10, 1000])
def test_a_rate_stays_between_nothing_and_the_whole_and_reaches_it(name, steps):
    for warmup in (None, 0, 1, 0.4):
        schedule = make_schedule(name, steps=steps, warmup=warmup)
        found = factors(schedule)
        assert all(0 <= factor <= 1 for factor in found), warmup
        assert found[0] > 0, warmup
        assert schedule.factor(10 * steps) <= 1
        if steps >= 10:
            assert max(found) == pytest.approx(1, abs=0.1), warmup


def test_a_share_of_the_steps_is_a_warm_up_too():
    assert make_schedule("cosine", steps=200, warmup=0.05).warmup == 10
    assert make_schedule("cosine", steps=200, warmup=10).warmup == 10
    assert make_schedule("one-cycle", steps=200).warmup == 60


def test_one_place_is_said_without_brackets():
    assert make_schedule("step", steps=10, at=0.3).settings["at"] == (0.3,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "cosin"}, r"no schedule is called 'cosin'\. Did you mean cosine\? There are constant"),
        ({"name": "one_cycle"}, r"Did you mean one-cycle\?"),
        ({"name": "cosine", "drop": 0.1}, "'cosine' has no drop; step, plateau have"),
        ({"name": "cosine", "patience": 1}, "'cosine' has no patience; plateau has"),
        ({"name": "cosine", "last": 1.5}, "last of the schedule 'cosine' must be from 0 up to 1, got 1.5"),
        ({"name": "exponential", "last": 0.0}, "must be above 0 up to 1"),
        ({"name": "step", "at": (0.5, 1.0)}, "must be shares of the steps between 0 and 1"),
        ({"name": "cosine", "warmup": 11}, "warmup must be 0 to 10 steps"),
        ({"name": "cosine", "warmup": 2.5}, "warmup must be a whole number of steps, or a share of them below 1"),
        ({"name": "cosine", "steps": 0}, "a schedule needs at least one step"),
    ],
)
def test_what_makes_no_sense_is_refused(options, message):
    options = {"steps": 10, **options}
    with pytest.raises(OptionError, match=message):
        make_schedule(options.pop("name"), **options)


def test_steps_count_from_nought():
    with pytest.raises(ValueError, match="steps count from 0"):
        make_schedule("constant", steps=3).factor(-1)
