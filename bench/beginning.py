"""What `fit` takes until its first step: `python -m bench.beginning TASK COUNT`, in a process of its own.

Prints seconds. On photographs most of it is decoding, once for all epochs, and grows with the pictures; the training is
stopped there, so that all 5,000 can be measured in seconds.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from bench.trainers import settings_of, task

__all__ = ["begun"]


def begun(name: str, count: int) -> float:
    """Return the seconds from the call of `fit` to the end of its first step.

    Args:
        name: "digits" or "photographs".
        count: training pictures.
    """
    from striate import learn, progress
    from striate.errors import Stopped

    what = task(name, count, 1)
    network = learn.start(what.net, classes=10, channels=what.channels, size=what.side, seed=0)
    pictures, settings = settings_of(what)
    ended = 0.0

    def hear(event: progress.Event) -> None:
        nonlocal ended
        if (event.task, event.done) == ("epoch 1", 1):
            ended = time.perf_counter()
            stop.stop()

    with tempfile.TemporaryDirectory() as folder, progress.stoppable() as stop, progress.listen(hear):
        started = time.perf_counter()
        with suppress(Stopped):
            learn.fit(network, pictures, out=Path(folder) / "run", **settings)
    return ended - started


if __name__ == "__main__":
    from striate import keep_memory

    keep_memory()
    print(begun(sys.argv[1], int(sys.argv[2])))
