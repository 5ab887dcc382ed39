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
