"""Answers kept for the next who asks the same, as many bytes of them as there is room for. Knows no question."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["Answers"]

Value = TypeVar("Value")


class Answers(Generic[Value]):
    """What was answered, by question; the one not asked for the longest goes first. Safe for many threads.

    Args:
        room: bytes of all answers together; one that is larger than that is given, and not kept.
        size: bytes of one answer.
    """

    def __init__(self, room: int, size: Callable[[Value], int]) -> None:
        self.room = room
        self._size = size
        self._held: OrderedDict[Hashable, tuple[Value, int]] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}
        self._guard = threading.Lock()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._held)

    def find(self, question: Hashable) -> Value | None:
        """Return what is kept, or None."""
        with self._guard:
            return self._find(question)

    def keep(self, question: Hashable, value: Value) -> None:
        """Keep an answer, and let go of the oldest for it."""
        size = self._size(value)
        with self._guard:
            if question in self._held:
                self.bytes -= self._held.pop(question)[1]
            if size > self.room:
                return
            self._held[question] = value, size
            self.bytes += size
            while self.bytes > self.room:
                self.bytes -= self._held.popitem(last=False)[1][1]

    def get(self, question: Hashable, make: Callable[[], Value]) -> Value:
        """Return what is kept, or make it: once, however many ask at the same time. Errors are not kept."""
        with self._guard:
            found = self._find(question)
            if found is not None:
                return found
            turn = self._making.setdefault(question, threading.Lock())
        with turn:
            found = self.find(question)
            if found is None:
                try:
                    found = make()
                    self.keep(question, found)
                finally:
                    with self._guard:
                        self._making.pop(question, None)
        return found

    def _find(self, question: Hashable) -> Value | None:
        if question not in self._held:
            return None
        self._held.move_to_end(question)
        return self._held[question][0]
