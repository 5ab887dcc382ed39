"""An approximate index of many vectors: most of the nearest neighbours, by codes of 8 bits. Knows no atlas.

Of each vector a code is kept, 32 to 256 numbers of 8 bits (`coding`). A query is compared with every code, by whole
numbers, which goes many times as fast as comparing the vectors (`sifting`). The best candidates are measured like those
of the exact search, by differences in float64 of the vectors themselves. So what is found is as far away as is said,
and only something nearer may be missing. How often that is so is counted when the index is made: before the last
vectors are in it, against the exact search.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate import progress
from striate.atlas.coding import LEARNED, Coding, learn
from striate.atlas.nearest import ROWS, Metric, Nearest, nearest, rows_of
from striate.atlas.sifting import Codes, measured, operations_for
from striate.errors import OptionError

__all__ = ["EFFORT", "Index", "make"]

TASK = "building the index"
EFFORT = 64  # candidates of a query; never fewer than two for each neighbour that is asked for
JUDGED, MOST = 256, 100  # vectors by which the index is judged, and neighbours of each
QUERIES = 1024  # that are compared at a time


@dataclass(frozen=True, eq=False)
class Index:
    """An index of N vectors (N, D), which it does not hold: they are given again with every question.

    Attributes:
        coding: what the codes are.
        codes: (N, n) int8, of the vectors in a random order.
        halves: (N,) int32, half the square of each, in steps of its code.
        order: (N,) int64, which vector a code is of.
        recalls: (m,) float64, which share of the 1, 2, ... m nearest it found of vectors that were not in it yet.
        judged: how many such vectors.
    """

    coding: Coding
    codes: NDArray[np.int8]
    halves: NDArray[np.int32]
    order: NDArray[np.int64]
    recalls: NDArray[np.float64]
    judged: int

    @property
    def metric(self) -> Metric:
        """Of the neighbours that it finds."""
        return self.coding.metric

    @functools.cached_property
    def _compared(self) -> Codes:
        return Codes(self.codes, self.halves)

    def recall(self, k: int) -> float:
        """Return the share of the k nearest that it finds, of 100 where more are asked for; NaN where that is unknown.

        It was counted while the last vectors were not in it yet: for vectors as new to it as any picture.
        """
        if _pool(k, EFFORT) >= len(self.order):
            return 1.0  # every pair is compared
        return float(self.recalls[min(k, len(self.recalls)) - 1]) if len(self.recalls) else float("nan")

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all that it is, as `from_arrays` takes it."""
        kept = {name: getattr(self, name) for name in ("codes", "halves", "order", "recalls")}
        coding = {name: np.array(getattr(self.coding, name)) for name in ("metric", "mean", "directions", "weight")}
        return {**kept, **coding, "judged": np.array(self.judged)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Index:
        """Open what `arrays` returned.

        Raises:
            KeyError: something is missing.
            ValueError: they do not fit together.
        """
        codes, halves, order = arrays["codes"], arrays["halves"], arrays["order"]
        mean, directions = arrays["mean"], arrays["directions"]
        if not len(codes) == len(halves) == len(order):
            raise ValueError(f"{len(codes)} codes do not fit {len(order)} vectors")
        if codes.shape != (len(order), len(directions)) or directions.shape[1:] != mean.shape or codes.shape[1] % 4:
            raise ValueError(f"codes of {codes.shape[1:]} numbers do not fit {directions.shape} directions")
        if codes.dtype != np.int8 or halves.dtype != np.int32 or directions.dtype != np.float32:
            raise ValueError(f"codes of the type {codes.dtype} are none")
        if not np.array_equal(np.sort(order), np.arange(len(order))):
            raise ValueError("its order leaves out a vector")
        metric: Metric = "cosine" if str(arrays["metric"]) == "cosine" else "euclidean"
        coding = Coding(metric, mean, directions, float(arrays["weight"]))
        return cls(coding, codes, halves, order, arrays["recalls"], int(arrays["judged"]))

    def nearest(
        self,
        queries: NDArray[Any] | Tensor,
        base: NDArray[Any] | Tensor,
        k: int,
        *,
        exclude: NDArray[np.int64] | None = None,
        effort: int = EFFORT,
    ) -> Nearest:
        """Find most of the k nearest rows of the base for each query.

        Args:
            queries: (Q, D), any floating type or uint8.
            base: (N, D), the vectors that it was made of.
            k: neighbours of each query.
            exclude: (Q,), for each query a row of the base that does not count; -1 for none.
            effort: candidates that are measured; the more, the slower and the surer.

        Raises:
            OptionError: k is not possible, the widths differ, a value is not finite, or these are not the vectors.
            Stopped: the user asked to stop.
        """
        if base.shape[1] != self.coding.mean.shape[0] or len(base) < len(self.order):
            raise OptionError(
                f"an index of {len(self.order)} vectors of {len(self.coding.mean)} numbers does not fit "
                f"{len(base)} of {base.shape[1]}: it needs those that it was made of."
            )
        pool = _pool(k, effort) + (exclude is not None)
        if pool >= len(self.order) or k < 1 or queries.shape[1] != base.shape[1]:
            return nearest(queries, base, k, metric=self.metric, exclude=exclude)  # every pair, or what is wrong
        barred = np.full(len(queries), -1) if exclude is None else np.asarray(exclude, dtype=np.int64)
        distances = np.empty((len(queries), k))
        indices = np.empty((len(queries), k), dtype=np.int64)
        compiled = operations_for(len(queries) * len(self.order))
        for start in range(0, len(queries), QUERIES):
            progress.check_stop(TASK)
            part = slice(start, min(start + QUERIES, len(queries)))
            rows = rows_of(queries, part.start, part.stop, torch.device("cpu"), "queries")
            found = self.order[self._compared.largest(self.coding.codes(rows), pool, compiled=compiled)]
            distances[part], indices[part] = measured(
                rows, base, found, barred[part], k, self.metric, compiled=compiled
            )
        return Nearest(distances, indices)


def make(base: NDArray[Any] | Tensor, *, metric: Metric = "euclidean", seed: int = 0) -> Index:
    """Make an index; the same vectors give the same.

    What is held at a time is the index: 12 bytes of each vector, and one for each number of its code.

    Args:
        base: (N, D), any floating type or uint8; read in blocks.
        metric: euclidean, or cosine.
        seed: of the order of the codes; they are learned from the first, and the last judge them.

    Raises:
        OptionError: fewer than two vectors, or values that are not finite.
        Stopped: the user asked to stop.
    """
    total = len(base)
    if total < 2:
        raise OptionError(f"an index needs two vectors at least, got {total}.")
    cpu = torch.device("cpu")
    # the first of them are samples, so classes must not stand one after the other
    order = np.random.default_rng(seed).permutation(total)
    last = total - min(JUDGED, total // 32)  # from here on they judge, and are not learned from
    some = base[np.sort(order[:last][:LEARNED])]
    coding = learn(rows_of(some, 0, len(some), cpu, "base"), metric, seed)
    codes, halves = np.empty((total, len(coding.directions)), np.int8), np.empty(total, np.int32)
    places = np.argsort(order)
    for start in range(0, total, ROWS):
        _step(start, total)
        stop = min(start + ROWS, total)
        rows = rows_of(base, start, stop, cpu, "base")
        found = coding.codes(rows)
        codes[places[start:stop]] = found.numpy()
        halves[places[start:stop]] = coding.halves(rows, found).numpy()
    half = Index(coding, codes[:last], halves[:last], order[:last], np.empty(0), total - last)
    recalls = _recalls(half, base, order[last:])
    progress.report(progress.Event(TASK, total, total))
    return replace(half, codes=codes, halves=halves, order=order, recalls=recalls)


def _recalls(index: Index, base: NDArray[Any] | Tensor, others: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the share of the 1, 2, ... nearest that an index finds of vectors that it does not hold.

    Args:
        index: of all other vectors.
        base: (N, D), all vectors.
        others: (J,), rows of the base that are not in the index.
    """
    if not len(others):
        return np.empty(0)
    some = base[others]
    true = nearest(some, base, min(2 * MOST, len(base) - 1), metric=index.metric, exclude=others)
    there = ~np.isin(true.indices, others)
    most = min(MOST, int(there.sum(1).min()))
    # the others stand behind, in their order
    reach = np.take_along_axis(true.distances, np.argsort(~there, axis=1, kind="stable"), 1)[:, :most]
    reach = reach * (1 + 1e-12)
    recalls = np.empty(most)
    done = 0
    while done < most:
        upto = min(most, _pool(done + 1, EFFORT) // 2)  # asked for so many, there are as many candidates
        found = index.nearest(some, base, upto).distances
        for k in range(done + 1, upto + 1):
            recalls[k - 1] = (found[:, :k] <= reach[:, k - 1, None]).mean()  # of equals any will do
        done = upto
    return recalls


def _pool(k: int, effort: int) -> int:
    """Return how many candidates there are for k neighbours: 2, 3, 4, 6, 8, 12, ..., at least two for each."""
    power = 1 << (2 * k - 1).bit_length()
    return max(effort, power * 3 // 4 if power * 3 // 4 >= 2 * k else power)


def _step(done: int, total: int) -> None:
    progress.check_stop(TASK)
    progress.report(progress.Event(TASK, done, total))
