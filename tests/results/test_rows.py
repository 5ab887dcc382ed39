"""Rows of pictures of many layers on one sheet: how they are dealt out to columns, and how wide they are drawn."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from striate.results._rows import Rows, _columns, _dealt, draw_rows
from striate.results.drawn import Drawing


@pytest.mark.parametrize(
    ("heights", "count", "bounds"),
    [
        ([1, 1, 1, 1], 2, [0, 2, 4]),
        ([1, 1, 1, 5], 2, [0, 3, 4]),
        ([5, 1, 1, 1, 2], 3, [0, 1, 4, 5]),  # any other way has a column higher than 5
        ([2.0], 3, [0, 1]),
    ],
)
def test_the_highest_column_is_as_low_as_can_be(heights, count, bounds):
    found = _dealt(heights, count)
    highest = [max(sum(heights[start:stop]) for start, stop in pairwise(one)) for one in (found, bounds)]
    assert highest[0] == highest[1]
    assert (found[0], found[-1]) == (0, len(heights))
    assert len(found) - 1 <= count


def test_few_layers_take_one_column_and_many_more():
    assert _columns([1.0] * 5, 5.0) == [0, 5]
    assert len(_columns([1.0] * 100, 5.0)) - 1 == 4  # 25 high and 20 wide; three would be 34 high and 15 wide


def layer(title, columns, side):
    pixels = np.zeros((side, columns * side, 3), dtype=np.uint8)
    return Rows(Drawing(title, "", pixels), columns, f"Layer {title}.")


def test_a_picture_is_as_wide_in_every_layer():
    figure = draw_rows([layer("a", 6, 48), layer("b", 2, 128)], heading="synthesize", caption="Said.")
    wide, high = figure.get_size_inches()
    boxes = [axes.get_position() for axes in figure.axes]
    cells = [(box.width * wide / columns, box.height * high) for box, columns in zip(boxes, (6, 2), strict=True)]
    np.testing.assert_allclose(cells, 0.72)
    assert boxes[0].y0 > boxes[1].y1  # below each other
    assert [words.get_text() for words in figure.texts] == ["synthesize", "Said.", "a", "Layer a.", "b", "Layer b."]
