"""Convolutions that take in what stands behind them give the same values in fewer steps."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from perturbation.random_nets import random_network
from striate.folding import folded
from striate.fusing import NAME, can_fuse, fused
from striate.program import Program, Unwritten
from striate.recording import record
from striate.running import undisturbed
from striate.winograd import convolution as winograd

able = pytest.mark.skipif(not winograd.can(), reason="no numba, or a processor without vectors of eight numbers")
pytestmark = pytest.mark.skipif(not can_fuse(torch.zeros(1)), reason="this PyTorch has no oneDNN")


def written(module: nn.Module, images: Tensor, places: tuple[str, ...] = ()) -> Program:
    with undisturbed(module), torch.no_grad():
        return record(module, images[:1], images[1:2], places)


def values(program: Program, ends: list[int], images: Tensor) -> list[Tensor]:
    with torch.no_grad():
        found = program.run({0: images}, ends, len(images))
    return [found[end] for end in ends]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), steps=st.integers(1, 8), awkward=st.booleans())
def test_every_value_that_is_asked_for_is_that_of_the_program(seed, steps, awkward):
    drawn = random_network(seed, steps=steps, awkward=awkward)
    layers = [layer.address for layer in drawn.network.graph(*drawn.image.shape[2:]).maps() if layer.name]
    places = tuple(layers[seed % 3 :: 3])
    images = torch.randn(4, *drawn.image.shape[1:], generator=torch.Generator().manual_seed(seed))
    try:
        program = written(drawn.module, images, places)
    except Unwritten:
        assume(False)
    ends = sorted({program.output, *program.places.values()})
    short = fused(folded(program, ends), ends)
    for found, expected in zip(values(short, ends, images), values(program, ends, images), strict=True):
        scale = max(1e-3, expected.abs().max().item())
        torch.testing.assert_close(found, expected, rtol=0, atol=2e-5 * scale, msg=repr(drawn))


class Row(nn.Module):
    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.first, self.activation = nn.Conv2d(3, 8, 3, padding=1), activation

    def forward(self, images: Tensor) -> Tensor:
        return self.activation(self.first(images))


class Clamped(nn.Module):
    def forward(self, maps: Tensor) -> Tensor:
        return maps.clamp(-0.25, 0.5)


class Floored(nn.Module):
    def forward(self, maps: Tensor) -> Tensor:
        return maps.clamp(min=0)


@pytest.mark.parametrize(
    "activation", [nn.ReLU(), nn.ReLU6(), nn.Hardtanh(-0.5, 0.25), nn.LeakyReLU(0.3), nn.SiLU(), nn.Hardswish(),
                   Clamped(), Floored()], ids=lambda one: type(one).__name__
)  # fmt: skip
def test_an_activation_is_taken_in(activation):
    torch.manual_seed(0)
    module, images = Row(activation).eval(), torch.randn(5, 3, 9, 11)
    program = written(module, images)
    short = fused(program, [program.output])
    assert [step.name for step in short.steps] == [NAME]
    with torch.no_grad():
        torch.testing.assert_close(values(short, [program.output], images)[0], module(images), rtol=1e-5, atol=1e-6)


def test_what_it_does_otherwise_stays_outside():
    for activation in (nn.GELU(), nn.Softplus(), nn.Threshold(0.1, 2.0)):
        program = written(Row(activation).eval(), torch.randn(2, 3, 9, 9))
        assert len(fused(program, [program.output]).steps) == len(program.steps) == 2


class Gated(nn.Module):
    def forward(self, maps: Tensor) -> Tensor:
        return maps.relu() * maps


@pytest.mark.parametrize(
    ("behind", "steps"), [(nn.Sequential(nn.LeakyReLU(0.3), nn.ReLU6()), 2), (Gated(), 3)], ids=["two", "also read"]
)
def test_one_activation_is_taken_in_of_what_nobody_else_reads(behind, steps):
    torch.manual_seed(0)
    module, images = Row(behind).eval(), 3 * torch.randn(5, 3, 9, 11)
    program = written(module, images)
    short = fused(program, [program.output])
    assert len(short.steps) == steps
    with torch.no_grad():
        torch.testing.assert_close(values(short, [program.output], images)[0], module(images), rtol=1e-5, atol=1e-5)


class Block(nn.Module):
    """Sums of two convolutions, of a convolution and what went into it, and of one with itself."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.beside, self.last = nn.Conv2d(6, 6, 1), nn.Conv2d(6, 6, 1, stride=2)

    def forward(self, images: Tensor) -> Tensor:
        found = self.first(images)
        found = functional.relu(self.second(found) + self.beside(found))
        found = functional.relu(found + self.second(found))
        found = self.last(found)
        return (found + found).add(self.beside(found), alpha=2)


