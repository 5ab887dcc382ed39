"""The learning-rate range test: what it suggests, how it ends, and that afterwards nothing has happened."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import striate
from striate import progress
from striate.errors import DataError, NetworkError, OptionError, Stopped
from striate.learn.descent.finder import find_rate
from striate.learn.descent.optimizers import make_optimizer
from striate.results.rate_curve import RateCurve


def made(dropout=0.3):
    torch.manual_seed(3)
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(4 * 36, 2),
    )
    return striate.Network(module, striate.InputSpec(1, 8, 8), ["dark", "light"], name="small")


@pytest.fixture(scope="module")
def data():
    """Pictures of two kinds that are told apart by their brightness, nearly."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(96) % 2
    images = torch.randn(96, 1, 8, 8, generator=generator) + (labels[:, None, None, None] - 0.5)
    return images, labels


def everything(network, optimizer=None):
    """All that must be as it was, as bytes and plain values."""
    module = network.module
    kept = {name: value.clone() for name, value in module.state_dict().items()}
    kept |= {f"grad {name}": None if one.grad is None else one.grad.clone() for name, one in module.named_parameters()}
    kept |= {f"learns {name}": one.requires_grad for name, one in module.named_parameters()}
    kept |= {f"training {name}": part.training for name, part in module.named_modules()}
    kept |= {f"place {name}": one.data_ptr() for name, one in module.named_parameters()}
    kept["torch"] = torch.get_rng_state()
    kept["python"] = random.getstate()
    kept["numpy"] = [part.tolist() if isinstance(part, np.ndarray) else part for part in np.random.get_state()]
    if optimizer is not None:
        state = optimizer.state_dict()
        kept |= {
            f"state {index} {name}": value.clone() if isinstance(value, torch.Tensor) else value
            for index, values in state["state"].items()
            for name, value in values.items()
        }
        kept["groups"] = state["param_groups"]
    return kept


def same(one, other):
    assert one.keys() == other.keys()
    for key, value in one.items():
        if isinstance(value, torch.Tensor):
            assert value.dtype == other[key].dtype, key
            assert torch.equal(value, other[key]), key
        else:
            assert value == other[key], key


def unsettled(network):
    """Bring a network into a state in which much can be disturbed: trained a step, mixed flags, gradients."""
    optimizer = make_optimizer("adam", network.module, rate=0.01, groups={"0": 0.1})
    network.module.train()
    network.module[1].eval()
    loss = network.module(torch.rand(8, 1, 8, 8)).square().mean()
    loss.backward()
    optimizer.step()
    network.module[0].bias.requires_grad_(False)
    return optimizer


def test_nothing_has_happened_afterwards(data):
    network = made()
    unsettled(network)
    before = everything(network)
    curve = find_rate(network, data, steps=20, batch=16)
    same(before, everything(network))
    assert len(curve) > 5


def test_nothing_has_happened_to_an_optimiser_that_is_given(data):
    network = made()
    optimizer = unsettled(network)
    before = everything(network, optimizer)
    held = [value for values in optimizer.state.values() for value in values.values()]
    find_rate(network, data, optimizer=optimizer, steps=20, batch=16)
    same(before, everything(network, optimizer))
    after = [value for values in optimizer.state.values() for value in values.values()]
    assert all(one is other for one, other in zip(held, after, strict=True))


