"""Distributions of values and gradients: against autograd by hand, and batch norm's identity."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

import striate
from striate.errors import NetworkError, OptionError
from striate.lenses import signals


@pytest.fixture
def network():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Conv2d(4, 5, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(5 * 4 * 6, 3),
    )
    return striate.Network(module.eval(), striate.InputSpec(2, 6, 8), ["a", "b", "c"], name="small")


@pytest.fixture
def images():
    return torch.randn(5, 2, 6, 8, generator=torch.Generator().manual_seed(1))


def test_values_and_gradients_are_those_of_autograd(network, images):
    found = signals(network, images, "class:b", statistics="kept")
    values = images
    kept = []
    for part in network.module:
        values = nn.functional.relu(values) if isinstance(part, nn.ReLU) else part(values)
        if isinstance(part, nn.Conv2d | nn.BatchNorm2d | nn.Linear):
            values.requires_grad_().retain_grad()
            kept.append(values)
    values[:, 1].sum().backward()
    conv, norm, second, linear = kept
    first = found.layers[0]
    assert [(layer.address, layer.norm) for layer in found.layers] == [("0", True), ("3", False), ("6", False)]
    for spread, truth in (
        (first.before, conv),
        (first.after, norm),
        (first.gradient_before, conv.grad),
        (first.gradient_after, norm.grad),
        (found.layers[1].before, second),
        (found.layers[1].gradient_before, second.grad),
        (found.layers[2].gradient_before, linear.grad),
    ):
        flat = truth.detach().flatten().double()
        assert spread.count == len(flat)
        assert spread.mean == pytest.approx(float(flat.mean()), abs=1e-6)
        assert spread.std == pytest.approx(float(flat.std(correction=0)), rel=1e-4)
        assert spread.zeros == pytest.approx(float((flat == 0).double().mean()))
        torch.testing.assert_close(spread.sample.double(), flat.sort().values, rtol=1e-4, atol=1e-6)
    assert found.layers[2].gradient_before.zeros == pytest.approx(2 / 3)  # of the two other classes


def test_gradients_of_the_loss_are_probabilities_less_the_truth(network, images):
    found = signals(network, images, ["class:a", "class:b", "class:c", "class:a", "class:b"], of="loss")
    truth = torch.eye(3)[[0, 1, 2, 0, 1]]
    network.module[1].train()
    expected = network.module(images).softmax(1) - truth
    torch.testing.assert_close(
        found.layers[-1].gradient_before.sample, expected.flatten().sort().values, rtol=1e-4, atol=1e-6
    )


def test_batch_norm_can_undo_itself(network, images):
    # scale = standard deviation and shift = mean of what comes in: the values go through as they are
    values = network.module[0](images).detach()
    norm = network.module[1]
    with torch.no_grad():
        norm.weight.copy_((values.var((0, 2, 3), correction=0) + norm.eps).sqrt())
        norm.bias.copy_(values.mean((0, 2, 3)))
    layer = signals(network, images, statistics="batch").layers[0]
    torch.testing.assert_close(layer.after.sample, layer.before.sample, rtol=1e-4, atol=1e-5)
    assert layer.after.std == pytest.approx(layer.before.std, rel=1e-5)


def test_statistics_of_the_pictures_give_mean_0_and_spread_1(network, images):
    found = signals(network, images)
    assert found.by_batch  # it has never been trained
    assert "has never been trained" in found.recipe.notes[-1]
    layer = found.layers[0]
    assert layer.after.mean == pytest.approx(0, abs=1e-5)
    assert layer.after.std == pytest.approx(1, abs=1e-3)
    network.module[1].running_mean.fill_(0.5)
    kept = signals(network, images)
    assert not kept.by_batch
    assert kept.layers[0].after.mean == pytest.approx(kept.layers[0].before.mean - 0.5, abs=1e-4)


def test_pieces_give_the_same_sums_as_the_whole(network, images, monkeypatch):
    whole = signals(network, images, statistics="kept")
    monkeypatch.setattr(type(network), "piece", lambda self, chunk=None: 2)
    pieces = signals(network, images, statistics="kept")
    for one, other in zip(whole.layers, pieces.layers, strict=True):
        assert one.before.std == pytest.approx(other.before.std, rel=1e-6)
        assert one.gradient_before.zeros == other.gradient_before.zeros
        torch.testing.assert_close(one.before.sample, other.before.sample, rtol=1e-5, atol=1e-6)


def test_a_batch_norm_inside_a_larger_module_is_found():
    network = striate.load("timm:test_efficientnet", pretrained=False)
    found = signals(network, torch.rand(2, 3, 64, 64))
    first = found.layers[0]
    assert first.address == "conv_stem"
    assert first.after.std == pytest.approx(1, abs=0.01)
    assert float(first.after.sample.min()) < 0  # before its rectifier


def test_signals_shrink_without_norm_and_the_words_say_so(tmp_path):
    module = nn.Sequential(*(nn.Linear(30, 30) for _ in range(8)))
    striate.nets.initialise(module, "gaussian", torch.Generator().manual_seed(0))
    network = striate.Network(nn.Sequential(nn.Flatten(), module), striate.InputSpec(1, 5, 6), name="deep")
    found = signals(network, torch.randn(9, 1, 5, 6, generator=torch.Generator().manual_seed(0)))
    sizes = [layer.before.std for layer in found.layers]
    assert all(later < 0.2 * former for former, later in pairwise(sizes))
    assert "they shrink" in found.caption()
    assert found.save(tmp_path / "signals.png").stat().st_size > 20_000
    with np.load(found.save(tmp_path / "signals.npz")) as arrays:
        assert arrays["0_before"].shape == (270,)


def test_wrong_targets_and_networks_without_weights(network, images):
    with pytest.raises(OptionError, match="score or the loss of a class, and 0:1 is none"):
        signals(network, images, "0:1")
    bare = striate.Network(nn.Flatten(), striate.InputSpec(2, 6, 8), name="bare")
    with pytest.raises(NetworkError, match="bare has no layer with weights"):
        signals(bare, images)


def test_spoilt_weights_are_named_by_the_first_layer_that_shows_them():
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    with torch.no_grad():
        module[0].weight[0] = torch.nan
    network = striate.Network(module.eval(), striate.InputSpec(1, 4, 4), name="spoilt")
    with pytest.raises(NetworkError, match="spoilt gives NaN or infinite values or gradients at 0,"):
        signals(network, torch.rand(3, 1, 4, 4), 0)
    with pytest.raises(NetworkError, match="a rectifier gives NaN"):
        striate.lenses.dead_relus(network, torch.rand(3, 1, 4, 4))


def test_one_value_of_a_channel_has_no_statistics():
    module = nn.Sequential(nn.Conv2d(1, 2, 4), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 2)).eval()
    network = striate.Network(module, striate.InputSpec(1, 4, 4))
    image = torch.rand(1, 1, 4, 4)
    with pytest.raises(NetworkError, match=r"Give several pictures, or statistics='kept'"):
        signals(network, image)
    assert not signals(network, image, statistics="kept").by_batch
