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
from normed import SIZE, Choosing, Measuring, MeasuringPictures, Noisy, Normed, count_runs, made, noise, plainly
from striate import lean, tap
from striate.errors import NetworkError
from striate.fusing import Fused, can_fuse
from striate.program import Program

pytestmark = pytest.mark.skipif(not can_fuse(torch.zeros(1)), reason="this PyTorch has no oneDNN")


@pytest.fixture
def runs(monkeypatch) -> list[int]:
    return count_runs(monkeypatch)


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


class Mirrored(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.flip(3).transpose(2, 3).relu().mean((2, 3)) + images.transpose(2, 3).relu().amax((2, 3))


def test_what_only_looks_at_the_pictures_in_another_order_does_not_write_into_them(runs):
    network = made(Mirrored)
    pictures = network.batch(noise(8))
    before = pictures.clone()
    network(pictures)
    assert runs
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
    "a stride": lambda network: setattr(network.module.third[0], "stride", (2, 1)),
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


def test_who_watches_all_networks_sees_it_run(runs):
    network, seen = made(), []
    handle = nn.modules.module.register_module_forward_hook(lambda part, given, found: seen.append(part))
    try:
        network(noise(8))
    finally:
        handle.remove()
    assert seen.count(network.module.last) == 1
    assert not runs


def test_who_watches_the_way_back_sees_it_gone(runs, monkeypatch):
    network, pictures, seen = made(), noise(8), []

    def call() -> Tensor:
        return tap.gradient(network, pictures, "class:1", at="third.1").values

    call()
    runs.clear()
    network.module.last.register_full_backward_hook(lambda part, sent, come: (seen.append(1), (3 * sent[0],))[1])
    found = call()
    assert seen
    assert not runs
    assert torch.equal(found, plainly(monkeypatch, call))


def test_in_bfloat16_nothing_changes(runs):
    network, pictures = made(), noise(8)
    with torch.autocast("cpu", torch.bfloat16):
        assert network(pictures).dtype == torch.bfloat16
    assert not runs


class OfTheBatch(Normed):
    def behind(self, maps: Tensor) -> Tensor:
        found = maps.relu().mean((2, 3))
        return found - found.mean(0)


class Crowded(Normed):
    """Takes another way for three pictures than for one and for two."""

    def behind(self, maps: Tensor) -> Tensor:
        return (maps.sigmoid() if len(maps) > 2 else maps.relu()).mean((2, 3))


class Picky(Normed):
    def behind(self, maps: Tensor) -> Tensor:
        assert len(maps) != 3
        return maps.relu().mean((2, 3))


@pytest.mark.parametrize("kind", [Noisy, Choosing, Measuring, MeasuringPictures, Crowded, Picky])
def test_what_cannot_be_written_down_is_run_as_it_is(kind):
    network, pictures = made(kind), noise(8)
    found = network(pictures)
    assert all(kept is None for kept in lean._made[network.module].ways.values())
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


class Failing(Normed):
    def behind(self, maps: Tensor) -> Tensor:
        raise AssertionError("no such maps")


def test_a_network_that_fails_says_the_same_of_few_and_of_many():
    texts = []
    for count in (lean.FEWEST - 1, lean.FEWEST):
        with pytest.raises(NetworkError, match="no such maps") as failed:
            made(Failing)(noise(count))
        texts.append(str(failed.value).replace(f"of {count} x", "of N x"))
    assert texts[0] == texts[1]


def test_where_a_run_that_was_written_down_fails_the_network_is_asked(monkeypatch):
    network, pictures = made(), noise(8)
    expected = plainly(monkeypatch, lambda: tap.activations(network, pictures, ["second", "first.0"], logits=True))
    right = Program.run

    def run(self: Program, given: Any, ends: Any, count: int) -> Any:
        if count > 3:
            raise RuntimeError("not so many")
        return right(self, given, ends, count)

    monkeypatch.setattr(Program, "run", run)
    found = tap.activations(network, pictures, ["second", "first.0"], logits=True)
    assert torch.equal(found.logits, expected.logits)
    assert all(torch.equal(found.outputs[place], output) for place, output in expected.outputs.items())


class Counting(Normed):
    """Keeps account of its runs in a number, in a buffer, and in what it saw last."""

    def __init__(self) -> None:
        super().__init__()
        self.number, self.latest = 0, None
        self.register_buffer("calls", torch.zeros(1))

    def behind(self, maps: Tensor) -> Tensor:
        self.number, self.latest, self.newest = self.number + 1, maps, [maps]
        self.calls += 1
        return maps.relu().mean((2, 3))


def test_what_a_run_notes_down_is_no_change(monkeypatch):
    network, pictures, written = made(Counting), noise(8), []
    right = lean.record
    monkeypatch.setattr(lean, "record", lambda *given: (written.append(1), right(*given))[1])
    for _ in range(3):
        network(pictures[:2])
        network(pictures)
    assert len(written) == 1
    network.module.last.bias.data += 1
    with torch.no_grad():
        torch.testing.assert_close(network(pictures), network.module(pictures), rtol=1e-5, atol=1e-5)
    assert len(written) == 2


def test_few_ways_are_kept():
    network, pictures = made(), noise(8)
    for place in ("first.0", "first.1", "first", "second.0", "second", "third.0", "third.1", "last"):
        tap.activations(network, pictures, [place])
    assert len(lean._made[network.module].ways) == lean._WAYS


def test_convolutions_of_one_shape_are_not_taken_for_one_another(runs):
    torch.manual_seed(0)
    parts = [part for _ in range(3) for part in (nn.Conv2d(3, 3, 3), nn.ReLU())]
    network, pictures = striate.Network(nn.Sequential(*parts).eval(), striate.InputSpec(3, *SIZE)), noise(8)
    with torch.no_grad():
        expected = network.module(pictures).mean((2, 3))
    torch.testing.assert_close(network(pictures), expected, rtol=1e-5, atol=1e-5)
    assert sum(runs) == 3 + 8


def test_convolutions_of_several_ways_are_held_once(monkeypatch):
    network, pictures = made(), noise(8)

    def convolutions() -> list[Fused]:
        return [one for one in gc.get_objects() if type(one) is Fused]

    gc.collect()
    before = len(convolutions())
    network(pictures)
    gc.collect()
    once = len(convolutions())
    assert once == before + 3
    tap.activations(network, pictures, ["last"])
    tap.gradient(network, pictures, "class:1", at="third.1")
    found = tap.activations(network, pictures, ["second.1"], logits=True)
    gc.collect()
    assert len(convolutions()) == once + 2  # one that does not take in the sum, one without its rectifier
    expected = plainly(monkeypatch, lambda: tap.activations(network, pictures, ["second.1"], logits=True))
    torch.testing.assert_close(found.outputs["second.1"], expected.outputs["second.1"], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found.logits, expected.logits, rtol=1e-5, atol=1e-5)


def test_a_network_that_is_gone_is_forgotten():
    before = len(lean._made)
    network = made()
    network(noise(8))
    assert len(lean._made) == before + 1
    del network
    gc.collect()
    assert len(lean._made) == before
