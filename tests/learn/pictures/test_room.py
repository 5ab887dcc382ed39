"""Where pictures are kept: memory while there is room, then the disk, then nowhere."""

from __future__ import annotations

import pytest
import torch

from striate.errors import OptionError
from striate.learn.pictures import room
from striate.learn.pictures.room import choose, free_disk, free_memory

CPU = torch.device("cpu")


@pytest.fixture
def gigabyte(monkeypatch):
    """A machine with 10 GB of memory and 100 GB of disk."""
    monkeypatch.setattr(room, "free_memory", lambda: 10**10)
    monkeypatch.setattr(room, "free_disk", lambda folder: 10**11)


@pytest.mark.parametrize(
    ("size", "settings", "kind", "said"),
    [
        (10**9, {}, "memory", "memory: they take 1.0 GB, and 4.0 GB may be used"),
        (10**9, {"processes": 8}, "disk", "disk: they take 1.0 GB, more than the 500.0 MB of memory"),
        (5 * 10**9, {}, "disk", "more than the 4.0 GB of memory"),
        (5 * 10**9, {"mapped": True}, "stream", "lie on disk as they are needed"),
        (10**11, {}, "stream", "the 40.0 GB of disk"),
        (10**3, {"varies": True}, "stream", "draws by lot itself"),
    ],
)
def test_the_first_that_has_room(gigabyte, size, settings, kind, said):
    found = choose("auto", size, CPU, **settings)
    assert found.kind == kind
    assert said in found.words


def test_what_is_asked_for_is_done(gigabyte):
    assert choose("memory", 10**12, CPU).kind == "memory"
    assert choose("stream", 1, CPU).words == "stream, as asked: they take 1 bytes"


def test_another_storage_is_refused():
    with pytest.raises(OptionError, match="no storage 'ram'; there are auto, memory, disk and stream"):
        choose("ram", 1, CPU)


def test_this_machine_has_some(tmp_path):
    assert 10**7 < free_memory() < 10**14
    assert free_disk(tmp_path / "not" / "there") == free_disk(tmp_path) > 0


def test_a_container_s_limit_holds(monkeypatch, tmp_path):
    (tmp_path / "memory.max").write_text("3000000\n")
    (tmp_path / "memory.current").write_text("1000000\n")
    monkeypatch.setattr(room, "_CGROUP", tmp_path)
    assert free_memory() == 2_000_000
    (tmp_path / "memory.max").write_text("max\n")
    assert free_memory() > 2_000_000
