"""Paths on surfaces by formula and of networks: closed forms, torch's own training, planes that hold all or nothing."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from scipy.interpolate import RegularGridInterpolator
from torch import nn

import striate
from striate.errors import NetworkError, OptionError
from striate.learn.descent.network_paths import on_network
from striate.learn.descent.paths import on_surface
from striate.learn.descent.planes import across_paths, at_random
from striate.learn.descent.rules import rule
from striate.learn.descent.surfaces import SURFACES, surface
from striate.learn.descent.walking import LECTURE, Ground, calm_rate, walk


@pytest.mark.parametrize("name", SURFACES)
def test_the_lowest_places_are_flat_and_nothing_is_lower(name):
    one = surface(name)
    for place in one.lowest:
        at = torch.tensor(place, dtype=torch.float64, requires_grad=True)
        height = one.height(at)
        (slope,) = torch.autograd.grad(height, at)
        assert float(height.detach()) == pytest.approx(one.least)
        torch.testing.assert_close(slope, torch.zeros(2, dtype=torch.float64))
    x0, x1, y0, y1 = one.window
    grid = torch.cartesian_prod(torch.linspace(x0, x1, 101), torch.linspace(y0, y1, 101)).double()
    assert float(one.height(grid).min()) >= one.least
    assert x0 < one.start[0] < x1
    assert y0 < one.start[1] < y1


def test_plain_descent_in_the_valley_in_closed_form():
    found = on_surface("valley", optimizers=["sgd"], steps=20, rates=0.03)
    steps = np.arange(21)
    # (x^2 + 30 y^2) / 2: every step multiplies x by 1 - rate and y by 1 - 30 rate
    np.testing.assert_allclose(found.paths[0].places[:, 0], -4 * 0.97**steps, rtol=1e-12)
    np.testing.assert_allclose(found.paths[0].places[:, 1], 1.2 * 0.1**steps, rtol=1e-9, atol=1e-15)
    across, up = np.meshgrid(found.across, found.up)
    np.testing.assert_allclose(found.heights, (across**2 + 30 * up**2) / 2)


def test_a_step_too_long_is_lost_and_said():
    found = on_surface("valley", optimizers=["sgd", "adam"], steps=20, rates=0.2)
    assert [path.lost for path in found.paths] == [True, False]
    assert "Lost on the way, and given up there: sgd." in found.recipe.notes
    assert found.ranked()[-1].name == "sgd"


def test_the_smallest_rate_that_arrives():
    one = surface("valley")
    ground = Ground(
        [torch.tensor(one.start, dtype=torch.float64)],
        lambda weights: one.height(weights[0]),
        lambda height, _: height > 99,
    )
    rates = [10 ** (power / 4) for power in range(-16, 17)]
    goal = 0.03
    found = calm_rate(rule("sgd"), rates, ground, 100, goal)
    brute = next(rate for rate in rates if walk(rule("sgd"), rate, ground, 100).heights[-1] <= goal)
    assert found == brute
    # a goal that nobody reaches: the rate with the least mean
    means = {rate: walk(rule("sgd"), rate, ground, 5).mean for rate in rates}
    assert calm_rate(rule("sgd"), rates, ground, 5, -1.0) == min(means, key=means.get)
    assert calm_rate(rule("sgd"), [1.0, 10.0], ground, 50, goal) == 1.0  # all lost


def test_all_ten_of_the_lecture_on_one_surface():
    found = on_surface("saddle", steps=25)
    assert tuple(path.name for path in found.paths) == LECTURE
    assert all(np.array_equal(path.places[0], (-1.6, 0.02)) for path in found.paths)
    assert sum(path.end < -0.1 for path in found.paths) >= 8  # most have left the saddle, whose height is 0


def test_surfaces_and_options_that_are_not():
    with pytest.raises(OptionError, match=r"no surface is called 'bealle'\. Did you mean beale"):
        on_surface("bealle")
    for options, message in (
        ({"optimizers": ["adamm"]}, "Did you mean adam"),
        ({"optimizers": []}, "at least one optimizer"),
        ({"optimizers": ["sgd", "sgd"]}, "each once"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"rates": -1.0}, "rates must be above 0"),
        ({"rates": "best"}, "rates are calm, own or a number"),
    ):
        with pytest.raises(OptionError, match=message):
            on_surface("beale", **options)


def test_a_plane_that_holds_the_paths():
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(50, 2, generator=generator))[0].T  # two directions at right angles
    paths = [[share * basis[0] + 3 * share * basis[1] for share in (0.1, 0.5, 1.0)], [-basis[0], -2.0 * basis[0]]]
    plane = across_paths(paths)
    for path in paths:
        places = torch.stack([plane.place(point) for point in path]).numpy()
        lengths = np.array([float(point.square().sum()) for point in path])
        assert plane.share(places, lengths) == pytest.approx(1, abs=1e-5)
        for point, place in zip(path, places, strict=True):
            torch.testing.assert_close(plane.moved(*place.tolist()), point, rtol=1e-4, atol=1e-5)
    # what stands at right angles to it is not seen
    outside = torch.linalg.qr(torch.cat([basis, torch.randn(1, 50, generator=generator)]).T)[0][:, 2]
    assert plane.place(outside).abs().max() < 1e-5
    assert plane.share(plane.place(outside).numpy()[None], np.array([1.0])) < 1e-6
    straight = across_paths([[basis[0]], [2 * basis[0]]])  # one direction only: a second is made up
    assert float(torch.dot(straight.first, straight.second)) == pytest.approx(0, abs=1e-6)


def test_directions_by_lot_are_as_long_as_the_filters():
    weights = [torch.randn(5, 3, 2, 2), torch.randn(5), torch.randn(4, 5)]
    plane = at_random(weights, torch.Generator().manual_seed(0))
    for direction in (plane.first, plane.second):
        kernels, biases, matrix = torch.split(direction, [60, 5, 20])
        torch.testing.assert_close(kernels.view(5, 12).norm(dim=1), weights[0].flatten(1).norm(dim=1))
        torch.testing.assert_close(matrix.view(4, 5).norm(dim=1), weights[2].norm(dim=1))
        assert not biases.any()
    # not at right angles: places are those of least squares all the same
    np.testing.assert_allclose(plane.place(plane.moved(0.3, -2.0)).numpy(), [0.3, -2.0], atol=1e-5)


@pytest.fixture
def network():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(4 * 16, 3)
    )
    return striate.Network(module, striate.InputSpec(1, 6, 6), name="small")


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(12, 1, 6, 6, generator=generator), torch.arange(12) % 3


def test_the_path_is_that_of_training_with_torch(network, data):
    images, labels = data
    found = on_network(network, images, labels, optimizers=["momentum"], steps=6, rates=0.05, start="weights", grid=5)
    module = copy.deepcopy(network.module).train()
    module[3].eval()  # dropout is off
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for _ in range(7):
        loss = nn.functional.cross_entropy(module(images), labels)
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert found.paths[0].losses == pytest.approx(losses, rel=1e-4)
    assert "Batch normalisation goes by the statistics of these pictures" in found.recipe.notes[0]


def test_the_network_is_not_touched(network, data):
    network.module.train()
    network.module[0].bias.requires_grad_(False)
    before = {name: value.clone() for name, value in network.module.state_dict().items()}
    flags = [part.training for part in network.module.modules()]
    state = torch.get_rng_state()
    on_network(network, *data, optimizers=["adam", "adagrad"], steps=3, grid=5)
    assert all(torch.equal(before[name], value) for name, value in network.module.state_dict().items())
    assert flags == [part.training for part in network.module.modules()]
    assert [weight.requires_grad for weight in network.module.parameters()] == [True, False, True, True, True, True]
    assert all(weight.grad is None for weight in network.module.parameters())
    assert torch.equal(state, torch.get_rng_state())


def test_of_two_weights_the_plane_holds_all():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(1, 2, bias=False))
    network = striate.Network(module, striate.InputSpec(1, 1, 1), name="two weights")
    images = torch.tensor([1.0, -2.0, 0.5, 3.0])[:, None, None, None]
    labels = torch.tensor([0, 1, 1, 0])
    found = on_network(
        network, images, labels, optimizers=["sgd", "adam"], steps=15, rates=0.3, start="weights", grid=41
    )
    assert found.share == pytest.approx(1, abs=1e-6)
    assert "it holds 100 % of their movement" in found.seen()
    assert "not seen" not in found.seen()
    between = RegularGridInterpolator((found.up, found.across), found.heights)
    for path in found.paths:
        np.testing.assert_allclose(between(path.places[:, ::-1]), path.losses, rtol=0.02, atol=2e-3)
    # the start is the middle of both directions, with the loss of the network as it is
    start = float(nn.functional.cross_entropy(network(images), labels))
    assert between([[0.0, 0.0]])[0] == pytest.approx(start, rel=0.02)


def test_directions_by_lot_hold_next_to_nothing(network, data):
    found = on_network(network, *data, optimizers=["sgd"], steps=4, rates=0.1, plane="random", grid=5, seed=2)
    assert found.share is not None
    assert found.share < 0.2  # 2 of 245 weights
    again = on_network(network, *data, optimizers=["sgd"], steps=4, rates=0.1, plane="random", grid=5, seed=2)
    assert np.array_equal(found.heights, again.heights)
    other = on_network(network, *data, optimizers=["sgd"], steps=4, rates=0.1, plane="random", grid=5, seed=3)
    assert not np.array_equal(found.heights, other.heights)


def test_networks_and_options_that_are_not(network, data):
    with pytest.raises(OptionError, match="grid must be at least 5"):
        on_network(network, *data, grid=4)
    broken = copy.deepcopy(network.module)
    with torch.no_grad():
        broken[0].weight.fill_(torch.nan)
    with pytest.raises(NetworkError, match="the loss at the start is nan"):
        on_network(striate.Network(broken, network.spec), *data, start="weights")
    bare = striate.Network(nn.Sequential(nn.AdaptiveAvgPool2d((3, 1)), nn.Flatten()), network.spec, name="bare")
    with pytest.raises(NetworkError, match="has no weights, so there is nothing to train"):
        on_network(bare, *data, start="weights")
