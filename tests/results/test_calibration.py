from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from striate.results import Calibration
from striate.results.calibration import Bin, interval


def made(confidences, right):
    return Calibration(confidences=np.asarray(confidences, np.float32), right=np.asarray(right, bool))


def drawn(count, seed=0, bias=0.0):
    """Confidences, and right answers that come as often as these say, less a bias."""
    random = np.random.default_rng(seed)
    sure = random.beta(5, 1.5, count)
    return made(sure, random.random(count) < np.clip(sure - bias, 0, 1))


def by_the_paper(confidences, right, many=15):
    """Equations 2, 3 and 5 of Guo et al., bin by bin."""
    total = 0.0
    for number in range(1, many + 1):
        inside = [index for index, one in enumerate(confidences) if (number - 1) / many < float(one) <= number / many]
        if inside:
            accuracy = sum(bool(right[index]) for index in inside) / len(inside)
            confidence = sum(float(confidences[index]) for index in inside) / len(inside)
            total += len(inside) / len(confidences) * abs(accuracy - confidence)
    return total


def test_by_hand():
    # two bins: (0.6, 2/3] holds 0.65 twice, one right: |0.5 - 0.65|; (14/15, 1] holds 1.0 twice, both right: 0
    held = made([0.65, 0.65, 1.0, 1.0], [True, False, True, True])
    assert held.ece == pytest.approx(0.5 * 0.15)
    assert held.largest_error == pytest.approx(0.15)
    assert [one.pictures for one in held.bins() if one.pictures] == [2, 2]
    assert held.bins()[9].pictures == held.bins()[14].pictures == 2


@pytest.mark.parametrize("seed", range(3))
def test_the_expected_error_is_that_of_the_paper(seed):
    held = drawn(500, seed, bias=0.1)
    assert held.ece == pytest.approx(by_the_paper(held.confidences, held.right), abs=1e-9)


def test_an_end_belongs_to_the_lower_bin():
    held = made([np.float32(number / 15) for number in range(1, 16)], [True] * 15)
    assert [one.pictures for one in held.bins()] == [1] * 15
    assert made([0.0], [False]).bins()[0].pictures == 1


def test_adaptive_bins_hold_equally_many():
    held = drawn(152)
    sizes = [one.pictures for one in held.adaptive_bins()]
    assert sum(sizes) == 152
    assert set(sizes) == {10, 11}
    order = np.argsort(held.confidences)
    parts = np.array_split(order, 15)
    gaps = [len(one) * abs(held.confidences[one].mean() - held.right[one].mean()) for one in parts]
    assert held.adaptive_ece == pytest.approx(sum(gaps) / 152, abs=1e-6)
    assert len(made([0.5, 0.6], [True, False]).adaptive_bins()) == 2


def test_what_chance_leaves_is_what_calibrated_networks_show():
    held = drawn(600)
    random = np.random.default_rng(1)
    found = [made(held.confidences, random.random(600) < held.confidences).ece for _ in range(300)]
    assert held.chance_ece == pytest.approx(np.mean(found), rel=0.05)


@pytest.mark.parametrize(
    ("bias", "words"), [(0.0, "within chance"), (0.15, "surer than it is right"), (-0.15, "less sure than it is right")]
)
def test_it_says_whether_it_is_too_sure(bias, words):
    assert words in drawn(800, seed=3, bias=bias).sentence()


def test_surplus_is_a_standard_score():
    random = np.random.default_rng(2)
    sure = random.beta(5, 1.5, 300)
    scores = [made(sure, random.random(300) < sure).surplus for _ in range(400)]
    assert np.mean(scores) == pytest.approx(0, abs=0.15)
    assert np.std(scores) == pytest.approx(1, abs=0.12)
    assert made([1.0, 1.0], [True, True]).surplus == 0
    assert made([1.0, 1.0], [True, False]).surplus == np.inf


def test_the_thin_line_holds_95_of_100():
    low, high = interval(Bin(0.6, 0.7, 40, 0.65, 0.9))
    inside = [count for count in range(41) if low - 1e-9 <= count / 40 <= high + 1e-9]
    assert 0.95 <= binom.pmf(inside, 40, 0.65).sum() < 0.99
    assert interval(Bin(0.9, 1.0, 5, 1.0, 1.0)) == (1.0, 1.0)


def test_one_picture_and_none(tmp_path):
    made([0.4], [True]).save(tmp_path / "one.png")
    none = made([], [])
    assert np.isnan(none.ece)
    assert "nothing is to be said" in none.caption()
    none.save(tmp_path / "none.png")
