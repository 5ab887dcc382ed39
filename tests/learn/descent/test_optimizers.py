"""Each optimiser against the formulas of its paper, written out here; names against torch's; who decays, who not."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from striate.errors import AddressError, NetworkError, OptionError
from striate.learn.descent.optimizers import MEANINGS, OPTIMIZERS, make_optimizer, rate_of, rule, set_rate

CURVATURE = torch.tensor([1.0, 10.0, 0.1], dtype=torch.float64)
START = torch.tensor([2.0, -1.0, 3.0], dtype=torch.float64)


def gradient(x):
    return CURVATURE * x


# Each takes the rate and yields the weights after every step, as its paper writes it.


def sgd(x, rate):
    while True:
        x = x - rate * gradient(x)
        yield x


def momentum(x, rate):
    v = torch.zeros_like(x)
    while True:
        v = 0.9 * v - rate * gradient(x)  # Polyak
        x = x + v
        yield x


def nesterov(x, rate):
    # Sutskever et al. 2013, equations 3 and 4: the gradient is taken ahead of the weights. torch keeps the place ahead.
    v, weights = torch.zeros_like(x), x
    while True:
        ahead = weights + 0.9 * v
        v = 0.9 * v - rate * gradient(ahead)
        weights = weights + v
        yield weights + 0.9 * v


def adagrad(x, rate):
    total = torch.zeros_like(x)
    while True:
        g = gradient(x)
        total = total + g**2
        x = x - rate * g / (total.sqrt() + 1e-10)
        yield x


def adadelta(x, rate):
    squares, moved = torch.zeros_like(x), torch.zeros_like(x)
    while True:
        g = gradient(x)
        squares = 0.95 * squares + 0.05 * g**2
        step = -((moved + 1e-6) / (squares + 1e-6)).sqrt() * g  # Zeiler, Algorithm 1: root mean squares
        moved = 0.95 * moved + 0.05 * step**2
        x = x + rate * step
        yield x


def rmsprop(x, rate):
    squares = torch.zeros_like(x)
    while True:
        g = gradient(x)
        squares = 0.9 * squares + 0.1 * g**2
        x = x - rate * g / (squares.sqrt() + 1e-8)
        yield x


def adam(x, rate):
    m, v, t = torch.zeros_like(x), torch.zeros_like(x), 0
    while True:
        t, g = t + 1, gradient(x)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        x = x - rate * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
        yield x


def adamax(x, rate):
    m, u, t = torch.zeros_like(x), torch.zeros_like(x), 0
    while True:
        t, g = t + 1, gradient(x)
        m, u = 0.9 * m + 0.1 * g, torch.maximum(0.999 * u, g.abs())
        x = x - rate / (1 - 0.9**t) * m / u
        yield x


def nadam(x, rate):
    m, v, t, product = torch.zeros_like(x), torch.zeros_like(x), 0, 1.0
    while True:
        t, g = t + 1, gradient(x)
        now, then = (0.9 * (1 - 0.5 * 0.96 ** (at * 0.004)) for at in (t, t + 1))  # Dozat's schedule of momentum
        product *= now
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        ahead = then * m / (1 - product * then) + (1 - now) * g / (1 - product)
        x = x - rate * ahead / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
        yield x


def amsgrad(x, rate):
    m, v, largest, t = torch.zeros_like(x), torch.zeros_like(x), torch.zeros_like(x), 0
    while True:
        t, g = t + 1, gradient(x)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        largest = torch.maximum(largest, v)
        x = x - rate * (m / (1 - 0.9**t)) / ((largest / (1 - 0.999**t)).sqrt() + 1e-8)
        yield x


def adamw(x, rate):
    m, v, t = torch.zeros_like(x), torch.zeros_like(x), 0
    while True:
        t, g = t + 1, gradient(x)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        x = x - rate * 0.01 * x  # of the weights themselves
        x = x - rate * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
        yield x


PAPERS = {
    one.__name__: one
    for one in (sgd, momentum, nesterov, adagrad, adadelta, rmsprop, adam, adamax, nadam, amsgrad, adamw)
}


class Point(nn.Module):
    """Weights of a quadratic; a matrix, so that they decay."""

    def __init__(self):
        super().__init__()
        self.place = nn.Parameter(START.clone()[None])


def test_the_lecture_names_them_all():
    assert list(OPTIMIZERS) == [*PAPERS, "muon"]  # whose formula is in test_muon.py


@pytest.mark.parametrize("name", PAPERS)
@pytest.mark.parametrize("rate", [None, 0.07])
def test_steps_are_those_of_the_paper(name, rate):
    point = Point()
    optimizer = make_optimizer(name, point, rate=rate)
    own = OPTIMIZERS[name].defaults["rate"]
    truth = PAPERS[name](START.clone(), own if rate is None else rate)
    rounded = 1e-6 if name in ("adamax", "nadam") else 1e-9  # torch adds 1e-8 in the one, keeps a product in float32
    for _ in range(12):
        point.place.grad = gradient(point.place.detach())
        optimizer.step()
        torch.testing.assert_close(point.place.detach()[0], next(truth), rtol=rounded, atol=1e-12)


def test_settings_reach_torch_where_the_papers_have_them():
    made = {name: make_optimizer(name, Point()) for name in PAPERS}
    assert {name: type(one).__name__ for name, one in made.items()} == {
        "sgd": "SGD",
        "momentum": "SGD",
        "nesterov": "SGD",
        "adagrad": "Adagrad",
        "adadelta": "Adadelta",
        "rmsprop": "RMSprop",
        "adam": "Adam",
        "adamax": "Adamax",
        "nadam": "NAdam",
        "amsgrad": "Adam",
        "adamw": "AdamW",
    }
    rmsprop = make_optimizer("rmsprop", Point()).param_groups[0]
    assert (rmsprop["alpha"], rmsprop["lr"]) == (0.9, 0.001)  # the lecture's
    chosen = make_optimizer("adam", Point(), rate=0.5, momentum=0.8, decay=0.7, least=0.1, weight_decay=0.3)
    group = chosen.param_groups[0]
    assert (group["lr"], group["betas"], group["eps"], group["weight_decay"]) == (0.5, (0.8, 0.7), 0.1, 0.3)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_setting_is_said_in_words(name):
    one = OPTIMIZERS[name]
    assert set(one.defaults) <= set(MEANINGS)
    assert set(one.words) <= set(one.defaults)
    assert all(one.meaning(setting) for setting in one.defaults)
    assert one.source
    assert one.summary.endswith(".")


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer1 = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.layer10 = nn.Conv2d(4, 4, 3)
        self.norm = nn.LayerNorm([4, 2, 2])  # weights of three dimensions that are a normalisation's all the same
        self.fc = nn.Linear(4, 2)


def held(optimizer, module):
    """By the name of each weight: rate and decay."""
    names = {id(weight): name for name, weight in module.named_parameters()}
    return {
        names[id(weight)]: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for weight in group["params"]
    }


def test_only_kernels_and_matrices_decay():
    small = Small()
    found = held(make_optimizer("sgd", small, rate=1.0, weight_decay=0.5), small)
    assert len(found) == len(list(small.parameters()))
    assert {name for name, (_, decay) in found.items() if decay == 0.5} == {
        "layer1.0.weight",
        "layer10.weight",
        "fc.weight",
    }
    assert {decay for _, decay in found.values()} == {0.0, 0.5}


def test_parts_have_rates_of_their_own_and_frozen_ones_none():
    small = Small()
    small.layer10.requires_grad_(False)
    optimizer = make_optimizer("adam", small, rate=0.1, groups={"layer1": 0.1, "layer1.1": 0.5, "fc.bias": 3})
    found = {name: rate for name, (rate, _) in held(optimizer, small).items()}
    assert found == pytest.approx(
        {
            "layer1.0.weight": 0.01,
            "layer1.0.bias": 0.01,
            "layer1.1.weight": 0.05,  # the longest that fits decides
            "layer1.1.bias": 0.05,
            "norm.weight": 0.1,
            "norm.bias": 0.1,
            "fc.weight": 0.1,
            "fc.bias": 0.3,
        }
    )
    set_rate(optimizer, 0.5)
    set_rate(optimizer, 0.25)  # of the rate it was made with, not of the last
    assert {name: rate for name, (rate, _) in held(optimizer, small).items()} == pytest.approx(
        {name: rate / 4 for name, rate in found.items()}
    )
    assert rate_of(optimizer) == pytest.approx(0.075)


def test_a_rate_on_the_device_is_written_in_place():
    optimizer = make_optimizer("sgd", Point(), rate=0.5)
    group = optimizer.param_groups[0]
    group["lr"] = kept = torch.tensor(0.5)
    set_rate(optimizer, 0.5)
    assert group["lr"] is kept
    assert math.isclose(float(kept), 0.25)


def test_one_kernel_takes_the_step_where_torch_has_it():
    assert make_optimizer("adamw", Point()).param_groups[0]["fused"] is True
    assert make_optimizer("adamax", Point()).param_groups[0]["foreach"] is True


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "adamm"}, r"no optimizer is called 'adamm'\. Did you mean adam\? There are sgd, momentum"),
        (
            {"name": "sgd", "momentum": 0.9},
            r"sgd has no momentum; it has rate, weight_decay\. momentum is a setting of",
        ),
        ({"name": "adadelta", "momentum": 0.9}, "adadelta has no momentum; it has rate, decay, least, weight_decay"),
        ({"name": "adam", "initial": 0.1}, r"initial is a setting of adagrad\."),
        ({"name": "adam", "rate": 0.0}, "rate of adam must be above 0, got 0.0"),
        ({"name": "adam", "rate": math.nan}, "rate of adam must be above 0, got nan"),
        ({"name": "adam", "decay": 1.0}, r"decay of adam must be from 0 up to \(not including\) 1, got 1.0"),
        ({"name": "adam", "weight_decay": -1.0}, "weight_decay of adam must be 0 or more"),
        ({"name": "nesterov", "momentum": 0.0}, "without momentum it is sgd"),
        ({"name": "adam", "groups": {"fc": 0.0}}, r"the factor of 'fc' must be above 0, got 0.0\. To keep a part"),
    ],
)
def test_what_makes_no_sense_is_refused(options, message):
    with pytest.raises(OptionError, match=message):
        make_optimizer(options.pop("name"), Small(), **options)


def test_a_part_that_is_not_there_is_named_with_the_nearest():
    with pytest.raises(AddressError, match=r"no weight lies in 'layer2'\. Did you mean layer1"):
        make_optimizer("adam", Small(), groups={"layer2": 0.1})


def test_nothing_to_train():
    with pytest.raises(NetworkError, match="no weight of the network learns"):
        make_optimizer("adam", Small().requires_grad_(False))


def test_a_name_is_looked_up():
    assert rule("nesterov").fixed == {"nesterov": True}
