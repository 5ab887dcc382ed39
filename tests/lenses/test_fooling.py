"""Fooling: pictures of 8 bits that a trained network is wrongly sure of, and what is said of them."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import striate
from striate import progress
from striate.errors import AddressError, ImageError, OptionError
from striate.remaking import same_numbers


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 8 * 12, 3))
    return striate.Network(module, striate.InputSpec(1, 12, 16, mean=(0.4,), std=(0.2,)), ["a", "b", "c"], name="small")


@pytest.fixture(scope="module")
def from_noise(lite0):
    return striate.lenses.fooling(lite0, ["class:toaster", "class:tabby"], seed=1)


@pytest.fixture(scope="module")
def from_photograph(lite0, chelsea):
    return striate.lenses.fooling(lite0, ["class:toaster", "class:volcano"], chelsea)


def saved_and_read(pixels: np.ndarray) -> np.ndarray:
    """Return what is left of a picture (C, H, W) after it was saved as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(np.moveaxis(pixels, 0, -1)).save(buffer, "PNG")
    return np.moveaxis(np.asarray(Image.open(buffer)), -1, 0)


@pytest.mark.parametrize("which", ["from_noise", "from_photograph"])
def test_a_saved_picture_fools_the_network(lite0, which, request):
    made = request.getfixturevalue(which)
    assert made.succeeded.all()
    pictures = np.stack([saved_and_read(one) for one in made.pictures])
    shares = lite0(lite0.spec.normalise(torch.from_numpy(pictures).float() / 255)).softmax(1)
    for row, label in enumerate(made.target):
        index = lite0.class_index(label.removeprefix("class:"), 1000)
        assert int(shares[row].argmax()) == index
        assert float(shares[row, index]) > 0.99
        assert float(shares[row, index]) == pytest.approx(float(made.after[row]), abs=1e-4)


def test_noise_still_looks_like_noise(from_noise):
    # neighbours in a photograph go together; 50,176 pixels of noise correlate by a few thousandths
    assert np.abs(from_noise.neighbours).max() < 0.02
    assert from_noise.largest.max() <= 32
    spread = from_noise.pictures.std(axis=(1, 2, 3))
    np.testing.assert_allclose(spread, np.sqrt((256**2 - 1) / 12), rtol=0.03)  # of an even distribution


def test_the_change_of_a_photograph_is_small_and_said(from_photograph, lite0, chelsea):
    made = from_photograph
    change = made.pictures.astype(float) - made.starts
    np.testing.assert_array_equal(made.largest, np.abs(change).max(axis=(1, 2, 3)))
    np.testing.assert_allclose(made.length, np.linalg.norm(change.reshape(2, -1) / 255, axis=1))
    assert made.largest.max() <= 16
    assert made.neighbours.min() > 0.9  # it is still the photograph
    start = lite0.spec.pixels(lite0.read(chelsea))
    np.testing.assert_array_equal(np.moveaxis(made.starts[0], 0, -1), start[0])
    assert f"Changed by at most {int(made.largest[0])} levels of 255" in made.sentence(0)
    assert "2 of 2 pictures made from photographs" in made.caption()


def test_numbers_arrays_and_pictures(from_photograph):
    numbers = json.loads(json.dumps(from_photograph.numbers()))
    assert [one["succeeded"] for one in numbers["pictures"]] == [True, True]
    change = striate.results.decode_array(numbers["change"])
    np.testing.assert_array_equal(from_photograph.arrays()["starts"] + change, from_photograph.arrays()["pictures"])
    drawings = from_photograph.drawings()
    assert [drawing.title for drawing in drawings] == ["class:toaster"] * 2 + ["class:volcano"] * 2
    pixels, times = from_photograph.change(0)
    np.testing.assert_array_equal(pixels, 128 + times * np.moveaxis(change[0], 0, -1))


def test_one_channel_one_class_and_many_pictures(small):
    images = small.spec.normalise(torch.randint(256, (3, 1, 12, 16), generator=torch.Generator().manual_seed(0)) / 255)
    made = striate.lenses.fooling(small, 2, images, step_size=2.0)
    assert made.pictures.shape == (3, 1, 12, 16)
    assert made.target == ("class:c",) * 3
    assert made.succeeded.all()
    assert made.drawings()[0].pixels.shape == (12, 16, 3)
    assert not made.recipe.notes
    many = striate.lenses.fooling(small, [0, 1, 2] * 4, step_size=2.0)
    assert len(many.drawings()) == 1  # a sheet
    assert len(np.unique(many.starts.reshape(12, -1), axis=0)) == 12  # each from noise of its own


def test_noise_is_that_of_the_class_alone_or_in_a_batch(small):
    alone = striate.lenses.fooling(small, 2, step_size=2.0, seed=4)
    batch = striate.lenses.fooling(small, [0, 2], step_size=2.0, seed=4)
    np.testing.assert_array_equal(alone.starts[0], batch.starts[1])
    np.testing.assert_array_equal(alone.pictures[0], batch.pictures[1])
    other = striate.lenses.fooling(small, 2, step_size=2.0, seed=5)
    assert (other.starts != alone.starts).any()


def test_made_again_from_the_file(small, tmp_path):
    path = striate.lenses.fooling(small, ["class:a", "class:c"], step_size=2.0, seed=9).save(tmp_path / "fooled.npz")
    assert same_numbers(path, striate.again(path, small))


def test_photographs_that_are_not_of_8_bits_are_rounded_and_that_is_said(small):
    made = striate.lenses.fooling(small, 1, small.spec.normalise(torch.full((1, 1, 12, 16), 0.3014)), step_size=2.0)
    assert "rounded, by up to 0.14 levels" in made.recipe.notes[0]  # 76.857 levels


def test_a_failure_is_said(small):
    made = striate.lenses.fooling(small, 1, small.spec.normalise(torch.zeros(1, 1, 12, 16)), steps=1, step_size=0.1)
    assert made.sentence(0).startswith("It failed: b has ")
    assert "0 of 1 picture" in made.caption()
    assert made.sentence(0).endswith("without any change.")


def test_what_cannot_be_asked(small):
    with pytest.raises(AddressError, match="'0:3' is a unit, and fooling is for classes"):
        striate.lenses.fooling(small, "0:3")
    with pytest.raises(AddressError, match="no class 'd'"):
        striate.lenses.fooling(small, "class:d")
    with pytest.raises(AddressError, match="no class was named"):
        striate.lenses.fooling(small, [])
    with pytest.raises(OptionError, match="2 photographs for 3 classes"):
        striate.lenses.fooling(small, [0, 1, 2], torch.zeros(2, 1, 12, 16))
    with pytest.raises(ImageError, match="3 channels for small"):
        striate.lenses.fooling(small, 0, torch.zeros(1, 3, 12, 16))


def test_a_stop_keeps_how_far_they_have_come(small):
    def hear(event):
        if event.task == "fooling step" and event.done == 2:
            stop.stop()

    with progress.stoppable() as stop, progress.listen(hear):
        made = striate.lenses.fooling(small, [0, 2], step_size=0.6)
    assert any(note.startswith("Stopped, as asked") for note in made.recipe.notes)
    assert (made.largest > 0).any()
