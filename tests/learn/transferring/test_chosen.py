"""The pictures of a split as one set: the same pictures, names and labels as in the sets that they lie in."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from striate import dataset
from striate.learn import split
from striate.learn.transferring.chosen import Chosen
from striate.spec import InputSpec

SPEC = InputSpec(3, 12, 10)


def pixels(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 12, 10, 3), dtype=np.uint8)


def test_one_set():
    values = pixels(20, 0)
    parts = split(dataset.open(values, labels=np.arange(20) % 2), share=0.3)
    chosen = Chosen(parts)
    places = np.concatenate([parts.train_indices, parts.validation_indices])
    assert len(chosen) == 20
    assert chosen.trains == len(parts.train_indices)
    assert sorted(places.tolist()) == list(range(20))
    assert [chosen.name(index) for index in range(20)] == [parts.train.name(int(place)) for place in places]
    assert chosen.labels.tolist() == (places % 2).tolist()
    for index in (0, chosen.trains, 19):
        assert torch.equal(chosen.read(index, SPEC), parts.train.read(int(places[index]), SPEC))
    with pytest.raises(IndexError):
        chosen.name(20)


def test_two_sets_at_once_and_one_by_one():
    first, second = pixels(9, 1), pixels(7, 2)
    parts = split(dataset.open(first, labels=np.arange(9) % 3), dataset.open(second, labels=np.arange(7) % 3))
    chosen = Chosen(parts)
    assert chosen.name(0) == f"train/{parts.train.name(0)}"
    assert chosen.name(9) == f"validation/{parts.validation.name(0)}"
    wanted = np.array([8, 9, 0, 15, 10])
    together = chosen.fitted_many(wanted, SPEC)
    np.testing.assert_array_equal(together, np.stack([chosen.fitted(int(index), SPEC) for index in wanted]))
    np.testing.assert_array_equal(together[0], first[8])
    np.testing.assert_array_equal(together[3], second[6])
    assert chosen.identity != Chosen(split(dataset.open(first, labels=np.arange(9) % 3))).identity
