"""A network's run, written down and run again."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from striate.perturbation.incremental import respond_to_values
from striate.program import Program, Unwritten
from striate.recording import record
from striate.running import undisturbed


def written(module: nn.Module, images: Tensor, places: tuple[str, ...] = ()) -> Program:
    with undisturbed(module), torch.no_grad():
        return record(module, images[:1], images[1:2], places)


def run_again(program: Program, images: Tensor) -> Tensor:
    return respond_to_values(program, 0, program.output, images)


class Small(nn.Module):
    """In-place steps, a branch, a view, a split and a vector: what programs are made of."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 8, 3, stride=2, groups=2)
        self.last = nn.Linear(8 * 9, 5)

    def forward(self, images: Tensor) -> Tensor:
        maps = functional.relu_(self.norm(self.first(images)))
        left, right = maps.chunk(2, 1)
        maps = maps + torch.cat([right, left], 1)
        maps = functional.adaptive_avg_pool2d(self.second(maps).clamp_(max=2.0), 3)
        return self.last(maps.flatten(1))


@pytest.fixture
def small() -> nn.Module:
    torch.manual_seed(0)
    module = Small().eval()
    module.norm.running_mean.normal_()
    module.norm.running_var.uniform_(0.5, 2)
    return module


def test_other_pictures_and_more_of_them_give_what_the_network_gives(small):
    program = written(small, torch.randn(2, 3, 16, 12))
    images = torch.randn(5, 3, 16, 12)
    torch.testing.assert_close(run_again(program, images), small(images))


def test_values_before_an_operation_in_place_stay_as_they_were(small):
    image = torch.randn(2, 3, 16, 12)
    program = written(small, image, ("norm", "first"))
    expected = small.norm(small.first(image[:1]))
    torch.testing.assert_close(program.values[program.places["norm"]], expected)
    assert bool((expected < 0).any())  # which the rectifier in place has taken away


def test_the_run_can_start_at_a_layer(small):
    images = torch.randn(2, 3, 16, 12)
    program = written(small, images, ("second",))
    start = program.places["second"]
    found = respond_to_values(program, start, program.output, program.values[start].expand(4, -1, -1, -1))
    torch.testing.assert_close(found, small(images[:1]).expand(4, -1))
    assert len(program.needed(start, program.output)) < len(program.needed(0, program.output))


def test_a_layer_that_is_called_twice_is_told_apart_by_its_calls():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.step = nn.Conv2d(3, 3, 1)

        def forward(self, images: Tensor) -> Tensor:
            return self.step(self.step(images)).mean((2, 3))

    module, images = Twice().eval(), torch.randn(2, 3, 4, 4)
    program = written(module, images, ("step~1", "step"))
    torch.testing.assert_close(program.values[program.places["step~1"]], module.step(images[:1]))
    torch.testing.assert_close(program.values[program.places["step"]], module.step(module.step(images[:1])))


def test_the_waist_is_the_vector_that_all_ways_lead_through(small):
    program = written(small, torch.randn(2, 3, 16, 12))
    waist = program.waist(0, program.output)
    assert waist is not None
    assert program.values[waist].shape == (1, 72)


class Pixels(nn.Module):
    """Maps as rows of pixels on the way, (H W, C), which are no vectors of pictures."""

    def forward(self, images: Tensor) -> Tensor:
        rows = images.permute(0, 2, 3, 1).contiguous().view(-1, 3)
        return (rows @ torch.eye(3)).relu().view(len(images), -1, 3).mean(1).mul(2)


def test_the_waist_is_no_list_of_pixels():
    program = written(Pixels(), torch.randn(2, 3, 4, 5))
    waist = program.waist(0, program.output)
    assert waist is not None
    assert program.values[waist].shape == (1, 3)


class Shortcut(nn.Module):
    """A module that gives on what it is given, beside a way that reads the same tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 1)
        self.nothing = nn.Identity()
        self.rectifier = nn.ReLU(inplace=True)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.rectifier(self.first(images))
        return (self.nothing(maps) - 2 * maps).mean((2, 3))


def test_what_a_layer_passes_on_is_told_from_what_it_was_given():
    module, images = Shortcut().eval(), torch.randn(2, 3, 4, 4)
    program = written(module, images, ("nothing", "rectifier"))
    through, made = program.places["nothing"], program.places["rectifier"]
    assert through != made
    maps = program.values[made]
    torch.testing.assert_close(program.values[through], maps)
    with torch.no_grad():  # in the place of one: of both:
        found = respond_to_values(program, through, program.output, torch.zeros_like(maps))
        torch.testing.assert_close(found, -2 * maps.mean((2, 3)))
        found = respond_to_values(program, made, program.output, torch.ones_like(maps))
        torch.testing.assert_close(found, -torch.ones(1, 3))


class Chance(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return functional.dropout(images, 0.5, training=True).mean((2, 3))


class Branching(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3)) if images.sum() > 0 else images.amax((2, 3))


class Counting(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return (images + torch.zeros(len(images), 1, 1, 1)).mean((2, 3))


class Sharing(nn.Module):
    """Writes through a view of a tensor that is read afterwards."""

    def forward(self, images: Tensor) -> Tensor:
        padded = images.new_zeros(images.shape[0], 3, 8, 8)
        padded[:, :, 2:6, 2:6] = images
        return padded.mean((2, 3))


class Single(nn.Module):
    """Takes one picture at a time, and says so."""

    def forward(self, images: Tensor) -> Tensor:
        assert len(images) == 1, "one picture at a time"
        return images.mean((2, 3))


class Strides(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.contiguous().as_strided((len(images), 3), (48, 16))


class Blind(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return torch.ones(len(images), 4)


@pytest.mark.parametrize(
    ("module", "why"),
    [
        (Chance(), "depends on chance"),
        (Branching(), "depends on the picture's values"),
        (Counting(), "grows with the batch"),
        (Sharing(), "written into through another tensor|writes in place"),
        (Single(), r"the network fails while it is watched \(AssertionError: one picture at a time\)"),
        (Strides(), "as_strided depends on how numbers lie in memory"),
        (Blind(), "does not depend on the picture"),
    ],
)
def test_a_run_that_is_no_list_of_operations_is_refused_with_the_reason(module, why):
    with pytest.raises(Unwritten, match=why):
        written(module, torch.rand(2, 3, 4, 4) + 0.1)


def test_the_network_is_as_it_was(small):
    before = {name: value.clone() for name, value in small.state_dict().items()}
    small.train()
    written(small, torch.randn(2, 3, 16, 12), ("second",))
    assert small.training
    assert not any(part._forward_hooks for part in small.modules())
    for name, value in small.state_dict().items():
        assert torch.equal(value, before[name])


class Turning(nn.Module):
    """Adds up over other rows for two pictures than for one."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3)).roll(2 if len(images) == 1 else 0, 1)


def test_a_number_that_falls_with_the_batch_is_no_size():
    images = torch.randn(2, 3, 4, 4)
    with torch.no_grad(), pytest.raises(Unwritten, match="other things with two pictures than with one"):
        record(Turning(), images[:1], images[1:])