def test_sums_are_taken_in_where_they_are_plain():
    torch.manual_seed(0)
    module, images = Block().eval(), torch.randn(3, 3, 8, 10)
    program = written(module, images)
    short = fused(program, [program.output])
    assert [step.name for step in short.steps] == [NAME] * 5 + ["add", NAME, "add"]
    with torch.no_grad():
        torch.testing.assert_close(values(short, [program.output], images)[0], module(images), rtol=1e-4, atol=1e-5)


class Around(nn.Module):
    """An activation behind the sum of a convolution and what went into it."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.first, self.second, self.activation = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 6, 3, padding=1), activation

    def forward(self, images: Tensor) -> Tensor:
        found = self.first(images)
        return self.activation(self.second(found) + found)


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.ReLU6(), nn.SiLU(), nn.Hardswish(), nn.LeakyReLU(0.3)])
def test_behind_a_sum_is_taken_in_what_onednn_does_there(activation):
    torch.manual_seed(0)
    module, images = Around(activation).eval(), 3 * torch.randn(3, 3, 8, 10)
    program = written(module, images)
    short = fused(program, [program.output])
    assert [step.name for step in short.steps][:2] == [NAME] * 2
    assert len(short.steps) == (2 if isinstance(activation, nn.ReLU) else 3)
    with torch.no_grad():
        torch.testing.assert_close(values(short, [program.output], images)[0], module(images), rtol=1e-4, atol=1e-5)


def test_a_bias_may_lie_anyhow_in_memory():
    torch.manual_seed(0)
    images = torch.randn(3, 3, 8, 10)
    for bias in (torch.randn(16)[::2], torch.randn(1).expand(8)):
        module = Row(nn.ReLU()).eval()
        module.first.bias = nn.Parameter(bias)
        program = written(module, images)
        with torch.no_grad():
            found = values(fused(program, [program.output]), [program.output], images)[0]
            torch.testing.assert_close(found, module(images), rtol=1e-4, atol=1e-5)


def test_a_value_that_is_asked_for_is_not_swallowed():
    torch.manual_seed(0)
    module, images = Block().eval(), torch.randn(3, 3, 8, 10)
    program = written(module, images, ("beside", "second"))
    ends = [program.output, *program.places.values()]
    for found, expected in zip(values(fused(program, ends), ends, images), values(program, ends, images), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_one_picture_may_stand_for_many():
    torch.manual_seed(0)
    module, images = Row(nn.ReLU()).eval(), torch.randn(2, 3, 8, 8)
    program = written(module, images)
    found = values(fused(program, [program.output]), [program.output], images[:1].expand(6, -1, -1, -1))[0]
    with torch.no_grad():
        torch.testing.assert_close(found, module(images[:1]).expand(6, -1, -1, -1), rtol=1e-5, atol=1e-6)


def test_many_sizes_of_maps_by_the_same_convolution():
    module = Row(nn.ReLU()).eval()
    program = written(module, torch.randn(2, 3, 9, 9))
    (step,) = fused(program, [program.output]).steps
    with torch.no_grad():
        for side in range(3, 12):
            images = torch.randn(4, 3, side, side)
            expected = functional.conv2d(images, module.first.weight, module.first.bias).relu()
            torch.testing.assert_close(step.op(images, padding=(0, 0)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", ["double", "autocast"])
def test_other_numbers_are_left_to_pytorch(case):
    module, images = Row(nn.ReLU()).eval(), torch.randn(2, 3, 9, 9)
    if case == "double":
        program = written(module.double(), images.double())
        assert fused(program, [program.output]) is program
        return
    program = written(module, images)
    with torch.autocast("cpu", torch.bfloat16):
        assert fused(program, [program.output]) is program


def test_a_step_of_the_program_can_still_be_replaced():
    module, images = Row(nn.ReLU()).eval(), torch.randn(2, 3, 9, 9)
    program = written(module, images)
    (step,) = fused(program, [program.output]).steps
    louder = replace(program, steps=(replace(step, op=replace(step.op, weight=2 * step.op.weight, bias=None)),))
    with torch.no_grad():
        expected = functional.conv2d(images, 2 * module.first.weight, padding=1).relu()
    torch.testing.assert_close(values(louder, [program.output], images)[0], expected, rtol=1e-5, atol=1e-6)


# --- with fewer multiplications


class Wide(nn.Module):
    """Convolutions of many channels: with every activation, a sum, and such that are left alone."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 64, 3, padding=1)
        self.second, self.third = nn.Conv2d(64, 80, 3), nn.Conv2d(80, 80, 3, padding=1, bias=False)
        self.fourth, self.fifth = nn.Conv2d(80, 64, 3, padding=(0, 1)), nn.Conv2d(64, 64, 3, padding=1)
        self.others = nn.ModuleList(
            [
                nn.Conv2d(64, 64, 3, padding=1, stride=2),
                nn.Conv2d(64, 64, 3, padding=2, dilation=2),
                nn.Conv2d(64, 64, 3, padding=1, groups=2),
                nn.Conv2d(64, 64, 1),
                nn.Conv2d(64, 64, 3, padding=1),
            ]
        )

    def forward(self, images: Tensor) -> Tensor:
        found = self.second(self.first(images))
        found = functional.relu(found + self.third(found))
        found = self.fifth(functional.relu6(self.fourth(found)))
        for other in self.others:
            found = functional.leaky_relu(other(found), 0.3)
        return found


