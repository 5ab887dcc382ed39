from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from striate import drawing
from striate.results import Segments


@pytest.fixture
def segments(heatmap) -> Segments:
    """Two pictures of 12 x 16: one in four quarters, one in two halves."""
    quarters = torch.zeros(12, 16, dtype=torch.int64)
    quarters[6:] += 2
    quarters[:, 8:] += 1
    labels = torch.stack([quarters, quarters // 2])
    weights = (torch.tensor([0.5, -0.25, 2.0, 1.0]), torch.tensor([-3.0, -1.0]))
    scores = torch.stack([one[own] for one, own in zip(weights, labels, strict=True)])
    signed = replace(heatmap, scores=scores, native=scores, signed=True, meaning="what each superpixel adds")
    return Segments.over(signed, labels=labels, weights=weights, explained=torch.tensor([0.83, 0.31]))


def test_the_fewest_superpixels_that_hold_half(segments):
    assert segments.strongest(0) == [2]  # 2.0 of 3.5
    assert segments.strongest(0, against=True) == [1]
    assert segments.strongest(1) == []
    assert segments.strongest(1, against=True) == [0]
    even = replace(segments, weights=(torch.tensor([1.0, 1.0, 1.0, 1.0]), torch.tensor([2.0, 1.0])))
    assert even.strongest(0) == [0, 1]  # exactly half is enough


def test_what_speaks_for_it_is_shown_and_the_rest_hidden(segments):
    shown = segments.alone(0)
    assert shown.shape == (24, 32, 3)  # small pictures are drawn at double size
    photo = drawing.resample_bilinear(segments.pictures[0], (24, 32))
    np.testing.assert_array_equal(shown[13:, :15], photo[13:, :15])  # within the third quarter
    grey = np.array(drawing.rgb(drawing.MISSING))
    assert np.abs(shown[:11, 17:] - grey).max() <= 0.08 * 255 + 1
    np.testing.assert_array_equal(shown[12, :16], np.tile(drawing.rgb(drawing.ACCENT), (16, 1)))
    against = segments.alone(0, against=True)
    np.testing.assert_array_equal(against[0, 16], drawing.rgb(drawing.PARTNER))


def test_nothing_that_speaks_for_it_hides_all(segments):
    grey = np.array(drawing.rgb(drawing.MISSING))
    assert np.abs(segments.alone(1) - grey).max() <= 0.08 * 255 + 1
    assert segments.drawings()[4].caption == "No superpixel speaks for it."


def test_outlines_stand_where_superpixels_meet(segments):
    plain = drawing.resample_bilinear(segments.pictures[1], (24, 32))
    changed = (segments.outlined(1) != plain).any(-1)
    rows = np.flatnonzero(changed.any(1))
    assert rows.tolist() == [12]
    assert changed[12].mean() > 0.9


def test_large_pictures_keep_their_size(segments):
    large = replace(
        segments,
        pictures=np.zeros((2, 700, 4, 3), np.uint8),
        scores=torch.zeros(2, 700, 4),
        labels=torch.zeros(2, 700, 4, dtype=torch.int64),
    )
    assert large.overlay(0).shape == large.alone(0).shape == (700, 4, 3)


def test_every_picture_has_weights_and_what_speaks_for_and_against_it(segments):
    drawings = segments.drawings()
    assert [one.title for one in drawings] == ["class:cat"] * 3 + ["class:dog"] * 3
    assert all(one.signed and one.high == -one.low == drawings[0].high for one in drawings[::3])
    assert "The weights explain 83 % of how the score varies as parts are hidden." in drawings[0].caption
    assert "read single ones with care" not in drawings[0].caption
    assert "read single ones with care" in drawings[3].caption  # 31 %
    assert drawings[1].caption == "This superpixel holds at least half of what speaks for it: 2."
    assert len(segments.figure().axes) == 2 * 4 + 1  # a scale below
    assert segments.caption().endswith("2 to 4 superpixels a picture.")


def test_the_sum_is_said_where_it_is_one(segments):
    details = {"baseline": "grey", "baseline_scores": [5.25, 7.25]}
    text = replace(segments, details=details).trust(0)
    assert text.startswith("From grey the score changes by 3.25, to which the superpixels add up. The weights explain")


def test_a_score_that_nothing_changes(segments):
    still = replace(segments, weights=(torch.zeros(4), torch.zeros(2)), scores=torch.zeros(2, 12, 16))
    assert still.trust(0) == "The score does not change with any superpixel."
    assert still.figure().axes


def test_all_numbers_are_kept(segments, tmp_path):
    numbers = json.loads(segments.save(tmp_path / "a.json").read_text())
    assert numbers["pictures"][0]["weights"] == [0.5, -0.25, 2.0, 1.0]
    assert numbers["pictures"][1]["explained"] == pytest.approx(0.31)
    assert numbers["pictures"][1]["strongest_against"] == [0]
    arrays = np.load(segments.save(tmp_path / "a.npz"))
    assert arrays["weights"].tolist() == [0.5, -0.25, 2.0, 1.0, -3.0, -1.0]
    assert arrays["superpixels"].tolist() == [4, 2]
    first = arrays["weights"][: arrays["superpixels"][0]]
    np.testing.assert_array_equal(first[arrays["labels"][0]], arrays["scores"][0])
