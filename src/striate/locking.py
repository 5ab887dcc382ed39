"""One process at a time in one folder. The system lets go of the lock when its process ends, however it ends."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from striate.errors import OutputError, StriateError
from striate.files import shown

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["locked"]


@contextlib.contextmanager
def locked(folder: Path, thing: str, busy: Callable[[str], StriateError]) -> Iterator[None]:
    """Hold the lock of a folder; its file says who does.

    A lock whose process is gone is no lock: the system has taken it back.

    Args:
        folder: made where it is missing, and removed again if nothing was put into it.
        thing: what the folder holds, in words: "the atlas".
        busy: makes the error for a folder that another process has, from who that is (" (81 on mole)", or nothing).

    Raises:
        StriateError: another process has it: what `busy` made.
        OutputError: nothing can be written there.
    """
    made = not folder.exists()
    file = folder / "lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = _taken(file, busy)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(
            f"Cannot write into {shown(folder)}: {error.strerror or error}. Choose another place for {thing}, or "
            "get the right there."
        ) from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            file.unlink()  # before it is let go, so that nobody waits for a file that is gone
        os.close(handle)
        if made:
            with contextlib.suppress(OSError):  # not empty: there is something now, or part of it
                folder.rmdir()


def _taken(file: Path, busy: Callable[[str], StriateError]) -> int:
    """Open the file and lock it.

    Raises:
        StriateError: another process has it.
        OSError: it cannot be written.
    """
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if fcntl is not None:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            who = _holder(handle)
            os.close(handle)
            raise busy(who) from error
        except BaseException:
            os.close(handle)
            raise
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(handle), os.stat(file)):
                break
        os.close(handle)  # its holder removed it meanwhile: take the new one
    with contextlib.suppress(OSError):  # a full disk is told of where it matters
        os.ftruncate(handle, 0)
        os.write(handle, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())
    return handle


def _holder(handle: int) -> str:
    for _ in range(10):  # it writes who it is just after it has taken the lock
        try:
            found = json.loads(os.pread(handle, 1000, 0))
            return f" ({found['pid']} on {found['host']})"
        except (OSError, ValueError, KeyError, TypeError):
            time.sleep(0.01)
    return ""
