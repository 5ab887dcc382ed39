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
EFFORTS = (32, EFFORT, 256)  # candidates of a walk through the index


def run(*, quick: bool = False) -> Table:
    """Measure queries a second on features without structure and on features as networks give them."""
    count = 256 if quick else 1024
    gpu = torch.cuda.is_available()
    work = BASE * WIDTH / 1e6
    table = Table(
        f"The {NEAREST} nearest of {BASE:,} x {WIDTH}",
        f"{count:,} queries at a time; Euclidean. By the plain form each query takes {work:.1f} million multiply-adds, "
        f"so {ASKED:,} a second are {ASKED * work / 1e6:.2f} T multiply-adds a second: what a GPU does, and ten times "
        "as many as two cores do in float32. The bare matrix product, which finds no neighbours, bounds whatever "
        "compares every pair. Of ours, bfloat16 screens by a rounded product and proves the result; both give the "
        "neighbours that float64 gives. An index compares few pairs: it walks through a graph to some candidates "
        f"({EFFORT} in a lens), and measures these. At {ASKED:,} a second two cores have {2e6 / ASKED:.0f} us "
        "for a query, and a walk to 64 takes one of them about 60, each step a reach into memory. White: normal "
        "numbers, the hardest case. Features: rectified mixtures of 64 causes.",
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
    walked = make(base)
    table.setting += f" Making the index of {name} took {time.perf_counter() - started:.1f} s, once."
    true = nearest(queries, base, NEAREST)
    shares = {}
    for effort in EFFORTS:
        calls[(title := f"striate, index, {effort} candidates")] = lambda effort=effort: walked.nearest(
            queries, base, NEAREST, effort=effort
        )
        shares[title] = _share(walked.nearest(queries, base, NEAREST, effort=effort), true)
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
    usual = f"striate, index, {EFFORT} candidates"
    words = f"{name}: percent of the nearest that the index says it finds, less what it finds"
    table.claims += [
        Claim(f"{name}: by the index, thousands", len(queries) / seconds[usual] / 1e3, ASKED / 1e3, at_most=False),
        Claim(words, 100 * abs(walked.recall(NEAREST) - shares[usual]), 3, at_most=True),
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
