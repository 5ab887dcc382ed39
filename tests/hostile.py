"""What a hostile pickle does: code that leaves a mark when it is run. No test stands here."""

from __future__ import annotations

__all__ = ["Evil"]


class Evil:
    """What a hostile pickle does."""

    def __reduce__(self):
        return (exec, ("import striate; striate.BROKEN_IN = True",))
