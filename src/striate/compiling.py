"""Makes machine code of functions by numba, and keeps it for later processes. Imported by compiled modules alone.

Only they may load numba: `threads.compiled` loads them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from numba import njit

__all__ = ["compiler"]


def compiler(**options: Any) -> Callable[[Any], Any]:
    """Return what compiles a function when it is first called, without Python's lock.

    The code is kept beside the function's file, or in the user's cache, until a file of that folder changes, or
    `vectors`: numba itself looks at the function's own file alone, and code of others is compiled into it. Where there
    is no room for it, on a full disk say, it serves this process alone.

    Args:
        options: more of `numba.njit`.
    """
    compile_ = njit(cache=True, nogil=True, **options)

    def compiled(function: Any) -> Any:
        found = compile_(function)
        # numba has no public way to either
        kept: Any = getattr(found, "_cache", None)
        file: Any = getattr(kept, "_cache_file", None)
        if hasattr(file, "_source_stamp"):
            file._source_stamp = file._source_stamp, _stamps(Path(function.__code__.co_filename).parent)
        if hasattr(kept, "save_overload"):
            save = kept.save_overload

            def save_where_there_is_room(*given: Any) -> None:
                with suppress(OSError):
                    save(*given)

            kept.save_overload = save_where_there_is_room
        return found

    return compiled


@cache
def _stamps(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Return names, times and sizes of the files whose code may be compiled into that of a folder."""
    own = Path(__file__)
    stamps = []
    for file in (*sorted(folder.glob("*.py")), own, own.with_name("vectors.py")):
        with suppress(OSError):
            stat = file.stat()
            stamps.append((file.name, stat.st_mtime_ns, stat.st_size))
    return tuple(stamps)
