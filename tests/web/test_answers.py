"""Answers are kept within their room and made once; jobs come one after another."""

from __future__ import annotations

import threading
import time

import pytest

from striate import progress
from striate.errors import OptionError
from striate.web.answers import Answers
from striate.web.jobs import BusyError, Jobs
from striate.web.store import UnknownError


def test_the_one_not_asked_for_the_longest_goes_first():
    answers = Answers(10, len)
    answers.keep("a", b"1234")
    answers.keep("b", b"1234")
    assert answers.find("a") == b"1234"
    answers.keep("c", b"1234")
    assert (answers.find("a"), answers.find("b"), answers.find("c")) == (b"1234", None, b"1234")
    assert answers.bytes == 8
    answers.keep("d", b"x" * 11)  # larger than all the room: given, not kept
    assert answers.find("d") is None
    answers.keep("a", b"12")
    assert answers.bytes == 6


def test_what_many_ask_at_a_time_is_made_once():
    answers, made = Answers(100, len), []

    def make() -> bytes:
        made.append(1)
        time.sleep(0.05)
        return b"answer"

    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(answers.get("q", make))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [b"answer"] * 8
    assert len(made) == 1


def test_an_error_is_not_kept():
    answers = Answers(100, len)
    with pytest.raises(ZeroDivisionError):
        answers.get("q", lambda: b"x" * (1 // 0))
    assert answers.get("q", lambda: b"x") == b"x"


def test_jobs_wait_for_one_another_and_say_what_went_wrong():
    jobs, order, go = Jobs(3), [], threading.Event()

    def first(_):
        go.wait(10)
        order.append("first")
        return {"n": 1}

    def second(_):
        order.append("second")
        raise OptionError("no such thing.")

    a, b = jobs.start("x", first), jobs.start("x", second)
    assert b.state == "waiting"
    c = jobs.start("x", lambda _: {"never": 1})
    with pytest.raises(BusyError, match="3 jobs wait already"):
        jobs.start("x", first)
    c.stop()
    go.set()
    assert b.over.wait(10)
    assert order == ["first", "second"]
    assert (a.state, a.result) == ("done", {"n": 1})
    assert (b.state, b.error) == ("failed", "no such thing.")
    assert (c.state, c.result) == ("stopped", None)
    with pytest.raises(UnknownError, match="no job zz"):
        jobs.get("zz")
    jobs.close()


def test_a_job_is_stopped_while_it_runs_and_others_go_on():
    jobs, begun = Jobs(3), threading.Event()

    def endless(_):
        for _ in progress.track(iter(int, 1), "waiting", total=10**9):
            begun.set()
            time.sleep(0.001)

    job = jobs.start("x", endless)
    assert begun.wait(10)
    job.stop()
    assert job.over.wait(10)
    assert job.state == "stopped"
    assert "as asked" in job.error
    after = jobs.start("x", lambda _: {"fine": True})
    assert after.over.wait(10)
    assert after.result == {"fine": True}
    jobs.close()


def test_a_bug_in_a_job_ends_that_job_alone(caplog):
    jobs = Jobs(3)
    job = jobs.start("x", lambda _: {"n": 1 // 0})
    assert job.over.wait(10)
    assert job.state == "failed"
    assert "ZeroDivisionError" in job.error
    assert "failed" in caplog.text
    assert jobs.start("x", lambda _: {}).over.wait(10)
    jobs.close()
