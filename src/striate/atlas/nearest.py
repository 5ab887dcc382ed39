"""Find the exact nearest neighbours of vectors among many. Arithmetic only: reads no atlas and runs no network.

One matrix product screens a block of the base for a block of queries; it is rounded, so it chooses nothing by itself.
What it ranks first is measured again by differences in float64, and a bound on the rounding proves for each query that
nothing outside these candidates is nearer. Where the proof fails (ties, duplicates), the query gets more of them, in
the end all. The result is what a loop over float64 differences gives, ties to the earlier.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate import progress
from striate.errors import OptionError

__all__ = ["METRICS", "Metric", "Nearest", "agreement", "apart", "best", "lengths", "nearest", "rows_of"]

Metric = Literal["euclidean", "cosine"]
METRICS = ("euclidean", "cosine")

TASK = "nearest neighbours"
QUERIES, ROWS = 1024, 8192  # of one matrix product: 32 MiB of float32 scores
GROUP = 32  # scores of which first only the largest is looked at
SPARE = 8  # candidates beyond the k that are asked for
MORE = 6  # times as many, where these do not prove enough
MOST_CANDIDATES = 1 << 15  # measured at a time
_ROOM = 1 << 21  # numbers measured at a time: 16 MiB of float64
_PIECE = 1 << 17  # numbers prepared at a time: a megabyte of float64, which stays in the caches
_SINGLE, _HALF = 2.0**-24, 1.01 * 2.0**-8  # unit roundoff of float32, and of bfloat16 with a little to spare
_TENSOR_FLOAT = 2.0**-10  # of what a GPU may take for float32 when it is told that less is enough


@dataclass(frozen=True, eq=False)
class Nearest:
    """The neighbours of Q vectors, nearest first.

    Attributes:
        distances: (Q, k), float64: Euclidean, or 1 - cosine.
        indices: (Q, k), int64: rows of the base. Of equal distances the earlier row comes first.
    """

    distances: NDArray[np.float64]
    indices: NDArray[np.int64]


def nearest(
    queries: NDArray[Any] | Tensor,
    base: NDArray[Any] | Tensor,
    k: int,
    *,
    metric: Metric = "euclidean",
    exclude: NDArray[np.int64] | None = None,
    screen: Literal["float32", "bfloat16"] = "float32",
    device: torch.device | str = "cpu",
) -> Nearest:
    """Find the k nearest rows of a base for each query, exactly.

    The base is read once, in blocks, so it may be a file mapped into memory; what is held at a time does not grow
    with it. The queries are held whole.

    Args:
        queries: (Q, D), any floating type or uint8.
        base: (N, D), N at least k (and one more with `exclude`).
        k: neighbours of each query, at least 1.
        metric: euclidean, or cosine (1 - cosine of the angle; a vector of zeros has the distance 1 to all).
        exclude: (Q,), for each query a row of the base that does not count, such as itself; -1 for none.
        screen: number type of the matrix product. bfloat16 is about twice as fast where the processor knows it
            (AVX-512 BF16, AMX, GPUs) and far slower where not; the result is the same.
        device: where to work.

    Raises:
        OptionError: k is not possible, the widths differ, or a value is not finite.
        Stopped: the user asked to stop.
    """
    total, width = base.shape
    usable = total - (exclude is not None)
    if not 1 <= k <= usable:
        raise OptionError(f"{k} neighbours of each were asked for, where there can be 1 to {usable}.")
    if queries.shape[1] != width:
        raise OptionError(f"vectors of {queries.shape[1]} numbers cannot be compared with vectors of {width}.")
    device = torch.device(device)
    search = _Search(queries, k, metric, screen, device)
    # the mean of a part, not of all: it only makes the numbers small, and the base is read once
    centre = search.prepare(rows_of(base, 0, min(total, ROWS), device, "base"))
    barred = None if exclude is None else torch.from_numpy(np.asarray(exclude, dtype=np.int64)).to(device)
    for start in range(0, total, ROWS):
        if total > ROWS:
            progress.report(progress.Event(TASK, start, total))
        progress.check_stop(TASK)
        search.visit(rows_of(base, start, min(start + ROWS, total), device, "base"), start, centre, barred)
    if total > ROWS:
        progress.report(progress.Event(TASK, total, total))
    distances = search.squares.clamp_(min=0).sqrt_() if metric == "euclidean" else search.squares
    return Nearest(distances.double().cpu().numpy(), search.indices.cpu().numpy())


def agreement(found: Nearest, labels: NDArray[np.int64], of_queries: NDArray[np.int64]) -> float:
    """Return the share of queries whose nearest neighbour has their class; not a number where no class is known.

    Args:
        found: neighbours.
        labels: (N,), class of each row of the base, -1 where it is not known.
        of_queries: (Q,), likewise.
    """
    theirs = labels[found.indices[:, 0]]
    known = (theirs >= 0) & (of_queries >= 0)
    return float((theirs == of_queries)[known].mean()) if known.any() else float("nan")


class _Search:
    """The queries, and the best that was found for each so far."""

    def __init__(
        self, queries: NDArray[Any] | Tensor, k: int, metric: Metric, screen: str, device: torch.device
    ) -> None:
        self.k, self.metric = k, metric
        # devices without float64 have to do with what they have
        self.fine = torch.float32 if device.type == "mps" else torch.float64
        self.slack = 16 * torch.finfo(self.fine).eps
        self.screen = torch.bfloat16 if screen == "bfloat16" else torch.float32
        self.queries = rows_of(queries, 0, len(queries), device, "queries")
        count = len(self.queries)
        self.squares = torch.full((count, k), torch.inf, dtype=self.fine, device=device)
        self.indices = torch.full((count, k), -1, dtype=torch.int64, device=device)

    def _moved(self, rows: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
        """Return rows counted from the centre, for the cosine of length 1 (zeros stay zeros); and their lengths."""
        moved, long = torch.empty_like(rows), rows.new_empty(len(rows), dtype=self.fine)
        # piece by piece, so that memory is read and written once; other devices want few large calls
        step = max(1, _PIECE // rows.shape[1]) if rows.device.type == "cpu" else max(1, len(rows))
        for start in range(0, len(rows), step):
            given, found, length = (one[start : start + step] for one in (rows, moved, long))
            if self.metric == "euclidean":
                torch.sub(given, centre, out=found)
            else:
                fine = given.to(self.fine)
                found.copy_(fine / lengths(fine)[:, None])
            length.copy_(found.to(self.fine).norm(dim=1))
        return moved, long

    def prepare(self, first: Tensor) -> Tensor:
        """Return the point from which vectors are counted, and prepare the queries from there."""
        centre = first.mean(0) if self.metric == "euclidean" else torch.zeros_like(first[0])
        moved, self.lengths = self._moved(self.queries, centre)  # (Q, D), (Q,)
        self.coarse = moved.to(self.screen)
        self.lost = _lost(moved, self.coarse).to(self.fine)
        return centre

    def visit(self, rows: Tensor, first: int, centre: Tensor, barred: Tensor | None) -> None:
        """Look for nearer neighbours among rows of the base, (B, D), the first of which has a given index."""
        block = _Block(rows, first, *self._moved(rows, centre), self.screen, euclidean=self.metric == "euclidean")
        for start in range(0, len(self.queries), QUERIES):
            part = slice(start, min(start + QUERIES, len(self.queries)))
            self._visit_part(block, part, None if barred is None else barred[part] - first)

    def _visit_part(self, block: _Block, part: slice, barred: Tensor | None) -> None:
        scores = block.scores(self.coarse[part])  # (Q, B), the larger the nearer
        if barred is not None:
            here = ((barred >= 0) & (barred < len(block.rows))).nonzero().flatten()
            scores[here, barred[here]] = -torch.inf
        doubt = block.rounding(self.lengths[part], self.lost[part])
        # queries of which something nearer may have been left out, first all; each time they get more candidates
        unsure = torch.arange(len(scores), device=scores.device)
        wanted = min(self.k + SPARE, len(block.rows))
        while len(unsure):
            still = []
            step = max(1, MOST_CANDIDATES // wanted)
            for some in (unsure[start : start + step] for start in range(0, len(unsure), step)):
                values, found = _largest(scores[some] if len(some) < len(scores) else scores, wanted)
                rows = some + part.start
                # of the candidates, best first, only so many can be near enough
                near = values.to(self.fine) + doubt[some, None] >= self._reach(rows)[:, None]
                found = found[:, : int(near.sum(1).max())]
                if found.shape[1]:
                    self._merge(rows, block, found, None if barred is None else barred[some])
                # what was left out is at most as near as the last candidate, but for the rounding of the product
                still.append(some[values[:, -1].to(self.fine) + doubt[some] >= self._reach(rows)])
            if wanted == len(block.rows):
                return
            progress.check_stop(TASK)
            unsure = torch.cat(still)
            wanted = min(MORE * wanted, len(block.rows))

    def _reach(self, part: Tensor) -> Tensor:
        """Return the least score, less what float64 rounds, that a neighbour must have to be among the k nearest."""
        last = self.squares[part, -1]
        if self.metric == "cosine":
            return 1 - last - self.slack
        own = self.lengths[part] ** 2
        reach: Tensor = (own - last) / 2 - self.slack * (own + last)
        return reach

    def _merge(self, part: Tensor, block: _Block, found: Tensor, barred: Tensor | None) -> None:
        """Measure candidates (Q, m), rows of a block, and keep the best of them and of what was there."""
        squares = self._measured(self.queries[part], block.rows, found)
        if barred is not None:
            squares = squares.where(found != barred[:, None], torch.inf)
        indices = found + block.first
        # a candidate may have been found before, when more of them were asked for
        known = (indices[:, :, None] == self.indices[part][:, None]).any(2)
        squares = torch.cat([self.squares[part], squares.where(~known, torch.inf)], dim=1)
        indices = torch.cat([self.indices[part], indices], dim=1)
        self.squares[part], self.indices[part] = best(squares, indices, self.k)

    def _measured(self, queries: Tensor, rows: Tensor, found: Tensor) -> Tensor:
        """Return squared distances, or 1 - cosine, of candidates (Q, m), in float64."""
        width = queries.shape[1]
        columns = max(1, _ROOM // width)
        step = max(1, _ROOM // (min(found.shape[1], columns) * width))
        pieces = []
        for start in range(0, len(queries), step):
            own = queries[start : start + step].to(self.fine)[:, None]  # (q, 1, D)
            some = found[start : start + step]
            parts = [
                apart(own, rows[some[:, left : left + columns]].to(self.fine), self.metric)
                for left in range(0, some.shape[1], columns)
            ]
            pieces.append(torch.cat(parts, dim=1))
        return torch.cat(pieces)


class _Block:
    """Some rows of the base, ready to be screened."""

    def __init__(
        self, rows: Tensor, first: int, moved: Tensor, lengths: Tensor, screen: torch.dtype, *, euclidean: bool
    ) -> None:
        self.rows, self.first = rows, first
        self.coarse = moved.to(screen)
        self.longest = float(lengths.max())
        self.lost = float(_lost(moved, self.coarse).max())
        # |a - b|^2 = |a|^2 - 2 (a.b - |b|^2 / 2): the bracket is the score
        self.halves = (lengths.square() / 2).float() if euclidean else None

    def scores(self, queries: Tensor) -> Tensor:
        """Return products less half the square of the row's length, (Q, B), float32."""
        if self.halves is None:
            return (queries @ self.coarse.T).float()
        if queries.dtype == torch.float32:
            return torch.addmm(self.halves, queries, self.coarse.T, beta=-1)
        return (queries @ self.coarse.T).float().sub_(self.halves)

    def rounding(self, lengths: Tensor, lost: Tensor) -> Tensor:
        """Return by how much a score of each query can be wrong at most, (Q,).

        For sums of D products in float32, D u |a| |b| (Higham 2002, section 3.5), whatever their order; then what
        the rounding to the screen's number type took from the vectors, and from its products.
        """
        width = self.coarse.shape[1] + 16
        unit = _SINGLE
        size = lengths * self.longest
        most = width * unit * (size + self.longest**2)
        if self.coarse.dtype == torch.bfloat16:
            # a GPU may round partial sums as well
            most = most + (8 if self.coarse.device.type == "cuda" else 1) * _HALF * size
        elif self.coarse.device.type == "cuda" and torch.get_float32_matmul_precision() != "highest":
            most = most + 2 * _TENSOR_FLOAT * size
        return most + lost * self.longest + (lengths + lost) * self.lost


