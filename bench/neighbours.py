"""Neighbours among 50,000 x 512 features, exactly and by an index, against scikit-learn, faiss, a bare product."""

from __future__ import annotations

import importlib
import importlib.util
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from bench.measure import Claim, Table, interleaved
from striate.atlas.index import EFFORT, make
from striate.atlas.nearest import QUERIES, ROWS, Nearest, nearest

__all__ = ["run"]

BASE, WIDTH, NEAREST = 50_000, 512, 10
ASKED = 100_000  # queries a second
QUICK, EFFORTS = 24, (24, 32, EFFORT, 256)  # candidates of the index; with QUICK of them it is to be that fast
ENOUGH = 95  # percent of the nearest


def run(*, quick: bool = False) -> Table:
    """Measure queries a second on features without structure and on features as networks give them."""
    count = 1024  # enough that the compiled operations are loaded
    gpu = torch.cuda.is_available()
    work = BASE * WIDTH / 1e6
    table = Table(
        f"The {NEAREST} nearest of {BASE:,} x {WIDTH}",
        f"{count:,} queries at a time; Euclidean. By the plain form each query takes {work:.1f} million multiply-adds, "
        f"so {ASKED:,} a second are {ASKED * work / 1e6:.2f} T multiply-adds a second: what a GPU does, and ten times "
        "as many as two cores do in float32. The bare matrix product, which finds no neighbours, bounds whatever "
        "compares every pair. Of ours, bfloat16 screens by a rounded product and proves the result; both give the "
        "neighbours that float64 gives. An index compares codes of 8 bits, 32 to 256 numbers instead of "
        f"{WIDTH}, with every query, and measures some candidates ({EFFORT} in a lens). At {ASKED:,} a second two "
        f"cores have {2e6 / ASKED:.0f} us for a query: compiled, comparing takes one of them about 12 and measuring "
        "4. White: normal numbers, the hardest case. Features: rectified mixtures of 64 causes.",
        ("features", "what", "queries a second", "of the bare product", "of the nearest found"),
    )
    for name, draw in (("white", _white), ("features", _features))[1 if quick else 0 :]:
        _one(name, draw(BASE), draw(count), table, repeats=3 if quick else 5, gpu=gpu)
    return table


def _one(
    name: str, base: NDArray[np.float32], queries: NDArray[np.float32], table: Table, *, repeats: int, gpu: bool
) -> None:
    calls: dict[str, Callable[[], object]] = {}
    devices = ("cpu", "cuda") if gpu else ("cpu",)
    for device in devices:
        here = tuple(torch.from_numpy(values).to(device) for values in (queries, base))
        for screen in (torch.float32, torch.bfloat16):
            kind = str(screen).removeprefix("torch.")
            rounded = tuple(values.to(screen) for values in here)
            calls[f"bare product, {kind}, {device}"] = lambda pair=rounded: _bare(*pair)
            calls[f"striate, {kind}, {device}"] = lambda pair=here, kind=kind, device=device: nearest(
                *pair, NEAREST, screen=kind, device=device
            )
    model = NearestNeighbors(n_neighbors=NEAREST, algorithm="brute").fit(base)
    calls["scikit-learn"] = lambda: model.kneighbors(queries)
    if importlib.util.find_spec("faiss") is not None:
        index = importlib.import_module("faiss").IndexFlatL2(WIDTH)
        index.add(base)
        calls["faiss IndexFlatL2"] = lambda: index.search(queries, NEAREST)
    started = time.perf_counter()
    made = make(base)
    table.setting += f" Making the index of {name} took {time.perf_counter() - started:.1f} s, once."
    true = nearest(queries, base, NEAREST)
    shares = {}
    for effort in EFFORTS:
        calls[(title := f"striate, index, {effort} candidates")] = lambda effort=effort: made.nearest(
            queries, base, NEAREST, effort=effort
        )
        shares[title] = _share(made.nearest(queries, base, NEAREST, effort=effort), true)
    seconds = interleaved(calls, repeats=repeats)
    for what, spent in seconds.items():
        device = "cuda" if what.endswith("cuda") else "cpu"
        bare = seconds[f"bare product, float32, {device}"]
        found = "" if what.startswith("bare") else f"{100 * shares.get(what, 1):.1f} %"
        table.rows.append((name, what, f"{len(queries) / spent:,.0f}", f"{bare / spent:.2f}", found))
    ours = {
        device: min(seconds[f"striate, {kind}, {device}"] for kind in ("float32", "bfloat16")) for device in devices
    }
    asked = f"{name}: thousands of queries a second on {'the GPU' if gpu else 'the processor'}"
    table.claims += [
        Claim(f"{name}: times as fast as scikit-learn", seconds["scikit-learn"] / ours["cpu"], 1, at_most=False),
        Claim(asked, len(queries) / ours[devices[-1]] / 1e3, ASKED / 1e3, at_most=False),
    ]
    usual, quick = (f"striate, index, {effort} candidates" for effort in (EFFORT, QUICK))
    words = f"{name}: percent of the nearest that the index says it finds, less what it finds"
    fast = f"{name}: by the index, {QUICK} candidates, thousands of queries a second"
    table.claims += [
        Claim(fast, len(queries) / seconds[quick] / 1e3, ASKED / 1e3, at_most=False),
        Claim(f"{name}: by it, percent of the nearest that are found", 100 * shares[quick], ENOUGH, at_most=False),
        Claim(words, 100 * abs(made.recall(NEAREST) - shares[usual]), 3, at_most=True),
    ]


def _share(found: Nearest, true: Nearest) -> float:
    """Return which share of the nearest was found; of those that are equally far away any will do."""
    return float((found.distances <= true.distances[:, -1:] * (1 + 1e-12)).mean())


def _bare(queries: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
    """Multiply, in the blocks in which it is done best, and forget the products."""
    last = queries[:1]
    for start in range(0, len(base), ROWS):
        for first in range(0, len(queries), QUERIES):
            last = queries[first : first + QUERIES] @ base[start : start + ROWS].T
    return last


def _white(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(count).normal(size=(count, WIDTH)).astype(np.float32)


def _features(count: int) -> NDArray[np.float32]:
    """Mix 64 causes of falling strength and rectify, which gives a spectrum like that of a late layer."""
    mixing = np.random.default_rng(0).normal(size=(64, WIDTH)) / np.sqrt(np.arange(1, 65))[:, None]
    random = np.random.default_rng(count)
    mixed = random.normal(size=(count, 64)) @ mixing + 0.1 * random.normal(size=(count, WIDTH))
    return np.maximum(mixed, 0).astype(np.float32)
