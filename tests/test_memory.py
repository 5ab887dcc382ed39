"""Freed memory is kept: counted by the pages that the system has to supply."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from striate import memory

CODE = """
import resource, sys
import numpy as np
from striate import keep_memory
if sys.argv[1] == "keep":
    assert keep_memory()
for turn in range(21):
    if turn == 1:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = np.ones(8_000_000)  # 64 MB
    del block
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc has the setting")
def test_large_blocks_are_not_supplied_anew():
    faults = {
        way: int(subprocess.run([sys.executable, "-c", CODE, way], capture_output=True, text=True, check=True).stdout)
        for way in ("keep", "leave")
    }
    assert faults["keep"] < 0.1 * faults["leave"]


GROWING = """
import ctypes, sys
from striate import memory
assert memory.keep_memory()
memory._ROOM, memory._PAUSE = 2**27, 0.0
library, size, given = ctypes.CDLL(None), 20_000_000, 0
library.malloc.restype = ctypes.c_void_p
library.malloc.argtypes = library.free.argtypes = None
block = ctypes.c_void_p()
for turn in range(80):
    # as large as the one before and a little more, as blocks are that are cut to fit an alignment
    assert not library.posix_memalign(ctypes.byref(block), ctypes.c_size_t(64), ctypes.c_size_t(size + 256 * turn))
    ctypes.memset(block, 1, size)
    for small in range(2_000):  # what stays behind between the large ones
        library.malloc(ctypes.c_size_t(40 + small % 200))
    library.free(block)
    if sys.argv[1] == "relieve":
        given += memory.relieve()
print(memory._resident() // 10**6, given)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc has the setting")
def test_what_gathers_between_blocks_is_given_back():
    def told(way: str) -> list[int]:
        done = subprocess.run([sys.executable, "-c", GROWING, way], capture_output=True, text=True, check=True)
        return [int(word) for word in done.stdout.split()]

    (grown, _), (held, given) = told("leave"), told("relieve")
    assert given
    assert held < 0.6 * grown


def test_what_the_work_takes_each_time_is_not_given_back_each_time(monkeypatch):
    gigabyte, holds, given = 2**30, [2**29], []

    def trim(_: int) -> None:
        given.append(holds[0])
        holds[0] = 2**29

    monkeypatch.setattr(memory, "_PAUSE", 0.0)
    monkeypatch.setattr(memory, "_resident", lambda: holds[0])
    for name, value in {"library": SimpleNamespace(malloc_trim=trim), "needed": 2**29, "looked": 0.0}.items():
        monkeypatch.setattr(memory._Kept, name, value)
    monkeypatch.setattr(memory._Kept, "fresh", True)
    memory.relieve()  # after something small
    for _ in range(20):
        holds[0] = max(holds[0], 4 * gigabyte)
        memory.relieve()
    assert len(given) == 1
    for _ in range(100):  # and what gathers on top of it is
        holds[0] = max(holds[0], 4 * gigabyte) + gigabyte // 5
        memory.relieve()
    assert len(given) > 3
    assert max(given) < 8 * gigabyte


def test_nothing_is_given_back_where_nothing_is_kept():
    code = "from striate import memory; print(memory.relieve())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
