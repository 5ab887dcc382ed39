"""Work in pieces: every item once, smaller pieces when memory runs out, progress and stop."""

from __future__ import annotations

import pytest
import torch

from striate import progress
from striate.errors import OptionError, Stopped
from striate.streaming import in_chunks


@pytest.mark.parametrize("chunk", [1, 3, 7, 100])
def test_every_item_is_done_once_and_in_order(chunk):
    done: list[int] = []
    in_chunks(20, lambda start, stop: done.extend(range(start, stop)), task="count", size=chunk)
    assert done == list(range(20))


def test_pieces_are_halved_when_memory_runs_out():
    done: list[tuple[int, int]] = []

    def run(start, stop):
        if stop - start > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        done.append((start, stop))

    in_chunks(10, run, task="count", size=10)
    assert [index for start, stop in done for index in range(start, stop)] == list(range(10))
    assert max(stop - start for start, stop in done) == 2  # 10, 5, 2


def test_one_item_that_does_not_fit_is_an_error():
    def run(start, stop):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        in_chunks(4, run, task="count", size=2)


def test_progress_is_reported_and_a_stop_is_heeded():
    events: list[progress.Event] = []
    done: list[int] = []
    with progress.stoppable() as token, progress.listen(events.append):

        def run(start, stop):
            done.append(start)
            if start >= 4:
                token.stop()

        with pytest.raises(Stopped):
            in_chunks(10, run, task="count", size=2)
    assert done == [0, 2, 4]
    assert [(event.done, event.total) for event in events] == [(0, 10), (2, 10), (4, 10), (6, 10)]


def test_a_chunk_of_nothing_is_refused():
    with pytest.raises(OptionError, match="chunk must be at least 1, got 0"):
        in_chunks(3, lambda start, stop: None, task="count", size=0)
