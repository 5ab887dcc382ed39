"""Class pictures: a closed form, a trained network, and what is said of failures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import striate
from striate import progress
from striate.errors import AddressError, OptionError
from striate.remaking import same_numbers


class Linear(nn.Module):
    """Logits that are weighted sums of the pixels."""

    def __init__(self, weights: torch.Tensor) -> None:
        super().__init__()
        self.weights = nn.Parameter(weights)  # (K, C, H, W)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.einsum("nchw,kchw->nk", images, self.weights)


@pytest.fixture(scope="module")
def weights():
    return torch.randn(4, 2, 10, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def network(weights):
    return striate.Network(Linear(weights), striate.InputSpec(2, 10, 8), ["a", "b", "c", "d"], name="linear")


def test_of_a_linear_network_every_pixel_goes_to_its_end(network, weights):
    made = striate.lenses.class_picture(network, ["class:c", "class:a"], recipe="pixels")
    for row, index in enumerate((2, 0)):
        np.testing.assert_array_equal(made.pictures[row], np.where(weights[index] > 0, 255, 0))
        # the score is the sum of the positive weights, and no picture has a larger one
        assert float(made.scores[row]) == pytest.approx(float(weights[index].clamp(min=0).sum()), rel=1e-5)
    assert made.target == ("class:c", "class:a")
    assert made.recognised.all()


def test_a_trained_network_recognises_its_class_picture(lite0):
    made = striate.lenses.class_picture(lite0, "class:tabby", steps=40, recipe="pixels")
    assert made.recognised.all()
    assert float(made.probabilities[0]) > 0.9
    assert float(made.scores[0]) > float(made.begun[0]) + 5
    # what is said is of the picture of 8 bits
    logits = lite0(lite0.spec.normalise(torch.from_numpy(made.pictures).float() / 255))
    assert float(logits[0, 281]) == pytest.approx(float(made.scores[0]), rel=1e-4)
    assert made.sentence(0).startswith("The network says tabby (>0.99). Score ")


def test_another_size_is_seen_at_the_input_size():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    network = striate.Network(module, striate.InputSpec(3, 16, 12), name="pooled")
    made = striate.lenses.class_picture(network, 1, size=(24, 20), steps=4)
    assert made.pictures.shape == (1, 3, 24, 20)
    small = network.spec.preprocess(np.moveaxis(made.pictures[0], 0, -1))
    assert float(network(small[None])[0, 1]) == pytest.approx(float(made.scores[0]), rel=1e-5)


def test_made_again_from_the_file(network, tmp_path):
    path = striate.lenses.class_picture(network, [0, 3], steps=5, seed=2).save(tmp_path / "classes.npz")
    assert same_numbers(path, striate.again(path, network))


def test_many_make_a_sheet_and_failures_are_named(network):
    made = striate.lenses.class_picture(network, [0, 1, 2, 3] * 4, steps=4, recipe="pixels")
    (sheet,) = made.drawings()
    assert [label.words for label in sheet.labels] == list("abcd") * 4
    # a class whose weights are far below all others is never said
    shy = striate.Network(Linear(torch.stack([torch.ones(2, 10, 8), torch.full((2, 10, 8), 1e-3)])), network.spec)
    failed = striate.lenses.class_picture(shy, 1, steps=4, recipe="pixels")
    assert not failed.recognised.any()
    assert failed.sentence(0).startswith("The picture failed: the network says 0 (>0.99), and 1 has <0.01.")


def test_what_cannot_be_asked(network):
    with pytest.raises(AddressError, match="no class 'e'"):
        striate.lenses.class_picture(network, "class:e")
    with pytest.raises(OptionError, match=r"no recipe .luzid.; there are lucid, .* Did you mean lucid"):
        striate.lenses.class_picture(network, 0, recipe="luzid")
    with pytest.raises(OptionError, match=r"size is one number of pixels, or height and width, at least 1; got \[3\]"):
        striate.lenses.class_picture(network, 0, size=[3])
    with pytest.raises(OptionError, match="steps must be at least 1"):
        striate.lenses.class_picture(network, 0, steps=0)


def test_a_stop_keeps_what_was_made(network):
    def hear(event):
        if event.task == "class pictures" and event.done == 2:
            stop.stop()

    with progress.stoppable() as stop, progress.listen(hear):
        made = striate.lenses.class_picture(network, [0, 1], steps=9)
    assert "Stopped at step 2 of 9, as asked: the best so far is kept." in made.recipe.notes
    assert (made.scores > made.begun).all()


def test_faint_pictures_are_drawn_stronger_and_that_is_said(network):
    made = striate.lenses.class_picture(network, [0, 1], steps=2, recipe="simonyan", start="grey")
    assert int(np.abs(made.pictures.astype(int) - 128).max()) < 40
    for index, drawing in enumerate(made.drawings()):
        assert drawing.caption.endswith("times as strong.")
        assert np.ptp(drawing.pixels.astype(int)) > 2 * np.ptp(made.shown(index).astype(int))
