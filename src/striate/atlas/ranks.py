"""Several processes that build one atlas: started by torchrun, agreed step by step. Knows nothing of pictures."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, TypeVar

import torch.distributed as dist

from striate.errors import AtlasError, StriateError

__all__ = ["Ranks", "ranks_here"]

Outcome = TypeVar("Outcome")
_PATIENCE = timedelta(days=30)  # a share or a merge may take hours, and nothing is lost by waiting


class Ranks:
    """The processes that work together.

    Attributes:
        rank: of this one, from 0.
        count: how many there are.
    """

    def __init__(self, rank: int = 0, count: int = 1, group: Any = None) -> None:
        """Join them; use `ranks_here`."""
        self.rank = rank
        self.count = count
        self._group = group

    @property
    def first(self) -> bool:
        """Whether this is the process that plans and merges."""
        return self.rank == 0

    def together(self, step: Callable[[], Outcome], *, first_only: bool = False) -> list[Outcome | None]:
        """Do a step on every rank, or on the first only, and wait until all are through.

        Args:
            step: what is to be done; what it returns must be plain values.
            first_only: the others only wait.

        Returns:
            What it returned, by rank.

        Raises:
            StriateError: it failed here.
            AtlasError: it failed on another rank; the text says how.
        """
        result: Outcome | None = None
        failure: Exception | None = None
        try:
            if self.first or not first_only:
                result = step()
        except Exception as error:
            if self.count == 1:
                raise
            failure = error
        if self.count == 1:
            return [result]
        found = self._exchange((result, None if failure is None else _text(failure)))
        if failure is not None:
            raise failure
        for rank, (_, text) in enumerate(found):
            if text is not None:
                raise AtlasError(f"rank {rank} of {self.count} failed: {text}")
        return [one for one, _ in found]

    def _exchange(self, mine: Any) -> list[Any]:
        found: list[Any] = [None] * self.count
        try:
            dist.all_gather_object(found, mine, group=self._group)
        except RuntimeError as error:  # gloo raises nothing else
            raise AtlasError(
                f"rank {self.rank} of {self.count} lost the connection to the others: one of them has ended. Finished "
                "shares are kept: start the same build again, and it goes on from there."
            ) from error
        return found


@contextlib.contextmanager
def ranks_here() -> Iterator[Ranks]:
    """Find out which of how many processes this is; one of one unless torchrun started it.

    Messages between them go by gloo over the network, whatever device the networks are on.
    """
    if not dist.is_available():
        yield Ranks()
        return
    ours = not dist.is_initialized()
    if ours:
        if int(os.environ.get("WORLD_SIZE", "1")) < 2 or "RANK" not in os.environ:
            yield Ranks()
            return
        dist.init_process_group("gloo", timeout=_PATIENCE)
        group = None
    else:
        group = dist.new_group(backend="gloo", timeout=_PATIENCE)
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size(), group)
    finally:
        if ours:
            dist.destroy_process_group()


def _text(error: Exception) -> str:
    return str(error) if isinstance(error, StriateError) else f"{type(error).__name__}: {error}"
