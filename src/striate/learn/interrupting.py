"""How a training is stopped, and what it must not disturb. Trains nothing."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

import torch

from striate import progress
from striate.errors import Stopped

__all__ = ["TASK", "asked", "own_chance", "to_the_end"]

TASK = "training"  # as it is called in progress


def asked() -> bool:
    """Whether somebody asked to stop."""
    try:
        progress.check_stop(TASK)
    except Stopped:
        return True
    return False


@contextlib.contextmanager
def own_chance(device: torch.device, seed: int) -> Iterator[None]:
    """Let dropout and its like draw from a seed inside this block; torch's own generators are as before afterwards."""
    kind = device.type
    devices = [] if kind == "cpu" else [device]
    with torch.random.fork_rng(devices, device_type="cuda" if kind == "cpu" else kind):
        torch.default_generator.manual_seed(seed)
        if devices:
            with torch.device(device):
                getattr(torch, kind).manual_seed(seed)
        yield


@contextlib.contextmanager
def to_the_end() -> Iterator[None]:
    """Hold back Ctrl-C inside this block; it is heard behind it.

    Raises:
        KeyboardInterrupt: it was pressed meanwhile.
    """
    heard: list[FrameType | None] = []
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, lambda number, frame: heard.append(frame))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if heard:
        raise KeyboardInterrupt
