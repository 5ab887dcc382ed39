"""Jobs that take long: one at a time, in the order in which they came; progress, stop, results. Speaks no HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Literal

import numpy as np

from striate import progress
from striate.drawing import resample_bilinear
from striate.errors import Stopped, StriateError
from striate.files import shown
from striate.images import data_uri, encode_png
from striate.web.store import UnknownError

__all__ = ["BusyError", "Job", "Jobs"]

State = Literal["waiting", "running", "done", "failed", "stopped"]

_KEPT = 100  # finished jobs that can still be asked for
_OFTEN = 0.1  # seconds between two events that are told
_SHOWN = 0.5  # seconds between two pictures
_SIDE = 320  # pixels of the longer side of a picture on the way
_SIGN = 15.0  # seconds after which a stream without news says that it lives
_ALONE = 30.0  # seconds after which a job is stopped that nobody attends any more: a browser tries for about 20
_LEFT = "Stopped: the page that had asked for it was closed, or out of reach for too long. Ask again."
_AT_ONCE = 2  # short questions that run at a time: more only take each other's cores


class BusyError(StriateError):
    """Too many jobs wait already."""


class Job:
    """One job, from waiting to its end. Safe for many threads.

    Attributes:
        id: to ask for it by.
        kind: what it does, in a word.
        state: waiting, running, done, failed or stopped.
        progress: the last event: task, done, total, note, and picture (a data URI) where there is one.
        result: what it gave, ready for JSON.
        error: what went wrong, in a sentence.
    """

    def __init__(self, kind: str, function: Callable[[Job], dict[str, Any]]) -> None:
        self.id = secrets.token_hex(8)
        self.kind = kind
        self.state: State = "waiting"
        self.progress: dict[str, Any] | None = None
        self.result: dict[str, Any] | None = None
        self.error = ""
        self._function = function
        self._stop = progress.Stop()
        self._guard = threading.Lock()
        self._news: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self._attending = 0
        self._alone: threading.Timer | None = None  # runs from when the last has gone until somebody comes
        self._left = False
        self._told = self._drawn = 0.0
        self._picture: str | None = None
        self.over = threading.Event()

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to come."""
        return self.state in ("done", "failed", "stopped")

    def stop(self) -> None:
        """Ask it to end; what can keep its best so far does."""
        with self._guard:  # the token is another one as soon as the job runs
            self._stop.stop()
            waiting = self.state == "waiting"
        if waiting:
            self._end("stopped", error=_LEFT if self._left else "Stopped before it was begun.")

    def to_dict(self) -> dict[str, Any]:
        """Say how it stands."""
        return {
            "id": self.id,
            "kind": self.kind,
            "state": self.state,
            "progress": self.progress,
            "result": self.result,
            "error": self.error or None,
        }

    async def events(self) -> AsyncIterator[tuple[str, dict[str, Any]] | None]:
        """Yield what happens: ("progress", ...) whenever there is news, at last ("done", ...) or ("failed", ...).

        None says that there is no news, but the job goes on. Whoever listens attends it.
        """
        news, told = asyncio.Event(), None
        with self._guard:
            self._news[news] = asyncio.get_running_loop()
        try:
            with self.attended():
                while True:
                    if self.progress is not None and self.progress is not told:
                        told = self.progress
                        yield "progress", told
                    if self.ended:
                        if self.state == "done":
                            yield "done", self.result or {}
                        else:
                            yield "failed", {"error": self.error, "stopped": self.state == "stopped"}
                        return
                    try:
                        await asyncio.wait_for(news.wait(), _SIGN)
                        news.clear()
                    except TimeoutError:
                        yield None
        finally:
            with self._guard:
                self._news.pop(news, None)

    @contextlib.contextmanager
    def attended(self, patience: float | None = None) -> Iterator[None]:
        """Want, as long as the block lasts, what the job gives.

        When the last who wanted it has gone and nobody comes for a while, the job is stopped: its page was closed. One
        that nobody has attended goes on.

        Args:
            patience: seconds of that while; what a browser needs to come back unless given.
        """
        with self._guard:
            self._attending += 1
            if self._alone is not None:
                self._alone.cancel()
        try:
            yield
        finally:
            with self._guard:
                self._attending -= 1
                if not self._attending and not self.ended:
                    self._alone = threading.Timer(_ALONE if patience is None else patience, self._leave)
                    self._alone.daemon = True
                    self._alone.start()

    def _leave(self) -> None:
        with self._guard:
            self._left = not self._attending and not self.ended
        if self._left:
            self.stop()

    def run(self) -> None:
        """Do it, in the thread that calls."""
        with self._guard:
            if self.state != "waiting":
                return
            self.state = "running"
        try:
            with progress.listen(self._hear), progress.stoppable() as stop:
                with self._guard:
                    asked, self._stop = self._stop, stop
                if asked.stopped:  # before this thread began
                    stop.stop()
                result = self._function(self)
            self._end("done", result=result)
        except Stopped as error:
            self._end("stopped", error=_LEFT if self._left else str(error))
        except StriateError as error:
            self._end("failed", error=str(error))
        except MemoryError:
            self._end(
                "failed", error="There is not enough memory for this. Ask for less: fewer samples, a smaller size."
            )
        except Exception as error:
            logging.getLogger("striate").exception("job %s (%s) failed", self.id, self.kind)
            self._end("failed", error=f"This failed in a way that it should not ({type(error).__name__}: {error}).")

    def _hear(self, event: progress.Event) -> None:
        now = time.monotonic()
        last = event.done == event.total
        if event.picture is not None and now - self._drawn >= _SHOWN:
            self._picture, self._drawn = _small(event.picture), now
        if now - self._told < _OFTEN and not last:
            return
        self._told = now
        told = {"task": event.task, "done": event.done, "total": event.total, "note": event.note}
        self.progress = {**told, "picture": self._picture}
        self._wake()

    def _end(self, state: State, *, result: dict[str, Any] | None = None, error: str = "") -> None:
        with self._guard:
            if self.ended:
                return
            self.result, self.error, self.state = result, error, state
        self.over.set()
        self._wake()

    def _wake(self) -> None:
        with self._guard:
            listening = list(self._news.items())
        for news, loop in listening:
            with contextlib.suppress(RuntimeError):  # the loop has been closed
                loop.call_soon_threadsafe(news.set)


