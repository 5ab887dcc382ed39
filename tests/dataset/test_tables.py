"""Tables of labels: their columns in any order, and errors that name the line."""

from __future__ import annotations

import pytest
from PIL import Image

from striate import dataset
from striate.dataset.tables import read_table
from striate.errors import DataError


def table(folder, text, name="labels.csv"):
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


FULL = "file,class_index,wnid,label\nb.jpg,3,n3,crane\na.jpg,1,n1,tench\nc.jpg,2,n2,crane\n"


def test_the_full_form_by_hand(tmp_path):
    found = read_table(table(tmp_path, FULL))
    assert found.files == ["b.jpg", "a.jpg", "c.jpg"]
    assert found.labels.tolist() == [3, 1, 2]
    assert found.class_names == ("0", "tench", "crane", "crane")  # two classes may have one name


@pytest.mark.parametrize(
    "text",
    [
        "LABEL, File ,Class_Index,wnid\ncrane,b.jpg,3,n3\ntench,a.jpg,1,n1\ncrane,c.jpg,2,n2\n",
        "file;class_index;label\r\nb.jpg;3;crane\r\n\r\na.jpg;1;tench\r\nc.jpg;2;crane\r\n",
        "file\tclass_index\tlabel\nb.jpg\t3\tcrane\na.jpg\t1\ttench\nc.jpg\t2\tcrane",
        b'\xef\xbb\xbffile,class_index,label\n"b.jpg",3,crane\na.jpg, 1 ,tench\nc.jpg,2,crane\n',
    ],
    ids=["order and case", "semicolons", "tabs", "byte-order mark"],
)
def test_other_ways_to_write_the_same(tmp_path, text):
    one, other = read_table(table(tmp_path, text)), read_table(table(tmp_path, FULL, "full.csv"))
    assert one.files == other.files
    assert one.labels.tolist() == other.labels.tolist()
    assert one.class_names == other.class_names


def test_words_are_numbered_by_the_alphabet(tmp_path):
    found = read_table(table(tmp_path, "label,file\ntabby,1.png\nant,2.png\n,3.png\ntabby,4.png\n"))
    assert found.labels.tolist() == [1, 0, -1, 1]
    assert found.class_names == ("ant", "tabby")


def test_labels_that_are_numbers_are_indices(tmp_path):
    found = read_table(table(tmp_path, "file,label\n1.png,7\n2.png,0\n"))
    assert found.labels.tolist() == [7, 0]
    assert found.class_names is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"line 1: the columns are missing"),
        ("a.jpg,3\nb.jpg,4\n", r"line 1: the columns are a\.jpg, 3; a table of labels has file and label"),
        ("file,label\n", r"names no picture"),
        ("file,label\na.jpg,cat\nb.jpg,dog,3\n", r"labels\.csv, line 3: 3 cells where the first line has 2"),
        ("file,label\na.jpg,cat\n\nb.jpg,dog\na.jpg,dog\n", r"line 5: a\.jpg stands in line 2 already"),
        ("file,label\n,cat\n", r"line 2: no file is named"),
        ("file,class_index\na.jpg,1\nb.jpg,-1\n", r"line 3: the class index is '-1', not a whole number from 0"),
        ("file,class_index\na.jpg,1.0\n", r"line 2: the class index is '1\.0'"),
        ("file,class_index,label\na,1,x\nb,2,y\nc,1,z\n", r"line 4: class 1 is called 'z', but 'x' in line 2"),
        ('file,label\na.jpg,"cat\n', r"line 2: .*quotes"),
        (b"file,label\na.jpg,\xff\n", r"cannot be read as a table: .*UTF-8"),
    ],
)
def test_errors_name_the_line(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read_table(table(tmp_path, text))


def test_a_folder_with_labels_is_what_they_name(tmp_path):
    for name in ("a.jpg", "b.jpg", "extra.jpg"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    path = table(tmp_path, FULL)
    found = dataset.open(tmp_path)
    assert [found.name(index) for index in range(3)] == ["b.jpg", "a.jpg", "c.jpg"]
    assert "do not stand in labels.csv" in found.notes[0]
    assert found.notes[0].startswith("1 ")
    assert found.mark(2) == "missing"
    for same in (dataset.open(path), dataset.open(tmp_path, labels=path), dataset.open(**found.origin)):
        assert same.identity == found.identity
        assert dataset.open(**same.origin).identity == found.identity
    assert [dataset.open(tmp_path, labels="none").name(index) for index in range(3)] == ["a.jpg", "b.jpg", "extra.jpg"]
    with pytest.raises(DataError, match="a table of labels has no parts"):
        dataset.open(tmp_path, part="train")
    with pytest.raises(DataError, match=r"gone\.csv does not exist"):
        dataset.open(tmp_path, labels=tmp_path / "gone.csv")


def test_the_sample_photographs(shared_data, sample_photographs):
    found = dataset.open(shared_data / "imagenet-sample")
    assert [(found.path(index), found.label(index)) for index in range(len(found))] == sample_photographs
    assert found.class_names[281] == "tabby"
    assert len(found.class_names) == 1000
