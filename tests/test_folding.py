"""A folded program gives the same numbers with fewer steps, and every value that is still asked for."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from perturbation.random_nets import RandomNetwork, random_network
from striate.folding import folded
from striate.perturbation.incremental import respond_to_values
from striate.program import Program, Unwritten
from striate.recording import record
from striate.running import undisturbed


def written(module: nn.Module, images: Tensor, places: tuple[str, ...] = ()) -> Program:
    with undisturbed(module), torch.no_grad():
        return record(module, images[:1], images[1:2], places)


def run(program: Program, end: int, images: Tensor) -> Tensor:
    with torch.no_grad():
        return respond_to_values(program, 0, end, images.clone())


def writes_in_place(program: Program) -> list[str]:
    """Return the names of the steps that write into what they read, by their schemas."""
    marked = [step for step in program.steps if step.op._schema.arguments[0].alias_info is not None]
    return [step.name for step in marked if step.op._schema.arguments[0].alias_info.is_write]


def double(drawn: RandomNetwork, count: int) -> tuple[nn.Module, Tensor]:
    generator = torch.Generator().manual_seed(drawn.seed)
    return drawn.module.double(), torch.randn(count, *drawn.image.shape[1:], generator=generator, dtype=torch.float64)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), steps=st.integers(1, 8), awkward=st.booleans())
def test_every_value_that_is_asked_for_is_that_of_the_program(seed, steps, awkward):
    drawn = random_network(seed, steps=steps, awkward=awkward)
    layers = [layer.address for layer in drawn.network.graph(*drawn.image.shape[2:]).maps() if layer.name]
    module, images = double(drawn, 4)
    places = tuple(layers[seed % 3 :: 3])  # some of the layers, those before a normalisation or a rectifier too
    try:
        program = written(module, images, places)
    except Unwritten:  # circular padding and the like: there is nothing to fold
        assume(False)
    kept = [value.clone() for value in program.values]
    ends = [program.output, *program.places.values()]
    short = folded(program, ends)
    for end in ends:
        expected = run(program, end, images)
        scale = max(1.0, expected.abs().max().item())
        torch.testing.assert_close(run(short, end, images), expected, rtol=0, atol=1e-9 * scale, msg=repr(drawn))
    # what is written in place is never one of the values of the clean picture
    for before, after in zip(kept, program.values, strict=True):
        assert torch.equal(before.nan_to_num(), after.nan_to_num())
    assert len(short.steps) <= len(program.steps)


class Block(nn.Module):
    """Convolution, normalisation, rectifier; the convolution's output is read once more where `again`."""

    def __init__(self, *, again: bool = False, affine: bool = True, bias: bool = False) -> None:
        super().__init__()
        self.again = again
        self.step = nn.Conv2d(4, 6, 3, padding=1, groups=2, bias=bias)
        self.norm = nn.BatchNorm2d(6, affine=affine)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.step(images)
        ahead = self.norm(maps).relu()
        return (ahead + maps if self.again else ahead).amax((2, 3))


def block(**options: bool) -> Block:
    torch.manual_seed(3)
    module = Block(**options).eval().double()
    module.norm.running_mean.normal_()
    module.norm.running_var.uniform_(0.5, 2)
    if module.norm.affine:
        nn.init.normal_(module.norm.weight)
        nn.init.normal_(module.norm.bias)
    return module


@pytest.fixture
def images() -> Tensor:
    return torch.randn(3, 4, 7, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_a_normalisation_goes_into_the_convolution_and_the_rectifier_writes_over_it(images, affine, bias):
    module = block(affine=affine, bias=bias)
    program = written(module, images)
    short = folded(program, [program.output])
    assert [step.name for step in short.steps] == ["convolution", "relu", "amax"]
    assert writes_in_place(short) == ["relu"]
    assert writes_in_place(program) == []  # it is left as it was
    with torch.no_grad():
        torch.testing.assert_close(run(short, program.output, images), module(images), rtol=0, atol=1e-12)


def test_what_is_read_twice_is_not_folded(images):
    module = block(again=True)
    program = written(module, images)
    short = folded(program, [program.output])
    assert [step.name for step in short.steps][:2] == [step.name for step in program.steps][:2]
    assert writes_in_place(short) == ["relu"]  # over the output of the normalisation, which nobody else reads
    with torch.no_grad():
        torch.testing.assert_close(run(short, program.output, images), module(images), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("place", "steps", "over"), [("step", 4, ["relu"]), ("norm", 3, [])])
def test_a_layer_that_is_asked_for_stays(images, place, steps, over):
    module = block()
    program = written(module, images, (place,))
    short = folded(program, [program.output, *program.places.values()])
    assert len(short.steps) == steps
    assert writes_in_place(short) == over
    with torch.no_grad():
        before = module.step(images)
        expected = before if place == "step" else module.norm(before)
        # both in one go: the value of the layer has to outlive the rectifier that reads it
        found = run(short, program.places[place], images)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(run(short, program.output, images), module(images), rtol=0, atol=1e-12)


class Tied(nn.Module):
    """A convolution whose kernels are made of the picture, and a normalisation by the pictures at hand."""

    def forward(self, images: Tensor) -> Tensor:
        maps = nn.functional.conv_transpose2d(images, torch.ones(4, 4, 2, 2, dtype=images.dtype))
        maps = nn.functional.batch_norm(maps, torch.zeros(4).double(), torch.ones(4).double())
        return maps.clamp(min=0).mean((2, 3))


def test_a_transposed_convolution_keeps_its_normalisation(images):
    program = written(Tied(), images)
    short = folded(program, [program.output])
    assert len(short.steps) == len(program.steps)
    torch.testing.assert_close(run(short, program.output, images), Tied()(images), rtol=0, atol=1e-12)
