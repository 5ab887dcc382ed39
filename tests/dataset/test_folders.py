"""Folders of pictures: what is a class, what is a part, what is left out, and in which order."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from striate import dataset
from striate.errors import DataError, ImageError
from striate.spec import InputSpec

SPEC = InputSpec(3, 8, 8, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))


def picture(path: Path, value: int = 0, size: tuple[int, int] = (12, 10)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, 255 - value)).save(path)


@pytest.fixture
def classes(tmp_path) -> Path:
    for name in ("dog/b.png", "dog/deep/a.png", "cat/2.png", "cat/10.png", "Ant/x.PNG"):
        picture(tmp_path / "set" / name)
    (tmp_path / "set" / "cat" / "notes.txt").write_text("no picture")
    picture(tmp_path / "set" / ".hidden" / "a.png")
    picture(tmp_path / "set" / "cat" / "._2.png")
    return tmp_path / "set"


def test_sub_folders_are_classes_as_in_torchvision(classes):
    from torchvision.datasets import ImageFolder

    found = dataset.open(classes)
    for hidden in (".hidden", "cat/._2.png"):  # torchvision takes what is hidden for pictures
        path = classes / hidden
        path.unlink() if path.is_file() else ((path / "a.png").unlink(), path.rmdir())
    truth = ImageFolder(str(classes))
    assert list(found.class_names) == truth.classes == ["Ant", "cat", "dog"]
    ours = {str(found.path(index)): found.label(index) for index in range(len(found))}
    assert ours == dict(truth.samples)
    assert found.labelled
    assert found.notes == ("1 file with other endings left out (1 .txt).",)
    assert found.description == "5 pictures of 3 classes in the folder set"


def test_order_is_that_of_the_names_whatever_the_disk_says(classes, tmp_path):
    names = [dataset.open(classes).name(index) for index in range(5)]
    assert names == ["Ant/x.PNG", "cat/10.png", "cat/2.png", "dog/b.png", "dog/deep/a.png"]
    for name in reversed(names):  # made in another order
        picture(tmp_path / "other" / name)
    assert [dataset.open(tmp_path / "other").name(index) for index in range(5)] == names


def test_a_flat_folder_has_no_labels(tmp_path):
    picture(tmp_path / "b.png")
    picture(tmp_path / "a.png")
    found = dataset.open(tmp_path)
    assert [found.name(0), found.name(1)] == ["a.png", "b.png"]
    assert found.class_names is None
    assert found.labels.tolist() == [-1, -1]
    assert not found.labelled


def test_loose_pictures_beside_classes_have_no_label_and_that_is_said(classes):
    picture(classes / "loose.png")
    found = dataset.open(classes)
    assert [found.name(index) for index in range(6) if found.label(index) < 0] == ["loose.png"]
    assert "1 pictures lie beside the class folders and have no label." in found.notes


def test_folders_can_be_taken_for_no_classes(classes):
    found = dataset.open(classes, labels="none")
    assert not found.labelled
    assert found.class_names is None
    again = dataset.open(**found.origin)
    assert not again.labelled
    assert again.identity == found.identity


def test_labels_may_be_given_as_numbers(classes):
    assert dataset.open(classes, labels=[0, 1, 2, 3, -1]).labels.tolist() == [0, 1, 2, 3, -1]
    with pytest.raises(DataError, match=r"labels has the shape 4 for 5 pictures"):
        dataset.open(classes, labels=[0, 1, 2, 3])


def test_parts_follow_one_another_and_share_their_classes(tmp_path):
    for name in ("val/cat/1.png", "val/bee/1.png", "train/cat/1.png", "train/cat/2.png", "train/dog/1.png"):
        picture(tmp_path / name)
    found = dataset.open(tmp_path)
    assert found.class_names == ("bee", "cat", "dog")
    assert found.parts == (dataset.Part("train", 0, 3), dataset.Part("val", 3, 5))
    assert found.labels.tolist() == [1, 1, 2, 0, 1]
    assert found.part("val").tolist() == [3, 4]
    held_out = dataset.open(tmp_path, part="val")
    assert [held_out.name(0), held_out.label(0)] == ["val/bee/1.png", 0]
    assert held_out.class_names == ("bee", "cat", "dog")  # numbered as in training
    assert dataset.open(**held_out.origin).identity == held_out.identity
    with pytest.raises(DataError, match=r"no part 'test'; its parts are: train, val\."):
        dataset.open(tmp_path, part="test")
    with pytest.raises(DataError, match=r"no part 'test'; its parts are: train, val\."):
        found.part("test")


def test_a_class_called_train_is_a_class(tmp_path):
    for name in ("train/1.png", "bus/1.png"):
        picture(tmp_path / name)
    assert dataset.open(tmp_path).class_names == ("bus", "train")


def test_links_are_followed_but_not_in_circles(tmp_path):
    picture(tmp_path / "real" / "a.png")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "cat").symlink_to(tmp_path / "real", target_is_directory=True)
    (tmp_path / "real" / "up").symlink_to(tmp_path / "set", target_is_directory=True)
    assert [dataset.open(tmp_path / "set").name(0)] == ["cat/a.png"]
    assert len(dataset.open(tmp_path / "set")) == 1


def test_a_link_to_itself_is_a_broken_picture_like_others(tmp_path):
    picture(tmp_path / "a.png")
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    found = dataset.open(tmp_path)
    assert [found.name(index) for index in range(len(found))] == ["a.png", "loop.png"]
    with pytest.raises(ImageError, match=r"loop\.png cannot be opened"):
        found.pixels(1)


def test_arrays_count_where_there_are_no_pictures(tmp_path):
    values = np.random.default_rng(0).random((10, 12, 2)).astype(np.float32)
    (tmp_path / "one").mkdir()
    np.save(tmp_path / "one" / "a.npy", values)
    found = dataset.open(tmp_path)
    assert (len(found), found.class_names) == (1, ("one",))
    np.testing.assert_array_equal(found.pixels(0), values)
    picture(tmp_path / "one" / "b.png")
    found = dataset.open(tmp_path)
    assert [found.name(0)] == ["one/b.png"]
    assert found.notes == ("1 file with other endings left out (1 .npy).",)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "gone", r"gone does not exist\. Give a folder of pictures, or a \.csv"),
        (lambda folder: folder, r"There are no pictures in .*\. Looked for \.bmp"),
        (lambda folder: (folder / "a.txt").touch() or folder, r"no pictures in .* \(1 other files\)"),
        (lambda folder: "a\0b", r"does not exist"),
        (lambda folder: "", r"A name of no letters does not exist"),
    ],
)
def test_what_is_no_set_is_refused(tmp_path, make, message):
    with pytest.raises(DataError, match=message):
        dataset.open(make(tmp_path))


def test_a_folder_that_may_not_be_read_is_named(classes, monkeypatch):
    def refuse(path):
        if str(path).rstrip("/").endswith("dog"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    scandir = os.scandir
    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(DataError, match=r"The folder .*dog cannot be listed: Permission denied"):
        dataset.open(classes)


def test_one_picture_and_a_list_of_them(tmp_path):
    for name in ("a.png", "b.jpg"):
        picture(tmp_path / name, 77)
    one = dataset.open(tmp_path / "a.png")
    assert (len(one), one.path(0)) == (1, tmp_path / "a.png")
    several = dataset.open([tmp_path / "b.jpg", str(tmp_path / "a.png")], labels=[4, 2])
    assert several.path(1) == tmp_path / "a.png"
    assert several.labels.tolist() == [4, 2]
    with pytest.raises(DataError, match="given twice"):
        dataset.open([tmp_path / "a.png", tmp_path / "a.png"])


def test_identity_tells_changes_and_nothing_else(classes, tmp_path):
    before = dataset.open(classes).identity
    assert re.fullmatch("[0-9a-f]{16}", before)
    assert dataset.open(str(classes)).identity == before
    classes.rename(tmp_path / "moved")  # names are relative: a set may be moved
    moved = tmp_path / "moved"
    assert dataset.open(moved).identity == before
    time.sleep(0.01)
    picture(moved / "cat" / "2.png", 9)  # of the same size
    changed = dataset.open(moved).identity
    assert changed != before
    (moved / "cat" / "10.png").unlink()
    without = dataset.open(moved)
    assert without.identity not in (before, changed)
    (moved / "cat" / "2.png").unlink()
    assert without.mark(1) == "missing"
    with pytest.raises(ImageError, match=r"2\.png does not exist"):
        without.read(1, SPEC)


def test_a_set_is_left_as_it_is(classes):
    found = dataset.open(classes)
    assert dataset.open(found) is found


def test_many_files_are_listed_at_once(tmp_path):
    for folder in range(20):
        (tmp_path / f"{folder:02}").mkdir()
        for file in range(500):
            (tmp_path / f"{folder:02}" / f"{file:03}.jpg").touch()
    started = time.process_time()
    found = dataset.open(tmp_path)
    assert len(found) == 10_000
    assert time.process_time() - started < 1.0  # nothing is decoded, nor even looked at: they are empty
