"""Find the codes nearest to those of queries, and measure the vectors themselves: with PyTorch, or compiled.

Every code is compared. Its product with a query is a whole number below 2^24, so float32 holds it without rounding,
whatever the order: PyTorch and the compiled operations find the same, but for equals. Compiled, they are some times as
fast: that takes numba, the extra `fast`, and a processor with AVX-512 VNNI.
"""

from __future__ import annotations

import functools
import sys
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from striate.atlas.nearest import Metric, apart, best
from striate.threads import borders, in_threads
from striate.threads import compiled as load

__all__ = ["WORTH", "Codes", "measured", "operations_for"]

WORTH = 1 << 25  # pairs of a question from which on numba is loaded, which takes a second, once
SPARE = 8  # beyond the k best by float32 are measured in float64
_ROOM = 1 << 20  # numbers measured at a time: 4 MiB of float32
GROUP = 8  # codes of which first only the best is looked at
_TILE, _AT_A_TIME = 2048, 256  # codes and queries of one product: 2 MiB, which the caches hold
_PART = 48  # queries that are worth waking a thread for


class Codes:
    """Codes of N vectors, ready to be compared."""

    def __init__(self, codes: NDArray[np.int8], halves: NDArray[np.int32]) -> None:
        """Take codes (N, n), in random order, and half the square of each (N,)."""
        self._codes, self._halves = codes, halves

    @functools.cached_property
    def _packed(self) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        from striate.atlas import sifting_compiled  # is there where somebody asks for this

        return sifting_compiled.packed(self._codes, self._halves)

    def largest(self, queries: Tensor, wanted: int, *, compiled: ModuleType | None) -> NDArray[np.int64]:
        """Return where the codes are whose products with a query, less the halves, are largest: (Q, wanted).

        They come in any order.

        Args:
            queries: (Q, n) int8.
            wanted: of each query, at most N.
            compiled: the operations of `operations_for`.
        """
        if compiled is None:
            return self._by_products(queries, wanted)
        together = compiled.TOGETHER
        count = -(-len(queries) // together) * together
        padded = np.zeros((count, queries.shape[1]), np.int8)
        padded[: len(queries)] = queries.numpy()
        found = np.empty((count, wanted), np.int32)
        with in_threads(count // _PART) as threads:
            compiled.sift_in_parts(*self._packed, padded, borders(count // together, threads) * together, found)
        return found[: len(queries)].astype(np.int64)

    @functools.cached_property
    def _tiles(self) -> tuple[Tensor, Tensor]:
        """Return the codes (T, _TILE, n) and the halves (T, _TILE), behind the last such as are never found."""
        total, width = self._codes.shape
        tiles = -(-total // _TILE)
        codes = torch.zeros(tiles * _TILE, width, dtype=torch.int8)
        halves = torch.full((tiles * _TILE,), 1 << 24, dtype=torch.int32)
        codes[:total], halves[:total] = torch.from_numpy(self._codes), torch.from_numpy(self._halves)
        return codes.view(tiles, _TILE, width), halves.view(tiles, _TILE)

    def _by_products(self, queries: Tensor, wanted: int) -> NDArray[np.int64]:
        """Look first at the best of each group only: the best few codes lie in the few groups whose best is best."""
        codes, halves = self._tiles
        tiles, _, width = codes.shape
        apart_by = _TILE // GROUP  # a group is every so-maniest code of a tile, which is reduced faster than a run
        inside = torch.arange(0, _TILE, apart_by)
        found = np.empty((len(queries), wanted), np.int64)
        for first in range(0, len(queries), _AT_A_TIME):
            own = queries[first : first + _AT_A_TIME].float()
            peaks, products = own.new_empty(len(own), tiles, apart_by), own.new_empty(len(own), _TILE)
            for tile in range(tiles):
                torch.mm(own, codes[tile].float().T, out=products).sub_(halves[tile])
                torch.amax(products.view(len(own), GROUP, apart_by), 1, out=peaks[:, tile])
            peaks = peaks.flatten(1)
            chosen = peaks.topk(min(wanted, peaks.shape[1]), dim=1).indices
            starts = chosen // apart_by * _TILE + chosen % apart_by
            step = max(1, _ROOM // (starts.shape[1] * GROUP * width))
            for one in range(0, len(own), step):
                places = (starts[one : one + step, :, None] + inside).flatten(1)
                again = codes.flatten(0, 1)[places.flatten()].float().view(*places.shape, width)
                scores = torch.bmm(again, own[one : one + step, :, None])[:, :, 0] - halves.flatten()[places]
                best_few = scores.topk(wanted, dim=1).indices
                found[first + one : first + one + len(places)] = places.gather(1, best_few).numpy()
        return found


def operations_for(pairs: int) -> ModuleType | None:
    """Return the compiled operations for a question of so many pairs; None where PyTorch is to be used."""
    if pairs < WORTH and f"{__package__}.sifting_compiled" not in sys.modules:
        return None
    return _operations()


@functools.cache
def _operations() -> ModuleType | None:
    found = load("striate.atlas.sifting_compiled")
    return found if found is not None and found.can() else None


def measured(
    rows: Tensor,
    base: NDArray[Any] | Tensor,
    found: NDArray[np.int64],
    barred: NDArray[np.int64],
    k: int,
    metric: Metric,
    *,
    compiled: ModuleType | None,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the k nearest of candidates, by differences in float64: distances and rows of the base, (Q, k).

    Args:
        rows: (Q, D) float32, the queries.
        base: (N, D), any floating type or uint8.
        found: (Q, m), rows of the base; m more than k.
        barred: (Q,), a row that does not count; -1 for none.
        k: of each query.
        metric: euclidean, or cosine.
        compiled: the operations of `operations_for`.
    """
    bits = None if compiled is None else _bits(base)
    if compiled is None or bits is None:
        return _by_gathering(rows, base, np.where(found == barred[:, None], -1, found), k, metric)
    distances, indices = np.empty((len(rows), k)), np.empty((len(rows), k), np.int64)
    with in_threads(len(rows) // _PART) as threads:
        compiled.measure_in_parts(
            rows.contiguous().numpy(), bits, found, barred, metric == "cosine", borders(len(rows), threads),
            distances, indices,
        )  # fmt: skip
    return np.sqrt(distances) if metric == "euclidean" else distances, indices


def _bits(base: NDArray[Any] | Tensor) -> NDArray[Any] | None:
    """Return the base as the compiled operations read it; None where they cannot."""
    if isinstance(base, Tensor):
        if base.device.type != "cpu" or base.dtype not in (torch.float16, torch.float32, torch.float64, torch.uint8):
            return None
        base = base.detach().numpy()
    if base.dtype not in (np.float16, np.float32, np.float64, np.uint8) or not base.flags.c_contiguous:
        return None
    # of one kind, whether it is mapped, may be written into, or neither, so that it is compiled once
    plain = np.asarray(base)
    return plain.view(np.uint16) if plain.dtype == np.float16 else plain


def _by_gathering(
    rows: Tensor, base: NDArray[Any] | Tensor, found: NDArray[np.int64], k: int, metric: Metric
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    step = max(1, _ROOM // (found.shape[1] * rows.shape[1]))
    pieces = []
    for start in range(0, len(rows), step):
        own, some = rows[start : start + step, None], torch.from_numpy(found[start : start + step])
        # float32 tells which are worth the differences in float64
        rough = apart(own, _gathered(base, some), metric).where(some >= 0, torch.inf)
        some = some.gather(1, rough.topk(min(k + SPARE, some.shape[1]), dim=1, largest=False).indices)
        fine = apart(own.double(), _gathered(base, some).double(), metric).where(some >= 0, torch.inf)
        pieces.append(best(fine, some, k))
    distances = torch.cat([piece[0] for piece in pieces])
    if metric == "euclidean":
        distances = distances.sqrt()
    return distances.numpy(), torch.cat([piece[1] for piece in pieces]).numpy()


def _gathered(base: NDArray[Any] | Tensor, found: Tensor) -> Tensor:
    """Read rows (Q, m) of the base: (Q, m, D), float32; -1 reads any."""
    wanted = found.clamp(min=0).flatten()
    rows = base[wanted.numpy()] if isinstance(base, np.ndarray) else base[wanted.to(base.device)].cpu()
    picked = torch.from_numpy(rows) if isinstance(rows, np.ndarray) else rows
    return picked.float().view(*found.shape, -1)
