"""Say how far a long job is, and stop it. Prints nothing unless a listener does; knows no lens and no network.

A job calls `track` (or `report`); whoever started it hears the events through `listen` and can stop it through
`stoppable`. Both hold for the block of code and the thread that opened them (they are context variables): a worker
thread hears them when it is started with `contextvars.copy_context().run`.
"""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TextIO, TypeVar

from striate.errors import Stopped

__all__ = [
    "Event",
    "Stop",
    "Terminal",
    "check_stop",
    "finishing",
    "listen",
    "report",
    "stoppable",
    "terminal",
    "track",
]

Item = TypeVar("Item")


@dataclass(frozen=True)
class Event:
    """One step of a job.

    Args:
        task: what is being done, in words for a person: "integrated gradients".
        done: steps finished, from 0.
        total: steps in all; None as long as nobody knows. The task is over when `done == total`.
        note: what happens at this step, in words.
        picture: the picture so far, where a job makes one (any type that the listener knows how to show).
    """

    task: str
    done: int
    total: int | None
    note: str = ""
    picture: object | None = None


class Stop:
    """A request to stop, given from any thread, heard at the next step of the job."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    def stop(self) -> None:
        """Ask the job to stop; calling it twice is harmless."""
        self._asked.set()

    @property
    def stopped(self) -> bool:
        """Whether someone asked."""
        return self._asked.is_set()


Listener = Callable[[Event], None]
_listeners: ContextVar[tuple[Listener, ...]] = ContextVar("striate_listeners", default=())
_stops: ContextVar[tuple[Stop, ...]] = ContextVar("striate_stops", default=())


@contextlib.contextmanager
def listen(callback: Listener) -> Iterator[None]:
    """Hear every event of the jobs run inside this block; listeners outside it hear them too, before this one.

    A callback with a method `close` (such as `terminal` gives) is closed when the block ends, after an error too.
    """
    token = _listeners.set((*_listeners.get(), callback))
    try:
        yield
    finally:
        _listeners.reset(token)
        if callable(close := getattr(callback, "close", None)):
            close()


@contextlib.contextmanager
def stoppable() -> Iterator[Stop]:
    """Let the jobs run inside this block be stopped: `token.stop()`, from any thread, ends them with `Stopped`."""
    stop = Stop()
    token = _stops.set((*_stops.get(), stop))
    try:
        yield stop
    finally:
        _stops.reset(token)


@contextlib.contextmanager
def finishing() -> Iterator[None]:
    """Let what runs inside this block come to its end, also after a request to stop: what is needed to keep the rest.

    The request is heard again after the block.
    """
    token = _stops.set(())
    try:
        yield
    finally:
        _stops.reset(token)


def report(event: Event) -> None:
    """Tell all listeners of one event; costs next to nothing when there are none."""
    for listener in _listeners.get():
        listener(event)


def check_stop(task: str = "") -> None:
    """End here when someone asked to stop.

    Raises:
        Stopped: someone called `stop()` on the token of a `stoppable` block around this.
    """
    if any(stop.stopped for stop in _stops.get()):
        raise Stopped(f"Stopped{' during ' + task if task else ''}, as asked. What was finished before is kept.")


def track(iterable: Iterable[Item], task: str, total: int | None = None) -> Iterator[Item]:
    """Yield the items one by one, report each when it is done with, and stop between two of them when asked.

    Args:
        iterable: the steps of the job.
        task: what is being done, in words for a person.
        total: how many steps; taken from `len(iterable)` where it has a length. Unknown, the last event says it.

    Yields:
        The items, unchanged.

    Raises:
        Stopped: someone asked to stop.
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    check_stop(task)
    report(Event(task, 0, total))
    done = 0
    for item in iterable:
        check_stop(task)
        yield item
        done += 1
        report(Event(task, done, total))
    check_stop(task)
    if total != done:  # unknown before, or given wrongly: the last event is always "done of done"
        report(Event(task, done, done))


@dataclass
class _Running:
    """What the terminal remembers of a task that is not over."""

    started: float  # seconds of the clock
    changed: float
    event: Event


@dataclass
class Terminal:
    """A listener that draws one bar for what takes over a second, and wipes it away when that is done.

    Of tasks within tasks the outermost gets the bar, the innermost is named beside it.

    Args:
        stream: where to draw, a terminal.
        patience: seconds a task may take before it gets a bar.
        clock: seconds that only grow; replaced in tests.
    """

    stream: TextIO
    patience: float = 1.0
    clock: Callable[[], float] = time.monotonic
    _tasks: dict[str, _Running] = field(default_factory=dict)
    _drawn_at: float | None = None
    _redraw: float = 0.1  # seconds between two drawings: a fast loop must not wait for the terminal

    def __call__(self, event: Event) -> None:
        """Take note of an event, and draw when it is time."""
        now = self.clock()
        if event.done == event.total:
            self._tasks.pop(event.task, None)
            if not self._tasks:
                self.close()
            return
        running = self._tasks.setdefault(event.task, _Running(now, now, event))
        running.event, running.changed = event, now
        outer = next(iter(self._tasks.values()))
        waited = now - outer.started
        if waited < self.patience or (self._drawn_at is not None and now - self._drawn_at < self._redraw):
            return
        self._drawn_at = now
        inner = event if event.task != outer.event.task else None
        self._write("\r" + self._line(outer, waited, inner) + "\x1b[K")

    def close(self) -> None:
        """Wipe the bar away and forget the tasks."""
        self._tasks.clear()
        if self._drawn_at is not None:
            self._drawn_at = None
            self._write("\r\x1b[K")

    def _write(self, text: str) -> None:
        # A bar is not worth failing a job for, when the terminal was closed or cannot write these letters.
        with contextlib.suppress(OSError, ValueError):
            self.stream.write(text)
            self.stream.flush()

    def _line(self, outer: _Running, waited: float, inner: Event | None) -> str:
        event = outer.event
        parts = [event.task]
        if event.total:
            full, empty = "━ " if "utf" in (getattr(self.stream, "encoding", "") or "").lower() else "# "
            length = round(20 * min(event.done / event.total, 1))
            parts += [full * length + empty * (20 - length), f"{event.done:,}/{event.total:,}"]
            if event.done:
                whole = (outer.changed - outer.started) * event.total / event.done
                parts.append(f"{_duration(whole - waited)} left")
        else:
            parts += [f"{event.done:,}", _duration(waited)]
        if event.note:
            parts.append(event.note)
        if inner is not None:
            parts.append(f"{inner.task} {inner.done:,}" + (f"/{inner.total:,}" if inner.total else ""))
        line = "  ".join(parts).replace("\n", " ")
        width = shutil.get_terminal_size().columns - 1  # the last column would wrap on some terminals
        return line[:width]


def terminal(stream: TextIO) -> Listener:
    """Make a listener for a command: a bar on a terminal for what takes over a second, nothing anywhere else.

    Use it as `with listen(terminal(sys.stderr)):`, which also wipes the bar away at the end.
    """
    if not stream.isatty():
        return _hear_nothing
    return Terminal(stream)


def _hear_nothing(event: Event) -> None:
    """Ignore an event: what is piped to a file stays free of bars."""


def _duration(seconds: float) -> str:
    """Seconds as a person says them: 8 s, 3 min 20 s, 2 h 5 min."""
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
