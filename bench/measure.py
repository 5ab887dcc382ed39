"""Time calls against one another, and measure the memory of a call in a process of its own. Knows no lens."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import torch

__all__ = ["Claim", "Table", "best", "busy", "interleaved", "memory_of", "peak_bytes"]


_BUSY: list[bool] = []  # holds something once `busy` was called


@dataclass(frozen=True)
class Claim:
    """One figure that is promised.

    Attributes:
        text: what is promised.
        value: what was measured.
        limit: the promised bound.
        at_most: the bound is an upper one.
    """

    text: str
    value: float
    limit: float
    at_most: bool

    @property
    def holds(self) -> bool:
        """Tell whether the measurement keeps the promise."""
        return self.value <= self.limit if self.at_most else self.value >= self.limit

    def sentence(self) -> str:
        """Say promise, measurement and verdict in one line."""
        sign = "at most" if self.at_most else "at least"
        return f"{self.text}: {self.value:.2f} ({sign} {self.limit:g}: {'holds' if self.holds else 'DOES NOT HOLD'})"


@dataclass
class Table:
    """What one benchmark measured, ready to print."""

    title: str
    setting: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)

    def markdown(self) -> str:
        """Return the table with its claims as Markdown."""
        lines = [f"## {self.title}", "", self.setting, "", *(f"- {claim.sentence()}" for claim in self.claims), ""]
        lines += ["| " + " | ".join(self.columns) + " |", "|" + " --- |" * len(self.columns)]
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        return "\n".join(lines) + "\n"


def interleaved(calls: Mapping[str, Callable[[], object]], *, repeats: int = 7, warm: bool = False) -> dict[str, float]:
    """Time calls in turn, so that what slows the machine for a while slows them all.

    Each is called once before the clock runs, unless they are `warm`. The order turns round every time.

    Args:
        calls: by name.
        repeats: times that each is measured.
        warm: what they do has been done before.

    Returns:
        Median seconds of a call, by name: of the clock, or of the processor (see `busy`).
    """
    clock = time.process_time if torch.get_num_threads() == 1 and _BUSY else time.perf_counter
    for call in () if warm else calls.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for repeat in range(repeats):
        for name in list(calls)[:: 1 if repeat % 2 == 0 else -1]:
            _wait()
            start = clock()
            calls[name]()
            _wait()
            seconds[name].append(clock() - start)
    return {name: median(values) for name, values in seconds.items()}


def busy() -> None:
    """Count the processor's time of one thread instead of the clock's, for machines that others use as well."""
    torch.set_num_threads(1)
    _BUSY.append(True)


def best(seconds: Mapping[str, float], prefix: str) -> tuple[str, float]:
    """Return name and seconds of the fastest call whose name starts with `prefix`."""
    name = min((name for name in seconds if name.startswith(prefix)), key=seconds.__getitem__)
    return name, seconds[name]


def memory_of(module: str, *arguments: str) -> int:
    """Run ``python -m module arguments`` and return the bytes that it prints as its last line."""
    return int(last_line(module, *arguments))


def last_line(module: str, *arguments: str) -> str:
    """Run ``python -m module arguments`` in a process of its own, and return the last line that it prints."""
    root = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    return done.stdout.strip().splitlines()[-1]


def peak_bytes(warm_up: Callable[[], object], call: Callable[[], object]) -> int:
    """Return how far `call` raises this process' resident memory above what it holds after `warm_up`.

    `warm_up` should take the memory that any method needs and that stays (one pass forward and back). Linux keeps
    the peak and lets it be set back; elsewhere the peak only grows, and counts from what `warm_up` needed.
    """
    warm_up()
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if status.exists() and reset.exists():
        reset.write_text("5")  # the peak starts anew from what is resident now
        before = _kilobytes(status, "VmRSS")
        call()
        return (_kilobytes(status, "VmHWM") - before) * 1024
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    call()
    unit = 1 if sys.platform == "darwin" else 1024
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit


def _kilobytes(status: Path, key: str) -> int:
    line = next(line for line in status.read_text().splitlines() if line.startswith(key))
    return int(line.split()[1])


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
