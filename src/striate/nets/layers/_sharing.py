"""Share many small pieces of work among threads, each of which keeps to itself.

PyTorch shares the work of one operation among its threads, which costs more than it brings where operations are small.
Here each thread gets a run of pieces, and does all their operations alone.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

__all__ = ["in_shares"]

T = TypeVar("T")

_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}
_guard = threading.Lock()


def in_shares(total: int, work: Callable[[int, int], T]) -> list[T]:
    """Call ``work(start, stop)`` for as many runs of 0 to `total` as PyTorch has threads, at the same time.

    The runs depend on the number of threads alone. Each is worked on without gradients being recorded.

    Returns:
        What the calls gave, in order.
    """
    threads = min(torch.get_num_threads(), total)
    if threads < 2:
        with torch.no_grad():
            return [work(0, total)]
    cuts = [total * share // threads for share in range(threads + 1)]

    inferring = torch.is_inference_mode_enabled()  # each thread has modes of its own

    def run(start: int, stop: int) -> T:
        with torch.inference_mode(inferring), torch.no_grad():
            return work(start, stop)

    futures = [_pool(threads).submit(run, cuts[share], cuts[share + 1]) for share in range(threads)]
    return [future.result() for future in futures]


def _pool(threads: int) -> ThreadPoolExecutor:
    """Return threads that each work alone; made once, and again in a process that was forked off."""
    key = (os.getpid(), threads)
    with _guard:
        if key not in _pools:
            _pools.clear()
            pool = ThreadPoolExecutor(threads, "striate-shares")
            ready = threading.Barrier(threads)

            def alone() -> None:
                torch.get_num_threads()  # a thread takes over the usual number when it first asks
                torch.set_num_threads(1)
                ready.wait()  # so that every thread of the pool gets one of these calls

            usual = torch.get_num_threads()
            for future in [pool.submit(alone) for _ in range(threads)]:
                future.result()
            # it holds for the thread that says it, and for all that are started later: those are to be as before
            torch.set_num_threads(usual)
            _pools[key] = pool
        return _pools[key]
