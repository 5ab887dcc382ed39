"""Neighbours against scikit-learn, against brute force by differences, at ties, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from striate.atlas import nearest as module
from striate.atlas.nearest import agreement, nearest
from striate.errors import OptionError, Stopped
from striate.progress import listen, stoppable


def brute(queries, base, k, metric="euclidean", exclude=None):
    """Differences in float64, all of them, sorted; of equals the earlier first."""
    queries, base = queries.astype(np.float64), base.astype(np.float64)
    if metric == "euclidean":
        apart = np.sqrt(((queries[:, None] - base[None]) ** 2).sum(2))
    else:
        sizes = np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(base, axis=1)
        apart = 1 - (queries @ base.T) / np.where(sizes > 0, sizes, 1)
    if exclude is not None:
        rows = np.flatnonzero(exclude >= 0)
        apart[rows, exclude[rows]] = np.inf
    order = np.argsort(apart, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(apart, order, 1), order


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("screen", ["float32", "bfloat16"])
def test_what_scikit_learn_finds(metric, screen):
    random = np.random.default_rng(0)
    base, queries = random.normal(size=(20_000, 24)).astype(np.float32), random.normal(size=(70, 24)).astype(np.float32)
    found = nearest(queries, base, 7, metric=metric, screen=screen)
    model = NearestNeighbors(n_neighbors=7, metric=metric, algorithm="brute").fit(base.astype(np.float64))
    distances, indices = model.kneighbors(queries.astype(np.float64))
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_allclose(found.distances, distances, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 60),
    st.integers(1, 9),
    st.integers(1, 12),
    st.integers(0, 10**6),
    st.sampled_from(["float32", "bfloat16"]),
)
@example(rows=6, width=2, k=1, seed=10, screen="bfloat16")  # where a bound that was half as large failed
def test_ties_go_to_the_earlier_row_whatever_the_rounding(rows, width, k, seed, screen):
    # few different whole numbers: many rows are the same, or equally far away, and every distance is exact
    random = np.random.default_rng(seed)
    base = random.integers(-1, 2, (rows * 30, width)).astype(np.float32)
    queries = random.integers(-1, 2, (5, width)).astype(np.float32)
    found = nearest(queries, base, k, screen=screen)
    distances, indices = brute(queries, base, k)
    np.testing.assert_array_equal(found.distances, distances)
    np.testing.assert_array_equal(found.indices, indices)


def test_neighbours_that_rounding_cannot_tell_apart():
    # far from the origin float32 products lose what the differences keep
    random = np.random.default_rng(1)
    base = (1000 + random.normal(size=(9000, 16)) * 1e-2).astype(np.float32)
    queries = (1000 + random.normal(size=(20, 16)) * 1e-2).astype(np.float32)
    for screen in ("float32", "bfloat16"):
        found = nearest(queries, base, 5, screen=screen)
        distances, indices = brute(queries, base, 5)
        np.testing.assert_array_equal(found.indices, indices)
        np.testing.assert_allclose(found.distances, distances, rtol=1e-12)


@pytest.mark.parametrize("screen", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("width", [1, 2, 7, 64, 512])
def test_no_score_is_wrong_by_more_than_the_bound(screen, width):
    draw = torch.Generator().manual_seed(width)
    queries, rows = (torch.randn(n, width, generator=draw) ** 3 for n in (64, 900))
    block = module._Block(rows, 0, rows, rows.double().norm(dim=1), screen, euclidean=True)
    coarse = queries.to(screen)
    lost = (queries - coarse.float()).norm(dim=1).double()
    exact = queries.double() @ rows.double().T - rows.double().square().sum(1) / 2
    wrong = (block.scores(coarse).double() - exact).abs().amax(1)
    bound = block.rounding(queries.double().norm(dim=1), lost)
    assert (wrong <= bound).all()
    assert (wrong > bound * 1e-4).any()  # and it is no bound that would hold for anything


def test_a_thousand_copies_of_one_row():
    base = np.ones((20_000, 8), np.float32)
    base[15_000] = 0
    found = nearest(np.zeros((3, 8), np.float32), base, 4)
    np.testing.assert_array_equal(found.indices, [[15_000, 0, 1, 2]] * 3)
    np.testing.assert_allclose(found.distances[0], [0, 8**0.5, 8**0.5, 8**0.5])


def test_blocks_do_not_matter(monkeypatch):
    random = np.random.default_rng(2)
    base, queries = random.normal(size=(3000, 12)).astype(np.float16), random.normal(size=(40, 12))
    whole = nearest(queries, base, 9)
    monkeypatch.setattr(module, "ROWS", 256)
    monkeypatch.setattr(module, "QUERIES", 7)
    monkeypatch.setattr(module, "_ROOM", 50)
    parts = nearest(queries, base, 9)
    np.testing.assert_array_equal(whole.indices, parts.indices)
    np.testing.assert_array_equal(whole.distances, parts.distances)


def test_itself_can_be_left_out():
    base = np.random.default_rng(3).normal(size=(500, 6)).astype(np.float32)
    own = np.arange(500)
    found = nearest(base, base, 3, exclude=own)
    np.testing.assert_array_equal(found.indices, brute(base, base, 3, exclude=own)[1])
    some = np.where(own % 2, own, -1)
    assert ((nearest(base, base, 1, exclude=some).indices[:, 0] == own) == (some < 0)).all()


def test_zeros_are_as_far_from_all_by_the_cosine():
    base = np.array([[0, 0], [1, 0], [0, 2], [2, 0]], np.float32)
    found = nearest(np.array([[3, 0], [0, 0]], np.float32), base, 4, metric="cosine")
    np.testing.assert_array_equal(found.indices, [[1, 3, 0, 2], [0, 1, 2, 3]])
    np.testing.assert_allclose(found.distances, [[0, 0, 1, 1], [1, 1, 1, 1]], atol=1e-15)


def test_tensors_and_bytes_are_taken_too():
    random = np.random.default_rng(4)
    base, queries = (random.integers(0, 256, (n, 300), dtype=np.uint8) for n in (700, 9))
    found = nearest(torch.from_numpy(queries), base, 2)
    np.testing.assert_array_equal(found.distances, brute(queries, base, 2)[0])


def test_memory_does_not_grow_with_the_base(tmp_path):
    import tracemalloc

    base = np.lib.format.open_memmap(tmp_path / "base.npy", "w+", np.float16, (200_000, 16))
    base[:] = np.random.default_rng(5).normal(size=(1000, 16)).astype(np.float16).repeat(200, 0)
    queries = np.zeros((4, 16), np.float32)
    nearest(queries, base[:10_000], 3)
    tracemalloc.start()
    nearest(queries, np.load(tmp_path / "base.npy", mmap_mode="r"), 3)
    assert tracemalloc.get_traced_memory()[1] < 2e6  # a block of 8,192 rows is 0.26 MB; the base 6.4 MB
    tracemalloc.stop()


def test_agreement_of_classes_by_hand():
    found = module.Nearest(np.zeros((4, 1)), np.array([[0], [1], [2], [0]]))
    assert agreement(found, np.array([5, 6, -1]), np.array([5, 5, 5, -1])) == 0.5  # the last two are not known
    assert np.isnan(agreement(found, np.array([-1, -1, -1]), np.array([0, 0, 0, 0])))


@pytest.mark.parametrize(
    ("k", "width", "message"),
    [
        (0, 3, "0 neighbours of each were asked for, where there can be 1 to 5"),
        (6, 3, "6 neighbours of each were asked for, where there can be 1 to 5"),
        (1, 4, "vectors of 4 numbers cannot be compared with vectors of 3"),
    ],
)
def test_what_cannot_be_found_is_refused(k, width, message):
    with pytest.raises(OptionError, match=message):
        nearest(np.zeros((2, width), np.float32), np.zeros((5, 3), np.float32), k)


def test_a_number_that_is_none_is_named():
    base = np.zeros((9000, 3), np.float16)
    base[8765, 1] = np.inf
    with pytest.raises(OptionError, match=r"row 8765 of the base .* float16 ends at 65,504"):
        nearest(np.zeros((1, 3), np.float32), base, 1)


def test_it_says_how_far_it_is_and_can_be_stopped():
    base, heard = np.zeros((20_000, 2), np.float32), []
    base[:, 0] = np.arange(20_000)
    with listen(heard.append):
        nearest(base[:3], base, 1)
    assert [(event.done, event.total) for event in heard] == [
        (0, 20_000),
        (8192, 20_000),
        (16_384, 20_000),
        (20_000, 20_000),
    ]
    with stoppable() as token:
        token.stop()
        with pytest.raises(Stopped):
            nearest(base[:3], base, 1)
