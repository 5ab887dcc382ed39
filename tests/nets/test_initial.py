"""First weights: their spread is what the rule says."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from striate.errors import NetworkError, OptionError
from striate.nets import LocallyConnected2d, initialise

# fan-in and fan-out of each layer, worked by hand
LAYERS = [
    (lambda: nn.Linear(300, 200), 300, 200),
    (lambda: nn.Conv2d(16, 32, 5), 16 * 25, 32 * 25),
    (lambda: nn.Conv2d(16, 32, 5, groups=4), 4 * 25, 8 * 25),
    (lambda: LocallyConnected2d(8, 16, (12, 12), 3), 8 * 9, 16 * 9),
]
VARIANCES = {
    "he-normal": lambda fan_in, fan_out: 2 / fan_in,
    "he-uniform": lambda fan_in, fan_out: 2 / fan_in,
    "glorot-normal": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "glorot-uniform": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "lecun-normal": lambda fan_in, fan_out: 1 / fan_in,
    "lecun-uniform": lambda fan_in, fan_out: 1 / fan_in,
    "gaussian": lambda fan_in, fan_out: 1e-4,
    "pytorch": lambda fan_in, fan_out: 1 / (3 * fan_in),
}


@pytest.mark.parametrize("rule", VARIANCES)
@pytest.mark.parametrize(("make", "fan_in", "fan_out"), LAYERS)
def test_variance(rule, make, fan_in, fan_out):
    layer = initialise(make(), rule, torch.Generator().manual_seed(0))
    weight = layer.weight.detach()
    expected = math.sqrt(VARIANCES[rule](fan_in, fan_out))
    assert weight.std().item() == pytest.approx(expected, rel=0.05)
    assert abs(weight.mean().item()) < 5 * expected / math.sqrt(weight.numel())
    if rule == "pytorch":
        assert layer.bias.abs().max() <= 1 / math.sqrt(fan_in)
    else:
        assert not layer.bias.any()
    if rule.endswith("uniform"):
        assert weight.abs().max() <= math.sqrt(3) * expected + 1e-6


@pytest.mark.parametrize(("inputs", "outputs", "groups"), [(4, 4, 1), (3, 8, 1), (8, 3, 1), (4, 8, 2)])
def test_dirac_passes_channels_on_and_draws_the_rest(inputs, outputs, groups):
    layer = nn.Conv2d(inputs, outputs, 3, padding=1, groups=groups, bias=False)
    initialise(layer, "dirac", torch.Generator().manual_seed(0))
    images = torch.randn(2, inputs, 5, 6)
    found = layer(images).detach().unflatten(1, (groups, -1))
    given = images.unflatten(1, (groups, -1))
    passed = min(inputs, outputs) // groups
    torch.testing.assert_close(found[:, :, :passed], given[:, :, :passed])
    drawn = layer.weight.detach().unflatten(0, (groups, -1))[:, passed:]
    assert drawn.numel() == 0 or 0 < drawn.abs().max() <= 1 / math.sqrt(9 * inputs / groups)


def test_dirac_is_pytorchs_own_for_dense_layers():
    dense = [initialise(nn.Linear(5, 3), rule, torch.Generator().manual_seed(1)) for rule in ("dirac", "pytorch")]
    assert torch.equal(dense[0].weight, dense[1].weight)
    assert torch.equal(dense[0].bias, dense[1].bias)


def test_a_seed_repeats_and_leaves_the_common_generator_alone():
    layers = [nn.Conv2d(3, 4, 3) for _ in range(3)]  # each of which draws from it once
    before = torch.random.get_rng_state()
    first, again, other = (
        initialise(layer, generator=torch.Generator().manual_seed(seed))
        for layer, seed in zip(layers, (1, 1, 2), strict=True)
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first.weight, again.weight)
    assert not torch.equal(first.weight, other.weight)


def test_normalisations_start_as_if_they_were_not_there():
    norm = nn.BatchNorm2d(3)
    norm(torch.randn(4, 3, 5, 5) + 7)
    nn.init.uniform_(norm.weight)
    initialise(norm)
    images = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(norm.eval()(images), images, rtol=1e-4, atol=1e-4)


def test_what_is_not_known_is_named():
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))

    with pytest.raises(NetworkError, match=r"layer '1' is Odd, whose first weights are not known here"):
        initialise(nn.Sequential(nn.ReLU(), Odd()))
    with pytest.raises(OptionError, match=r"no rule 'xavier' for first weights; there are he-normal"):
        initialise(nn.Linear(2, 2), "xavier")
