"""DeepDream: on a layer that is the picture itself in closed form, on a real network, and what it is asked wrongly."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import striate
from striate import progress
from striate.errors import AddressError, NetworkError, OptionError
from striate.lenses import dream


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Identity(), nn.Conv2d(2, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    return striate.Network(module, striate.InputSpec(2, 24, 30, mean=(0.5,), std=(0.25,)), ["ant", "bee", "cow"])


@pytest.fixture
def images(network):
    pixels = 0.3 + 0.4 * torch.rand(2, 2, 24, 30, generator=torch.Generator().manual_seed(1))
    return network.spec.normalise(pixels)


def test_what_is_the_picture_itself_gets_more_contrast(network, images):
    # half the squared length of the normalised picture: its gradient is the offset from the mean
    found = dream(network, images, "0", octaves=1, steps=1, jitter=5)
    offset = network.spec.denormalise(images) - 0.5
    step = 1.5 / 255 * offset / offset.abs().mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(found.dreams, 0.5 + offset + step, rtol=0, atol=1e-6)
    values = images.square().flatten(1).sum(1) / 2
    torch.testing.assert_close(found.before, values)
    assert (found.after > found.before).all()
    assert found.target == ("0", "0")
    levels = (found.dreams * 255).round() - ((0.5 + offset) * 255).round()
    torch.testing.assert_close(torch.from_numpy(found.moved), levels.abs().double().mean((1, 2, 3)), atol=0.02, rtol=0)


@pytest.mark.parametrize("target", [None, "1:2", "2", "class:bee", ["class:ant", "class:bee"], "1:0 - 1:3"])
def test_the_value_rises(network, images, target):
    found = dream(network, images, target, octaves=2, steps=8)
    assert (found.after > found.before).all()
    assert found.dreams.min() >= 0
    assert found.dreams.max() <= 1
    assert not found.recipe.notes


def test_a_picture_alone_and_among_others(network, images):
    together = dream(network, images, "1", octaves=2, steps=5, seed=3)
    alone = dream(network, images[1:], "1", octaves=2, steps=5, seed=3, chunk=1)
    torch.testing.assert_close(alone.dreams[0], together.dreams[1], rtol=0, atol=1e-5)
    other = dream(network, images[1:], "1", octaves=2, steps=5, seed=4)
    assert not torch.allclose(alone.dreams, other.dreams)


def test_a_picture_can_have_any_size(network):
    tall = torch.rand(1, 2, 41, 17, generator=torch.Generator().manual_seed(2))
    found = dream(network, tall, "1", octaves=3, steps=2)
    assert found.dreams.shape == (1, 2, 41, 17)
    assert [frame.shape[1:3] for frame in found.frames] == [(21, 9), (29, 12), (41, 17)]


def test_octaves_that_are_too_small_are_left_out_and_said(network, images):
    found = dream(network, images, "1", octaves=9, octave_scale=2.0, steps=1)
    assert [frame.shape[1:3] for frame in found.frames] == [(3, 4), (6, 8), (12, 15), (24, 30)]
    (note,) = found.recipe.notes
    assert note.startswith("Octaves that it cannot be run on were left out, 1 x 1, 2 x 2 pixels: the network cannot")
    assert "cannot be run on a picture batch of 1 x 2 x 1 x 1" in note


def test_a_real_network_dreams_of_its_class(lite0, chelsea):
    found = dream(lite0, chelsea, "class:goldfinch", octaves=2, steps=8)
    assert found.after[0] > found.before[0] + 5
    assert lite0(lite0.spec.normalise(found.dreams)).argmax(1).item() == lite0.class_index("goldfinch", 1000)
    assert 1 < found.moved[0] < 40
    again = dream(lite0, chelsea, "class:goldfinch", octaves=2, steps=8)
    assert torch.equal(found.dreams, again.dreams)


def test_pictures_that_are_none_are_cut_off_and_said(network, images):
    found = dream(network, images * torch.tensor([1.0, 9.0]).view(2, 1, 1, 1), "1", octaves=1, steps=1)
    assert found.recipe.notes[0].startswith("1 picture had values outside 0 to 1 before normalisation")


def test_it_works_where_no_gradients_are_wanted(network, images):
    expected = dream(network, images, "1", octaves=2, steps=2)
    with torch.inference_mode():
        assert torch.equal(dream(network, images.clone(), "1", octaves=2, steps=2).dreams, expected.dreams)


def test_without_a_picture_it_dreams_into_noise(network):
    found = dream(network, target="1:0", octaves=1, steps=3, seed=1)
    assert found.dreams.shape == (1, 2, 24, 30)
    assert found.after[0] > found.before[0]
    assert not torch.equal(found.dreams, dream(network, target="1:0", octaves=1, steps=3, seed=2).dreams)


def test_it_is_shown_on_the_way_and_can_be_stopped(network, images):
    events = []
    with progress.stoppable() as stop:

        def listener(event):
            events.append(event)
            if event.done == 5:
                stop.stop()

        with progress.listen(listener):
            found = dream(network, images, "1", octaves=2, steps=10)
    assert "Stopped at step 5 of 20" in found.recipe.notes[0]
    assert len(found.frames) == 1
    assert events[0].picture is not None
    assert found.figure() is not None


def test_the_result_says_itself(network, images, tmp_path):
    found = dream(network, images, "1", octaves=2, steps=3)
    assert "2 octaves from 17 x 21 to 24 x 30 pixels, 3 steps each" in found.caption()
    assert len(found.drawings()) == 2
    assert "levels" in found.drawings()[0].caption
    found.save(tmp_path / "dream.png")
    assert found.numbers()["octaves"] == [[17, 21], [24, 30]]
    assert found.arrays()["dreams"].shape == (2, 2, 24, 30)


WRONG = {
    "octaves must be at least 1, got 0": {"octaves": 0},
    "steps must be at least 1, got 0": {"steps": 0},
    "jitter must be at least 0, got -1": {"jitter": -1},
    r"octave_scale must be above 1, step_size above 0, and both finite, got 1\.0 and 1\.5": {"octave_scale": 1.0},
    r"both finite, got 1\.4 and inf": {"step_size": float("inf")},
    r"both finite, got inf and 1\.5": {"octave_scale": float("inf")},
    "3 targets for 2 pictures": {"target": ["1:0", "1:1", "1:2"]},
}


@pytest.mark.parametrize("message", WRONG)
def test_options_that_make_no_sense(network, images, message):
    with pytest.raises(OptionError, match=message):
        dream(network, images, **WRONG[message])


def test_places_and_sizes_that_are_not(network, images):
    with pytest.raises(AddressError, match="no layer '7'"):
        dream(network, images, "7")
    with pytest.raises(AddressError, match="no channel 9"):
        dream(network, images, "1:9")
    with pytest.raises(NetworkError, match="cannot be run on a picture batch of 1 x 2 x 2 x 2"):
        dream(network, images[:, :, :2, :2], "1")


def test_a_network_that_gives_no_number(images):
    module = nn.Sequential(nn.Conv2d(2, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    nn.init.constant_(module[0].weight, torch.nan)
    with pytest.raises(NetworkError, match="0 is nan for the first picture"):
        dream(striate.Network(module, striate.InputSpec(2, 24, 30)), images, "0")
