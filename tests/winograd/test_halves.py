"""Convolutions in bfloat16 with fewer multiplications against float64 and PyTorch's own."""

from __future__ import annotations

import math
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from striate.winograd import convolution as winograd

pytestmark = pytest.mark.skipif(not winograd.can_halves(), reason="no numba, or a processor that gains nothing")

HALF = torch.bfloat16


def noise(*shape: int, seed: int = 0) -> Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return values.contiguous(memory_format=torch.channels_last)


def whole(*shape: int, most: int, seed: int = 0) -> Tensor:
    """Return whole numbers of which none is larger."""
    return torch.randint(-most, most + 1, shape, generator=torch.Generator().manual_seed(seed)).float()


class Worked(NamedTuple):
    """What comes out of a convolution, and what goes back to the maps and to the weights."""

    output: Tensor
    maps: Tensor
    weights: Tensor


def worked(images: Tensor, weight: Tensor, gradient: Tensor, padding: tuple[int, int]) -> Worked:
    images, gradient = images.to(HALF), gradient.to(HALF)
    output = winograd.convolve(images, winograd.kernels(weight, HALF), padding=padding)
    turned, beyond = winograd.kernels(weight, HALF, turned=True), (2 - padding[0], 2 - padding[1])
    back = winograd.convolve(gradient, turned, padding=beyond)
    return Worked(output, back, winograd.weight_gradient(images, gradient, padding=padding))


def by_pytorch(images: Tensor, weight: Tensor, gradient: Tensor, padding: tuple[int, int]) -> Worked:
    images, weight = images.clone().requires_grad_(), weight.clone().requires_grad_()
    output = functional.conv2d(images, weight, padding=padding)
    return Worked(output.detach(), *torch.autograd.grad(output, (images, weight), gradient))


def exact(images: Tensor, weight: Tensor, gradient: Tensor, padding: tuple[int, int]) -> Worked:
    """Work in float64 with the maps as they are in bfloat16."""
    return by_pytorch(images.to(HALF).double(), weight.double(), gradient.to(HALF).double(), padding)


