"""Files are written whole or not at all."""

from __future__ import annotations

import csv
import io
import os
import stat
from pathlib import Path

import pytest

from striate.errors import OutputError
from striate.files import byte_count, csv_text, kind_of, one_line, shown, write_bytes, write_text


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_writes_makes_folders_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "a" / "b" / "result.json"
    assert write_text(str(path), "größer\r\nals\n") == path
    assert path.read_bytes() == "größer\r\nals\n".encode()
    assert write_bytes(path, b"new") == path
    assert path.read_bytes() == b"new"
    assert everything(tmp_path) == ["a", "a/b", "a/b/result.json"]


def test_what_cannot_be_written_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "result.json"
    path.write_bytes(b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError) as caught:
        write_bytes(path, b"new")
    assert str(caught.value) == (
        f"Cannot write {path}: No space left on device. Choose another place for it, or make room or get the right "
        "there."
    )
    with pytest.raises(OutputError):
        write_bytes(tmp_path / "x" / "y" / "result.json", b"new")
    assert path.read_bytes() == b"old"
    assert everything(tmp_path) == ["result.json"]


def test_an_interruption_leaves_nothing_either(tmp_path, monkeypatch):
    def interrupt(handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(tmp_path / "x" / "result.json", b"new")
    assert everything(tmp_path) == []


def test_folders_and_files_in_the_way(tmp_path):
    with pytest.raises(OutputError, match=r"it is a folder. Give the name of a file in it"):
        write_bytes(tmp_path, b"")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"Cannot write .*file/result.json: something on the way to it is a file"):
        write_bytes(tmp_path / "file" / "result.json", b"")
    with pytest.raises(OutputError, match="Cannot write"):
        write_bytes("a\0b", b"")
    assert everything(tmp_path) == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        write_bytes(tmp_path / "locked" / "result.json", b"")


def test_permissions_are_those_of_any_file(tmp_path):
    plain = tmp_path / "plain"
    plain.touch()
    new = write_bytes(tmp_path / "new", b"x")
    assert stat.S_IMODE(new.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    plain.chmod(0o640)
    write_bytes(plain, b"y")
    assert stat.S_IMODE(plain.stat().st_mode) == 0o640


def test_links_stay_links(tmp_path):
    target = tmp_path / "elsewhere" / "target"
    link = tmp_path / "link"
    link.symlink_to(target)
    write_bytes(link, b"x")
    assert link.is_symlink()
    assert target.read_bytes() == b"x"


def test_words():
    assert [byte_count(count) for count in (0, 999, 81_400, 3_440_000)] == ["0 bytes", "999 bytes", "81 kB", "3.4 MB"]
    assert byte_count(1_240_000_000) == "1.2 GB"
    assert shown("a\nb\u202ec\udcff é.jpg") == r"a\nb\u202ec\udcff é.jpg"
    assert one_line(ValueError("two\n lines\x1b")) == "two lines?"
    assert one_line(ValueError()) == "ValueError"
    assert kind_of(b"RIFF\0\0\0\0WEBPVP8 ") == "WebP"
    assert kind_of(b"RIFF\0\0\0\0WAVEfmt ") is None


def test_a_table_is_read_back_whatever_is_in_its_cells():
    rows = [["name", "reason"], ["a,b.png", 'said "no"'], ["line\nfeed", "carriage\rreturn"], ["", "é"]]
    assert list(csv.reader(io.StringIO(csv_text(rows), newline=""), strict=True)) == rows
