"""The descent: where it ends in closed form, what it keeps, how it is stopped, and what is no number."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import striate
from striate import progress
from striate.errors import NetworkError, OptionError, Stopped
from striate.synthesis.descent import coarse_first, descend, slopes


@pytest.fixture(scope="module")
def network():
    module = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Tanh())
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(4)))
    module.append(nn.AdaptiveAvgPool2d(1)).append(nn.Flatten())
    return striate.Network(module, striate.InputSpec(2, 9, 8, mean=(0.4,), std=(0.3,)))


@pytest.fixture
def pictures():
    return torch.rand(3, 2, 9, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def wanted():
    return torch.rand(3, 2, 9, 8, generator=torch.Generator().manual_seed(2))


def towards(wanted):
    return lambda tapped, images, part: (images - wanted[part]).square().flatten(1).sum(1)


def test_a_wave_is_divided_by_its_frequency():
    columns = torch.arange(16.0)
    for waves in (1, 3, 8):
        wave = torch.cos(2 * math.pi * waves * columns / 16).expand(2, 3, 12, 16)
        torch.testing.assert_close(coarse_first(wave), wave / (waves / 16), rtol=0, atol=1e-4)
    rows = torch.sin(2 * math.pi * 3 * torch.arange(12.0) / 12).view(12, 1).expand(1, 1, 12, 16)
    torch.testing.assert_close(coarse_first(rows), rows / (3 / 12), rtol=0, atol=1e-4)
    flat = torch.full((1, 1, 12, 16), 0.5)
    torch.testing.assert_close(coarse_first(flat), flat * 16)


def test_the_smoothed_gradient_still_leads_down(pictures):
    gradient = pictures - 0.5
    assert ((gradient * coarse_first(gradient)).flatten(1).sum(1) > 0).all()


def test_slopes_are_those_of_autograd_in_any_pieces(network, pictures):
    leaf = pictures.clone().requires_grad_()
    maps = network.module[:2]((leaf - 0.4) / 0.3)
    costs = maps.square().flatten(1).sum(1) + leaf.flatten(1).sum(1)
    (expected,) = torch.autograd.grad(costs.sum(), leaf)

    def cost(tapped, images, part):
        return tapped.outputs["1"].square().flatten(1).sum(1) + images.flatten(1).sum(1)

    for chunk in (1, 2, 8):
        values, gradient = slopes(network, pictures, ["1"], cost, chunk=chunk)
        torch.testing.assert_close(values, costs.detach())
        torch.testing.assert_close(gradient, expected)
    assert all(weight.grad is None and weight.requires_grad for weight in network.module.parameters())


def test_it_ends_where_the_cost_is_least(network, pictures, wanted):
    found = descend(network, pictures, [], towards(wanted), steps=200, rate=0.05)
    assert (found.pictures - wanted).abs().max() < 0.02
    assert found.costs.max() < 1e-3 * towards(wanted)(None, pictures, slice(None)).min()


def test_it_ends_at_the_edge_of_what_a_picture_can_be(network, pictures):
    outside = torch.full_like(pictures, 1.5)
    found = descend(network, pictures, [], towards(outside), steps=100, rate=0.05)
    torch.testing.assert_close(found.pictures, torch.ones_like(pictures))


def test_the_cheapest_iterate_is_kept_with_its_cost(network, pictures, wanted):
    found = descend(network, pictures, [], towards(wanted), steps=20, rate=0.5)  # far too fast: it overshoots
    torch.testing.assert_close(found.costs, towards(wanted)(None, found.pictures, slice(None)))
    assert found.curve.shape == (3, 21)
    torch.testing.assert_close(found.costs, found.curve.min(1).values)
    assert found.best_steps.tolist() == found.curve.argmin(1).tolist()
    assert (found.curve[:, 1:] > found.curve[:, :-1]).any()


def test_each_picture_by_itself(network, pictures, wanted):
    def cost(tapped, images, part):
        return (tapped.outputs["1"] - 0.3).square().flatten(1).sum(1) + towards(wanted)(None, images, part)

    together = descend(network, pictures, ["1"], cost, steps=15, rate=0.05)
    for row in range(3):

        def one(tapped, images, part, row=row):
            return cost(tapped, images, slice(row, row + 1))

        alone = descend(network, pictures[row : row + 1], ["1"], one, steps=15, rate=0.05)
        torch.testing.assert_close(alone.pictures[0], together.pictures[row], rtol=0, atol=1e-4)


def test_the_start_is_left_as_it_is(network, pictures, wanted):
    before = pictures.clone()
    descend(network, pictures, [], towards(wanted), steps=3, rate=0.1)
    assert torch.equal(pictures, before)


def test_progress_is_told_and_shown(network, pictures, wanted):
    events = []
    with progress.listen(events.append):
        descend(network, pictures, [], towards(wanted), steps=10, rate=0.05, task="matching")
    own = [event for event in events if event.task == "matching"]
    assert [event.done for event in own] == list(range(11))
    assert own[-1].total == 10
    sheet = own[-1].picture
    assert sheet.dtype == "uint8"
    assert sheet.shape[2] == 3


def test_a_stop_keeps_the_best_so_far(network, pictures, wanted):
    with progress.stoppable() as stop:

        def listener(event):
            if event.done == 4:
                stop.stop()

        with progress.listen(listener):
            found = descend(network, pictures, [], towards(wanted), steps=50, rate=0.05)
    assert found.stopped
    assert found.notes == ("Stopped at step 5 of 50, as asked: the best so far is kept.",)
    assert found.curve.shape == (3, 5)
    torch.testing.assert_close(found.costs, towards(wanted)(None, found.pictures, slice(None)))
    with progress.stoppable() as stop:
        stop.stop()
        with pytest.raises(Stopped):
            descend(network, pictures, [], towards(wanted), steps=50, rate=0.05)


def test_a_picture_that_is_no_number_any_more_is_left_with_its_step(network, pictures, wanted):
    calls = []

    def cost(tapped, images, part):
        calls.append(0)
        found = towards(wanted)(None, images, part)
        return found * torch.tensor([1.0, torch.nan if len(calls) > 3 else 1.0, 1.0])

    found = descend(network, pictures, [], cost, steps=30, rate=0.05)
    assert found.notes == ("Picture 2: no finite number at step 3; that of step 2 is kept.",)
    assert found.curve[1].isfinite().tolist() == [True] * 3 + [False] * 28
    torch.testing.assert_close(found.costs, towards(wanted)(None, found.pictures, slice(None)))
    undisturbed = descend(network, pictures, [], towards(wanted), steps=30, rate=0.05)
    torch.testing.assert_close(found.pictures[[0, 2]], undisturbed.pictures[[0, 2]])


def test_no_number_from_the_beginning_is_an_error(network, pictures):
    with pytest.raises(NetworkError, match=r"no finite number for the picture that the inversion starts from"):
        descend(network, pictures, [], lambda *_: torch.full((3,), torch.nan, requires_grad=True) + _[1].sum() * 0,
                steps=3, rate=0.1, task="inversion")  # fmt: skip


def test_the_cheaper_of_two_tries(network, pictures, wanted):
    short = descend(network, pictures, [], towards(wanted), steps=2, rate=0.02)
    start = pictures.clone()
    start[1] = wanted[1]
    other = descend(network, start, [], towards(wanted), steps=1, rate=0.001)
    best = short.better(other)
    torch.testing.assert_close(best.costs, torch.minimum(short.costs, other.costs))
    assert torch.equal(best.pictures[1], wanted[1])
    assert torch.equal(best.pictures[0], short.pictures[0])
    assert best.curve.shape == (3, 3)


@pytest.mark.parametrize(
    ("options", "message"), [({"steps": 0, "rate": 1}, "steps"), ({"steps": 1, "rate": 0}, "rate")]
)
def test_options_that_make_no_sense(network, pictures, wanted, options, message):
    with pytest.raises(OptionError, match=f"{message} must be"):
        descend(network, pictures, [], towards(wanted), **options)


def test_a_layer_that_cuts_the_gradient_is_said(pictures):
    class Cut(nn.Module):
        def forward(self, images):
            return images.detach().flatten(1)

    network = striate.Network(nn.Sequential(Cut(), nn.Linear(144, 2)), striate.InputSpec(2, 9, 8))
    with pytest.raises(NetworkError, match="0 does not depend on the picture by way of a gradient"):
        descend(network, pictures, ["0"], lambda tapped, *_: tapped.outputs["0"].sum(1), steps=2, rate=0.1)
