"""A job whose listeners have gone, have come back, or are several: stopped only when nobody wants it any more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from striate import progress
from striate.web.jobs import Job, Jobs

PATIENCE = 0.8  # seconds, in place of those that a browser is given


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    """One worker, which waits less long."""
    monkeypatch.setattr("striate.web.jobs._ALONE", PATIENCE)
    made = Jobs(waiting=4)
    yield made
    made.close()


def endless(_: Job) -> dict[str, object]:
    while True:
        progress.check_stop("a long job")
        time.sleep(0.005)


def test_a_job_ends_when_the_last_of_two_has_gone(jobs):
    job = jobs.start("endless", endless)
    with job.attended():
        with job.attended():
            pass
        assert not job.over.wait(1.5 * PATIENCE)  # the other still wants it
    assert job.over.wait(60)
    assert (job.state, job.error[:37]) == ("stopped", "Stopped: the page that had asked for ")


def test_who_comes_back_in_time_finds_it_and_has_all_of_the_time_again(jobs):
    job = jobs.start("endless", endless)
    for _ in range(4):  # each time away for less than the patience, all together for longer
        with job.attended():
            pass
        assert not job.over.wait(PATIENCE / 2)
    assert job.over.wait(60)


def test_one_that_nobody_has_attended_goes_on_and_one_that_is_stopped_says_so(jobs):
    job = jobs.start("endless", endless)
    assert not job.over.wait(1.5 * PATIENCE)
    job.stop()
    assert job.over.wait(60)
    assert job.error == "Stopped during a long job, as asked. What was finished before is kept."


def test_a_stream_that_is_cut_off_comes_back_to_the_same_job(jobs):
    job = jobs.start("endless", endless)

    async def thrice() -> tuple[str, dict[str, object]] | None:
        for _ in range(2):
            coming = asyncio.ensure_future(anext(job.events()))
            await asyncio.sleep(0.02)
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
        await asyncio.sleep(PATIENCE / 4)
        coming = asyncio.ensure_future(anext(job.events()))
        await asyncio.sleep(PATIENCE)  # by now it would have been stopped
        assert not job.ended
        job.stop()
        return await coming

    assert asyncio.run(thrice()) == ("failed", {"error": job.error, "stopped": True})


def test_what_runs_beside_the_jobs_is_stopped_with_them(jobs):
    with jobs.beside() as stop:
        jobs.close()
        assert stop.stopped
        with pytest.raises(progress.Stopped, match="as asked"):
            progress.check_stop()
    progress.check_stop()  # no more than in the block
