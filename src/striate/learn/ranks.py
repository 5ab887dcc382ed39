"""Several processes that train one network: started by torchrun, each with its share of every batch. Reads no pictures.

Every process holds the whole network and computes the gradient of its share; the mean over the processes is the
gradient of the whole batch, and as all take the same step with it, they stay alike. Batch norm normalises by the share
of each process; its running statistics are those of the first process, which all take over at the end of every epoch.
"""

from __future__ import annotations

import atexit
import contextlib
import os
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from striate.errors import StriateError, TrainingError

__all__ = ["Ranks", "ranks_here"]

Outcome = TypeVar("Outcome")
_PATIENCE = timedelta(days=1)  # the first one may standardise for hours; one that has ended is noticed at once


class Ranks:
    """The processes that work together; one of one unless `ranks_here` says otherwise.

    Attributes:
        rank: of this one, from 0.
        count: how many there are.
        local: number of this one on its machine, which chooses its GPU.
    """

    def __init__(self, rank: int = 0, count: int = 1, local: int = 0) -> None:
        """Join them; use `ranks_here`."""
        self.rank = rank
        self.count = count
        self.local = local

    @property
    def first(self) -> bool:
        """Whether this is the process that decides and writes."""
        return self.rank == 0

    def mean_gradients(self, weights: list[nn.Parameter], loss: Tensor, asked: bool) -> Tensor:
        """Replace every gradient by its mean over the ranks.

        Args:
            weights: those that learn.
            loss: of this rank's share, a scalar.
            asked: whether this rank was asked to stop.

        Returns:
            Shape (2,): the mean of the losses, and how many ranks were asked to stop. They travel with the gradients,
            so that all ranks learn of a loss that is no number at the same step.

        A weight that only some ranks used (a block that was left out by lot) has a gradient of zero on the others; one
        that none used has none afterwards, as with a single process.
        """
        told = torch.stack((loss.float(), loss.new_full((), float(asked), dtype=torch.float32)))
        if self.count == 1:
            return told
        mine = [weight.grad is not None for weight in weights]
        used = loss.new_ones(len(mine)) if all(mine) else torch.tensor(mine, device=loss.device)
        gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
        flat = torch.cat(
            [*(one.reshape(-1) for one in gradients), *(one.to(gradients[0].dtype) for one in (used, told))]
        )
        self._reach(lambda: dist.all_reduce(flat))
        flat /= self.count
        *pieces, used, told = torch.split(flat, [*(one.numel() for one in gradients), len(weights), 2])
        torch._foreach_copy_(gradients, [piece.view_as(one) for piece, one in zip(pieces, gradients, strict=True)])
        if not all(mine):  # only then is a GPU waited for
            for weight, gradient, share in zip(weights, gradients, used.tolist(), strict=True):
                weight.grad = gradient if share else None
        return told.float()

    def sums(self, *values: float) -> list[float]:
        """Return the sum of numbers over the ranks."""
        if self.count == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64)
        self._reach(lambda: dist.all_reduce(total))
        return [float(value) for value in total]

    def alike(self, module: nn.Module, *, weights: bool = False) -> None:
        """Give all ranks the buffers of the first (running statistics, counters), and the weights where asked."""
        if self.count == 1:
            return
        held = [*module.buffers(), *(module.parameters() if weights else ())]
        for value in held:
            dense = value.detach().contiguous()
            self._reach(partial(dist.broadcast, dense, 0))
            value.data.copy_(dense)

    def from_first(self, step: Callable[[], Outcome]) -> Outcome:
        """Do a step on the first rank, and give all what it returned, plain values.

        Raises:
            StriateError: it failed there.
            TrainingError: likewise, seen from another rank.
        """
        if self.count == 1:
            return step()
        box: list[Any] = [None, None]
        failure: Exception | None = None
        if self.first:
            try:
                box[0] = step()
            except Exception as error:
                failure = error
                box[1] = str(error) if isinstance(error, StriateError) else f"{type(error).__name__}: {error}"
        self._reach(lambda: dist.broadcast_object_list(box, 0))
        if failure is not None:
            raise failure
        if box[1] is not None:
            raise TrainingError(f"the first of {self.count} processes failed: {box[1]}")
        return box[0]  # type: ignore[no-any-return]  # as the first one returned it

    def gathered(self, mine: Outcome) -> list[Outcome]:
        """Return what all ranks give, by rank; plain values."""
        if self.count == 1:
            return [mine]
        found: list[Any] = [None] * self.count
        self._reach(lambda: dist.all_gather_object(found, mine))
        return found

    def _reach(self, message: Callable[[], object]) -> None:
        try:
            message()
        except RuntimeError as error:  # gloo and nccl raise nothing else
            raise TrainingError(
                f"process {self.rank} of {self.count} lost the connection to the others: one of them has ended. The "
                "last whole epoch is kept: start the same command again with resume, and it goes on from there."
            ) from error


def ranks_here() -> Ranks:
    """Find out which of how many processes this is; one of one unless torchrun started it.

    What is on a processor goes between them by gloo, what is on GPUs by NCCL.
    """
    if not dist.is_available():
        return Ranks()
    if not dist.is_initialized():
        if int(os.environ.get("WORLD_SIZE", "1")) < 2 or "RANK" not in os.environ:
            return Ranks()
        by_gpu = torch.cuda.is_available() and dist.is_nccl_available()
        dist.init_process_group("cpu:gloo,cuda:nccl" if by_gpu else "gloo", timeout=_PATIENCE)
        # left open until the process ends: a second group would find the addresses that the first one left
        atexit.register(_part)
    return Ranks(dist.get_rank(), dist.get_world_size(), int(os.environ.get("LOCAL_RANK", "0")))


def _part() -> None:
    if dist.is_initialized():
        with contextlib.suppress(RuntimeError):  # of those that failed nobody waits for the others for long
            dist.monitored_barrier(timeout=timedelta(seconds=10))
        dist.destroy_process_group()
