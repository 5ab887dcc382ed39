"""`striate check`: everything that is wrong with a folder is found, said, kept, drawn and printed."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from learn.folders import fill, noise
from striate import dataset, progress
from striate.cli import main
from striate.errors import DataError, ImageError, OptionError, OutputError, Stopped
from striate.learn.checking.check import check
from striate.learn.checking.remembering import Memory, usual_place
from striate.report.checking import check as write_report
from striate.results import FolderCheck, Group
from striate.results.base import Recipe

module = importlib.import_module("striate.learn.checking.looking")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """A folder for caches that no other test sees."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def smooth(name: str, size: tuple[int, int] = (60, 80)) -> Image.Image:
    """A picture of few frequencies, that survives JPEG, unlike any other."""
    return noise(name, (6, 8)).resize(size[::-1], Image.Resampling.BICUBIC)


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three classes with one of each defect."""
    root = tmp_path / "set"
    for label, many in (("cat", 12), ("dog", 6), ("elk", 3)):
        (root / label).mkdir(parents=True)
        for number in range(many):
            smooth(f"{label}{number}").save(root / label / f"{number:02d}.png")
    shutil.copy(root / "cat/00.png", root / "cat/copy.png")
    shutil.copy(root / "cat/01.png", root / "dog/wrong.png")
    Image.open(root / "cat/02.png").save(root / "cat/packed.png", compress_level=0)
    Image.open(root / "dog/03.png").resize((53, 40), Image.Resampling.LANCZOS).save(root / "dog/small.jpg", quality=70)
    smooth("grey").convert("L").save(root / "dog/grey.png")
    Image.fromarray((np.arange(60 * 80).reshape(60, 80) * 13).astype(np.uint16)).save(root / "dog/deep.png")
    smooth("ink").convert("CMYK").save(root / "dog/ink.jpg")
    smooth("clear").convert("RGBA").save(root / "dog/clear.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    smooth("turned").save(root / "cat/turned.jpg", exif=turned)
    (root / "elk/cut.png").write_bytes((root / "elk/00.png").read_bytes()[:900])
    (root / "elk/empty.jpg").write_bytes(b"")
    (root / "elk/web.png").write_bytes(b"<html>gone</html>")
    return root


def named(found: FolderCheck, groups: list[Group]) -> set[frozenset[str]]:
    return {frozenset(found.names[one] for one in group.members) for group in groups}


def test_every_defect_is_found_and_nothing_else(folder):
    found = check(folder)
    assert len(found) == 33
    assert dict(zip(found.class_names, found.counts.tolist(), strict=True)) == {"cat": 15, "dog": 12, "elk": 6}
    assert [found.names[index] for index, _ in found.broken] == ["elk/cut.png", "elk/empty.jpg", "elk/web.png"]
    reasons = [reason for _, reason in found.broken]
    assert "elk/cut.png is cut off" in reasons[0]
    assert "elk/empty.jpg is empty (0 bytes)" in reasons[1]
    assert "seems to be a web page" in reasons[2]
    assert {(group.kind, *sorted(found.names[one] for one in group.members)) for group in found.groups} == {
        ("bytes", "cat/00.png", "cat/copy.png"),
        ("bytes", "cat/01.png", "dog/wrong.png"),
        ("pixels", "cat/02.png", "cat/packed.png"),
        ("near", "dog/03.png", "dog/small.jpg"),
    }
    assert named(found, found.conflicts()) == {frozenset({"cat/01.png", "dog/wrong.png"})}
    place = {name: index for index, name in enumerate(found.names)}
    assert found.sizes[place["cat/turned.jpg"]].tolist() == [60, 80]  # upright
    assert found.turns[place["cat/turned.jpg"]] == 6
    assert found.sizes[place["dog/small.jpg"]].tolist() == [53, 40]
    modes = {name: found.modes[place[f"dog/{name}"]] for name in ("grey.png", "deep.png", "ink.jpg", "clear.png")}
    assert modes == {"grey.png": "L", "deep.png": "I;16", "ink.jpg": "CMYK", "clear.png": "RGBA"}
    assert found.formats[place["dog/ink.jpg"]] == "JPEG"


def test_it_is_said_in_words(folder):
    text = check(folder).caption()
    for part in (
        "33 pictures of 3 classes in the folder set.",
        "The classes are somewhat uneven, from 6 (elk) to 15 pictures (cat): 2.5 to 1.",
        "3 pictures cannot be read and will be left out (the first: elk/cut.png is cut off",
        "2 pictures are copies of another, byte for byte.",
        "1 picture is a copy of another, pixel for pixel.",
        "2 pictures in 1 group are nearly the same.",
        "1 group stands under more than one class: one of the labels must be wrong.",
        "Width x height from 53 x 40 to ",
        "1 is stored turned and will be set upright (EXIF).",
        "1 CMYK",
        "1 grey of 16 bits",
    ):
        assert part in text


def test_what_would_lie_on_both_sides_is_what_the_split_says(tmp_path):
    root = tmp_path / "set"
    for label in ("a", "b"):
        (root / label).mkdir(parents=True)
        for number in range(20):
            picture = smooth(f"{label}{number}")
            picture.save(root / label / f"{number:02d}.png")
            picture.resize((60, 45), Image.Resampling.LANCZOS).save(
                root / label / f"{number:02d} small.jpg", quality=80
            )
    from striate.learn.pictures.split import split

    found = check(root, seed=3)
    assert len(found.nearly()) == 40
    made = split(root, seed=3)
    held = {made.validation.name(index) for index in made.validation_indices.tolist()}
    apart = {group for group in named(found, found.groups) if len({name in held for name in group}) == 2}
    assert named(found, found.leaks()) == apart
    assert apart
    many = f"{len(apart)} groups would lie on both sides of training and validation"
    assert many in found.caption()


def test_parts_are_compared(tmp_path):
    fill(tmp_path / "set" / "train", {"a": 4, "b": 4})
    fill(tmp_path / "set" / "val", {"a": 3, "b": 3}, first=50)
    shutil.copy(tmp_path / "set/train/a/0001.png", tmp_path / "set/val/a/again.png")
    found = check(tmp_path / "set")
    assert found.divided == ("train", "val")
    assert found.side_counts().tolist() == [[4, 4], [4, 3]]
    assert named(found, found.leaks()) == {frozenset({"train/a/0001.png", "val/a/again.png"})}
    assert "1 group lies on both sides of train and val" in found.caption()
    fill(tmp_path / "set" / "test", {"a": 2}, first=90)
    shutil.copy(tmp_path / "set/train/b/0001.png", tmp_path / "set/test/a/again.png")
    assert "2 groups lie in more than one of train, val and test" in check(tmp_path / "set").caption()


def test_only_changed_files_are_read_again(folder, cache, monkeypatch):
    first = check(folder)
    place = usual_place(folder)
    assert place.is_relative_to(cache)
    assert place.is_file()
    assert not list(folder.rglob(".*"))  # nothing is left beside the pictures
    read = []
    looked = module.inspect
    monkeypatch.setattr(module, "inspect", lambda pictures, index: read.append(index) or looked(pictures, index))
    second = check(folder)
    assert read == []
    assert second.numbers() == first.numbers()
    smooth("another").save(folder / "cat/00.png")
    fill(folder, {"elk": 1}, first=40)
    (folder / "dog/02.png").unlink()
    third = check(folder)
    assert sorted(third.names[index] for index in read) == ["cat/00.png", "elk/0040.png"]
    assert frozenset({"cat/00.png", "cat/copy.png"}) not in named(third, list(third.groups))
    fresh = check(folder, cache="none")
    assert fresh.numbers() == third.numbers()
    assert len(read) == 2 + len(third)


def test_a_cache_that_cannot_be_used_is_said_or_refused(folder, cache, monkeypatch, tmp_path):
    own = tmp_path / "own.npz"
    check(folder, cache=own)
    assert len(Memory.read(own)) == 33
    own.write_bytes(b"not an archive")
    assert check(folder, cache=own).numbers() == check(folder, cache="none").numbers()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert any("Cannot write" in note and "read every picture again" in note for note in check(folder).recipe.notes)
    with pytest.raises(OutputError):
        check(folder, cache=tmp_path / "file" / "own.npz")


def test_threads_change_nothing_and_stopping_keeps_what_was_found(folder):
    alone = check(folder, cache="none", workers=0)
    assert check(folder, cache="none", workers=3).numbers() == alone.numbers()
    with progress.stoppable() as stop:

        def after_ten(event: progress.Event) -> None:
            if event.task == module.TASK and event.done == 10:
                stop.stop()

        with progress.listen(after_ten), pytest.raises(Stopped):
            check(folder)
    assert len(Memory.read(usual_place(folder))) == 10
    assert check(folder).numbers() == alone.numbers()


def test_arrays_and_pictures_of_one_colour(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (30, 16, 14, 1), dtype=np.uint8)
    values[20] = values[3]
    values[10:15] = 200
    found = check(dataset.open(values, labels=np.arange(30) % 3))
    assert {group.members for group in found.copies()} == {(3, 20), (10, 11, 12, 13, 14)}
    assert found.nearly() == []
    assert "All are of 14 x 16 pixels." in found.caption()
    assert "30 array; 30 uint8 x1." in found.caption()
    floats = check(dataset.open(values.astype(np.float32) / 255, labels=np.arange(30) % 3))
    assert {group.members for group in floats.copies()} == {(3, 20), (10, 11, 12, 13, 14)}


def test_what_cannot_be_split_is_said_and_not_refused(tmp_path):
    found = check(fill(tmp_path / "set", {"a": 5, "b": 1}))
    assert found.divided == ()
    assert any("As it is, it cannot be trained on: 1 class with one picture (b)" in one for one in found.recipe.notes)
    assert "1 class has one picture only (the first: b)." in found.caption()
    noise("loose").save(tmp_path / "one.png")
    alone = check(tmp_path / "one.png")
    assert alone.leaks() == []
    alone.figure()
    with pytest.raises(DataError, match="does not exist"):
        check(tmp_path / "nothing")
    with pytest.raises(OptionError, match="near must be from 0 to 7 bits, got 9"):
        check(tmp_path / "set", near=9)


def test_it_is_drawn_kept_and_written_as_a_page(folder, tmp_path):
    found = check(folder)
    found.save(tmp_path / "check.png")
    with Image.open(tmp_path / "check.png") as sheet:
        assert sheet.width > 1500
    numbers = json.loads(found.save(tmp_path / "check.json").read_text())
    assert numbers["leaks"] == found.numbers()["leaks"]
    with np.load(found.save(tmp_path / "check.npz"), allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["sizes"], found.sizes)
        assert sorted(map(tuple, arrays["groups"].tolist()))[0] == (0, found.groups[0].members[0])
    assert [drawing.pixels.ndim for drawing in found.drawings()] == [3] * 4
    (folder / "cat" / "<b>&amp;.png").write_bytes(b"no picture")
    page = write_report(check(folder), tmp_path / "check.html").read_text("utf-8")
    assert "&lt;b&gt;&amp;amp;.png" in page
    assert "<b>&" not in page
    assert page.count("<figure>") == 4
    for title in ("Under two classes", "The same", "Nearly the same", "Cannot be read"):
        assert f">{title}<" in page
    assert "http" not in page.replace("http://www.w3.org", "")


def test_the_command_prints_tables_json_and_files(folder, tmp_path, capsys):
    assert main(["check", str(folder), "--out", str(tmp_path / "page.html")]) == 0
    out, _ = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "33 pictures of 3 classes in the folder set."
    assert any(line.split() == ["class", "pictures", "training", "validation"] for line in lines)
    assert "  cat/01.png and dog/wrong.png: the same file. Classes: cat, dog." in lines
    assert lines[-1] == str(tmp_path / "page.html")
    assert (tmp_path / "page.html").is_file()
    assert main(["check", str(folder), "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["classes"][0]["name"] == "cat"
    assert plain["recipe"]["lens"] == "check"
    assert main(["check", str(tmp_path / "none")]) == 2
    assert "does not exist" in capsys.readouterr().err
    assert main(["check", str(folder), "--out", str(tmp_path / "page.doc")]) == 2
    assert "must end in one of .html, .png, .json, .npz" in capsys.readouterr().err


def test_many_classes_are_drawn_and_listed_in_part(tmp_path, capsys):
    values = np.random.default_rng(0).integers(0, 256, (180, 8, 8, 3), dtype=np.uint8)
    labels = np.concatenate([np.arange(60)] * 2 + [np.arange(60) // 2])
    np.savez(tmp_path / "set.npz", images=values, labels=labels)
    assert main(["check", str(tmp_path / "set.npz"), "--out", str(tmp_path / "sheet.png")]) == 0
    out = capsys.readouterr().out
    assert "... 20 more (--all) ..." in out
    assert len(out.splitlines()) < 60
    assert main(["check", str(tmp_path / "set.npz"), "--all"]) == 0
    assert "more (--all)" not in capsys.readouterr().out


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    fill(tmp_path / "set", {"a": 3, "b": 3})
    os.mkfifo(tmp_path / "set/a/pipe.png")
    found = check(tmp_path / "set", cache="none", workers=0)
    assert [found.names[index] for index, _ in found.broken] == ["a/pipe.png"]
    assert "is not a regular file" in found.broken[0][1]


def test_what_may_not_be_read_is_tried_again_the_next_time(tmp_path, monkeypatch):
    inspecting = importlib.import_module("striate.learn.checking.inspecting")
    fill(tmp_path / "set", {"a": 3, "b": 3})

    def refuse(source, **settings):
        raise ImageError("may not be read by you") from PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(inspecting, "read_image", refuse)
        assert len(check(tmp_path / "set").broken) == 6
    assert check(tmp_path / "set").broken == ()  # the files are as they were: only the right to read them is new


def test_names_that_are_no_unicode_are_written_as_json(tmp_path, capsys):
    fill(tmp_path / "set", {"a": 3, "b": 3})
    odd = os.fsencode(tmp_path / "set/a") + b"/\xff.png"
    shutil.copy(tmp_path / "set/b/0000.png", odd)
    assert main(["check", str(tmp_path / "set"), "--json", "--out", str(tmp_path / "found.json")]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["conflicts"][0]["names"] == ["a/\\udcff.png", "b/0000.png"]
    assert json.loads((tmp_path / "found.json").read_text("utf-8"))["conflicts"] == printed["conflicts"]


def test_pictures_of_numbers_without_a_range_cannot_be_read_as_in_training():
    values = np.random.default_rng(0).random((12, 9, 8, 1)).astype(np.float32)
    values[3, 0, 0], values[7, 1, 1] = np.nan, 7.0
    found = check(dataset.open(values, labels=np.arange(12) % 2))
    assert [index for index, _ in found.broken] == [3, 7]
    assert "Picture 7 holds numbers from" in found.broken[1][1]


def test_a_name_that_cannot_be_written_is_said_before_pictures_are_read(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(module, "inspect", lambda *_: pytest.fail("read before"))
    assert main(["check", str(folder), "--out", str(tmp_path / "found.txt")]) == 2
    assert "must end in one of .html, .png, .json, .npz" in capsys.readouterr().err


def test_words_on_thousands_of_groups_are_found_at_once():
    many = 4000
    groups = tuple(Group((2 * one, 2 * one + 1), "near") for one in range(many))
    blank = np.zeros(2 * many, dtype=np.int64)
    found = FolderCheck(
        "pictures", tuple(map(str, range(2 * many))), np.arange(2 * many) % 2, ("a", "b"), (),
        np.ones((2 * many, 2), np.int32), ("PNG",) * 2 * many, ("L",) * 2 * many, np.ones(2 * many, np.uint8), groups,
        blank, ("training", "validation"), {}, recipe=Recipe("check", {}, "0", 0.0),
    )  # fmt: skip
    started = time.process_time()
    assert len(found.kinds()["Under two classes"]) == many
    assert all("Classes: a, b." in found.sentence(group) for group in groups)
    assert time.process_time() - started < 2
