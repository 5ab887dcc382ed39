"""Builds that are killed, starved, crowded and lied to: what is there afterwards is whole, and is said clearly."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from atlas.small import contents, network, picture, pictures
from picture_files import REAL, chunk, png
from striate import atlas, dataset
from striate.errors import AtlasError, OutputError, StriateError

HERE = Path(__file__).parent


def script(name: str, *words: object, timeout: float = 170) -> subprocess.CompletedProcess[str]:
    """Run one of the programs beside this file, with one thread: they fork."""
    command = [sys.executable, str(HERE / name), *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout, env=environment)


# --- killed


@pytest.mark.parametrize("moments", [3, pytest.param(20, marks=pytest.mark.long)], ids=["3 moments", "20 moments"])
def test_a_build_that_is_killed_and_resumed_gives_the_same_atlas(tmp_path, moments):
    folder = pictures(tmp_path / "pictures", 520)
    done = script("killing.py", folder, tmp_path / "out", moments, moments, timeout=600)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["wrong"] == []
    assert len(said["kept"]) == moments


# --- fed with rubbish


def test_a_folder_with_rubbish_in_it_is_built_to_its_end(tmp_path):
    folder = pictures(tmp_path / "pictures", 190)
    bomb = png(bytes.fromhex("000186a0 000186a0 08 02 00 00 00"), chunk(b"IDAT", b"x"))  # 100,000 x 100,000 pixels
    kinds = {
        "cut": (REAL["jpeg"][:700], "cut off"),
        "empty": (b"", "0 bytes"),
        "text": (b"no picture", "text"),
        "huge": (bomb, "too large"),
        "noise": (np.random.default_rng(0).bytes(5000), "not a picture"),
    }
    rubbish = {
        f"{part}/{number}-{kind}.png": kind for part, number in (("ant", "00010"), ("cat", "99")) for kind in kinds
    }
    for name, kind in rubbish.items():  # a picture in twenty, alone and in a row
        (folder / name).write_bytes(kinds[kind][0])
    for index, name in enumerate(("ant/00001-a.jpg", "cat/00003-b.gif")):  # pictures, only called otherwise
        picture(tmp_path / "other.png", 1000 + index)
        (tmp_path / "other.png").rename(folder / name)
    built = atlas.build(network(), folder, tmp_path / "atlas", batch=16)
    assert len(built) == 192
    listed = dict(built.broken)
    assert set(listed) == set(rubbish)
    for name, kind in rubbish.items():
        assert kinds[kind][1] in listed[name]
    # the others are numbered as if the broken ones had never been there
    for name in rubbish:
        (folder / name).unlink()
    clean = dataset.open(folder)
    assert [built.pictures.name(index) for index in range(192)] == [clean.name(index) for index in range(192)]
    again = atlas.build(network(), folder, tmp_path / "clean", batch=16)
    for place in built.layers:
        one, other = built.layer(place), again.layer(place)
        np.testing.assert_array_equal(one.top_pictures, other.top_pictures)
        np.testing.assert_allclose(one.top_values, other.top_values, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(one.mean, other.mean, rtol=1e-5, atol=1e-7)


def test_a_folder_of_nothing_but_rubbish_is_refused(tmp_path):
    (tmp_path / "pictures").mkdir()
    for index in range(5):
        (tmp_path / "pictures" / f"{index}.jpg").write_bytes(b"")
    with pytest.raises(StriateError, match=r"none of the pictures can be read\. The first: .*0\.jpg is empty"):
        atlas.build(network(), tmp_path / "pictures", tmp_path / "atlas")
    assert not (tmp_path / "atlas" / "manifest.json").exists()


# --- starved


def test_a_full_disk_is_said_and_does_no_harm(tmp_path):
    """On a small disk of its own, where this process may make one."""
    folder = pictures(tmp_path / "pictures", 300)
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size=3m tmpfs {disk}"
    if subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount a small disk (user namespaces)")
    words = " ".join(map(str, (sys.executable, HERE / "starving.py", folder, disk)))
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", f"{mount} && exec {words}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=170,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert "No space left on device" in said["error"]
    assert said["kind"] in ("OutputError", "AtlasError")
    assert said["same"]
    assert said["resumed"]


class Disk:
    """What flushes files, and finds the disk full at one of them."""

    def __init__(self, fsync):
        self.fsync, self.done, self.full_at = fsync, 0, None

    def __call__(self, handle):
        self.done += 1
        if self.done == self.full_at:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.fsync(handle)


def test_a_writer_that_fails_is_said_and_does_no_harm(tmp_path, monkeypatch):
    """The same without a disk: whatever write fails, at the first, a middle or the last, what was there stays."""
    folder, out = pictures(tmp_path / "pictures", 200), tmp_path / "atlas"
    atlas.build(network(), folder, out, layers=["0"])
    before = contents(out)
    disk = Disk(os.fsync)
    monkeypatch.setattr("os.fsync", disk)
    for name in ("whole", "first", "second", "middle", "last"):
        shutil.copytree(out, tmp_path / name)
    atlas.build(network(), folder, tmp_path / "whole", layers=["0", "2"])
    total, truth = disk.done, contents(tmp_path / "whole")
    assert total > 4
    for name, moment in (("first", 1), ("second", 2), ("middle", total // 2), ("last", total)):
        disk.done, disk.full_at = 0, moment
        with pytest.raises((OutputError, AtlasError), match="No space left on device"):
            atlas.build(network(), folder, tmp_path / name, layers=["0", "2"])
        assert contents(tmp_path / name) == before
        assert len(atlas.open(tmp_path / name)) == 200
        disk.full_at = None
        atlas.build(network(), folder, tmp_path / name, layers=["0", "2"])
        assert contents(tmp_path / name) == truth


# --- crowded


def test_a_second_build_into_one_folder_is_refused(tmp_path):
    folder = pictures(tmp_path / "pictures", 900)
    done = script("crowding.py", folder, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["kind"] == "AtlasError"
    assert f"another process ({said['pid']} on " in said["error"]
    assert "is building the atlas" in said["error"]
    assert said["first"] == 0  # the first is not disturbed
    assert said["after_a_kill"] == 0  # a lock whose owner is dead keeps nobody out


# --- lied to


@pytest.mark.parametrize("change", ["another picture", "one less", "one more", "other labels"])
def test_a_folder_that_changed_between_kill_and_resume_is_noticed(tmp_path, monkeypatch, change):
    folder, out = pictures(tmp_path / "pictures", 300), tmp_path / "atlas"
    with pytest.raises(KeyboardInterrupt):
        interrupted(folder, out, monkeypatch)
    assert not (out / "manifest.json").exists()
    if change == "another picture":
        picture(folder / "ant" / "00003.png", 77)
        os.utime(folder / "ant" / "00003.png", (1, 1))
    elif change == "one less":
        (folder / "ant" / "00003.png").unlink()
    elif change == "one more":
        picture(folder / "ant" / "00004.png", 77)
    else:
        (folder / "bee").rename(folder / "zoo")
    with pytest.raises(AtlasError, match=r"its pictures are not those that it began with.*removing .*/work\."):
        atlas.build(network(), folder, out)


def interrupted(folder: Path, out: Path, monkeypatch) -> None:
    """Build, and be stopped by Ctrl-C after a share or two."""
    from striate import progress

    def stop(event: progress.Event) -> None:
        if event.total and event.done > 0.5 * event.total:
            raise KeyboardInterrupt

    with progress.listen(stop):
        atlas.build(network(), folder, out)
