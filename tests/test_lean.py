"""Many pictures are run with less to do; what comes out is what the network gives, and only then is it done."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import striate
from striate import lean, tap
from striate.fusing import can_fuse
from striate.lenses import grad_cam, saliency
from striate.program import Program

pytestmark = pytest.mark.skipif(not can_fuse(torch.zeros(1)), reason="this PyTorch has no oneDNN")

SIZE = (20, 24)


class Normed(nn.Module):
    """Convolutions with batch norm that has seen something, a residual, a rectifier in place, a last map."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.second = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, groups=2, bias=False), nn.BatchNorm2d(8))
        self.third = nn.Sequential(nn.Conv2d(8, 12, 3), nn.BatchNorm2d(12))
        self.last = nn.Linear(12, 4)
        self.louder = 1.0

    def forward(self, images: Tensor) -> Tensor:
        found = self.first(images)
        found = torch.relu_(found + self.second(found))
        return self.louder * self.last(self.behind(self.third(found)))

    def behind(self, maps: Tensor) -> Tensor:
        return maps.relu().mean((2, 3))


def made(kind: type[nn.Module] = Normed) -> striate.Network:
    torch.manual_seed(0)
    module = kind()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.weight)
            nn.init.normal_(part.bias)
            part.running_mean.normal_()
            part.running_var.uniform_(0.2, 3)
    return striate.Network(module.eval(), striate.InputSpec(3, *SIZE))


