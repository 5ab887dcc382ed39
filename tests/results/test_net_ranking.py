"""A ranking's numbers against SciPy and by hand, its words, and its chart."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import spearmanr

from striate.results import NetRanking, RankedNet, Recipe
from striate.results.net_ranking import rank_correlation


def ranking(random: list[float], trained: list[float], *, judged: int = 1000) -> NetRanking:
    """Networks a, b, c, ... in this order; each has two seeds."""
    rows = [
        RankedNet(chr(97 + index), f"conv {index}", 1000 + index, 64, (one - 0.01, one + 0.01), 2.0, after, 30.0)
        for index, (one, after) in enumerate(zip(random, trained, strict=True))
    ]
    return NetRanking(
        nets=tuple(rows),
        seeds=(0, 1),
        classes=4,
        pictures=500,
        judged=judged,
        epochs=3,
        recipe=Recipe(lens="rank-nets"),
    )


FIVE = ranking([0.5, 0.45, 0.4, 0.35, 0.3], [0.7, 0.72, 0.6, 0.55, 0.5])


def test_rank_correlation_is_scipys_with_ties_too():
    draw = np.random.default_rng(0)
    for count in (6, 8, 30):
        first, second = draw.normal(size=count), draw.integers(0, 5, count) / 5
        assert rank_correlation(first, second) == pytest.approx(spearmanr(first, second).statistic)
    assert rank_correlation([1, 2, 3], [5, 6, 9]) == 1
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == -1
    assert math.isnan(rank_correlation([1], [1]))
    assert math.isnan(rank_correlation([1, 2], [3, 3]))


def test_one_pair_the_other_way_round_among_five():
    # 1 - 6 * sum of squared differences of ranks / (n (n^2 - 1)) = 1 - 6 * 2 / 120
    assert FIVE.correlation == pytest.approx(0.9)
    # of the 120 orders those with |rho| >= 0.9: the right one, its reverse, and 4 of one swap of neighbours each way
    assert FIVE.chance == pytest.approx(10 / 120)
    error = math.sqrt((1 + 0.81 / 2) / 2)
    assert FIVE.interval[0] == pytest.approx(math.tanh(math.atanh(0.9) - 1.96 * error))


def test_chance_that_is_drawn_is_near_the_one_that_is_counted(monkeypatch):
    random, trained = [0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2], [0.5, 0.7, 0.6, 0.4, 0.45, 0.2, 0.3]
    counted = ranking(random, trained).chance
    monkeypatch.setattr("striate.results.net_ranking._EXACT", 3)
    assert ranking(random, trained).chance == pytest.approx(counted, abs=0.005)


def test_a_perfect_order_of_few_is_not_certain():
    few = ranking([0.4, 0.3, 0.2, 0.1], [0.8, 0.7, 0.6, 0.5])
    assert few.correlation == pytest.approx(1)
    assert few.interval[0] < 0.2
    # counted as one pair the wrong way round: 1 - 6 * 2 / (4 * 15) = 0.8
    error = math.sqrt(1 + 0.64 / 2)
    assert few.interval[0] == pytest.approx(math.tanh(math.atanh(0.8) - 1.96 * error))
    assert math.isnan(ranking([0.3, 0.2, 0.1], [0.7, 0.6, 0.5]).interval[0])


def test_the_interval_holds_what_it_promises():
    draw = np.random.default_rng(1)
    truth, held = 0.6, 0
    for _ in range(300):
        first = draw.normal(size=25)
        second = truth * first + math.sqrt(1 - truth**2) * draw.normal(size=25)
        low, high = ranking([float(value) for value in first], [float(value) for value in second]).interval
        held += low <= 6 / math.pi * math.asin(truth / 2) <= high  # Spearman's of a normal with Pearson's 0.6
    assert 270 <= held <= 298


def test_the_words_say_how_certain_it_is_and_what_choosing_by_it_costs():
    words = FIVE.caption()
    assert "best is a, right in 50.0 % of 1,000 validation pictures (guessing: 25.0 %; mean of 2 seeds)" in words
    assert "is 0.90 over 5 (95 % interval" in words
    assert "as large by chance in 8.3 % of orders" in words
    assert "The best trained is b (72.0 %), 2.0 points above a" in words
    assert "within the error of these pictures" in words
    assert "Random weights took 10.0 s for these, training 2 min 30 s." in words
    assert "within the error" not in ranking([0.5, 0.4], [0.6, 0.8]).caption()
    assert "the best alone" in ranking([0.5, 0.4, 0.3], [0.6, 0.5, math.nan]).caption()
    assert "none was trained" in ranking([0.5, 0.4], [math.nan] * 2).caption()
    assert "too few, or all alike" in ranking([0.5, 0.4], [0.6, math.nan]).caption()
    short = ranking([0.5, 0.4, 0.3], [0.2, 0.3, 0.4]).caption()
    assert "2 of 3 are worse trained than with random weights: so short a training says little" in short
    assert "worse trained" not in FIVE.caption()
    assert "Trained, a is the best as well." in ranking([0.5, 0.4], [0.8, 0.7]).caption()


def test_trainings_that_failed_are_not_taken_for_those_that_were_not_begun():
    rows = [*ranking([0.5, 0.45, 0.4], [math.nan, 0.6, 0.7]).nets]
    rows[0] = replace(rows[0], note="its training failed")
    words = replace(FIVE, nets=tuple(rows)).caption()
    assert "2 of 3 trained for 3 epochs:" in words
    assert "the best alone" not in words
    assert "above b, which random weights put first of those." in words


def test_one_that_was_trained_is_one():
    words = ranking([0.5, 0.4], [0.3, math.nan]).caption()
    assert "The best one trained for 3 epochs: too few" in words
    assert "1 of 1 is worse trained than with random weights" in words


def test_an_accuracy_without_a_mistake_is_not_without_error():
    perfect = ranking([0.5, 0.4], [1.0, 0.9], judged=100)
    assert perfect.table()[1][8] == "0.7"  # 100 * sqrt(0.005 * 0.995 / 100)


def test_a_difference_is_held_against_the_error_of_both():
    # 0.70 and 0.785 of 200: errors 0.0324 and 0.0290, together 0.0435
    assert "within the error" in ranking([0.5, 0.4], [0.70, 0.785], judged=200).caption()
    assert "within the error" not in ranking([0.5, 0.4], [0.70, 0.80], judged=200).caption()


def test_the_table_leaves_out_training_where_there_was_none():
    assert FIVE.table()[1] == ("1", "a", "1,000", "64", "50.0 %", "1.4", "2.0", "70.0 %", "1.4", "30.0")
    assert {len(row) for row in ranking([0.5, 0.4], [math.nan] * 2).table()} == {7}


@pytest.mark.parametrize(
    "result",
    [
        FIVE,
        ranking([0.5, 0.4, 0.3], [0.6, math.nan, math.nan]),
        ranking([0.5, 0.4], [math.nan] * 2),
        ranking([0.3] * 3, [0.5] * 3),
        ranking([0.3], [math.nan]),
    ],
)
def test_every_ranking_is_drawn_and_saved(result, tmp_path):
    for suffix in ("png", "json", "npz"):
        assert result.save(tmp_path / f"ranking.{suffix}").stat().st_size > 500
    held = json.loads((tmp_path / "ranking.json").read_text())
    assert [one["name"] for one in held["nets"]] == [one.name for one in result.nets]
    (drawing,) = result.drawings()
    assert drawing.pixels.shape[2] == 3
    assert drawing.pixels.std() > 5


def test_names_do_not_lie_on_one_another_nor_beyond_the_edge():
    draw = np.random.default_rng(0)
    random, trained = (sorted(draw.uniform(0.3, 0.6, 40).tolist(), reverse=True) for _ in range(2))
    many = ranking(random, draw.permutation(trained).tolist())
    long = tuple(replace(one, name=f"a network of a rather long name {index}") for index, one in enumerate(many.nets))
    made = replace(many, nets=long).figure()
    made.canvas.draw()
    (axes,) = made.axes
    boxes = [words.get_window_extent() for words in axes.texts if words.get_text()]
    assert len(boxes) > 30
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    assert max(box.x1 for box in boxes) <= made.bbox.x1
    said = {words.get_text() for words in axes.texts}
    assert any(one.isdecimal() for one in said)
    assert "where a name has no room: its place with random weights" in said
    assert not any("place" in words.get_text() for words in FIVE.figure().axes[0].texts)


def test_the_best_with_random_weights_is_marked_by_the_accent():
    def accent(result: NetRanking) -> int:
        pixels = result.drawings()[0].pixels.astype(int)
        return int((np.abs(pixels - (0xE4, 0x57, 0x2E)).sum(2) < 12).sum())

    assert accent(FIVE) > 60
    assert accent(ranking([0.5, 0.4], [math.nan] * 2)) > 60
