"""The running mean of the weights in closed form, and that lending it to the module changes nothing."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from striate.errors import NetworkError, OptionError
from striate.learn.descent.averaging import Average


@pytest.fixture
def module():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3)).double()


def shares(average, updates):
    """How much each of the weights seen counts, the first of them those at the start."""
    kept = [average.decay_at(update) for update in range(updates)]
    own = [1.0, *(1 - keep for keep in kept)]
    return torch.tensor([share * math.prod(kept[at:]) for at, share in enumerate(own)], dtype=torch.float64)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9])
def test_the_average_is_the_weighted_sum(module, decay):
    average = Average(module, decay)
    seen = [[value.clone() for value in module.state_dict().values()]]
    for step in range(20):
        with torch.no_grad():
            for weight in module.parameters():
                weight.add_(torch.full_like(weight, 0.1 * step))
            module[1].running_var.mul_(1.5)
            module[1].num_batches_tracked.add_(1)
        average.update()
        seen.append([value.clone() for value in module.state_dict().values()])
    weights = shares(average, 20)
    assert float(weights.sum()) == pytest.approx(1)
    with average.swapped():
        for index, (name, value) in enumerate(module.state_dict().items()):
            if not value.is_floating_point():
                assert int(value) == 20, name  # counters are taken as they are
                continue
            wanted = sum(share * one[index] for share, one in zip(weights, seen, strict=True))
            torch.testing.assert_close(value, wanted, rtol=1e-10, atol=1e-12)


def test_the_beginning_is_forgotten(module):
    average = Average(module, 0.9999)
    assert average.decay_at(0) == pytest.approx(0.1)
    assert average.decay_at(10**6) == 0.9999
    # after many steps with a decay that is far away, the mean is over about the last tenth of them
    weights = shares(average, 1000)
    assert 0.5 < float(weights[-100:].sum()) < 0.7
    assert float(weights[0]) < 1e-12


def test_what_does_not_move_stays_bit_for_bit(module):
    average = Average(module.float(), 0.99)
    before = [value.clone() for value in module.state_dict().values()]
    for _ in range(50):
        average.update()
    with average.swapped():
        assert all(torch.equal(one, other) for one, other in zip(before, module.state_dict().values(), strict=True))


def test_lent_and_given_back_after_an_exception_too(module):
    average = Average(module, 0.5)
    with torch.no_grad():
        for weight in module.parameters():
            weight.mul_(2)
    own = {name: value.clone() for name, value in module.state_dict().items()}
    places = [weight.data_ptr() for weight in module.parameters()]

    def fails():
        with average.swapped():
            assert not torch.equal(module[0].weight, own["0.weight"])
            # in place: an optimiser still holds them
            assert places == [weight.data_ptr() for weight in module.parameters()]
            with pytest.raises(RuntimeError, match="outside of swapped"):
                average.update()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert all(torch.equal(own[name], value) for name, value in module.state_dict().items())
    average.update()
    assert average.updates == 1


def test_it_goes_on_from_its_state(module):
    first = Average(module, 0.9)
    first.update()
    state = {name: value.clone() for name, value in first.state().items()}
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    second = Average(module, 0.9)
    second.restore(state)
    with torch.no_grad():
        module[0].weight.add_(1)
    for average in (first, second):
        average.update()
    assert second.updates == 2
    for name, value in first.state().items():
        assert torch.equal(value, second.state()[name]), name
    with pytest.raises(NetworkError, match=r"of another network: '0\.bias'"):
        Average(nn.Sequential(nn.Conv2d(1, 5, 3)), 0.9).restore(state)


def test_small_shares_are_not_lost_in_sixteen_bits():
    module = nn.Linear(2, 2).bfloat16()
    with torch.no_grad():
        module.weight.fill_(1)
    average = Average(module, 0.999)
    average.updates = 100_000
    with torch.no_grad():
        module.weight.fill_(2)
    for _ in range(100):
        average.update()
    mean = average.state()["mean.weight"]
    assert mean.dtype == torch.float32
    torch.testing.assert_close(mean, torch.full((2, 2), 2 - 0.999**100), rtol=1e-5, atol=0)


def test_a_decay_of_one_never_learns():
    with pytest.raises(OptionError, match=r"must be from 0 up to \(not including\) 1, got 1"):
        Average(nn.Linear(1, 1), 1.0)
