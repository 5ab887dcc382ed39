"""The approximate index against brute force: what it finds, how often, and that it says so truly."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from striate.atlas import index as module
from striate.atlas.index import Index, make
from striate.atlas.nearest import nearest
from striate.errors import OptionError, Stopped
from striate.progress import stoppable


def crowd(count, width, seed):
    """Vectors around forty places, as classes have them."""
    places = np.random.default_rng(0).normal(size=(40, width))
    random = np.random.default_rng(seed)
    return (3 * places[random.integers(0, 40, count)] + random.normal(size=(count, width))).astype(np.float32)


def apart(queries, base, metric="euclidean"):
    """All distances, by differences in float64."""
    queries, base = np.asarray(queries, np.float64), np.asarray(base, np.float64)
    if metric == "euclidean":
        return np.sqrt(((queries[:, None] - base[None]) ** 2).sum(2))
    sizes = np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(base, axis=1)
    return 1 - (queries @ base.T) / np.where(sizes > 0, sizes, 1)


def share(found, all_apart, k):
    """Which share of the k nearest was found, by brute force."""
    reach = np.sort(all_apart, axis=1)[:, k - 1, None] * (1 + 1e-9)
    return float((np.take_along_axis(all_apart, found.indices[:, :k], 1) <= reach).mean())


@pytest.mark.parametrize(("metric", "kind"), [("euclidean", "float16"), ("cosine", "float32"), ("euclidean", "uint8")])
def test_most_of_the_nearest_are_found_and_their_distances_are_exact(metric, kind):
    base, queries = crowd(3000, 96, 1), crowd(60, 96, 2)
    if kind == "uint8":
        base, queries = (np.clip(128 + 20 * one, 0, 255) for one in (base, queries))
    base, queries = base.astype(kind), queries.astype(kind)
    found = make(base, metric=metric).nearest(queries, base, 10)
    true = apart(queries, base, metric)
    np.testing.assert_allclose(found.distances, np.take_along_axis(true, found.indices, 1), atol=1e-12)
    assert (np.diff(found.distances) >= 0).all()
    assert all(len(set(row)) == 10 for row in found.indices.tolist())
    assert share(found, true, 10) > 0.9


@pytest.mark.parametrize("make_vectors", [crowd, lambda n, d, s: np.random.default_rng(s).normal(size=(n, d))])
def test_the_share_it_says_is_that_of_queries_it_has_never_seen(make_vectors):
    # numbers without structure are the hardest case
    base, queries = make_vectors(9000, 512, 1).astype(np.float32), make_vectors(400, 512, 2).astype(np.float32)
    made = make(base)
    true = nearest(queries, base, 50)
    for k in (1, 10, 50):
        found = made.nearest(queries, base, k)
        counted = (found.distances <= true.distances[:, k - 1, None] * (1 + 1e-12)).mean()
        assert made.recall(k) == pytest.approx(counted, abs=0.04)
    assert made.recall(10) < 1  # else this says nothing
    assert made.judged == 256


def test_more_effort_finds_more():
    random = np.random.default_rng(3)
    base, queries = (random.normal(size=(count, 300)).astype(np.float32) for count in (3000, 50))
    made, true = make(base), apart(queries, base)
    shares = [share(made.nearest(queries, base, 10, effort=effort), true, 10) for effort in (32, 64, 256)]
    assert shares[0] < shares[1] < shares[2]


def test_the_same_vectors_give_the_same_index():
    base = crowd(1500, 80, 1)
    first, again, other = make(base), make(base), make(base, seed=1)
    for name, values in first.arrays().items():
        np.testing.assert_array_equal(values, again.arrays()[name])
    assert (first.order != other.order).any()


def test_what_is_excluded_is_not_found():
    base = crowd(1000, 20, 1)
    own = np.arange(0, 1000, 5)
    found = make(base).nearest(base[own], base, 3, exclude=own)
    assert (found.indices != own[:, None]).all()
    true = apart(base[own], base)
    true[np.arange(len(own)), own] = np.inf
    assert share(found, true, 3) > 0.97


def test_vectors_that_are_all_the_same():
    base = np.concatenate([np.zeros((4500, 8)), np.ones((4500, 8))]).astype(np.float32)
    made = make(base)
    found = made.nearest(base[::30], base, 40)
    assert all(len(set(row)) == 40 for row in found.indices.tolist())
    np.testing.assert_array_equal(found.distances, np.take_along_axis(apart(base[::30], base), found.indices, 1))
    assert made.recall(40) == pytest.approx((found.distances == 0).mean(), abs=0.1)
    same = np.ones((3000, 8), np.float32)
    assert make(same).recall(40) == 1
    assert (make(same).nearest(same[:9], same, 40).distances == 0).all()


@pytest.mark.parametrize("count", [2, 5, 60])
def test_few_vectors_are_all_compared(count):
    base, queries = crowd(count, 30, 1), crowd(9, 30, 2)
    found, true = make(base).nearest(queries, base, 2), nearest(queries, base, 2)
    np.testing.assert_array_equal(found.indices, true.indices)
    np.testing.assert_array_equal(found.distances, true.distances)


def test_it_comes_back_from_its_arrays_and_what_is_no_index_is_refused():
    base = crowd(1000, 70, 1)
    made = make(base)
    arrays = made.arrays()
    again = Index.from_arrays(arrays)
    for name in ("distances", "indices"):
        np.testing.assert_array_equal(
            getattr(made.nearest(base[:50], base, 4), name), getattr(again.nearest(base[:50], base, 4), name)
        )
    assert (again.recall(7), again.judged, again.metric) == (made.recall(7), made.judged, "euclidean")
    for name, values, text in (
        ("codes", arrays["codes"][1:], "999 codes do not fit 1000 vectors"),
        ("codes", arrays["codes"][:, :8], "codes of .8,. numbers do not fit .32, 70. directions"),
        ("codes", arrays["codes"].astype(np.int16), "codes of the type int16 are none"),
        ("order", np.zeros_like(arrays["order"]), "its order leaves out a vector"),
    ):
        with pytest.raises(ValueError, match=text):
            Index.from_arrays({**arrays, name: values})


def test_what_is_refused():
    base = crowd(500, 12, 1)
    made = make(base)
    with pytest.raises(OptionError, match="501 neighbours of each were asked for, where there can be 1 to 500"):
        made.nearest(base[:2], base, 501)
    for others in (base[:499], base[:, :11]):
        with pytest.raises(OptionError, match=r"index of 500 vectors of 12 numbers does not fit \d+ of 1[12]: it"):
            made.nearest(base[:2, : others.shape[1]], others, 3)
    with pytest.raises(OptionError, match="vectors of 11 numbers cannot be compared with vectors of 12"):
        made.nearest(base[:2, :11], base, 3)
    with pytest.raises(OptionError, match="row 3 of the queries holds a number that is not finite"):
        made.nearest(np.where(np.arange(5)[:, None] == 3, np.nan, base[:5]), base, 3)
    with pytest.raises(OptionError, match="an index needs two vectors at least, got 1"):
        make(base[:1])
    base[77, 3] = np.inf
    with pytest.raises(OptionError, match="of the base holds a number that is not finite"):
        make(base)


def test_it_can_be_stopped(monkeypatch):
    monkeypatch.setattr(module, "ROWS", 100)
    with stoppable() as token:
        token.stop()
        with pytest.raises(Stopped):
            make(crowd(500, 12, 1))


def test_tensors_will_do():
    base, queries = crowd(700, 24, 1), crowd(5, 24, 2)
    made = make(torch.from_numpy(base))
    np.testing.assert_array_equal(
        made.nearest(torch.from_numpy(queries), torch.from_numpy(base), 4).indices,
        make(base).nearest(queries, base, 4).indices,
    )
