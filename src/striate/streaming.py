"""Work through many pictures in pieces that fit into memory. Knows no network and no lens."""

from __future__ import annotations

from collections.abc import Callable

import torch

from striate import progress
from striate.errors import OptionError

__all__ = ["in_chunks"]


def in_chunks(total: int, run: Callable[[int, int], None], *, size: int, task: str) -> None:
    """Call ``run(start, stop)`` over 0 to `total` in pieces, halving them when memory runs out.

    A piece that ran out of memory is run again in two halves, so `run` must change nothing before
    its last allocation.

    Args:
        total: number of items.
        run: does the items from start to stop.
        size: items in one piece, at least 1.
        task: what to call it where progress is shown.

    Raises:
        OptionError: `size` is below 1.
        Stopped: the user asked to stop.
    """
    if size < 1:
        raise OptionError(f"chunk must be at least 1, got {size}.")
    several = total > size  # a single piece is no news
    start = 0
    while start < total:
        stop = min(start + size, total)
        if several:
            progress.report(progress.Event(task, start, total))
        progress.check_stop(task)
        try:
            run(start, stop)
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            size = max(1, size // 2)
            continue
        start = stop
    if several:
        progress.report(progress.Event(task, total, total))
