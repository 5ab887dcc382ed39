"""The lens: classes of pictures, what it says, and how it is drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import striate
from striate.errors import AddressError
from striate.lenses import optimizer_paths


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 9, 3))
    return striate.Network(module, striate.InputSpec(3, 8, 8), ["ant", "bee", "crane"], name="small")


@pytest.fixture(scope="module")
def images():
    return torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def found(network, images):
    classes = ["ant", "bee", "crane"] * 2
    return optimizer_paths(
        network, images, [f"class:{name}" for name in classes], optimizers=["sgd", "adam", "adagrad"], steps=8, grid=7
    )


def test_it_learns_the_classes_that_are_given(network, images, found):
    assert all(path.end < path.losses[0] for path in found.paths)
    assert found.paths[0].losses[0] == found.paths[1].losses[0]  # all begin at one place
    says = optimizer_paths(network, images, optimizers=["sgd"], steps=1, rates="own", start="weights", grid=5)
    expected = nn.functional.cross_entropy(network(images), network(images).argmax(1))
    assert says.paths[0].losses[0] == pytest.approx(float(expected), rel=1e-5)
    assert says.paths[0].rate == 0.01


def test_it_says_what_is_seen(found):
    text = found.caption()
    assert text.startswith(
        "3 optimisers from one place, 8 steps each: the loss of small on 6 pictures, from first weights"
    )
    assert "Lowest at the end: " in text
    assert "of their movement (of " in found.seen()
    assert "directions that are not seen" in found.seen()
    assert 0 < found.share <= 1
    assert found.recipe.lens == "optimizer_paths"
    assert found.recipe.options["optimizers"] == ["sgd", "adam", "adagrad"]
    assert len(found.recipe.pictures) == 6


def test_it_is_drawn_and_kept(found, tmp_path):
    arrays = found.arrays()
    assert arrays["places"].shape == (3, 9, 2)
    assert np.isfinite(arrays["heights"]).all()
    assert [drawing.title for drawing in found.drawings()] == ["paths", "losses"]
    assert all(drawing.pixels.std() > 10 for drawing in found.drawings())
    for suffix in (".png", ".json", ".npz"):
        assert found.save(tmp_path / f"paths{suffix}").stat().st_size > 1000


def test_paths_that_end_early_are_drawn_too(network, images, tmp_path):
    found = optimizer_paths(network, images, [0, 1, 2] * 2, optimizers=["sgd", "momentum"], rates=1e6, steps=5, grid=5)
    assert all(path.lost for path in found.paths)
    assert "Lost on the way, and given up there: sgd, momentum." in found.recipe.notes
    found.save(tmp_path / "lost.png")


def test_a_layer_is_no_class(network, images):
    with pytest.raises(AddressError, match="0:1 is no class; a loss needs the class"):
        optimizer_paths(network, images, "0:1")
