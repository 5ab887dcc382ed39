"""Folders that say what they are: each of the ways in which one can be none."""

from __future__ import annotations

import json

import pytest

from striate.errors import AtlasError, TrainingError
from striate.marked import read_marked

WORDS = {"thing": "a heap", "maker": "striate heap", "anew": "pile it up anew"}


def read(file, error=TrainingError):
    return read_marked(file, "heap-2", **WORDS, error=error)


def test_what_was_written_is_read(tmp_path):
    file = tmp_path / "heap.json"
    file.write_text(json.dumps({"format": "heap-2", "stones": [1, "zwei", None]}))
    assert read(file) == {"format": "heap-2", "stones": [1, "zwei", None]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"heaps is no heap \(it has no heap\.json\)\. `striate heap` makes one\."),
        (b"{", r"heap\.json cannot be read \(.+\)\. Copy it again, or pile it up anew\."),
        (b"\xff\xfe\x00", r"heap\.json cannot be read \(.+\)\. Copy it again"),
        (b"[" * 100_000, r"heap\.json cannot be read \(.+\)\. Copy it again"),
        (b"[]", r"heap\.json has the format None, where this version of Striate reads 'heap-2'\."),
        (
            b'{"format": "heap-1"}',
            r"the format 'heap-1', .* Open it with the version that wrote it, or pile it up anew",
        ),
    ],
)
def test_what_is_wrong_with_it_is_said(tmp_path, content, message):
    file = tmp_path / "heaps" / "heap.json"
    file.parent.mkdir()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(TrainingError, match=message):
        read(file)


def test_where_there_is_no_folder(tmp_path):
    with pytest.raises(AtlasError, match=r"gone does not exist\. `striate heap` makes one\."):
        read(tmp_path / "gone" / "heap.json", AtlasError)
    (tmp_path / "file").write_text("")
    with pytest.raises(AtlasError, match=r"file is a file; a heap is a folder\."):
        read(tmp_path / "file" / "heap.json", AtlasError)
