from __future__ import annotations

import pytest
import torch

import striate
from striate import lenses
from striate.perturbation.readout import apart, grouped
from truth.nets import Rectified

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("found", "expected", "difference"),
    [
        ([1.0, 4.0], [1.0, 5.0], 0.2),
        ([NAN, 4.0], [NAN, 5.0], 0.2),
        ([INF, 5.0], [INF, 5.0], 0.0),
        ([NAN, NAN], [NAN, NAN], 0.0),
        ([NAN, 5.0], [0.0, 5.0], INF),
        ([0.0, 5.0], [NAN, 5.0], INF),
        ([INF, 5.0], [-INF, 5.0], INF),
    ],
)
def test_how_far_apart_scores_are(found, expected, difference):
    assert apart(torch.tensor(found), torch.tensor(expected)) == pytest.approx(difference)


def test_rows_are_the_same_only_if_what_goes_with_them_is():
    images = torch.stack([torch.zeros(1, 2, 2), torch.ones(1, 2, 2), torch.zeros(1, 2, 2)])
    assert grouped(images) == [(0, [0, 2]), (1, [1])]
    assert grouped(images, None, torch.tensor([1, 1, 2])) == [(0, [0]), (1, [1]), (2, [2])]
    assert grouped(images, torch.tensor([7])) == [(0, [0, 2]), (1, [1])]  # one for all


LENSES = {
    "occlusion": {"patch": 6, "stride": 6},
    "feature_ablation": {"superpixels": "grid", "segments": 6},
    "lime": {"superpixels": "grid", "segments": 4},
    "rise": {"samples": 20, "score": "logit"},
    "score_cam": {"layer": "conv_b"},
}


@pytest.mark.parametrize("lens", LENSES)
def test_a_picture_that_comes_twice_with_two_baselines_is_covered_by_each(lens):
    spec = striate.InputSpec(2, 14, 17, mean=(0.4, 0.5), std=(0.2, 0.3))
    network = striate.Network(Rectified("module").eval(), spec)
    generator = torch.Generator().manual_seed(4)
    images = torch.randn(1, 2, 14, 17, generator=generator).repeat(2, 1, 1, 1)
    baselines = torch.randn(2, 2, 14, 17, generator=generator)
    run = getattr(lenses, lens)
    together = run(network, images, 1, baseline=baselines, **LENSES[lens]).scores
    for index in range(2):
        alone = run(network, images[:1], 1, baseline=baselines[index], **LENSES[lens]).scores[0]
        torch.testing.assert_close(together[index], alone, rtol=1e-4, atol=1e-5)
    assert (together[0] - together[1]).abs().max() > 1e-3
