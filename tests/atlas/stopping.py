"""Stop a job after some of what it reports, as a user would with Ctrl-C. No test stands here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from striate import progress
from striate.errors import Stopped

__all__ = ["stopped_after"]


@contextmanager
def stopped_after(events: int) -> Iterator[None]:
    """Stop what is done inside once it has reported more than so many events; it has to obey."""
    heard: list[progress.Event] = []

    def listener(event: progress.Event) -> None:
        heard.append(event)
        if len(heard) > events:
            token.stop()

    with progress.stoppable() as token, progress.listen(listener), pytest.raises(Stopped):
        yield
