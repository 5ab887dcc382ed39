"""Loads what numba compiles, where that can be, and lets it run in as many threads as PyTorch uses. Only when asked."""

from __future__ import annotations

import importlib
import importlib.util
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["borders", "compiled", "in_threads"]

_one_at_a_time = threading.Lock()  # not all of the ways in which numba runs threads bear two callers


def compiled(name: str) -> ModuleType | None:
    """Load a module of compiled operations, and numba with it; None where that cannot be.

    Args:
        name: of the module, "striate.room.module".
    """
    if importlib.util.find_spec("numba") is None:
        return None
    try:
        return importlib.import_module(name)
    except (ImportError, OSError, RuntimeError):  # numba does not go with this numpy, or has no place for its code
        return None


@contextmanager
def in_threads(most: int) -> Iterator[int]:
    """Let numba take as many threads as PyTorch has, for this caller and as long as this lasts.

    Args:
        most: that are of use.

    Yields:
        How many there are, 1 at least.
    """
    import numba

    threads = max(1, min(torch.get_num_threads(), int(numba.config.NUMBA_NUM_THREADS), most))  # type: ignore[attr-defined]
    with _one_at_a_time:
        of_torch = torch.get_num_threads()
        before = numba.get_num_threads()
        numba.set_num_threads(threads)
        if torch.get_num_threads() != of_torch:  # numba began, which sets the threads of the OpenMP that both use
            torch.set_num_threads(of_torch)
        try:
            yield threads
        finally:
            numba.set_num_threads(before)


def borders(count: int, parts: int) -> NDArray[np.int64]:
    """Cut `count` into parts as even as that goes."""
    return np.arange(parts + 1) * count // parts
