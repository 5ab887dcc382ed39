"""Begin a build while another goes on in the same folder, and say what each is told.

python crowding.py FOLDER OUT
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from atlas.killing import ended, start
from atlas.small import network
from striate import atlas
from striate.errors import StriateError


def main(folder: Path, out: Path) -> None:
    """Hold the first build still while the second is tried, then let it go on; then one after a killed one."""
    first = begun(folder, out / "one")
    os.kill(first, signal.SIGSTOP)
    said = {"kind": "", "error": "it was let in"}
    try:
        atlas.build(network(), folder, out / "one", workers=1)
    except StriateError as error:
        said = {"kind": type(error).__name__, "error": str(error)}
    os.kill(first, signal.SIGCONT)
    done = ended(first)
    killed = begun(folder, out / "two")
    os.kill(killed, signal.SIGKILL)
    ended(killed)
    after = ended(start(folder, out / "two"))
    print(json.dumps({**said, "pid": first, "first": done, "after_a_kill": after}))


def begun(folder: Path, out: Path) -> int:
    """Start a build and wait until it has the folder, and has said so."""
    child = start(folder, out)
    deadline = time.monotonic() + 60
    while not _said(out / "lock"):
        if time.monotonic() > deadline:
            raise SystemExit("the build writes nothing")
        time.sleep(0.001)
    return child


def _said(lock: Path) -> bool:
    try:
        return lock.stat().st_size > 0
    except OSError:
        return False


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