class Jobs:
    """All jobs of a page: one worker for what takes long, and a few places for short questions beside it.

    Args:
        waiting: jobs that may wait or run at a time.
    """

    def __init__(self, waiting: int) -> None:
        self._most = waiting
        self._all: OrderedDict[str, Job] = OrderedDict()
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._guard = threading.Lock()
        self._worker: threading.Thread | None = None
        self._places = threading.BoundedSemaphore(_AT_ONCE)
        self._beside: set[progress.Stop] = set()

    @contextlib.contextmanager
    def short(self) -> Iterator[None]:
        """Hold a place for a short question while it is answered."""
        with self._places:
            yield

    @contextlib.contextmanager
    def beside(self) -> Iterator[progress.Stop]:
        """Let what runs in a block, and is no job itself because it asks for some, be stopped as they are."""
        with progress.stoppable() as stop:
            self._beside.add(stop)
            try:
                yield stop
            finally:
                self._beside.discard(stop)

    def start(self, kind: str, function: Callable[[Job], dict[str, Any]]) -> Job:
        """Put a job into the queue.

        Args:
            kind: what it does, in a word.
            function: does it and returns what is ready for JSON; its progress is heard, and it can be stopped.

        Raises:
            BusyError: too many wait already.
        """
        job = Job(kind, function)
        with self._guard:
            if sum(not one.ended for one in self._all.values()) >= self._most:
                raise BusyError(f"{self._most} jobs wait already. Stop some of them, or wait until they are done.")
            self._all[job.id] = job
            finished = [one for one in self._all.values() if one.ended]
            for old in finished[: max(0, len(finished) - _KEPT)]:
                del self._all[old.id]
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="striate jobs", daemon=True)
                self._worker.start()
        self._queue.put(job)
        return job

    def get(self, job: str) -> Job:
        """Return a job.

        Raises:
            UnknownError: there is none with this id.
        """
        with self._guard:
            if job in self._all:
                return self._all[job]
        raise UnknownError(f"no job {shown(job)}: it never was, or ended long ago.")

    def close(self) -> None:
        """Stop all jobs and the worker, for the end of the program."""
        with self._guard:
            worker, self._worker = self._worker, None
            held: list[Job | progress.Stop] = [*self._beside, *self._all.values()]
        for one in held:
            one.stop()
        if worker is not None:
            self._queue.put(None)
            worker.join(timeout=5)

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            job.run()


def _small(picture: object) -> str | None:
    """Return a picture, uint8 (H, W, 3), as a small PNG in a data URI; None for anything else."""
    pixels = np.asarray(picture)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        return None
    height, width = pixels.shape[:2]
    scale = _SIDE / max(height, width)
    if scale < 1:
        pixels = resample_bilinear(pixels, (max(1, round(height * scale)), max(1, round(width * scale))))
    return data_uri(encode_png(pixels))
