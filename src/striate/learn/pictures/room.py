"""How much memory and disk is free, and where pictures should be kept therefore. Reads no pictures."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Literal, NamedTuple

import torch

from striate.errors import OptionError
from striate.files import byte_count

__all__ = ["Choice", "Storage", "choose", "free_disk", "free_memory"]

Storage = Literal["auto", "memory", "disk", "stream"]

_SHARE = 0.4  # of what is free; the rest is for the network, the system's own cache of files, and other processes
_CGROUP = Path("/sys/fs/cgroup")


class Choice(NamedTuple):
    """Where pictures are kept.

    Args:
        kind: "memory", "disk" or "stream".
        words: which, and why.
        resident: in the memory of the device itself.
    """

    kind: Literal["memory", "disk", "stream"]
    words: str
    resident: bool = False


def choose(
    storage: Storage,
    size: int,
    device: torch.device,
    *,
    cache: Path | None = None,
    processes: int = 1,
    mapped: bool = False,
    varies: bool = False,
) -> Choice:
    """Choose where pictures are kept.

    Args:
        storage: what the user asked for.
        size: bytes that all of them take.
        device: of the network.
        cache: folder of what is kept on disk; the system's for temporary files when None.
        processes: of this run on this machine: each keeps pictures of its own in memory.
        mapped: the pictures lie on disk already as they are needed, in an array.
        varies: a picture that is read twice is not the same: its data set draws by lot itself.

    Raises:
        OptionError: no such storage.
    """
    if storage not in ("auto", "memory", "disk", "stream"):
        raise OptionError(f"no storage {storage!r}; there are auto, memory, disk and stream.")
    takes = f"they take {byte_count(size)}"
    resident = False
    if device.type == "cuda" and storage in ("auto", "memory"):
        free = int(torch.cuda.mem_get_info(device)[0] * _SHARE)
        resident = size <= free
    if storage != "auto":
        where = f" of {device}" if resident else ""
        return Choice(storage, f"{storage}{where}, as asked: {takes}", resident)
    if varies:
        return Choice("stream", "stream: the data set draws by lot itself, so its pictures are read in every epoch")
    if resident:
        return Choice("memory", f"memory of {device}: {takes}, and {byte_count(free)} may be used there", True)
    memory = int(free_memory() * _SHARE / processes)
    if size <= memory:
        return Choice("memory", f"memory: {takes}, and {byte_count(memory)} may be used")
    more = f"{takes}, more than the {byte_count(memory)} of memory that may be used"
    if mapped:
        return Choice("stream", f"stream: {more}, and they lie on disk as they are needed")
    disk = int(free_disk(cache) * _SHARE)
    if size <= disk:
        return Choice("disk", f"disk: {more}")
    return Choice("stream", f"stream: {more} and the {byte_count(disk)} of disk")


def free_memory() -> int:
    """Return the bytes of memory that can still be taken, as the system and the limits of this process say."""
    found = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                found.append(int(line.split()[1]) * 1024)
    with contextlib.suppress(OSError, ValueError):  # a container's own limit; "max" is none
        limit = int((_CGROUP / "memory.max").read_text("ascii"))
        used = int((_CGROUP / "memory.current").read_text("ascii"))
        found.append(max(limit - used, 0))
    if not found:
        with contextlib.suppress(AttributeError, OSError, ValueError):
            found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)
    return min(found, default=2 * 2**30)


def free_disk(folder: Path | None) -> int:
    """Return the bytes that can be written in a folder, which need not be there yet."""
    place = Path(tempfile.gettempdir()) if folder is None else folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        return shutil.disk_usage(place).free
    except OSError:
        return 0
