"""Indexes in the folder of an atlas: made once, of the very features, anew where they are not; never pickled."""

from __future__ import annotations

import errno
import os
import shutil

import numpy as np
import pytest

from lenses.small_atlas import make_network, pictures_of, small_atlas
from striate import atlas as atlases
from striate.atlas import searching
from striate.atlas.nearest import nearest
from striate.atlas.searching import forget, kept_indexes, over_features, over_pixels
from striate.errors import AddressError, OptionError

COUNT = 300


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Let so few pictures have an index."""
    monkeypatch.setattr(searching, "FEW", 10)


@pytest.fixture(scope="module")
def network():
    return make_network()


@pytest.fixture(scope="module")
def whole(network, tmp_path_factory):
    folder = tmp_path_factory.mktemp("atlas") / "a"
    small_atlas(folder, network, pictures_of(network, COUNT), features=["second_relu", "head"])
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "a")


@pytest.fixture
def unmade(monkeypatch):
    """From here on no index can be made."""

    def never(*_args, **_options):
        raise AssertionError("an index was made")

    return lambda: monkeypatch.setattr(searching, "make", never)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_exactly_is_every_pair_and_approximately_nearly(folder, metric):
    held = atlases.open(folder)
    exact = over_features(held, "second_relu", metric=metric)
    near = over_features(held, "second_relu", way="approximate", metric=metric)
    assert exact.recall(5) == 1
    assert exact.index is None
    base = held.features("second_relu")
    true = nearest(base[:40], base, 5, metric=metric)
    np.testing.assert_array_equal(exact.nearest(base[:40], 5).indices, true.indices)
    found = near.nearest(base[:40], 5)
    assert (found.indices == true.indices).mean() > 0.95
    assert near.recall(5) > 0.95


def test_it_is_made_once_and_kept_in_one_file_without_pickles(folder, unmade):
    held = atlases.open(folder)
    made = over_features(held, "head", way="approximate")
    assert made.notes == ("The index of head was made, and kept in the atlas.",)
    assert [file.name for file in kept_indexes(held)] == ["features-1-euclidean.index.npz"]
    assert not list(held.folder.glob(".*"))
    with np.load(kept_indexes(held)[0], allow_pickle=False) as arrays:
        assert all(arrays[name].dtype != object for name in arrays.files)
    unmade()
    for again in (held, atlases.open(folder)):
        opened = over_features(again, "head", way="approximate")
        assert opened.notes == ()
        queries = held.features("head")[:20]
        np.testing.assert_array_equal(opened.nearest(queries, 4).indices, made.nearest(queries, 4).indices)
        assert opened.recall(4) == made.recall(4)
    shutil.copytree(folder, folder.with_name("b"), copy_function=shutil.copy)  # other times of change
    assert over_features(atlases.open(folder.with_name("b")), "head", way="approximate").notes == ()


def test_one_of_other_features_is_made_anew(folder):
    held = atlases.open(folder)
    over_features(held, "head", way="approximate")
    file = held.feature_file("head")
    values = np.load(file)
    os.utime(file, ns=(1, 1))  # the same features with another time are the same
    assert over_features(atlases.open(folder), "head", way="approximate").notes == ()
    values[0, 0] += 1
    np.save(file, values)
    for notes in (
        (
            "The index of head was made anew: the one that was there is not of this features-1.npy, and kept in the "
            "atlas.",
        ),
        (),
    ):
        assert over_features(atlases.open(folder), "head", way="approximate").notes == notes


@pytest.mark.parametrize("damage", ["cut", "bit", "other", "format"])
def test_a_damaged_one_is_made_anew(folder, damage):
    held = atlases.open(folder)
    over_features(held, "head", way="approximate")
    (file,) = kept_indexes(held)
    data = bytearray(file.read_bytes())
    if damage == "cut":
        file.write_bytes(data[: len(data) // 2])
    elif damage == "bit":
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    elif damage == "other":
        file.write_bytes(b"no archive")
    else:
        with np.load(file) as arrays:
            found = dict(arrays)
        found["about"] = np.array(str(found["about"]).replace("striate-index-2", "striate-index-9"))
        np.savez(file, **found)
    (note,) = over_features(atlases.open(folder), "head", way="approximate").notes
    assert note.startswith("The index of head was made anew: the one that was there ")
    assert over_features(atlases.open(folder), "head", way="approximate").notes == ()


def test_where_nothing_can_be_written_it_is_said_and_nothing_is_left(folder, monkeypatch):
    def full(*_args, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(searching.np, "savez", full)
    found = over_features(atlases.open(folder), "head", way="approximate")
    assert found.notes == ("The index of head was made, but could not be kept (No space left on device).",)
    assert not kept_indexes(atlases.open(folder))
    assert not list(atlases.open(folder).folder.glob(".*"))


def test_pixels_have_one_too_and_all_can_be_removed(network, folder):
    held = atlases.open(folder)
    made = over_pixels(network, held, way="approximate")
    assert made.notes == ("The index by pixels was made, and kept in the atlas.",)
    true = nearest(made.base[:30], made.base, 5)
    assert (made.nearest(made.base[:30], 5).distances <= true.distances[:, -1:]).mean() > 0.9
    over_features(held, "head", way="approximate", metric="cosine")
    assert [file.name for file in kept_indexes(held)] == [
        "features-1-cosine.index.npz", "pixels-32-euclidean.index.npz"
    ]  # fmt: skip
    assert forget(held) == 2
    assert kept_indexes(held) == ()
    assert over_pixels(network, held, way="approximate").notes != ()


def test_few_pictures_need_none(folder, monkeypatch, unmade):
    monkeypatch.undo()
    unmade()
    found = over_features(atlases.open(folder), "head", way="approximate")
    assert found.notes == ("300 pictures need no index: every one was compared.",)
    assert found.recall(5) == 1


def test_what_is_refused(folder):
    held = atlases.open(folder)
    with pytest.raises(OptionError, match="searched in one of these ways: exact, approximate; got 'quickly'"):
        over_features(held, "head", way="quickly")
    with pytest.raises(OptionError, match="no metric 'manhattan'; there are euclidean, cosine"):
        over_features(held, "head", way="approximate", metric="manhattan")
    with pytest.raises(AddressError, match="no features of 'first'"):
        over_features(held, "first", way="approximate")
