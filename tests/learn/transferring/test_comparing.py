"""Folds that are learned side by side."""

from __future__ import annotations

import threading
from contextlib import closing

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from striate import progress
from striate.errors import Stopped
from striate.learn import fit_head
from striate.learn.transferring.heads._comparing import compared

LABELS = np.arange(12) % 3


class Answer:
    """Takes every row for the class that it was learned with."""

    done = True

    def __init__(self, taken):
        self.taken = taken

    def decide(self, rows):
        return np.full(len(rows), self.taken)

    def head(self):
        raise AssertionError("no fold is made a module")


class Problem:
    settings = ({"C": 0.0}, {"C": 1.0}, {"C": 2.0})

    def __init__(self):
        self.learned = []
        self.threads = set()

    def learn(self, rows, settings):
        for setting in settings:
            self.learned.append((int(rows[0]), setting["C"]))
            self.threads.add(threading.current_thread().name)
            if rows[0] == 99:
                raise ValueError("fold 99 cannot be learned")
            yield Answer(int(setting["C"]))


def parts(count=4):
    return [(np.array([fold]), np.flatnonzero(fold % 3 == LABELS)) for fold in range(count)]


@pytest.mark.parametrize("threads", [True, False])
def test_every_fold_is_asked_with_every_setting(threads):
    found = set(compared(Problem(), parts(), LABELS, threads=threads))
    # fold f holds back the rows of class f % 3, and setting s says class s of all rows
    assert found == {(fold, index, float(fold % 3 == index), True) for fold in range(4) for index in range(3)}


@pytest.mark.parametrize("threads", [True, False])
def test_what_goes_wrong_in_a_fold_is_raised(threads):
    broken = [*parts(), (np.array([99]), np.array([0]))]
    with pytest.raises(ValueError, match="fold 99"):
        list(compared(Problem(), broken, LABELS, threads=threads))


def test_who_leaves_is_not_kept_waiting_for_the_folds_to_come():
    many, problem = 200, Problem()
    with closing(compared(problem, parts(many), LABELS, threads=True)) as answers:
        next(answers)
    assert len(problem.learned) < many
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("striate-folds")]


def test_a_stop_lets_go_of_the_processors():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(60, 5)).astype(np.float32)
    fit_head("logistic", values, np.arange(60) % 3, classes=3)  # all libraries are there
    before = {each["filepath"]: each["num_threads"] for each in threadpool_info()}
    with progress.stoppable() as stop, progress.listen(lambda event: stop.stop()), pytest.raises(Stopped):
        fit_head("logistic", values, np.arange(60) % 3, classes=3)
    assert {each["filepath"]: each["num_threads"] for each in threadpool_info()} == before


def test_the_number_of_threads_changes_nothing():
    rng = np.random.default_rng(1)
    labels = np.arange(300) % 3
    values = (rng.normal(size=(300, 40)) + labels[:, None]).astype(np.float32)
    usual, found = torch.get_num_threads(), []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            found.append(fit_head("logistic", values, labels, classes=3))
    finally:
        torch.set_num_threads(usual)
    assert found[0].folds == found[1].folds
    assert found[0].tried == found[1].tried
