"""Pictures kept in a file: found again by the next run, written whole or not at all, gone when nobody wants them."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

from striate import dataset
from striate.errors import OutputError, Stopped
from striate.learn.pictures.augment import Augment
from striate.learn.pictures.decoding import Reader
from striate.learn.pictures.feeding import feed
from striate.learn.pictures.on_disk import OnDisk, key_of
from striate.progress import Stop, listen, stoppable
from striate.spec import InputSpec

SPEC = InputSpec(3, 8, 8)


@pytest.fixture
def folder(tmp_path):
    where = tmp_path / "pictures"
    where.mkdir()
    rng = np.random.default_rng(0)
    for index in range(6):
        Image.fromarray(rng.integers(0, 256, (9, 10, 3), dtype=np.uint8)).save(where / f"{index}.png")
    (where / "3.png").write_bytes(b"broken")
    return where


def reader(folder, spec=SPEC, indices=None):
    pictures = dataset.open(folder)
    return Reader(pictures, np.arange(len(pictures)) if indices is None else indices, spec, 2)


def made(folder, cache, storage="disk", **settings):
    pictures = dataset.open(folder)
    indices = np.arange(len(pictures))
    return feed(
        pictures, indices, np.zeros(len(pictures), np.int64), SPEC, batch=3, training=False, storage=storage,
        cache=cache, **settings,
    )  # fmt: skip


def images(one):
    with one:
        return torch.cat([batch.images for batch in one.epoch(1)]), one.broken


def test_the_next_run_decodes_nothing(folder, tmp_path, monkeypatch):
    first, broken = images(made(folder, tmp_path / "cache"))
    assert list(broken) == [3]

    def fail(*anything):
        raise AssertionError("a picture was decoded again")

    monkeypatch.setattr(Reader, "begin", fail)
    for storage in ("disk", "memory"):
        again = made(folder, tmp_path / "cache", storage)
        assert "found" in again.storage
        found, named = images(again)
        assert torch.equal(found, first)
        assert named == broken
    assert sorted(file.suffix for file in (tmp_path / "cache").iterdir()) == [".json", ".npy"]


def test_a_list_of_files_is_found_again_and_a_data_set_of_one_s_own_is_not(folder, tmp_path):
    files = sorted(folder.glob("*.png"))
    for source, words in ((files, "found"), ([(np.zeros((8, 8, 3), np.uint8), 0)] * 3, "written")):
        for _ in range(2):
            pictures = dataset.open(source)
            indices = np.arange(len(pictures))
            with feed(
                pictures, indices, np.zeros_like(indices), SPEC, batch=2, training=True, storage="disk",
                cache=tmp_path / "cache",
            ) as one:  # fmt: skip
                storage = one.storage
        assert words in storage
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 1


def test_other_pictures_sizes_or_a_changed_file_have_other_keys(folder):
    keys = {
        key_of(reader(folder)),
        key_of(reader(folder, SPEC.changed(height=9))),
        key_of(reader(folder, SPEC.changed(interpolation="bicubic"))),
        key_of(reader(folder, indices=np.arange(3))),
        key_of(reader(folder, indices=np.arange(3)[::-1])),
    }
    assert key_of(reader(folder, SPEC.changed(mean=(0.5,)))) in keys  # what is kept is not normalised
    os.utime(folder / "1.png", ns=(1, 1))
    keys.add(key_of(reader(folder)))
    assert len(keys) == 6


def test_without_a_cache_nothing_stays(folder, monkeypatch, tmp_path):
    there = tmp_path / "temporary"
    there.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(there))
    with made(folder, None) as one:
        assert len(list(one.epoch(1))) == 2
        assert len(list(there.iterdir())) == 1
    assert list(there.iterdir()) == []


def test_what_a_killed_run_left_is_removed(folder, tmp_path):
    key = key_of(reader(folder))
    cache = tmp_path / "cache"
    cache.mkdir()
    half = cache / f".pictures-{key}.abc.part"
    half.write_bytes(b"half")
    assert OnDisk.found(cache, key) is None
    images(made(folder, cache))
    assert not half.exists()


def test_a_file_that_is_cut_off_is_not_used(folder, tmp_path):
    cache = tmp_path / "cache"
    first, _ = images(made(folder, cache))
    path = next(cache.glob("*.npy"))
    os.truncate(path, path.stat().st_size - 5)
    again = made(folder, cache)
    assert "written" in again.storage
    assert torch.equal(images(again)[0], first)


def test_a_full_disk_is_said_and_nothing_is_left(folder, tmp_path):
    resource = pytest.importorskip("resource")
    cache = tmp_path / "cache"
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400, limit[1]))  # bytes that a file may have: writing fails beyond
    try:
        with pytest.raises(OutputError, match=r"Cannot keep pictures in .*cache: File too large. Make room there"):
            made(folder, cache)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(cache.iterdir()) == []


def test_a_cache_that_is_a_file_is_said(folder, tmp_path):
    (tmp_path / "cache").write_text("")
    with pytest.raises(OutputError, match="Cannot keep pictures in"):
        made(folder, tmp_path / "cache")


@pytest.mark.parametrize("storage", ["disk", "memory"])
def test_stopped_while_decoding_nothing_is_left(folder, tmp_path, storage):
    with stoppable() as stop:

        def hear(event):
            assert isinstance(stop, Stop)
            stop.stop()

        with listen(hear), pytest.raises(Stopped, match="reading the pictures"):
            made(folder, tmp_path / "cache", storage)
    assert list(tmp_path.glob("cache/*")) == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("striate-decoding")]


def test_two_that_want_the_same_file_decode_it_once(folder, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    begun = []
    plain = Reader.all
    monkeypatch.setattr(Reader, "all", lambda self: begun.append(1) or plain(self))
    key = key_of(reader(folder))
    stores = []
    threads = [
        threading.Thread(target=lambda: stores.append(OnDisk.read(reader(folder), cache, key))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(begun) == 1
    assert len({store.path for store in stores}) == 1
    for store in stores:
        assert np.array_equal(store.values, stores[0].values)
    for store in stores:
        store.close()


def test_a_lock_that_was_removed_while_waiting_counts_for_nothing(folder, tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    cache = tmp_path / "cache"
    cache.mkdir()
    begun = threading.Event()
    plain = Reader.all
    monkeypatch.setattr(Reader, "all", lambda self: begun.set() or plain(self))
    key = key_of(reader(folder))
    lock = cache / f"pictures-{key}.lock"
    with lock.open("w") as first, (tmp_path / "second").open("w") as second:
        fcntl.flock(first, fcntl.LOCK_EX)
        fcntl.flock(second, fcntl.LOCK_EX)
        waiting = threading.Thread(target=lambda: OnDisk.read(reader(folder), cache, key).close())
        waiting.start()
        time.sleep(0.3)
        os.replace(tmp_path / "second", lock)  # the first is done, another has made a lock of its own since
        fcntl.flock(first, fcntl.LOCK_UN)
        assert not begun.wait(0.5)
        fcntl.flock(second, fcntl.LOCK_UN)
        waiting.join()
    assert begun.is_set()
    assert OnDisk.found(cache, key) is not None


def test_what_is_there_is_used_where_nothing_can_be_written(folder, tmp_path):
    cache = tmp_path / "cache"
    first, _ = images(made(folder, cache))
    (cache / f"pictures-{key_of(reader(folder))}.lock").mkdir()  # no lock can be written, as in a folder of others
    again, broken = images(made(folder, cache))
    assert torch.equal(first, again)
    assert list(broken) == [3]


def test_floats_are_kept_as_floats(tmp_path):
    values = np.random.default_rng(0).random((5, 8, 8, 3), dtype=np.float32)
    np.savez(tmp_path / "x.npz", images=values)
    pictures = dataset.open(tmp_path / "x.npz")
    with feed(
        pictures, np.arange(5), np.zeros(5, np.int64), SPEC, batch=5, training=True, storage="disk",
        cache=tmp_path / "cache", augment=Augment(flip="both"),
    ) as one:  # fmt: skip
        (batch,) = one.epoch(1)
    assert np.load(next((tmp_path / "cache").glob("*.npy"))).dtype == np.float32
    assert {round(float(image.sum()), 3) for image in batch.images} == {round(float(one.sum()), 3) for one in values}