class Breaks(nn.Module):
    """Fails in its third batch, after it has changed a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros(()))

    def forward(self, values):
        if self.training:
            self.count += 1
            if self.count > 2:
                raise ZeroDivisionError
        return values


def test_nothing_has_happened_after_an_exception(data):
    network = made()
    network.module.append(Breaks())
    optimizer = unsettled(network)
    before = everything(network, optimizer)
    with pytest.raises(ZeroDivisionError):
        find_rate(network, data, optimizer=optimizer, steps=20, batch=16)
    same(before, everything(network, optimizer))


def test_nothing_has_happened_after_a_stop(data):
    network = made()
    optimizer = unsettled(network)
    before = everything(network, optimizer)
    seen = []
    with progress.stoppable() as stop:

        def hear(event):
            seen.append(event.done)
            if event.done == 5:
                stop.stop()

        with progress.listen(hear), pytest.raises(Stopped):
            find_rate(network, data, optimizer=optimizer, steps=20, batch=16)
    assert max(seen) == 5
    same(before, everything(network, optimizer))


@pytest.mark.gpu
def test_nothing_has_happened_on_a_gpu(data):
    network = made().to("cuda")
    state = torch.cuda.get_rng_state()
    before = everything(network)
    find_rate(network, data, steps=20, batch=16)
    same(before, everything(network))
    assert torch.equal(state, torch.cuda.get_rng_state())


def test_the_suggestion_lies_before_the_loss_grows(data):
    torch.manual_seed(1)
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 2))
    network = striate.Network(module, striate.InputSpec(1, 8, 8), name="dense")
    images, labels = data
    wrong = torch.where(torch.rand(96, generator=torch.Generator().manual_seed(2)) < 0.2, 1 - labels, labels)
    curve = find_rate(network, (images, wrong), optimizer="sgd", steps=60, batch=32, highest=100.0, precision="float32")
    assert curve.ended == "diverged"
    assert len(curve) < 60
    assert curve.suggestion is not None
    assert 1e-4 < curve.suggestion < float(curve.rates[curve.lowest])
    assert curve.careful == pytest.approx(curve.rates[curve.lowest] / 10)
    assert curve.rates[0] == pytest.approx(1e-7)
    np.testing.assert_allclose(curve.rates[1:] / curve.rates[:-1], 1e9 ** (1 / 59))
    # half of it trains, ten times where it is least does not
    ends = []
    for rate in (curve.suggestion / 2, 10 * float(curve.rates[curve.lowest])):
        optimizer = make_optimizer("sgd", module.train().requires_grad_(), rate=rate)
        kept = [weight.detach().clone() for weight in module.parameters()]
        for _ in range(60):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(module(images), wrong)
            loss.backward()
            optimizer.step()
        ends.append(float(loss.detach()))
        with torch.no_grad():
            for weight, value in zip(module.parameters(), kept, strict=True):
                weight.copy_(value)
    assert ends[0] < 0.9 * curve.losses[0]
    assert not ends[1] < ends[0]


def test_the_same_seed_gives_the_same_curve_whatever_was_drawn_before(data):
    first = find_rate(made(), data, steps=15, batch=16, seed=4)
    torch.rand(3)
    second = find_rate(made(), data, steps=15, batch=16, seed=4)
    other = find_rate(made(), data, steps=15, batch=16, seed=5)
    assert first.losses.tolist() == second.losses.tolist()
    assert first.losses.tolist() != other.losses.tolist()


def test_folders_of_pictures(tmp_path):
    generator = np.random.default_rng(0)
    for label, level in (("dark", 60), ("light", 180)):
        (tmp_path / label).mkdir()
        for index in range(12):
            pixels = np.clip(generator.normal(level, 40, (8, 8)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / label / f"{index}.png")
    (tmp_path / "dark" / "broken.png").write_bytes(b"no picture")
    network = made()
    before = everything(network)
    curve = find_rate(network, tmp_path, steps=12, batch=8, augment="none")
    same(before, everything(network))
    assert curve.recipe.lens == "find_rate"
    # it is in the training part or not, by the split's lot; where it is, it is told of
    assert all("1 picture could not be read" in note for note in curve.recipe.notes)
    (tmp_path / "third").mkdir()
    for index in range(4):
        Image.fromarray(np.full((8, 8), index, np.uint8)).save(tmp_path / "third" / f"{index}.png")
    with pytest.raises(DataError, match="the pictures are of 3 classes, and small has 2 logits"):
        find_rate(network, tmp_path, steps=12, batch=8)
    same(before, everything(network))


def test_pictures_are_standardised_as_in_training(tmp_path):
    from striate import dataset
    from striate.learn.pictures.split import split
    from striate.learn.pictures.standardize import standardized

    generator = np.random.default_rng(0)
    values = generator.integers(100, 140, (40, 8, 8, 1), dtype=np.uint8)
    parts = split(dataset.open(values, labels=np.arange(40) % 2))
    network = made()
    given = network.spec
    options = {"steps": 12, "batch": 8, "optimizer": "sgd"}
    curve = find_rate(network, parts, standardize="channel", **options)
    assert network.spec == given  # the network keeps its own
    truth = made()
    truth.spec = standardized(given, parts.train, parts.train_indices, "channel")
    np.testing.assert_array_equal(curve.losses, find_rate(truth, parts, **options).losses)
    assert curve.losses[:5].tolist() != find_rate(network, parts, **options).losses[:5].tolist()
    assert curve.recipe.options["standardize"] == "channel"
    assert curve.recipe.input == truth.spec.brief()


def test_as_many_pictures_in_a_step_as_in_training(data):
    assert find_rate(made(), data, steps=10).recipe.options["batch"] == 128


def test_what_makes_no_sense_is_refused(data):
    network = made()
    with pytest.raises(OptionError, match="standardize='channel' would be ignored"):
        find_rate(network, data, standardize="channel")
    for options, message in (
        ({"lowest": 0.0}, "rates must grow from above 0"),
        ({"lowest": 1.0, "highest": 0.1}, "rates must grow"),
        ({"steps": 3}, "steps must be at least 10"),
        ({"stop_at": 1.0}, "stop_at must be above 1"),
        ({"batch": 0}, "batch must be a whole number from 1 on"),
        ({"optimizer": "sdg"}, r"Did you mean sgd"),
        ({"optimizer": "sgd", "momentum": 0.5}, "sgd has no momentum"),
        ({"smoothing": 1.0}, "smoothing must be from 0"),
    ):
        with pytest.raises(OptionError, match=message):
            find_rate(network, data, **options)
    with pytest.raises(DataError, match="96 pictures and 95 labels"):
        find_rate(network, (data[0], data[1][:-1]))
    with pytest.raises(DataError, match="of 5 classes"):
        find_rate(network, (data[0], torch.full((96,), 4)))
    with pytest.raises(NetworkError, match="nothing to train"):
        find_rate(network, data, frozen=["0", "1", "5"])


def curve(losses, ended="diverged"):
    rates = np.geomspace(1e-4, 1, len(losses))
    return RateCurve(rates=rates, losses=np.asarray(losses, float), ended=ended, optimizer="sgd", planned=len(losses))


def test_the_steepest_slope_of_a_curve_that_is_known():
    # a logistic fall about step 60, then a rise: its steepest place is the middle
    steps = np.arange(100)
    losses = 1 + 2 / (1 + np.exp((steps - 60) / 4)) + np.where(steps > 85, (steps - 85.0) ** 2, 0)
    found = curve(losses)
    assert found.steepest == 60
    assert found.suggestion == pytest.approx(found.rates[60])
    assert found.careful == pytest.approx(found.rates[found.lowest] / 10)
    assert 78 <= found.lowest <= 87
    # noise moves it by few steps
    noisy = curve(losses + np.random.default_rng(0).normal(0, 0.08, 100))
    assert abs(noisy.steepest - 60) <= 4


def test_a_loss_that_never_falls_suggests_nothing():
    found = curve([*np.full(40, 2.0), *np.linspace(2, 9, 10)])
    assert found.suggestion is None
    assert "never falls, so no rate is suggested" in found.caption()
    assert found.figure().get_size_inches()[0] > 5


def test_smoothing_leaves_a_straight_line_and_skips_what_is_no_number():
    line = np.linspace(5, 1, 80)
    np.testing.assert_allclose(curve(line).smoothed[10:-10], line[10:-10], atol=1e-9)
    broken = curve([*line, np.nan], ended="not finite")
    assert np.isfinite(broken.smoothed).all()
    assert "is no number any more" in broken.caption()
    assert broken.figure() is not None
    assert broken.drawings()[0].pixels.shape[2] == 3