def drawn(shape: tuple[int, ...], padding: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Return maps, weights and a gradient, for N, C, K, H, W."""
    count, inputs, outputs, height, width = shape
    gradient = noise(count, outputs, height + 2 * padding[0] - 2, width + 2 * padding[1] - 2, seed=2)
    return noise(count, inputs, height, width), noise(outputs, inputs, 3, 3, seed=1), gradient


SHAPES = [
    ((2, 64, 64, 8, 8), (1, 1)),
    ((1, 64, 80, 5, 7), (1, 1)),  # 16 channels are left over, and half a tile on two sides; an odd number of tiles
    ((3, 80, 96, 7, 5), (0, 0)),
    ((2, 96, 112, 1, 1), (1, 1)),
    ((1, 112, 64, 1, 9), (1, 1)),
    ((2, 112, 64, 4, 3), (2, 2)),
    ((1, 128, 144, 6, 6), (0, 1)),
    ((1, 64, 64, 13, 11), (1, 0)),
    ((1, 256, 64, 3, 3), (0, 0)),
    ((7, 64, 64, 30, 33), (1, 1)),  # several blocks
    ((1, 272, 336, 10, 12), (1, 1)),
]


@pytest.mark.parametrize(("shape", "padding"), SHAPES)
def test_outputs_and_gradients_against_float64(shape: tuple[int, ...], padding: tuple[int, int]) -> None:
    given = drawn(shape, padding)
    found = worked(*given, padding)
    assert [one.dtype for one in found] == [HALF, HALF, torch.float32]
    for one, right in zip(found, exact(*given, padding), strict=True):
        assert one.shape == right.shape
        assert one.is_contiguous(memory_format=torch.channels_last)
        assert float((one - right).norm()) <= 6e-3 * float(right.norm())


@pytest.mark.parametrize(("channels", "side"), [(64, 28), (128, 14), (256, 14)])
def test_rounding_is_about_twice_that_of_pytorchs_own(channels: int, side: int) -> None:
    given = drawn((4, channels, channels, side, side), (1, 1))
    found, right = worked(*given, (1, 1)), exact(*given, (1, 1))
    theirs = by_pytorch(*(one.to(HALF) for one in given), (1, 1))
    for most, one, other, true in zip((2, 2, 2.5), found, theirs, right, strict=True):
        assert float((one - true).norm()) <= most * float((other - true).norm())


@pytest.mark.parametrize(("shape", "padding"), SHAPES)
def test_of_small_whole_numbers_nothing_is_lost(shape: tuple[int, ...], padding: tuple[int, int]) -> None:
    # weights that are multiples of four stay whole on the way, and all numbers in between fit into bfloat16
    count, inputs, outputs, height, width = shape
    images = whole(count, inputs, height, width, most=2)
    weight = 4 * whole(outputs, inputs, 3, 3, most=1, seed=1)
    gradient = whole(count, outputs, height + 2 * padding[0] - 2, width + 2 * padding[1] - 2, most=1, seed=2)
    for one, right in zip(
        worked(images, weight, gradient, padding), exact(images, weight, gradient, padding), strict=True
    ):
        assert torch.equal(one, right.to(one.dtype))  # the outputs are rounded once, at the end


def test_the_bias_is_added_before_it_is_rounded() -> None:
    images, weight, _ = drawn((2, 64, 80, 7, 6), (1, 1))
    bias = noise(80, 1, 1, 1, seed=5).flatten()
    ready = winograd.kernels(weight, HALF)
    found = winograd.convolve(images.to(HALF), ready, bias, padding=(1, 1))
    right = functional.conv2d(images.to(HALF).double(), weight.double(), bias.double(), padding=1)
    assert float((found - right).norm()) <= 6e-3 * float(right.norm())
    zeros = winograd.convolve(torch.zeros_like(images, dtype=HALF), ready, bias, padding=(1, 1))
    assert torch.equal(zeros, bias.to(HALF).view(1, -1, 1, 1).expand_as(zeros))


def test_threads_and_company_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    given, before = drawn((3, 80, 112, 9, 14), (1, 0)), torch.get_num_threads()
    monkeypatch.setattr(winograd, "_PIECE", 1)
    monkeypatch.setattr(winograd, "_WEIGHTS", 1)
    found = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(worked(*given, (1, 0)))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
    alone = winograd.convolve(given[0][1:2].to(HALF), winograd.kernels(given[1], HALF), padding=(1, 0))
    assert torch.equal(alone, found[0].output[1:2])


def test_what_is_no_number_is_not_lost() -> None:
    images, weight, gradient = drawn((1, 64, 64, 8, 8), (1, 1))
    images[0, 3, 4, 5] = math.nan
    found = worked(images, weight, gradient, (1, 1))
    assert bool(found.output[0, :, 3:6, 4:7].isnan().all())
    assert bool(found.weights[:, 3].isnan().all())
    assert not bool(found.maps.isnan().any())
    images[0, 3, 4, 5] = math.inf
    assert not bool(worked(images, weight, gradient, (1, 1)).output[0, :, 3:6, 4:7].isfinite().any())


def test_maps_in_any_order_of_memory() -> None:
    images, weight, gradient = drawn((2, 64, 64, 8, 6), (1, 1))
    expected = worked(images, weight, gradient, (1, 1))
    found = worked(images.contiguous(), weight.contiguous(), gradient.contiguous(), (1, 1))
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def test_what_does_not_go_together_is_refused() -> None:
    images, weight, gradient = drawn((2, 64, 64, 8, 6), (1, 1))
    ready = winograd.kernels(weight, HALF)
    with pytest.raises(ValueError, match="kernels from 64 channels to 64"):
        winograd.convolve(noise(2, 80, 5, 6).to(HALF), ready, padding=(1, 1))
    with pytest.raises(ValueError, match="kernels from 64 channels to 64"):
        winograd.convolve(images[..., :2].to(HALF), ready, padding=(0, 0))
    with pytest.raises(ValueError, match=r"2 maps .* and gradients of 1"):
        winograd.weight_gradient(images.to(HALF), gradient[:1].to(HALF), padding=(1, 1))
    with pytest.raises(ValueError, match="float32"):
        winograd.weight_gradient(images.to(HALF), gradient, padding=(1, 1))
