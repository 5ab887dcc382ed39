"""DeepDream in closed form: constant gradients, gradients that move with the picture, and what stops it."""

from __future__ import annotations

import pytest
import torch

from striate import progress
from striate.errors import Stopped
from striate.synthesis.octaves import dream_on, enlarged, octave_sizes
from striate.synthesis.showing import shown


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images():
    return 0.3 + 0.4 * torch.rand(2, 3, 20, 28, generator=seeded(3))


def run(images, octaves, **options):
    settings = {"steps": 5, "step_size": 1.5, "jitter": 0, "generator": seeded()} | options
    return dream_on(images, octaves, **settings)


def test_sizes_by_hand():
    assert octave_sizes(224, 320, 4, 1.4) == [(82, 117), (114, 163), (160, 229), (224, 320)]
    assert octave_sizes(30, 20, 1, 2.0) == [(30, 20)]
    assert octave_sizes(4, 4, 4, 2.0) == [(1, 1), (1, 1), (2, 2), (4, 4)]


def test_a_step_is_the_gradient_over_its_mean_size(images):
    gradient = torch.randn(2, 3, 20, 28, generator=seeded(1)) * torch.tensor([1.0, 1e-6]).view(2, 1, 1, 1)
    found = run(images, [((20, 28), lambda _: gradient)]).pictures
    way = gradient / gradient.abs().mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(found, (images + 5 * 1.5 / 255 * way).clamp(0, 1))


def test_what_small_octaves_gain_is_added_to_the_large_ones(images):
    up = [(size, torch.ones_like) for size in octave_sizes(20, 28, 3, 1.4)]
    found = run(images, up, steps=2)
    torch.testing.assert_close(found.pictures, images + 3 * 2 * 1.5 / 255)
    assert [tuple(frame.shape[2:]) for frame in found.frames] == octave_sizes(20, 28, 3, 1.4)
    # the picture's own fine detail stays, which a picture enlarged again would have lost
    assert (enlarged(enlarged(images, (10, 14)), (20, 28)) - images).abs().max() > 0.05


@pytest.mark.parametrize("size", [(20, 28)])
def test_rolls_are_undone(images, size):
    # the gradient of half the squared length is the picture itself, wherever it is rolled to
    still = run(images, [(size, lambda rolled: rolled)]).pictures
    rolled = run(images, [(size, lambda rolled: rolled)], jitter=9).pictures
    torch.testing.assert_close(rolled, still)
    # one that stays in its place is smeared over the rolls
    fixed = torch.zeros(2, 3, 20, 28)
    fixed[:, :, 10, 14] = 1
    assert (run(images, [(size, lambda _: fixed)], step_size=0.01).pictures != images).sum() == 6
    smeared = run(images, [(size, lambda _: fixed)], step_size=0.01, jitter=9).pictures
    assert (smeared != images).sum() > 6


def test_rolls_reach_as_far_as_the_jitter(images):
    seen = []

    def slope(rolled):
        seen.append(rolled.clone())
        return torch.zeros_like(rolled)

    run(images, [((20, 28), slope)], steps=60, jitter=1)
    ways = [(down, across) for down in (-1, 0, 1) for across in (-1, 0, 1)]
    found = {way for one in seen for way in ways if torch.equal(one, images.roll(way, (2, 3)))}
    assert found == set(ways)


def test_each_picture_by_itself(images):
    octaves = [(size, lambda rolled: rolled - 0.5) for size in octave_sizes(20, 28, 2, 1.4)]
    together = run(images, octaves, jitter=6).pictures
    for row in range(2):
        alone = run(images[row : row + 1], octaves, jitter=6).pictures
        torch.testing.assert_close(alone[0], together[row])


def test_pictures_stay_pictures(images):
    found = run(images, [((20, 28), torch.ones_like)], steps=200).pictures
    assert torch.equal(found, torch.ones_like(images))


def test_a_picture_without_a_finite_gradient_is_left_with_its_step(images):
    calls = []

    def slope(rolled):
        calls.append(0)
        gradient = torch.ones_like(rolled)
        if len(calls) == 3:
            gradient[0, 0, 0, 0] = torch.nan
        return gradient

    found = run(images, [((20, 28), slope)])
    assert found.notes == ("Picture 1: no finite number at step 2; it is left as it was there.",)
    torch.testing.assert_close(found.pictures[0], images[0] + 2 * 1.5 / 255)
    torch.testing.assert_close(found.pictures[1], images[1] + 5 * 1.5 / 255)


def test_no_gradient_at_all_is_said(images):
    found = run(images, [((20, 28), torch.zeros_like)])
    assert found.notes == ("No gradient reached picture 1, 2: nothing moved it.",)
    torch.testing.assert_close(found.pictures, images)


def test_a_stop_keeps_what_was_dreamt(images):
    octaves = [(size, torch.ones_like) for size in octave_sizes(20, 28, 2, 1.4)]
    events = []
    with progress.stoppable() as stop:

        def listener(event):
            events.append(event)
            if event.done == 2:
                stop.stop()

        with progress.listen(listener):
            found = run(images, octaves)
    assert found.notes == ("Stopped at step 3 of 10, as asked: what was dreamt before is kept.",)
    torch.testing.assert_close(found.pictures, images + 3 * 1.5 / 255)
    assert events[0].total == 10
    assert events[0].note == "octave 1 of 2, 14 x 20"
    assert events[0].picture.dtype == "uint8"
    with progress.stoppable() as stop:
        stop.stop()
        with pytest.raises(Stopped):
            run(images, octaves)


def test_pictures_are_shown_in_three_channels():
    one = torch.tensor([0.0, 0.5, 1.2, -1.0]).view(1, 1, 2, 2)
    assert shown(one)[0, :, :, 0].tolist() == [[0, 128], [255, 0]]
    assert shown(one).shape == (1, 2, 2, 3)
    four = torch.rand(1, 4, 2, 2)
    assert shown(four)[0].tolist() == (four[0, :3].permute(1, 2, 0) * 255).round().byte().tolist()
