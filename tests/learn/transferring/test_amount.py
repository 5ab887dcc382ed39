"""How much there is to learn from: counted by hand, and refusals."""

from __future__ import annotations

import numpy as np
import pytest

from striate import dataset
from striate.errors import DataError
from striate.learn.pictures.split import Split
from striate.learn.transferring.amount import amount_of


def parts_of(counts: list[int]) -> Split:
    labels = np.repeat(np.arange(len(counts)), counts)
    pictures = dataset.open(np.zeros((len(labels) + 1, 4, 4, 3), np.uint8), labels=np.append(labels, 0))
    rows = np.arange(len(labels), dtype=np.int64)
    last = np.array([len(labels)], np.int64)
    names = tuple(f"class {index}" for index in range(len(counts)))
    return Split(pictures, rows, labels.astype(np.int64), pictures, last, np.zeros(1, np.int64), names)


def test_counted_by_hand():
    found = amount_of(parts_of([3, 5, 40]))
    assert (found.pictures, found.classes, found.fewest, found.middle, found.most) == (48, 3, 3, 5, 40)
    assert not found.much
    assert found.sentence().startswith("48 pictures of 3 classes to learn from, 5 a class (3 to 40): little")


@pytest.mark.parametrize(
    ("counts", "much"),
    [([500, 500], True), ([500, 499], False), ([50] * 20, True), ([49] * 21, False), ([49, 49, 2000], False)],
)
def test_much_is_a_thousand_pictures_and_fifty_of_the_middle_class(counts, much):
    assert amount_of(parts_of(counts)).much is much


def test_one_picture_of_a_class_is_refused_by_name():
    with pytest.raises(DataError, match=r"2 classes have one picture only to learn from \(class 1, class 3\)"):
        amount_of(parts_of([4, 1, 9, 1]))


def test_fewer_pictures_than_classes_are_refused():
    with pytest.raises(DataError, match="3 training pictures of 5 classes: there is next to nothing"):
        amount_of(parts_of([1, 1, 1, 0, 0]))
