"""Faiss, an extra: lent for some work, with as many threads as PyTorch has. Holds no vectors.

Its wheels and PyTorch's each bring an OpenMP of their own. Where PyTorch was loaded first, as here, Linux gives both
the same one, and the number of threads is common to them; else there are two, and one left alone takes all processors
beside the other. So the number is set for the work and put back after it. On macOS the two runtimes are known to
crash when both have threads (faiss-wheels, issue 73), so there it works with one.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from typing import Any

import torch  # before faiss: see above

from striate.errors import MissingExtraError

__all__ = ["faiss"]


@contextlib.contextmanager
def faiss(what: str, *, threads: int | None = None) -> Iterator[Any]:
    """Lend the module for some work.

    Args:
        what: needs it, in words that begin a sentence: "an approximate index".
        threads: of its own; as many as PyTorch has unless given.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        module: Any = importlib.import_module("faiss")
    except ImportError as error:
        raise MissingExtraError(f"{what} needs faiss, which is not installed: pip install 'striate[index]'.") from error
    before = module.omp_get_max_threads()
    wanted = 1 if sys.platform == "darwin" else threads or torch.get_num_threads()
    module.omp_set_num_threads(wanted)
    try:
        yield module
    finally:
        module.omp_set_num_threads(before)
