"""A training that is killed at any moment loses the current epoch at most, and goes on to the same end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def killed(folder: Path, moments: int, seed: int) -> dict[str, Any]:
    script = Path(__file__).with_name("killing.py")
    done = subprocess.run(
        [sys.executable, str(script), str(folder), str(moments), str(seed)],
        capture_output=True, text=True, timeout=600, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_six_moments(tmp_path: Path) -> None:
    found = killed(tmp_path, 6, seed=1)
    assert not found["wrong"]
    assert len(set(found["kept"])) > 1, "all were killed at the same place"


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_forty_moments(tmp_path: Path) -> None:
    assert not killed(tmp_path, 40, seed=2)["wrong"]