def _lost(moved: Tensor, coarse: Tensor) -> Tensor:
    """Return how long is what the rounding to the screen's number type took from each vector, (B,)."""
    if coarse.dtype == moved.dtype:
        return moved.new_zeros(len(moved))
    lost: Tensor = (moved - coarse.float()).norm(dim=1)
    return lost


def apart(own: Tensor, theirs: Tensor, metric: Metric) -> Tensor:
    """Return how far vectors (q, m, D) are from their query (q, 1, D): distance squared, or 1 - cosine; (q, m)."""
    if metric == "euclidean":
        return (theirs - own).square_().sum(2)
    return 1 - (theirs * own).sum(2) / (lengths(theirs) * lengths(own))


def best(distances: Tensor, indices: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k smallest of distances (Q, m), ascending, with their indices; of equals the smaller index."""
    # first by index, then, keeping that order among equals, by distance
    order = indices.argsort(dim=1, stable=True)
    order = order.gather(1, distances.gather(1, order).argsort(dim=1, stable=True))[:, :k]
    return distances.gather(1, order), indices.gather(1, order)


def lengths(vectors: Tensor) -> Tensor:
    """Return the lengths of vectors, and 1 for those of length 0, so that they can be divided by them."""
    found: Tensor = vectors.norm(dim=-1)
    return found.where(found > 0, found.new_ones(()))


def _largest(scores: Tensor, wanted: int) -> tuple[Tensor, Tensor]:
    """Return the largest scores of each row, descending, and their columns.

    The best few lie within the few groups whose best is best: only those are looked into. A reduction runs ten
    times faster than a selection.
    """
    count, columns = scores.shape
    groups = columns // GROUP
    if groups < 4 * wanted or columns % GROUP:  # few; or the last block, whose length is as it comes
        values, found = scores.topk(wanted, dim=1)
        return values, found
    grouped = scores.view(count, groups, GROUP)
    chosen = grouped.amax(2).topk(wanted, dim=1).indices  # (Q, wanted)
    inside = grouped.gather(1, chosen[:, :, None].expand(-1, -1, GROUP)).flatten(1)
    values, at = inside.topk(wanted, dim=1)
    return values, chosen.gather(1, at // GROUP) * GROUP + at % GROUP


def rows_of(vectors: NDArray[Any] | Tensor, start: int, stop: int, device: torch.device, what: str) -> Tensor:
    """Read some vectors as float32 on a device; not to be written into, they may be those given.

    Raises:
        OptionError: a value is not finite.
    """
    part = vectors[start:stop]
    if isinstance(part, np.ndarray):  # a file is mapped so that it cannot be written into, which PyTorch warns of
        part = torch.from_numpy(part if part.flags.writeable else np.array(part))
    rows = part.detach().to(device=device, dtype=torch.float32)
    # one pass; only a sum that overflows asks for a second one
    if not bool(rows.sum().isfinite()) and not bool(torch.isfinite(rows).all()):
        row = start + int((~torch.isfinite(rows).all(1)).nonzero()[0])
        raise OptionError(
            f"row {row} of the {what} holds a number that is not finite, so it has no neighbours. float16 ends at "
            "65,504: features that are larger have to be kept in float32."
        )
    return rows
