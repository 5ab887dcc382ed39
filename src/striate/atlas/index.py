"""An approximate index of many vectors: most of the nearest neighbours, without comparing every pair. Knows no atlas.

Vectors are brought down to their first principal components, 32 to 256, so many that they hold 80 % of the variance.
There they stand in a graph in which each knows 32 that are near (HNSW, of faiss). A walk through it brings candidates;
these are measured like those of the exact search, by differences in float64 of the vectors themselves. So what is found
is as far away as is said, and only something nearer may be missing. How often that is so is counted when the index is
made: before the last vectors are in it, against the exact search.

Source: Malkov and Yashunin 2018, "Efficient and robust approximate nearest neighbor search using hierarchical
navigable small world graphs", arXiv:1603.09320.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate import progress
from striate.atlas.nearest import ROWS, Metric, Nearest, apart, best, lengths, nearest, rows_of
from striate.errors import OptionError
from striate.indexing import faiss

__all__ = ["EFFORT", "Index", "make"]

WHAT = "An approximate index"
TASK = "building the index"
WIDTHS, HELD = (32, 64, 128, 256), 0.8  # components that the graph sees: so many that they hold this much of all
NEAR = 32  # vectors that each one in the graph knows
LEARNED = 2048  # vectors from which the components are
EFFORT = 64  # candidates of a walk; a power of two, and never fewer than two for each neighbour that is asked for
SPARE = 8  # beyond the k best by float32 are measured in float64
JUDGED, MOST = 256, 100  # vectors by which the index is judged, and neighbours of each
QUERIES = 1024  # that walk at a time
_ROOM = 1 << 20  # numbers measured at a time: 4 MiB of float32


@dataclass(frozen=True, eq=False)
class Index:
    """An index of N vectors (N, D), which it does not hold: they are given again with every question.

    Attributes:
        metric: of the neighbours that it finds.
        graph: of faiss; its vertices are the vectors in another order.
        order: (N,) int64, which vector a vertex is.
        mean: (D,) float32, from where the components count.
        directions: (n, D) float32, the components.
        recalls: (m,) float64, which share of the 1, 2, ... m nearest it found of vectors that were not in it yet.
        judged: how many such vectors.
    """

    metric: Metric
    graph: Any
    order: NDArray[np.int64]
    mean: NDArray[np.float32]
    directions: NDArray[np.float32]
    recalls: NDArray[np.float64]
    judged: int

    def recall(self, k: int) -> float:
        """Return the share of the k nearest that it finds, of 100 where more are asked for; NaN where that is unknown.

        It was counted while the last vectors were not in the graph yet: for vectors as new to it as any picture.
        """
        if _pool(k, EFFORT) >= len(self.order):
            return 1.0  # every pair is compared
        return float(self.recalls[min(k, len(self.recalls)) - 1]) if len(self.recalls) else float("nan")

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all that it is, as `from_arrays` takes it."""
        with faiss(WHAT) as library:
            graph = library.serialize_index(self.graph)
        kept = {name: getattr(self, name) for name in ("order", "mean", "directions", "recalls")}
        return {"graph": graph, "judged": np.array(self.judged), "metric": np.array(self.metric), **kept}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Index:
        """Open what `arrays` returned.

        Raises:
            MissingExtraError: faiss is not installed.
            KeyError: something is missing.
            ValueError: they do not fit together, or this faiss does not know such a graph.
        """
        with faiss(WHAT) as library:
            try:
                graph = library.deserialize_index(arrays["graph"])
            except RuntimeError as error:
                raise ValueError(str(error)) from error
        order, directions = arrays["order"], arrays["directions"]
        if graph.ntotal != len(order) or graph.d != len(directions):
            raise ValueError(f"a graph of {graph.ntotal} vectors does not fit {len(order)}")
        return cls(
            "cosine" if str(arrays["metric"]) == "cosine" else "euclidean",
            graph, order, arrays["mean"], directions, arrays["recalls"], int(arrays["judged"]),
        )  # fmt: skip

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
            effort: candidates of a walk; the more, the slower and the surer.

        Raises:
            OptionError: k is not possible, the widths differ, or a value is not finite.
            Stopped: the user asked to stop.
        """
        pool = _pool(k, effort) + (exclude is not None)
        if pool >= len(self.order) or k < 1 or queries.shape[1] != base.shape[1]:
            return nearest(queries, base, k, metric=self.metric, exclude=exclude)  # every pair, or what is wrong
        barred = np.full(len(queries), -1) if exclude is None else np.asarray(exclude, dtype=np.int64)
        distances = np.empty((len(queries), k))
        indices = np.empty((len(queries), k), dtype=np.int64)
        for start in range(0, len(queries), QUERIES):
            progress.check_stop(TASK)
            part = slice(start, min(start + QUERIES, len(queries)))
            rows = rows_of(queries, part.start, part.stop, torch.device("cpu"), "queries")
            found = self._candidates(rows, pool)
            found[found == barred[part, None]] = -1
            distances[part], indices[part] = self._measured(rows, base, found, k)
        # a walk that ended too early, as among vectors that are all the same, is no answer
        if len(short := np.flatnonzero(~np.isfinite(distances[:, -1]))):
            sure = nearest(queries[short], base, k, metric=self.metric, exclude=barred[short])
            distances[short], indices[short] = sure.distances, sure.indices
        return Nearest(distances, indices)

    def _candidates(self, rows: Tensor, pool: int) -> NDArray[np.int64]:
        """Walk through the graph: (Q, pool), rows of the base, -1 where there are fewer."""
        seen = _seen(rows, self.metric, torch.from_numpy(self.mean), torch.from_numpy(self.directions))
        with faiss(WHAT) as library:
            way = library.SearchParametersHNSW(efSearch=pool)
            _, found = self.graph.search(seen.numpy(), pool, params=way)
        return np.where(found >= 0, self.order[found], -1)

    def _measured(
        self, rows: Tensor, base: NDArray[Any] | Tensor, found: NDArray[np.int64], k: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the k nearest of candidates; infinitely far away where there are none."""
        step = max(1, _ROOM // (found.shape[1] * rows.shape[1]))
        pieces = []
        for start in range(0, len(rows), step):
            own, some = rows[start : start + step, None], torch.from_numpy(found[start : start + step])
            # float32 tells which are worth the differences in float64
            rough = apart(own, _gathered(base, some), self.metric).where(some >= 0, torch.inf)
            some = some.gather(1, rough.topk(min(k + SPARE, some.shape[1]), dim=1, largest=False).indices)
            fine = apart(own.double(), _gathered(base, some).double(), self.metric).where(some >= 0, torch.inf)
            pieces.append(best(fine, some, k))
        distances = torch.cat([piece[0] for piece in pieces])
        if self.metric == "euclidean":
            distances = distances.sqrt()
        return distances.numpy(), torch.cat([piece[1] for piece in pieces]).numpy()


def make(base: NDArray[Any] | Tensor, *, metric: Metric = "euclidean", seed: int = 0) -> Index:
    """Make an index, in one thread: so the same vectors give the same.

    What is held at a time are the components of each vector in float32, and the graph: 270 bytes of each, and one for
    each component.

    Args:
        base: (N, D), any floating type or uint8; read in blocks.
        metric: euclidean, or cosine.
        seed: of the order in which the graph grows; the components are of the first, and the last judge it.

    Raises:
        MissingExtraError: faiss is not installed.
        OptionError: fewer than two vectors, or values that are not finite.
        Stopped: the user asked to stop.
    """
    total = len(base)
    if total < 2:
        raise OptionError(f"an index needs two vectors at least, got {total}.")
    random = np.random.default_rng(seed)
    cpu = torch.device("cpu")
    with faiss(WHAT, threads=1) as library:
        order = random.permutation(total)  # folders of one class after the other would make a bad graph
        last = total - min(JUDGED, total // 32)  # from here on they judge, and are not learned from
        some = base[np.sort(order[:last][:LEARNED])]
        mean, directions = _components(_turned(rows_of(some, 0, len(some), cpu, "base"), metric))
        seen = torch.empty(total, len(directions))
        for start in range(0, total, ROWS):
            _step(start, 2 * total)
            part = slice(start, min(start + ROWS, total))
            seen[part] = _seen(rows_of(base, part.start, part.stop, cpu, "base"), metric, mean, directions)
        graph = library.IndexHNSWSQ(len(directions), library.ScalarQuantizer.QT_8bit, NEAR)
        graph.train(seen[order[:last][: 8 * LEARNED]].numpy())
        for start in range(0, last, ROWS):
            _step(total + start, 2 * total)
            graph.add(seen[order[start : min(start + ROWS, last)]].numpy())
        half = Index(metric, graph, order[:last], mean.numpy(), directions.numpy(), np.empty(0), total - last)
        recalls = _recalls(half, base, order[last:])
        if last < total:
            graph.add(seen[order[last:]].numpy())
    progress.report(progress.Event(TASK, 2 * total, 2 * total))
    return replace(half, order=order, recalls=recalls)


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
        upto = min(most, _pool(done + 1, EFFORT) // 2)  # asked for so many, the walk is as long
        found = index.nearest(some, base, upto).distances
        for k in range(done + 1, upto + 1):
            recalls[k - 1] = (found[:, :k] <= reach[:, k - 1, None]).mean()  # of equals any will do
        done = upto
    return recalls


def _pool(k: int, effort: int) -> int:
    """Return how many candidates a walk for k neighbours brings."""
    return max(effort, 1 << (2 * k - 1).bit_length())


def _turned(rows: Tensor, metric: Metric) -> Tensor:
    """Return vectors whose Euclidean distances have the order of the metric."""
    return rows if metric == "euclidean" else rows / lengths(rows)[:, None]


def _seen(rows: Tensor, metric: Metric, mean: Tensor, directions: Tensor) -> Tensor:
    """Return what the graph sees of vectors."""
    return (_turned(rows, metric) - mean) @ directions.T


def _components(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the first principal components of some vectors, by way of the smaller matrix of products."""
    mean = rows.double().mean(0)
    away = rows.double() - mean
    wide = len(away) < away.shape[1]
    variances, ways = torch.linalg.eigh(away @ away.T if wide else away.T @ away)  # ascending
    held = variances.clamp(min=0).flip(0).cumsum(0)
    most = next((width for width in WIDTHS if width >= len(held) or held[width - 1] >= HELD * held[-1]), WIDTHS[-1])
    ways = ways.flip(1)[:, :most]
    directions = torch.nn.functional.normalize(away.T @ ways, dim=0) if wide else ways
    return mean.float(), directions.T.float().contiguous()


def _gathered(base: NDArray[Any] | Tensor, found: Tensor) -> Tensor:
    """Read rows (Q, m) of the base: (Q, m, D), float32; -1 reads any."""
    wanted = found.clamp(min=0).flatten()
    rows = base[wanted.numpy()] if isinstance(base, np.ndarray) else base[wanted.to(base.device)].cpu()
    picked = torch.from_numpy(rows) if isinstance(rows, np.ndarray) else rows
    return picked.float().view(*found.shape, -1)


def _step(done: int, total: int) -> None:
    progress.check_stop(TASK)
    progress.report(progress.Event(TASK, done, total))
