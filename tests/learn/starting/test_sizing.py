"""What size and channels a network gets for some pictures."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from striate import dataset
from striate.errors import DataError
from striate.learn.starting.sizing import fitting


def folder_of(tmp_path, sizes, mode="RGB"):
    for index, size in enumerate(sizes):
        folder = tmp_path / "ab"[index % 2]
        folder.mkdir(exist_ok=True)
        Image.new(mode, size).save(folder / f"{index}.png")
    return dataset.open(tmp_path)


@pytest.mark.parametrize(
    ("sizes", "mode", "channels", "size"),
    [
        ([(28, 28)] * 4, "L", 1, (28, 28)),
        ([(40, 24)] * 4, "RGB", 3, (24, 40)),
        ([(500, 333), (640, 480), (300, 300)], "RGB", 3, (224, 224)),
        ([(120, 100), (100, 100), (100, 130)], "RGB", 3, (96, 96)),
        ([(200, 200)] * 3, "P", 3, (224, 224)),
    ],
)
def test_size_and_channels_by_the_pictures(tmp_path, sizes, mode, channels, size):
    found = fitting(folder_of(tmp_path, sizes, mode))
    assert (found.channels, found.size) == (channels, size)


def test_arrays_a_least_side_and_files_that_are_none(tmp_path):
    values = np.zeros((6, 20, 30, 5), dtype=np.uint8)
    found = fitting(dataset.open(values), smallest=24)
    assert (found.channels, found.size) == (5, (24, 30))
    assert (
        found.words
        == "The pictures are 20 x 30 with 5 channels, enlarged to 24 x 30, the least that the network takes."
    )
    pictures = folder_of(tmp_path, [(28, 28)] * 4)
    (tmp_path / "a" / "0.png").write_bytes(b"nothing")
    assert fitting(pictures).size == (28, 28)
    with pytest.raises(DataError, match="none of 1 pictures that were looked at can be read"):
        fitting(pictures, [0])
