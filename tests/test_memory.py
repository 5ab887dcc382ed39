"""Freed memory is kept: counted by the pages that the system has to supply."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
