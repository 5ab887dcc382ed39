"""Machine code is kept for later processes until it is out of date; without room for it it does its work as well."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("numba", reason="needs striate[fast]")

MODULE = """
from ones import ONE
from striate.compiling import compiler

@compiler(error_model="numpy")
def inverse(number):
    return ONE / number
"""

FULL = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))  # no byte can be written to any file
"""

USE = """
from inverting import inverse
print(inverse(2.0), inverse(0.0), sum(inverse.stats.cache_hits.values()))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A compiled function, and a file with what is compiled into it."""
    (tmp_path / "inverting.py").write_text(MODULE, encoding="utf-8")
    (tmp_path / "ones.py").write_text("ONE = 1.0", encoding="utf-8")
    return tmp_path


def used(folder: Path, before: str = "") -> list[str]:
    """Use the module in a process of its own; return what it prints."""
    code = f"import sys; sys.path.insert(0, {str(folder)!r})\n{before}{USE}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_machine_code_is_kept_unless_the_disk_is_full(folder: Path) -> None:
    assert used(folder, FULL) == ["0.5", "inf", "0"]
    assert not [file for file in folder.rglob("*.nb?") if file.stat().st_size]
    assert used(folder) == ["0.5", "inf", "0"]
    assert used(folder) == ["0.5", "inf", "1"]


def test_machine_code_is_out_of_date_when_a_file_beside_it_changes(folder: Path) -> None:
    assert used(folder) == ["0.5", "inf", "0"]
    (folder / "ones.py").write_text("ONE = 11.0", encoding="utf-8")
    assert used(folder) == ["5.5", "inf", "0"]
    assert used(folder) == ["5.5", "inf", "1"]
