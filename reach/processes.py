"""Looks at a network in a process of its own, within a limit of time. Knows no lens."""

from __future__ import annotations

import multiprocessing
import time
import warnings
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

__all__ = ["run"]

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["reach.check", "timm", "torchvision"])


def run(source: str, limit: float, only: Sequence[str] = ()) -> dict[str, Any]:
    """Look at one network in a process of its own, which starts with the libraries loaded; `only` at these looks."""
    receiver, sender = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=_child, args=(source, only, sender), daemon=True)
    started = time.perf_counter()
    process.start()
    sender.close()
    try:
        if receiver.poll(limit):
            result = receiver.recv()
        else:
            result = {"source": source, "broken": f"took longer than {limit:.0f} s"}
    except EOFError:  # the process died: out of memory, or a fault in native code
        process.join()
        result = {"source": source, "broken": f"the process ended with status {process.exitcode}"}
    process.kill()
    process.join()
    result["seconds"] = round(time.perf_counter() - started, 1)
    return result


def _child(source: str, only: Sequence[str], sender: Connection) -> None:
    from reach.check import check

    warnings.simplefilter("ignore")
    try:
        sender.send(check(source, only))
    except Exception as error:
        sender.send({"source": source, "broken": f"{type(error).__name__}: {error}"[:200]})
