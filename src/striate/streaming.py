"""Work through many forward passes in pieces that fit into memory. Knows no lens."""

from __future__ import annotations

from collections.abc import Callable

import torch

from striate import progress
from striate.errors import OptionError
from striate.network import Network

__all__ = ["in_chunks"]


def in_chunks(
    network: Network, total: int, run: Callable[[int, int], None], *, task: str, chunk: int | None = None
) -> None:
    """Call ``run(start, stop)`` over 0 to `total` in pieces, halving them when memory runs out.

    A piece that ran out of memory is run again in two halves, so `run` must change nothing before
    its last allocation.

    Args:
        network: that is run; its device decides the size of a piece unless given.
        total: number of items.
        run: does the items from start to stop.
        task: what to call it where progress is shown.
        chunk: items in one piece, at least 1.

    Raises:
        OptionError: `chunk` is below 1.
        Stopped: the user asked to stop.
    """
    if chunk is not None and chunk < 1:
        raise OptionError(f"chunk must be at least 1, got {chunk}.")
    size = 1 if network.one_by_one else chunk or (8 if network.device.type == "cpu" else 64)
    start = 0
    several = total > size  # a single piece is no news
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
