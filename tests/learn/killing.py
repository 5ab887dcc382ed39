"""Start trainings and kill them at drawn moments. Run as a script, in a process without threads, for it forks.

A moment is a number of events that the training has reported, and a few milliseconds more: so it lies in the course of
the training, however slow the machine is just then.

Prints one line of JSON: how many epochs were kept when each was killed, and what is otherwise than it should be.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from learn.striped import TRYING, network, parts, same, tensors
from striate import progress
from striate.learn.loop import fit
from striate.learn.run import Run

SETTINGS = TRYING | {"epochs": 5}
_MORE = 0.02  # seconds after an event, in which the next step is taken or an epoch is kept


def start(out: Path, told: int = -1) -> int:
    """Train in a process of its own, which writes a byte for each event: the epoch that it says is over, else 0."""
    child = os.fork()
    if child:
        return child
    status = 1

    def hear(event: progress.Event) -> None:
        if told >= 0:
            os.write(told, bytes([event.done if event.task == "training" else 0]))

    try:
        with progress.listen(hear):
            fit(network(), parts(), out=out, resume=True, **SETTINGS)
        status = 0
    finally:
        os._exit(status)


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(folder: Path, moments: int, seed: int) -> None:
    draw = random.Random(seed)
    fit(network(), parts(), **SETTINGS | {"epochs": 1})  # so that what is imported late need not be in every process
    whole = folder / "whole"
    read, told = os.pipe()
    child = start(whole, told)
    os.close(told)
    with open(read, "rb") as heard:
        events = len(heard.read())
    assert ended(child) == 0
    truth = tensors(Run.open(whole).network("last").module)
    kept: list[int] = []
    wrong: list[str] = []
    for moment in range(moments):
        out = folder / f"killed-{moment}"
        read, told = os.pipe()
        child = start(out, told)
        os.close(told)
        with open(read, "rb", buffering=0) as listening:
            after = draw.randrange(events + 1)
            heard_of = b"".join(listening.read(1) for _ in range(after))
            time.sleep(draw.uniform(0, _MORE))
            os.kill(child, signal.SIGKILL)
            ended(child)
            said = max(heard_of + listening.read(), default=0)
        there = Run.open(out).history if (out / "settings.json").exists() else []
        kept.append(len(there))
        if len(there) < said:
            wrong.append(f"{moment}: epoch {said} was said to be over, and {len(there)} are kept")
        if there:
            run = Run.open(out)
            if not all(bool(value.isfinite().all()) for value in tensors(run.network("best").module).values()):
                wrong.append(f"{moment}: the best network is not whole")
            run.network("last")
        if (status := ended(start(out))) != 0:
            wrong.append(f"{moment}: going on failed with {status}")
            continue
        run = Run.open(out)
        if not same(tensors(run.network("last").module), truth):
            wrong.append(f"{moment}: the end is another")
        if not same(tensors(run.network().module), tensors(Run.open(whole).network().module)):
            wrong.append(f"{moment}: the best network is another")
        names = [{str(file.relative_to(one)) for file in one.rglob("*")} for one in (out, whole)]
        wrong += [f"{moment}: {name} is left or lacking" for name in names[0] ^ names[1]]
    print(json.dumps({"events": events, "kept": kept, "wrong": wrong}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
