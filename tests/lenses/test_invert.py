"""Inversion: of the picture itself in closed form, of linear layers, of a real network, and what goes wrong."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import striate
from striate import progress
from striate.errors import AddressError, NetworkError, OptionError
from striate.lenses import invert


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    blur = nn.Conv2d(2, 2, 1)
    module = nn.Sequential(nn.Identity(), blur, nn.Conv2d(2, 6, 3), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten())
    module.append(nn.Linear(6 * 5 * 4, 3))
    return striate.Network(module, striate.InputSpec(2, 22, 18, mean=(0.45,), std=(0.25,)))


@pytest.fixture
def images(network):
    waves = torch.linspace(0, 6, 22).sin().view(1, 1, 22, 1) * torch.linspace(0, 9, 18).cos()
    pixels = 0.5 + torch.tensor([0.3, -0.2]).view(2, 1, 1, 1) * waves.expand(2, 2, 22, 18)
    pixels = pixels + 0.05 * torch.rand(2, 2, 22, 18, generator=torch.Generator().manual_seed(1))
    return network.spec.normalise(pixels)


def test_the_picture_itself_comes_back(network, images):
    found = invert(network, images, layers="0", variation=0, steps=200)
    torch.testing.assert_close(found.made[0], network.spec.denormalise(images), rtol=0, atol=0.02)
    assert found.errors.max() < 0.01
    assert found.differences.max() < 2
    assert found.noise.min() > 0.5


def test_a_layer_that_mixes_channels_holds_the_picture_as_well(network, images):
    found = invert(network, images, layers="1", variation=0, steps=300)
    assert found.differences.max() < 8
    assert found.errors.max() < 0.05


def test_errors_are_those_of_the_pictures_made(network, images):
    found = invert(network, images, layers=["1", "3"], steps=10)
    for index, place in enumerate(("1", "3")):
        wanted = striate.lenses.activations(network, images, layers=place).maps[place]
        again = striate.lenses.activations(network, network.spec.normalise(found.made[index]), layers=place).maps[place]
        expected = (again - wanted).flatten(1).norm(dim=1) / wanted.flatten(1).norm(dim=1)
        torch.testing.assert_close(found.errors[index], expected, rtol=1e-4, atol=1e-5)
    change = (found.made - network.spec.denormalise(images)) * 255
    torch.testing.assert_close(found.differences, change.square().mean((2, 3, 4)).sqrt(), rtol=1e-4, atol=1e-4)


def test_a_picture_alone_and_among_others(network, images):
    together = invert(network, images, layers="3", steps=8)
    alone = invert(network, images[1:], layers="3", steps=8, chunk=1)
    torch.testing.assert_close(alone.made[:, 0], together.made[:, 1], rtol=0, atol=1e-4)
    torch.testing.assert_close(alone.scrambled[:, 0], together.scrambled[:, 1])


def test_smoothness_weighs_more_the_coarser_the_layer(network, images, lite0, chelsea):
    assert invert(lite0, chelsea, steps=1).variation == (1.0, 1.0, 1.0, 10.0, 100.0)
    smooth, rough = (invert(network, images, layers="3", steps=60, variation=weight).made for weight in (100.0, 0.01))
    assert smooth.diff(dim=3).square().mean() < 0.3 * rough.diff(dim=3).square().mean()


def test_a_real_picture_comes_back_from_a_shallow_layer(small_lite0, chelsea):
    shallow = invert(small_lite0, chelsea, layers="blocks.0", steps=40)
    assert shallow.errors[0, 0] < 0.5 * shallow.scrambled[0, 0]
    assert shallow.differences[0, 0] < 35
    assert "Not found" not in shallow.drawings()[0].caption
    deep = invert(small_lite0, chelsea, layers="bn2", steps=5)  # far too few
    assert "Not found" in deep.drawings()[0].caption


def test_more_tries_are_never_dearer(network, images):
    once = invert(network, images, layers="4", steps=10)
    often = invert(network, images, layers="4", steps=10, restarts=3)
    assert (often.costs.nan_to_num(9).amin(2) <= once.costs.nan_to_num(9).amin(2)).all()


def test_vectors_can_be_inverted(network, images):
    found = invert(network, images, layers="5", steps=20)
    assert found.variation == (10.0,)  # one unit for 22 x 18 pixels
    assert (found.errors < found.noise).all()


def test_a_stop_keeps_the_layers_that_were_done(network, images):
    with progress.stoppable() as stop:

        def listener(event):
            if event.task == "inverting 1" and event.done == 3:
                stop.stop()

        with progress.listen(listener):
            found = invert(network, images, layers=["0", "1", "3"], steps=6)
    assert found.layers == ("0", "1")
    assert found.recipe.notes[-1] == "Stopped before 3."
    assert "1: Stopped at step 4 of 6" in found.recipe.notes[0]
    assert found.costs.shape == (2, 2, 7)
    assert found.costs[1, 0].isfinite().tolist() == [True] * 4 + [False] * 3
    assert len(found.drawings()) == 4


def test_the_result_says_itself(network, images, tmp_path):
    found = invert(network, images, layers=["1", "3"], steps=3)
    assert [drawing.title for drawing in found.drawings()] == ["1", "3", "1", "3"]
    assert "2 pictures made again from what 2 layers alone hold" in found.caption()
    found.save(tmp_path / "made.png")
    found.save(tmp_path / "made.json")
    assert found.arrays()["made"].shape == (2, 2, 2, 22, 18)


def test_it_works_where_no_gradients_are_wanted(network, images):
    expected = invert(network, images, layers="3", steps=2)
    with torch.inference_mode():
        assert torch.equal(invert(network, images.clone(), layers="3", steps=2).made, expected.made)


def test_what_cannot_be_inverted(network, images):
    with pytest.raises(AddressError, match="no layer 'nowhere'"):
        invert(network, images, layers="nowhere")
    for options, message in (
        ({"steps": 0}, "steps"),
        ({"restarts": 0}, "restarts"),
        ({"variation": -1.0}, "variation"),
    ):
        with pytest.raises(OptionError, match=f"{message} must be"):
            invert(network, images, layers="1", **options)
    with pytest.raises(OptionError, match="no layer to invert"):
        invert(network, images, layers=[])
    silent = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    nn.init.constant_(silent[0].weight, 0.0)
    nn.init.constant_(silent[0].bias, -1.0)
    with pytest.raises(NetworkError, match="layer '1' answers 0 everywhere to picture 1: there is nothing"):
        invert(striate.Network(silent, striate.InputSpec(2, 22, 18)), images, layers="1")
    nn.init.constant_(silent[0].bias, torch.nan)
    with pytest.raises(NetworkError, match="layer '0' gives no finite number to picture 1"):
        invert(striate.Network(silent, striate.InputSpec(2, 22, 18)), images, layers="0")
