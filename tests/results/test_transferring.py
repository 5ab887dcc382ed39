"""The table of a transfer: in words, kept and read again, and drawn."""

from __future__ import annotations

import json

import numpy as np
import pytest

from striate.errors import DataError
from striate.results import Transfer, Way, encode_json
from striate.results._transfer_chart import _ends, _marks
from striate.results.likeness import Amount, Depth, Likeness

LIKENESS = Likeness((Depth("conv1", 8, 5.0, 0.4, 0.02), Depth("conv4", 64, None, 0.7, 0.02)), 0.5, 400, 0.3, 0.25, 1000)
WAYS = (
    Way("logistic on conv4", "head", 0.80, 0.04, 1.25, 1290, ("conv4",), "C = 0.01.", 0.78),
    Way("forest on 2 depths", "head", 0.60, 0.05, 0.5, 40_000, ("conv1", "conv4")),
    Way("fine-tuned, stage 2: conv4 and all behind it", "tuned", 0.85, 0.036, 75, 9_000),
    Way("from random weights, 15 epochs", "scratch", 0.55, 0.05, 300, 11_689_512),
)


def found(ways=WAYS, chosen=2) -> Transfer:
    return Transfer(
        ways=ways,
        amount=Amount(400, 2, 200, 200, 200),
        likeness=LIKENESS,
        strategy="features and a classifier",
        why="Little to learn from: features and a classifier.",
        validation=100,
        feature_seconds=3.21,
        chosen=chosen,
    )


def test_caption_says_what_was_best_and_by_how_much():
    said = found().caption()
    assert "fine-tuned, stage 2: conv4 and all behind it, 85.0 % (standard error 3.6)" in said
    assert "1 other is within two standard errors" in said  # 80 % +- 4
    assert "Fine-tuning gave 5.0 points more than the best head." in said
    assert "reached 55.0 %: transfer gave 30.0 points more." in said


def test_caption_is_honest_where_nothing_was_gained():
    worse = (WAYS[0], Way("from random weights", "scratch", 0.9, 0.03, 5, 10))
    said = found(worse, 1).caption()
    assert "transfer gave 10.0 points less" in said
    assert "Fine-tuning" not in said


def test_table_in_words():
    assert found().table()[0] == ("logistic on conv4", "80.0 %", "4.0", "1.2 s", "1,290")
    assert found().table()[3][3:] == ("5 min 0 s", "11,689,512")


def test_read_again_as_it_was_written(tmp_path):
    file = found().save(tmp_path / "transfer.json")
    again = Transfer.from_dict(json.loads(file.read_text()), tmp_path)
    assert again.ways == WAYS
    assert again.likeness == LIKENESS
    assert again.best == WAYS[2]
    assert encode_json(again.numbers()) == encode_json(found().numbers())
    assert again.path == tmp_path


def test_something_else_is_refused():
    with pytest.raises(DataError, match="what a transfer gave cannot be read"):
        Transfer.from_dict({"ways": []})


def test_picture_and_arrays(tmp_path):
    result = found()
    assert result.save(tmp_path / "one.png").stat().st_size > 10_000
    (drawing,) = result.drawings()
    assert drawing.pixels.shape[1] == 1800
    np.testing.assert_array_equal(result.arrays()["accuracy"], [0.8, 0.6, 0.85, 0.55])


@pytest.mark.parametrize(
    "points", [[(1.0, 0.0, "head")], [(0.0, 0.0, "head")], [(0.5, 0.01, "head"), (0.93, 0.2, "x")]]
)
def test_axis_holds_all_points(points):
    low, high = _ends(points)
    assert 0 <= low < high <= 1
    for accuracy, error, _ in points:
        assert low <= max(accuracy - error, 0)
        assert min(accuracy + error, 1) <= high
    marks = _marks(low, high)
    assert 1 <= len(marks) <= 6
    assert all(low - 1e-9 <= mark <= high + 1e-9 for mark in marks)
