"""Codes compared and vectors measured, by PyTorch and compiled, against brute force in whole numbers and float64."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from striate.atlas import sifting
from striate.atlas.coding import learn
from striate.atlas.sifting import Codes, measured, operations_for


@pytest.fixture(params=["PyTorch", "compiled"])
def compiled(request):
    """The operations, or None for PyTorch."""
    if request.param == "PyTorch":
        return None
    found = sifting._operations()
    if found is None:
        pytest.skip("no numba, or no AVX-512 VNNI")
    return found


def drawn(count, width, seed=0):
    random = np.random.default_rng(seed)
    codes = random.integers(-127, 128, (count, width)).astype(np.int8)
    return codes, (codes.astype(np.int32) ** 2).sum(1, dtype=np.int32) // 2


def check(found, codes, halves, queries, wanted):
    """Are these the largest, each once?"""
    scores = queries.astype(np.int64) @ codes.astype(np.int64).T - halves
    assert all(len(set(row)) == wanted for row in found.tolist())
    got = np.sort(np.take_along_axis(scores, found, 1), axis=1)[:, ::-1]
    np.testing.assert_array_equal(got, np.sort(scores, axis=1)[:, ::-1][:, :wanted])


@pytest.mark.parametrize(
    ("count", "width", "queries", "wanted"),
    # less than a block; no sample; one tile and a bit; more than a block of queries; more wanted than are expected
    [(50, 4, 1, 20), (1000, 32, 7, 64), (2049, 64, 13, 32), (9000, 256, 300, 24), (6000, 36, 20, 2000)],
)
def test_the_largest_are_found(compiled, count, width, queries, wanted):
    codes, halves = drawn(count, width)
    own = drawn(queries, width, 1)[0]
    check(Codes(codes, halves).largest(torch.from_numpy(own), wanted, compiled=compiled), codes, halves, own, wanted)


def test_an_order_that_deceives_the_sample_costs_time_only(compiled):
    codes, halves = drawn(20_000, 32)
    own = drawn(12, 32, 1)[0]
    for by in (own[0], -own[0]):  # the nearest to the first query are the sample, or none of them
        order = np.argsort(codes.astype(int) @ -by.astype(int))
        found = Codes(codes[order], halves[order]).largest(torch.from_numpy(own), 32, compiled=compiled)
        check(found, codes[order], halves[order], own, 32)


def test_equals_are_found_once_each(compiled):
    codes, halves = np.full((5000, 8), 3, np.int8), np.full(5000, 36, np.int32)
    found = Codes(codes, halves).largest(torch.ones(4, 8, dtype=torch.int8), 40, compiled=compiled)
    assert all(len(set(row)) == 40 for row in found.tolist())
    assert found.max() < 5000


def brute(queries, base, metric):
    queries, base = np.asarray(queries, np.float64), np.asarray(base, np.float64)
    if metric == "euclidean":
        return np.sqrt(((queries[:, None] - base) ** 2).sum(2))
    sizes = np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(base, axis=1)
    return 1 - (queries @ base.T) / np.where(sizes > 0, sizes, 1)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "uint8"])
def test_what_is_measured_is_true(compiled, kind, metric, tmp_path):
    random = np.random.default_rng(0)
    base = random.normal(size=(300, 77)) * 40
    base[5] = 0
    base[6] = 2.0**-24  # the least that float16 holds
    base[8] = base[9]
    base = np.clip(np.abs(base) if kind == "uint8" else base, -60000, 255).astype(kind)
    base = base.astype(np.float32).astype(kind)  # of float64 what float32 holds of it is looked at
    np.save(tmp_path / "base.npy", base)
    queries = base[:20].astype(np.float32) + np.float32(0.25)
    found = np.stack([random.permutation(300)[:40] for _ in queries])
    found[:, 0], found[:, 1] = (
        np.where((found == 8).any(1), found[:, 0], 8),
        np.where((found == 9).any(1), found[:, 1], 9),
    )
    barred = np.where(np.arange(20) % 2, found[:, 7], -1)
    true = brute(queries, base, metric)
    for given in (base, torch.from_numpy(base), np.load(tmp_path / "base.npy", mmap_mode="r")):
        distances, indices = measured(torch.from_numpy(queries), given, found, barred, 9, metric, compiled=compiled)
        for query, candidates in enumerate(found):
            left = [row for row in candidates if row != barred[query]]
            # of equals, which rows 8 and 9 are, the smaller index
            best = sorted(set(left), key=lambda row, query=query: (round(true[query, row], 10), row))[:9]
            assert indices[query].tolist() == best
            np.testing.assert_allclose(distances[query], true[query, best], atol=1e-12, rtol=1e-12)


def test_what_the_compiled_operations_cannot_read_is_gathered(compiled):
    base = np.random.default_rng(0).normal(size=(100, 40)).astype(np.float32)
    queries, found = torch.from_numpy(base[:5]), np.tile(np.arange(30), (5, 1))
    for given in (base[:, ::2], torch.from_numpy(base[:, ::2]).bfloat16()):
        rows = torch.as_tensor(np.array(base[:5, ::2]))
        distances, _ = measured(rows, given, found, np.full(5, -1), 3, "euclidean", compiled=compiled)
        held = torch.as_tensor(given).float().numpy()
        true = np.sort(brute(rows.numpy(), held[:30], "euclidean"), axis=1)[:, :3]
        np.testing.assert_allclose(distances, true, atol=1e-12)
    assert len(queries) == 5


def test_numba_is_loaded_for_large_questions_only_and_where_the_processor_can(monkeypatch):
    monkeypatch.delitem(sys.modules, "striate.atlas.sifting_compiled", raising=False)
    assert operations_for(sifting.WORTH - 1) is None
    module = sifting._operations()
    if module is None:
        pytest.skip("no numba, or no AVX-512 VNNI")
    assert operations_for(sifting.WORTH) is module
    assert module.can()
    with monkeypatch.context() as patched:
        patched.setattr(module.binding, "get_host_cpu_features", lambda: {"avx2": True})
        assert not module.can()
    monkeypatch.setattr(module.numba.config, "CPU_NAME", "generic")  # numba would compile for another processor
    assert not module.can()


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_codes_keep_distances(metric):
    # of vectors that lie in few directions nothing is lost but the rounding
    random = np.random.default_rng(0)
    mixing = random.normal(size=(20, 300))
    rows = torch.from_numpy((random.normal(size=(500, 20)) @ mixing).astype(np.float32))
    coding = learn(rows, metric, 0)
    codes = coding.codes(rows)
    assert codes.shape == (500, 32)
    scores = codes[:50].double() @ codes.double().T - coding.halves(rows, codes)
    squares = coding.halves(rows[:50], codes[:50])[:, None] - scores
    turned = rows.double() if metric == "euclidean" else rows.double() / rows.double().norm(dim=1, keepdim=True)
    true = torch.cdist(turned[:50], turned) ** 2
    assert np.corrcoef(squares.numpy().ravel(), true.numpy().ravel())[0, 1] > 0.999


def test_what_the_codes_leave_out_counts_where_it_has_nothing_to_do_with_one_another():
    random = np.random.default_rng(0)
    white = torch.from_numpy(random.normal(size=(2048, 600)).astype(np.float32))
    assert learn(white, "euclidean", 0).weight == 1
    few = random.normal(size=(2048, 20)) @ random.normal(size=(20, 600))
    assert learn(torch.from_numpy(few.astype(np.float32)), "euclidean", 0).weight == 0
