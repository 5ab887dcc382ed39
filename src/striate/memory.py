"""Keep freed memory in the process, which makes PyTorch on Linux processors about twice as fast; but not ever more.

Touches no network.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import time
from pathlib import Path

__all__ = ["keep_memory", "relieve"]

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of glibc's malloc.h
_LARGEST = 2**31 - 1  # bytes; what mallopt takes
_ROOM = 2**30  # bytes that may gather before any are given back
_PAUSE = 1.0  # seconds between two looks at how much there is


class _Kept:
    """How much memory the process had when it was last found to need it all; nothing where none is kept.

    `fresh` until there was a look with nothing gathered yet: what the process has then, at work, is what it needs.
    """

    library: ctypes.CDLL | None = None
    needed = 0
    looked = 0.0
    fresh = True


def keep_memory() -> bool:
    """Ask the C library to keep the memory of freed tensors for the next ones.

    By default glibc gives large blocks back to the system at once, and every layer's output is paid for
    with new, zeroed pages: half of the time of a forward pass of EfficientNet-Lite0 (8 pictures, 2 cores:
    74 ms, and 35 ms with this). The process then stays about as large as it has once been (`relieve`). It is a setting
    of the whole process, so a library must not take it by itself: the command `striate` does for its own
    process; call it at the top of a script or notebook.

    Returns:
        Whether it was done: only glibc (Linux) has the setting.

    Source: mallopt(3), M_MMAP_THRESHOLD and M_TRIM_THRESHOLD.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        library = ctypes.CDLL(None)
        mallopt, _ = library.mallopt, library.malloc_trim
    except (OSError, AttributeError):  # another C library
        return False
    if not mallopt(_MMAP_THRESHOLD, _LARGEST // 2) or not mallopt(_TRIM_THRESHOLD, _LARGEST):
        return False
    _Kept.library, _Kept.needed, _Kept.fresh = library, _resident(), True
    return True


def relieve() -> bool:
    """Give freed memory back to the system where far more has gathered than is needed; does nothing else.

    glibc cannot always use a freed block again for an aligned one of the same size, such as PyTorch asks for: where a
    small block was put behind it meanwhile, a new one is taken. Over thousands of batches that comes to gigabytes.
    What runs networks calls this after each run; it looks once a second at most.

    Returns:
        Whether memory was given back.

    Source: malloc_trim(3); https://sourceware.org/bugzilla/show_bug.cgi?id=14581.
    """
    library = _Kept.library
    if library is None or (now := time.monotonic()) - _Kept.looked < _PAUSE:
        return False
    _Kept.looked = now
    held = _resident()
    if _Kept.fresh:  # else what the work takes each time would be given back each time
        _Kept.needed, _Kept.fresh = max(held, _Kept.needed), False
    if held < 1.5 * _Kept.needed + _ROOM:
        return False
    library.malloc_trim(0)
    _Kept.needed, _Kept.fresh = _resident(), True
    return True


def _resident() -> int:
    """Return the bytes of memory that the process has."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0
