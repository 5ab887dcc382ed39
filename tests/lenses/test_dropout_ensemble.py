"""Dropout masks: closed forms for a linear network, every kind of dropout, and seeds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import striate
from striate.errors import NetworkError, OptionError
from striate.lenses import dropout_ensemble

SPEC = striate.InputSpec(1, 4, 5)


@pytest.fixture
def linear():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Dropout(0.3), nn.Linear(20, 4))
    return striate.Network(module.eval(), SPEC, ["a", "b", "c", "d"], name="linear")


@pytest.fixture
def images():
    return torch.rand(3, 1, 4, 5, generator=torch.Generator().manual_seed(2))


def test_a_linear_network_is_the_mean_of_its_masks(linear, images):
    masks = 2000
    found = dropout_ensemble(linear, images, masks=masks)
    torch.testing.assert_close(found.scaled, linear(images))
    weight = linear.module[2].weight.detach().double()
    # a unit is kept with probability q and then divided by it: its variance is x^2 (1 - q) / q
    variance = (images.flatten(1).double() ** 2) @ (weight**2).T * (0.3 / 0.7)
    drawn = found.drawn.double()
    off = (drawn.mean(1) - found.scaled.double()) / (variance / masks).sqrt()
    assert float(off.abs().max()) < 4.5  # standard errors
    torch.testing.assert_close(drawn.var(1), variance, rtol=0.2, atol=0)
    np.testing.assert_allclose(found.spread, variance.sum(1).sqrt(), rtol=0.1)
    # the distance falls as 1 over the root of their number
    counts = np.array(found.counts)
    few = counts <= 64
    np.testing.assert_allclose(found.distances[:, few] * np.sqrt(counts[few]), 1, rtol=0.25)
    assert "So the scaled network is their mean" in found.caption()


def test_what_is_left_behind_a_nonlinear_step_is_said(images):
    class Squared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.dropout = nn.Dropout(0.5)

        def forward(self, pictures):
            return self.dropout(pictures.flatten(1)) ** 2

    found = dropout_ensemble(striate.Network(Squared().eval(), SPEC, name="squared"), images, masks=400)
    # each unit is 0 or 2x with equal chances: the mean of its square is 2x^2, and the variance of it 4x^4
    square = images.flatten(1).double() ** 2
    left = (square**2).sum(1).sqrt() / (4 * square**2).sum(1).sqrt()
    np.testing.assert_allclose(found.left, left, rtol=0.15)
    assert "would be left with any number of masks" in found.caption()


class Functional(nn.Module):
    def __init__(self, norm: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 1)
        self.norm = nn.BatchNorm2d(3) if norm else nn.Identity()

    def forward(self, pictures):
        return F.dropout(self.norm(self.conv(pictures)), 0.5, self.training).mean((2, 3))


def test_dropout_as_a_function_counts_and_batch_norm_stays_as_it_is(images):
    torch.manual_seed(0)
    network = striate.Network(Functional(norm=True).eval(), SPEC, name="functional")
    kept = {key: value.clone() for key, value in network.module.state_dict().items()}
    state = torch.get_rng_state()
    found = dropout_ensemble(network, images, masks=32)
    assert bool((found.drawn != found.drawn[:, :1]).any())
    assert "function or stochastic depth" in found.recipe.notes[0]
    assert all(torch.equal(value, kept[key]) for key, value in network.module.state_dict().items())
    assert not any(part.training for part in network.module.modules())
    assert torch.equal(state, torch.get_rng_state())


def test_masks_depend_on_the_seed_and_the_place_of_a_picture_alone(linear, images):
    one, again, more, fewer = (
        dropout_ensemble(linear, pictures, masks=masks, seed=1).drawn
        for pictures, masks in ((images, 20), (images, 20), (images, 40), (images[:2], 20))
    )
    assert torch.equal(one, again)
    assert torch.equal(one, more[:, :20])
    assert torch.equal(one[:2], fewer)
    assert not torch.equal(one, dropout_ensemble(linear, images, masks=20, seed=2).drawn)


def test_training_flags_are_as_they_were(linear, images):
    linear.module[1].train()
    dropout_ensemble(linear, images, masks=2)
    assert [part.training for part in linear.module] == [False, True, False]


def test_networks_without_dropout_and_wrong_numbers_are_explained(linear, images):
    plain = striate.Network(nn.Sequential(nn.Flatten(), nn.Linear(20, 3)).eval(), SPEC, name="plain")
    with pytest.raises(NetworkError, match="every mask gives the same answer in plain: it has no dropout"):
        dropout_ensemble(plain, images)
    linear.module[1].p = 0.0
    with pytest.raises(NetworkError, match=r"its dropout \(1, ...\) drops nothing"):
        dropout_ensemble(linear, images)
    with pytest.raises(OptionError, match="at least 2, got 1"):
        dropout_ensemble(linear, images, masks=1)


def test_the_lectures_network_is_drawn_and_saved(images, tmp_path):
    network = striate.load("striate:cnn2,size=8")
    found = dropout_ensemble(network, torch.rand(2, 1, 8, 8), masks=20)
    assert found.layers == 1
    assert found.shares == (0.3,)
    assert len(found.drawings()) == 2
    assert found.save(tmp_path / "ensemble.png").stat().st_size > 20_000
    with np.load(found.save(tmp_path / "ensemble.npz")) as arrays:
        assert arrays["drawn"].shape == (2, 20, 10)
