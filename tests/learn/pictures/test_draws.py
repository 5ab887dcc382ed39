"""What is drawn by lot: ranges, distributions against closed forms and torchvision, and independence."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from striate.errors import OptionError
from striate.learn.pictures.augment import Augment
from striate.learn.pictures.draws import Frame, draw

SMALL = Frame(28, 36, (28, 36))
EVERYTHING = Augment(
    rotation=30,
    shift=(0.2, 0.1),
    zoom=(0.5, 2),
    shear=10,
    flip="both",
    brightness=0.4,
    cutout=0.5,
    mixup=0.3,
    crop=(0.2, 0.9),
)


def test_a_picture_is_drawn_the_same_alone_and_among_others():
    few, many = (draw(EVERYTHING, count, 3, frame=SMALL) for count in (3, 500))
    assert torch.equal(few.theta, many.theta[:3])
    for name in ("brightness", "cut", "weight", "across", "down"):
        assert torch.equal(getattr(few, name), getattr(many, name)[:3])


def test_pictures_and_epochs_differ():
    thetas = torch.cat([draw(EVERYTHING, 50, 3, frame=SMALL, epoch=epoch).theta for epoch in (1, 2)])
    assert len(torch.unique(thetas, dim=0)) == 100


def test_an_option_switched_on_leaves_the_others_as_they_were():
    plain = draw(Augment(rotation=30), 20, 0, frame=SMALL)
    more = draw(EVERYTHING, 20, 0, frame=SMALL)
    assert torch.equal(plain.angle, more.angle)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("angle", -30, 30), ("lean", -10, 10), ("brightness", 0.6, 1.4)],
)
def test_every_value_of_a_range_is_as_likely(name, low, high):
    values = getattr(draw(EVERYTHING, 5000, 0, frame=SMALL), name).double().numpy()
    assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 0.001


def test_zoom_is_as_likely_to_halve_as_to_double():
    values = draw(EVERYTHING, 5000, 0, frame=SMALL).zoom.log().numpy()
    assert stats.kstest(values, stats.uniform(-math.log(2), 2 * math.log(2)).cdf).pvalue > 0.001


def test_shifts_are_shares_of_height_and_width():
    shift = draw(EVERYTHING, 5000, 0, frame=SMALL).shift.numpy()
    for axis, most in enumerate((0.2 * 28, 0.1 * 36)):
        assert stats.kstest(shift[:, axis], stats.uniform(-most, 2 * most).cdf).pvalue > 0.001


def test_the_share_of_mixup_follows_the_beta_distribution():
    weight = draw(EVERYTHING, 5000, 0, frame=SMALL).weight.double().numpy()
    beta = stats.beta(0.3, 0.3)
    assert weight.min() >= 0.5  # the larger share is the picture's own
    assert stats.kstest(weight, lambda share: beta.cdf(share) - beta.cdf(1 - share)).pvalue > 0.001


def test_alternating_flips_show_every_picture_both_ways_in_two_epochs():
    flips = [draw(Augment(flip="alternating"), 400, 0, frame=SMALL, epoch=epoch).across for epoch in (1, 2, 3)]
    assert torch.equal(flips[0], ~flips[1])
    assert torch.equal(flips[0], flips[2])
    assert 150 < int(flips[0].sum()) < 250


@pytest.mark.parametrize("frame", [Frame(64, 64, (32, 32)), Frame(48, 90, (32, 32)), Frame(50, 40, (20, 40))])
def test_crops_lie_inside_and_their_area_is_uniform(frame):
    low, high = 0.1, 1.0
    top, left, height, width = draw(Augment(crop=(low, high)), 4000, 0, frame=frame).window.unbind(1)
    assert bool((top >= 0).all())
    assert bool((left >= 0).all())
    assert bool((top + height <= frame.height + 1e-9).all())
    assert bool((left + width <= frame.width + 1e-9).all())
    area = height * width / (frame.height * frame.width)
    assert stats.kstest(area.numpy(), stats.uniform(low, high - low).cdf).pvalue > 0.001


def test_areas_and_shapes_of_crops_are_torchvisions():
    transforms = pytest.importorskip("torchvision.transforms")
    blank = torch.zeros(1, 400, 400)  # where no crop is refused for its size, its method has no bias: areas to 0.5
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = torch.tensor(
            [transforms.RandomResizedCrop.get_params(blank, [0.1, 0.5], [3 / 4, 4 / 3])[2:] for _ in range(2000)]
        ).double()
    ours = draw(Augment(crop=(0.1, 0.5)), 2000, 0, frame=Frame(400, 400, (224, 224))).window[:, 2:]
    assert stats.ks_2samp(theirs.prod(1).numpy(), ours.prod(1).numpy()).pvalue > 0.001
    assert stats.ks_2samp((theirs[:, 1] / theirs[:, 0]).numpy(), (ours[:, 1] / ours[:, 0]).numpy()).pvalue > 0.001


def test_padding_moves_by_every_whole_number_as_often():
    draws = draw(Augment(pad=2), 5000, 0, frame=SMALL)
    assert draws.whole
    counts = torch.bincount(draws.moves.corner[:, 0] + 2)
    assert stats.chisquare(counts.numpy()).pvalue > 0.001
    assert len(counts) == 5
    assert abs(float(torch.corrcoef(draws.moves.corner.T.double())[0, 1])) < 0.05


def test_patches_of_the_inputs_size_are_copied_from_anywhere_in_what_is_kept():
    draws = draw(Augment(patch=(20, 24)), 5000, 0, frame=Frame(22, 30, (20, 24)))
    assert draws.whole
    corner = draws.moves.corner
    assert set(corner[:, 0].tolist()) == {0, 1, 2}
    assert set(corner[:, 1].tolist()) == set(range(7))
    assert not draw(Augment(patch=(20, 24)), 5, 0, frame=Frame(22, 30, (10, 12))).whole


def test_a_patch_larger_than_the_pictures_is_refused():
    with pytest.raises(OptionError, match=r"patch=30x24 is larger than the pictures, .* 22 x 30 pixels"):
        draw(Augment(patch=(30, 24)), 5, 0, frame=Frame(22, 30, (20, 24)))


def test_without_options_the_map_is_the_identity_and_the_middle_of_what_is_kept():
    assert torch.allclose(draw(Augment(), 2, 0, frame=SMALL).theta, torch.eye(2, 3).repeat(2, 1, 1))
    theta = draw(Augment(), 1, 0, frame=Frame(40, 60, (20, 20), density=1.5)).theta
    assert torch.allclose(theta, torch.tensor([[[0.5, 0, 0], [0, 0.75, 0]]]))
