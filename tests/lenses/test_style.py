"""Style transfer: nothing to do, textures matched, real photographs, and what goes wrong."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import striate
from striate import progress
from striate.errors import ImageError, NetworkError, OptionError
from striate.lenses import style


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(12, 12, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, 3),
    )
    return striate.Network(module, striate.InputSpec(3, 24, 20, mean=(0.5,), std=(0.25,)))


@pytest.fixture
def images(network):
    pixels = torch.rand(2, 3, 24, 20, generator=torch.Generator().manual_seed(1))
    return network.spec.normalise(nn.functional.avg_pool2d(pixels, 5, 1, 2))


@pytest.fixture
def manner(network):
    stripes = (torch.arange(30) % 4 < 2).float().expand(1, 3, 26, 30) * torch.tensor([1.0, 0.6, 0.1]).view(3, 1, 1)
    return network.spec.normalise(stripes)


def test_a_picture_in_its_own_manner_stays(network, images):
    found = style(network, images[:1], style=images[:1], steps=20, variation=0)
    torch.testing.assert_close(found.made, network.spec.denormalise(images[:1]), rtol=0, atol=1e-6)
    assert found.costs[0, 0] < 1e-10
    assert found.plain_errors[0] < 1e-10


def test_the_style_comes_nearer_and_the_content_stays(network, images, manner):
    found = style(network, images, style=manner, steps=60)
    assert (found.style_errors < 0.3 * found.plain_errors).all()
    assert (found.costs[:, -1] < 0.5 * found.costs[:, 0]).all()
    assert found.content_layers == ("4",)
    assert found.style_layers == ("1",)
    # what counts more comes nearer
    faithful = style(network, images, style=manner, steps=60, strength=0.1)
    assert (faithful.content_errors < found.content_errors).all()
    assert (faithful.style_errors > found.style_errors).all()


def test_strength_zero_is_the_picture_itself(network, images, manner):
    found = style(network, images, style=manner, steps=5, strength=0, variation=0)
    torch.testing.assert_close(found.made, network.spec.denormalise(images), rtol=0, atol=1e-6)


def test_noise_becomes_the_picture_where_the_style_does_not_count(network, images, manner):
    found = style(
        network, images[:1], style=manner, start="noise", strength=0, variation=0, content_layers="0", steps=200
    )
    assert found.content_errors[0] < 1e-3
    torch.testing.assert_close(found.made, network.spec.denormalise(images[:1]), rtol=0, atol=0.1)


def test_one_style_for_all_or_one_for_each(network, images, manner):
    each = style(network, images, style=torch.cat([manner, manner.flip(1)]), steps=6)
    for row, own in enumerate((manner, manner.flip(1))):
        alone = style(network, images[row : row + 1], style=own, steps=6, chunk=1)
        torch.testing.assert_close(alone.made[0], each.made[row], rtol=0, atol=1e-4)
    assert each.styles.shape == (2, 26, 30, 3)
    with pytest.raises(OptionError, match="3 styles for 2 pictures"):
        style(network, images, style=manner.expand(3, -1, -1, -1), steps=6)


def test_photographs_by_path(small_lite0, chelsea, photographs):
    found = style(small_lite0, chelsea, style=photographs / "coffee.png", steps=15)
    assert found.content_layers == ("blocks.4",)
    assert found.style_layers == ("blocks.0", "blocks.1", "blocks.2")
    assert found.style_errors[0] < 0.3 * found.plain_errors[0]
    assert "Style error" in found.drawings()[0].caption
    assert "blocks.0, blocks.1, blocks.2 find in the style" in found.caption()


def test_it_is_shown_on_the_way_and_can_be_stopped(network, images, manner, tmp_path):
    events = []
    with progress.stoppable() as stop:

        def listener(event):
            events.append(event)
            if event.done == 3:
                stop.stop()

        with progress.listen(listener):
            found = style(network, images, style=manner, steps=30)
    assert found.recipe.notes == ("Stopped at step 4 of 30, as asked: the best so far is kept.",)
    assert events[0].picture is not None
    assert (found.style_errors < found.plain_errors).all()
    found.save(tmp_path / "style.png")
    assert found.numbers()["style_layers"] == ["1"]
    assert found.arrays()["made"].shape == (2, 3, 24, 20)


def test_it_works_where_no_gradients_are_wanted(network, images, manner):
    expected = style(network, images, style=manner, steps=2)
    with torch.inference_mode():
        assert torch.equal(style(network, images.clone(), style=manner, steps=2).made, expected.made)


def test_what_cannot_be_done(network, images, manner, tmp_path):
    for options, message in (
        ({"strength": -1.0}, "strength must be 0 or more"),
        ({"strength": float("inf")}, "strength must be 0 or more, and finite, got inf"),
        ({"rate": float("inf")}, "rate must be above 0, and finite, got inf"),
        ({"variation": -1.0}, "variation must be 0 or more"),
        ({"start": "grey"}, "no start 'grey'; there are content, noise"),
        ({"steps": 0}, "steps must be at least 1"),
    ):
        with pytest.raises(OptionError, match=message):
            style(network, images, style=manner, **options)
    with pytest.raises(
        NetworkError, match=r"layer '10' gives no map, and a style is .* The last layer that has one is"
    ):
        style(network, images, style=manner, style_layers="10")
    with pytest.raises(ImageError, match=r"nothing\.png does not exist"):
        style(network, images, style=tmp_path / "nothing.png")
    with pytest.raises(ImageError, match="1 channels for Sequential, which takes 3"):
        style(network, images, style=manner[:, :1])