def noise(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, *SIZE, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def runs(monkeypatch) -> list[int]:
    """Count the pictures of every run of a program."""
    counts: list[int] = []
    right = Program.run

    def run(self: Program, given: Any, ends: Any, count: int) -> Any:
        counts.append(count)
        return right(self, given, ends, count)

    monkeypatch.setattr(Program, "run", run)
    return counts


def plainly(monkeypatch, call: Callable[[], Any]) -> Any:
    with monkeypatch.context() as patch:
        patch.setattr(lean, "pays", lambda *_: False)
        return call()


@pytest.mark.parametrize("count", [8, 13, 32])
def test_logits_are_those_of_the_network(count, runs):
    network, pictures = made(), noise(count)
    with torch.no_grad():
        expected = network.module(pictures)
    torch.testing.assert_close(network(pictures), expected, rtol=1e-5, atol=1e-5)
    assert sum(runs) == count + 3  # on three it was tried
    runs.clear()
    again = network(pictures)
    assert sum(runs) == count  # which is made once
    assert torch.equal(again, network(pictures))


def test_few_pictures_are_run_plainly(runs):
    network, pictures = made(), noise(lean.FEWEST - 1)
    with torch.no_grad():
        assert torch.equal(network(pictures), network.module(pictures.contiguous(memory_format=torch.channels_last)))
    assert not runs


@pytest.mark.parametrize("places", [["first.0"], ["first.1", "second.0"], ["second"], ["third.1", "first"], ["last"]])
@pytest.mark.parametrize("logits", [False, True])
def test_outputs_of_layers_are_those_of_the_network(places, logits, runs, monkeypatch):
    network, pictures = made(), noise(17)
    expected = plainly(monkeypatch, lambda: tap.activations(network, pictures, places, logits=logits))
    assert not runs
    found = tap.activations(network, pictures, places, logits=logits)
    assert runs
    for place in places:
        torch.testing.assert_close(found.outputs[place], expected.outputs[place], rtol=1e-5, atol=1e-5)
        assert found.outputs[place].is_contiguous(memory_format=torch.channels_last) or place == "last"
    if logits:
        torch.testing.assert_close(found.logits, expected.logits, rtol=1e-5, atol=1e-5)


def test_pictures_and_outputs_are_nobody_elses():
    network, pictures = made(), noise(9)
    before = pictures.clone()
    first = tap.activations(network, pictures, ["first"]).outputs["first"]
    kept = first.clone()
    tap.activations(network, 2 * pictures, ["first"])
    assert torch.equal(first, kept)
    assert torch.equal(pictures, before)


def replaced(network: striate.Network) -> None:
    network.module.second[0] = nn.Conv2d(8, 8, 3, padding=1)


CHANGES: dict[str, Callable[[striate.Network], object]] = {
    "in place": lambda network: network.module.first[0].weight.data.mul_(-1),
    "with a count": lambda network: nn.init.ones_(network.module.last.weight),
    "one filter, past autograd": lambda network: network.module.second[0].weight.data[5].zero_(),
    "a running mean": lambda network: network.module.third[1].running_mean.add_(1),
    "a part": replaced,
    "a setting": lambda network: setattr(network.module, "louder", 3.0),
    "a rectifier": lambda network: setattr(network.module.first, "2", nn.Tanh()),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_network_gives_other_answers(name, runs):
    network, pictures = made(), noise(10)
    before = network(pictures)
    CHANGES[name](network)
    with torch.no_grad():
        expected = network.module(pictures)
    assert (expected - before).abs().max() > 1e-3
    torch.testing.assert_close(network(pictures), expected, rtol=1e-5, atol=1e-5)
    assert runs


def test_who_watches_the_network_sees_it_run(runs):
    network, pictures, seen = made(), noise(8), []
    network(pictures)
    runs.clear()
    handle = network.module.second.register_forward_hook(lambda *call: seen.append(len(call[2])))
    network(pictures)
    assert sum(seen) == 8
    assert not runs
    handle.remove()
    network(pictures)
    assert runs


def test_who_watches_every_operation_sees_the_network_run(runs):
    names = []

    class Listening(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            names.append(func._schema.name)
            return func(*args, **(kwargs or {}))

    network = made()
    with Listening():
        network(noise(8))
    assert "aten::relu_" in names
    assert not runs


def test_in_bfloat16_nothing_changes(runs):
    network, pictures = made(), noise(8)
    with torch.autocast("cpu", torch.bfloat16):
        assert network(pictures).dtype == torch.bfloat16
    assert not runs


class Noisy(Normed):
    def behind(self, maps: Tensor) -> Tensor:
        return maps.relu().mean((2, 3)) + torch.rand(1)


class Choosing(Normed):
    def behind(self, maps: Tensor) -> Tensor:
        return maps.relu().mean((2, 3)) if maps.sum() > 0 else maps.amax((2, 3))


class Measuring(Normed):
    """Measures the maps where PyTorch does not see it."""

    def behind(self, maps: Tensor) -> Tensor:
        return maps.relu().mean((2, 3)) / float(abs(maps.detach().numpy()).max())


class OfTheBatch(Normed):
    def behind(self, maps: Tensor) -> Tensor:
        found = maps.relu().mean((2, 3))
        return found - found.mean(0)


@pytest.mark.parametrize("kind", [Noisy, Choosing, Measuring])
def test_what_cannot_be_written_down_is_run_as_it_is(kind):
    network, pictures = made(kind), noise(8)
    found = network(pictures)
    assert all(kept is None for kept in lean._made[network.module][1].values())
    if kind is not Noisy:
        with torch.no_grad():
            torch.testing.assert_close(found, network.module(pictures), rtol=1e-5, atol=1e-5)


def test_a_network_that_compares_the_pictures_of_a_batch_goes_on_to(runs):
    network, pictures = made(OfTheBatch), noise(8)
    with torch.no_grad():
        torch.testing.assert_close(network(pictures), network.module(pictures), rtol=1e-5, atol=1e-5)
    assert runs


def test_two_pictures_that_are_the_same_do_not_hide_what_is_measured():
    network = made(Measuring)
    pictures = noise(1).expand(8, -1, -1, -1)
    with torch.no_grad():
        expected = network.module(pictures)
    torch.testing.assert_close(network(pictures), expected, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        expected = network.module(3 * pictures)
    torch.testing.assert_close(network(3 * pictures), expected, rtol=1e-5, atol=1e-5)


# --- gradients


@pytest.mark.parametrize("variant", ["grad-cam", "grad-cam++", "layer-cam", "hires-cam"])
def test_grad_cam_is_that_of_the_network(variant, runs, monkeypatch):
    network, pictures = made(), noise(9)

    def call() -> Tensor:
        return grad_cam(network, pictures, "class:2", layer="third.1", variant=variant).scores

    expected = plainly(monkeypatch, call)
    assert not runs
    found = call()
    assert runs
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_where_much_lies_behind_the_layer_it_is_run_as_it_is(monkeypatch):
    network, pictures = made(), noise(9)
    expected = plainly(monkeypatch, lambda: tap.gradient(network, pictures, "class:1", at="first"))
    found = tap.gradient(network, pictures, "class:1", at="first")
    assert torch.equal(found.values, expected.values)
    assert torch.equal(saliency(network, pictures, "class:1").scores,
                       plainly(monkeypatch, lambda: saliency(network, pictures, "class:1").scores))  # fmt: skip


class _Bent(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, found: Tensor) -> Tensor:
        return found.clone()

    @staticmethod
    def backward(ctx: Any, arriving: Tensor) -> Tensor:
        return 5 * arriving


class WithItsOwnGradient(Normed):
    def behind(self, maps: Tensor) -> Tensor:
        return _Bent.apply(maps.mean((2, 3)))


class PartlyCut(Normed):
    def behind(self, maps: Tensor) -> Tensor:
        with torch.no_grad():
            beside = maps.mean((2, 3))
        return maps.relu().mean((2, 3)) + beside


@pytest.mark.parametrize("kind", [WithItsOwnGradient, PartlyCut])
def test_a_gradient_that_is_not_that_of_the_operations_is_kept(kind, monkeypatch):
    network, pictures = made(kind), noise(8)

    def call() -> Tensor:
        return tap.gradient(network, pictures, "class:0", at="third.1").values

    assert torch.equal(call(), plainly(monkeypatch, call))


def test_the_layer_itself_can_be_the_target(runs, monkeypatch):
    network, pictures = made(), noise(8)

    def call() -> tap.Gradient:
        return tap.gradient(network, pictures, "third.1:3", at="third.1")

    expected, found = plainly(monkeypatch, call), call()
    assert runs
    assert torch.equal(found.values, expected.values)
    torch.testing.assert_close(found.scores, expected.scores, rtol=1e-5, atol=1e-5)


def test_few_ways_are_kept():
    network, pictures = made(), noise(8)
    for place in ("first.0", "first.1", "first", "second.0", "second", "third.0", "third.1", "last"):
        tap.activations(network, pictures, [place])
    assert len(lean._made[network.module][1]) == lean._KEPT


def test_a_network_that_is_gone_is_forgotten():
    before = len(lean._made)
    network = made()
    network(noise(8))
    assert len(lean._made) == before + 1
    del network
    gc.collect()
    assert len(lean._made) == before