def spied(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Return a list to which input and output channels are added at each convolution with fewer multiplications."""
    seen: list[tuple[int, int]] = []
    right = winograd.convolve

    def convolve(images: Tensor, kernels: winograd.Kernels, *given: object, **options: object) -> Tensor:
        seen.append((kernels.inputs, kernels.outputs))
        return right(images, kernels, *given, **options)

    monkeypatch.setattr(winograd, "convolve", convolve)
    return seen


@able
@pytest.mark.parametrize("count", [1, 5])
def test_fewer_multiplications_give_the_same_values(monkeypatch, count):
    torch.manual_seed(0)
    module, images = Wide().eval(), torch.randn(count + 1, 3, 13, 11)
    program = written(module, images, ("second", "fourth"))
    ends = [program.output, *program.places.values()]
    seen = spied(monkeypatch)
    expected = values(fused(program, ends), ends, images[1:])
    assert not seen
    short = fused(program, ends, sparing=True)
    assert [step.name for step in short.steps] == [step.name for step in fused(program, ends).steps]
    for found, right in zip(values(short, ends, images[1:]), expected, strict=True):
        torch.testing.assert_close(found, right, rtol=0, atol=1e-5 * float(right.abs().max()))
    assert seen == [(64, 80), (80, 80), (80, 64), (64, 64)]


@able
def test_what_is_cut_out_of_a_map_is_done_with_fewer_multiplications(monkeypatch):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(64, 64, 3, padding=1), nn.ReLU()).eval()
    program = written(module, torch.randn(2, 64, 9, 9))
    (step,) = fused(program, [program.output], sparing=True).steps
    seen = spied(monkeypatch)
    with torch.no_grad():
        for side in range(3, 9):
            images = torch.randn(4, 64, side, 12 - side)
            expected = functional.conv2d(images, module[0].weight, module[0].bias).relu()
            torch.testing.assert_close(step.op(images, padding=(0, 0)), expected, rtol=1e-4, atol=1e-5)
    assert len(seen) == 6


def test_without_numba_the_program_is_the_plain_one(monkeypatch):
    monkeypatch.setattr(winograd, "_compiled", lambda: None)
    module, images = nn.Conv2d(64, 64, 3).eval(), torch.randn(2, 64, 9, 9)
    program = written(module, images)
    ends = [program.output]
    short = fused(program, ends, sparing=True)
    assert torch.equal(values(short, ends, images)[0], values(fused(program, ends), ends, images)[0])
