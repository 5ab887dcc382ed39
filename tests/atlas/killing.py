"""Build an atlas again and again, kill each build with SIGKILL at a random moment, resume it, and compare.

    python killing.py FOLDER OUT MOMENTS SEED [units|maps]

"maps" keeps whole maps and nothing of units.

Forks from a process that has imported everything, so that a moment costs a build and not a start of Python.
Prints one line of JSON: how far each build was when it was killed, and what is otherwise than it should be.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from atlas.small import contents, network
from striate import atlas


def start(folder: Path, out: Path, what: str = "units") -> int:
    """Begin a build in a process of its own."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        if what == "maps":
            atlas.features(network(), folder, out, layers=["0", "2"], pool="whole", workers=1)
        else:
            atlas.build(network(), folder, out, workers=1)
        status = 0
    finally:
        os._exit(status)


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(folder: Path, out: Path, moments: int, seed: int, what: str = "units") -> None:
    draw = random.Random(seed)
    whole = out / "whole"
    started = time.monotonic()
    assert ended(start(folder, whole, what)) == 0
    seconds = time.monotonic() - started
    truth = contents(whole)
    kept: list[int] = []
    wrong: list[str] = []
    for moment in range(moments):
        path = out / f"killed-{moment}"
        child = start(folder, path, what)
        time.sleep(draw.uniform(0, seconds))
        os.kill(child, signal.SIGKILL)
        ended(child)
        kept.append(len(list((path / "work").glob("*"))) if (path / "work").is_dir() else -1)
        if status := ended(start(folder, path, what)):
            wrong.append(f"{moment}: the resumed build failed with {status}")
            continue
        found = contents(path)
        wrong += [f"{moment}: {name} is another" for name in truth | found if truth.get(name) != found.get(name)]
        left = {entry.name for entry in path.iterdir()} ^ {entry.name for entry in whole.iterdir()}
        wrong += [f"{moment}: {name} is left or lacking" for name in left]
        shutil.rmtree(path)
    print(json.dumps({"seconds": seconds, "kept": kept, "wrong": wrong}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), *sys.argv[5:])
