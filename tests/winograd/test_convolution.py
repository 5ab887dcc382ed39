"""Convolutions with fewer multiplications against PyTorch's in float64, whatever the shape, and where they are used."""

from __future__ import annotations

import importlib.util
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from striate.winograd import convolution as winograd

able = pytest.mark.skipif(not winograd.can(), reason="no numba, or a processor without vectors of eight numbers")


@pytest.fixture
def pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """However small the work, it is cut into pieces for all threads."""
    monkeypatch.setattr(winograd, "_PIECE", 1)
    monkeypatch.setattr(winograd, "_WEIGHTS", 1)


@pytest.fixture
def afresh() -> Iterator[None]:
    winograd._compiled.cache_clear()
    yield
    winograd._compiled.cache_clear()


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class Worked(NamedTuple):
    """What comes out of a convolution, and what goes back to the maps and to the weights."""

    output: Tensor
    maps: Tensor
    weights: Tensor


def by_pytorch(images: Tensor, weight: Tensor, gradient: Tensor, padding: tuple[int, int]) -> Worked:
    images, weight = images.clone().requires_grad_(), weight.clone().requires_grad_()
    output = functional.conv2d(images, weight, padding=padding)
    return Worked(output.detach(), *torch.autograd.grad(output, (images, weight), gradient))


def worked(images: Tensor, weight: Tensor, gradient: Tensor, padding: tuple[int, int]) -> Worked:
    output = winograd.convolve(images, winograd.kernels(weight), padding=padding)
    turned, beyond = winograd.kernels(weight, turned=True), (2 - padding[0], 2 - padding[1])
    back = winograd.convolve(gradient, turned, padding=beyond)
    return Worked(output, back, winograd.weight_gradient(images, gradient, padding=padding))


def drawn(shape: tuple[int, ...], padding: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Return maps, weights and a gradient, for N, C, K, H, W."""
    count, inputs, outputs, height, width = shape
    gradient = noise(count, outputs, height + 2 * padding[0] - 2, width + 2 * padding[1] - 2, seed=2)
    return noise(count, inputs, height, width), noise(outputs, inputs, 3, 3, seed=1), gradient


def in_threads(count: int) -> Worked:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(count)
        return worked(*drawn((3, 80, 112, 9, 14), (1, 0)), (1, 0))
    finally:
        torch.set_num_threads(before)


# --- the same numbers


@able
@pytest.mark.parametrize(
    ("shape", "padding"),
    [
        ((2, 64, 64, 8, 8), (1, 1)),
        ((1, 64, 80, 5, 7), (1, 1)),  # 16 channels are left over, and half a tile on two sides
        ((3, 80, 96, 7, 5), (0, 0)),
        ((2, 96, 112, 1, 1), (1, 1)),
        ((1, 112, 64, 1, 9), (1, 1)),
        ((1, 64, 192, 9, 1), (1, 1)),
        ((2, 112, 64, 4, 3), (2, 2)),
        ((1, 128, 144, 6, 6), (0, 1)),
        ((1, 144, 128, 3, 6), (0, 1)),
        ((1, 64, 64, 13, 11), (1, 0)),
        ((2, 64, 64, 1, 1), (2, 2)),
        ((1, 256, 64, 3, 3), (0, 0)),
        ((1, 160, 176, 2, 2), (1, 1)),
        ((1, 64, 64, 3, 3), (2, 1)),
        ((7, 64, 64, 30, 33), (1, 1)),  # 1785 tiles: several blocks, and sums in several parts
        ((1, 272, 336, 10, 12), (1, 1)),
    ],
)
def test_outputs_and_gradients_against_float64(shape: tuple[int, ...], padding: tuple[int, int]) -> None:
    given = drawn(shape, padding)
    exact = by_pytorch(*(one.double() for one in given), padding)
    for found, right in zip(worked(*given, padding), exact, strict=True):
        assert found.dtype == torch.float32
        assert found.shape == right.shape
        assert float((found - right).norm()) <= 2e-6 * float(right.norm())
        assert float((found - right).abs().max()) <= 1e-5 * float(right.abs().max())


@able
@pytest.mark.parametrize(("channels", "side"), [(64, 28), (128, 14), (256, 14)])
def test_rounding_is_that_of_pytorchs_own_or_hardly_more(channels: int, side: int) -> None:
    images, weight, gradient = drawn((2, channels, channels, side, side), (1, 1))
    given = [one.contiguous(memory_format=torch.channels_last) for one in (images.relu(), weight, gradient)]
    exact = by_pytorch(*(one.double() for one in given), (1, 1))
    found, theirs = worked(*given, (1, 1)), by_pytorch(*given, (1, 1))
    # for the weights a tile's numbers are added one after the other: over fewer, PyTorch keeps more sums
    for most, one, other, right in zip((2, 2, 5), found, theirs, exact, strict=True):
        assert float((one - right).norm()) <= most * float((other - right).norm())


@able
def test_by_hand_of_one_number() -> None:
    # a one in one channel at row 2, column 3: the kernels come out around it, from their last number to their first
    images, weight = torch.zeros(1, 64, 6, 8), noise(64, 64, 3, 3).round()
    images[0, 5, 2, 3] = 1
    found = winograd.convolve(images, winograd.kernels(weight), padding=(1, 1))
    expected = torch.zeros(1, 64, 6, 8)
    expected[0, :, 1:4, 2:5] = weight[:, 5].flip(1, 2)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)  # halves and quarters of whole numbers are exact


@able
@pytest.mark.parametrize(("low", "high"), [(0.0, math.inf), (0.0, 6.0), (-0.5, 0.25), (-math.inf, math.inf)])
def test_bias_sum_and_clamp(low: float, high: float) -> None:
    images, weight, added = drawn((2, 64, 96, 7, 9), (1, 1))
    bias, weight = noise(96, seed=3), weight / 24
    exact = functional.conv2d(images.double(), weight.double(), bias.double(), padding=1)
    for other in (None, added, added[:1].expand(2, -1, -1, -1)):
        right = (exact if other is None else exact + other.double()).clamp(low, high)
        kernels = winograd.kernels(weight)
        found = winograd.convolve(images, kernels, bias, padding=(1, 1), added=other, low=low, high=high)
        torch.testing.assert_close(found.double(), right, rtol=1e-5, atol=1e-5)
        assert found.is_contiguous(memory_format=torch.channels_last)


@able
def test_maps_in_any_order_of_memory_give_the_same_bits() -> None:
    images, weight, gradient = drawn((2, 64, 64, 6, 6), (1, 1))
    wider = torch.zeros(2, 70, 6, 12)
    wider[:, 3:67, :, ::2] = images
    expected = worked(images, weight, gradient, (1, 1))
    for others in (images.contiguous(memory_format=torch.channels_last), wider[:, 3:67, :, ::2]):
        transposed = weight.transpose(0, 1).contiguous().transpose(0, 1)
        for one, other in zip(worked(others, transposed, gradient.mT.contiguous().mT, (1, 1)), expected, strict=True):
            assert torch.equal(one, other)
    many = images[:1].expand(3, -1, -1, -1)
    found = winograd.convolve(many, winograd.kernels(weight), padding=(1, 1))
    assert torch.equal(found, expected.output[:1].expand(3, -1, -1, -1))
    assert torch.equal(images, noise(2, 64, 6, 6))  # nothing is written to


@able
def test_a_picture_comes_out_the_same_alone_and_among_others() -> None:
    images, weight, _ = drawn((23, 64, 144, 9, 7), (1, 1))
    kernels = winograd.kernels(weight)
    together = winograd.convolve(images, kernels, padding=(1, 1))
    for index in (0, 11, 22):
        assert torch.equal(winograd.convolve(images[index : index + 1], kernels, padding=(1, 1))[0], together[index])


@able
@pytest.mark.usefixtures("pieces")
def test_one_thread_and_two_give_the_same_bits() -> None:
    for one, two in zip(in_threads(1), in_threads(2), strict=True):
        assert torch.equal(one, two)


@able
@pytest.mark.usefixtures("pieces")
def test_sums_in_several_parts_are_the_same_in_two_threads() -> None:
    given = drawn((7, 64, 64, 30, 33), (1, 1))
    before, found = torch.get_num_threads(), []
    for threads in (1, 2):
        try:
            torch.set_num_threads(threads)
            found.append(winograd.weight_gradient(given[0], given[2], padding=(1, 1)))
        finally:
            torch.set_num_threads(before)
    assert torch.equal(*found)


@able
@pytest.mark.parametrize("spoiled", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_stays_so_and_spoils_no_more_than_its_tile(spoiled: float) -> None:
    images, weight, _ = drawn((2, 64, 64, 9, 9), (1, 1))
    images[0, 7, 4, 5] = spoiled
    kernels = winograd.kernels(weight)
    found = winograd.convolve(images, kernels, padding=(1, 1))
    theirs = functional.conv2d(images, weight, padding=1)
    lost = ~theirs.isfinite()
    tiles = functional.max_pool2d(lost.float(), 2, ceil_mode=True).repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert not found[lost].isfinite().any()
    assert found[tiles[..., :9, :9] == 0].isfinite().all()
    if math.isnan(spoiled):
        behind = winograd.convolve(images, kernels, padding=(1, 1), low=0.0, high=6.0)
        assert behind[lost].isnan().all()


@able
def test_no_pictures_are_none() -> None:
    images, weight, gradient = drawn((0, 64, 96, 5, 6), (1, 1))
    found = worked(images, weight, gradient, (1, 1))
    assert found.output.shape == (0, 96, 5, 6)
    assert found.maps.shape == (0, 64, 5, 6)
    assert torch.equal(found.weights, torch.zeros(96, 64, 3, 3))


@able
def test_what_does_not_belong_together_is_refused() -> None:
    images, weight, gradient = drawn((2, 64, 96, 5, 6), (1, 1))
    kernels = winograd.kernels(weight)
    with pytest.raises(ValueError, match=r"maps \(2, 80, 5, 6\) for kernels from 64 channels to 96"):
        winograd.convolve(noise(2, 80, 5, 6), kernels, padding=(1, 1))
    with pytest.raises(ValueError, match="maps"):  # smaller than the kernel
        winograd.convolve(images[..., :2], kernels, padding=(0, 0))
    with pytest.raises(ValueError, match="maps"):
        winograd.convolve(images, kernels, padding=(1, 1), added=gradient[:1])
    with pytest.raises(ValueError, match=r"2 maps .* and gradients of 1"):
        winograd.weight_gradient(images, gradient[:1], padding=(1, 1))


# --- where it is used

PLAIN = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}


def test_what_suits() -> None:
    assert winograd.suits(torch.empty(64, 80, 3, 3), **PLAIN)
    assert winograd.suits(torch.empty(64, 80, 3, 3), **PLAIN | {"padding": [0, 2], "stride": [1, 1]})


@pytest.mark.parametrize(
    ("weight", "other"),
    [
        (torch.empty(64, 64, 3), {}),
        (torch.empty(64, 64, 1, 1), {}),
        (torch.empty(64, 64, 3, 1), {}),
        (torch.empty(64, 64, 5, 5), {}),
        (torch.empty(48, 64, 3, 3), {}),  # too few
        (torch.empty(64, 48, 3, 3), {}),
        (torch.empty(72, 64, 3, 3), {}),  # no multiple of 16
        (torch.empty(64, 72, 3, 3), {}),
        (torch.empty(64, 64, 3, 3, dtype=torch.float64), {}),
        (torch.empty(64, 64, 3, 3, dtype=torch.bfloat16), {}),
        (torch.empty(64, 64, 3, 3, device="meta"), {}),
        (torch.empty(64, 64, 3, 3), {"stride": (2, 2)}),
        (torch.empty(64, 64, 3, 3), {"stride": (1, 2)}),
        (torch.empty(64, 64, 3, 3), {"dilation": (2, 2)}),
        (torch.empty(64, 64, 3, 3), {"groups": 2}),
        (torch.empty(64, 64, 3, 3), {"padding": (3, 1)}),
        (torch.empty(64, 64, 3, 3), {"padding": (0, -1)}),
    ],
)
def test_what_does_not_suit(weight: Tensor, other: dict[str, object]) -> None:
    assert not winograd.suits(weight, **PLAIN | other)


@pytest.mark.usefixtures("afresh")
def test_without_numba_it_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    right = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "numba" else right(name, *more)
    )
    assert not winograd.can()


@pytest.mark.usefixtures("afresh")
@pytest.mark.parametrize("error", [ImportError, RuntimeError, OSError])
def test_where_numba_fails_it_cannot(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    class Failing:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "striate.winograd.compiled":
                raise error("numba needs another numpy")

    monkeypatch.delitem(sys.modules, "striate.winograd.compiled", raising=False)
    monkeypatch.delattr("striate.winograd.compiled", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Failing(), *sys.meta_path])
    assert not winograd.can()


def told(code: str, **environment: str) -> str:
    """Return what a program prints in an environment."""
    here = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    done = subprocess.run([sys.executable, "-c", code], env=here | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


CAN = "from striate.winograd.convolution import can; print(can())"
NOWHERE = """
from numba.core import caching
def refuse(*_):
    raise PermissionError("read-only")
caching._CacheLocator.ensure_cache_path = refuse
"""


@able
@pytest.mark.parametrize(
    ("before", "environment"),
    [
        ("", {"NUMBA_DISABLE_JIT": "1"}),
        (NOWHERE, {}),
    ],
    ids=["not compiled", "no place for machine code"],
)
def test_where_numba_is_told_otherwise_it_cannot(before: str, environment: dict[str, str]) -> None:
    assert told(before + CAN, **environment) == "False"


@able
@pytest.mark.parametrize(
    ("settings", "features"),
    [
        ({"CPU_NAME": "haswell", "CPU_FEATURES": "+sse4.2,+avx2,-avx512f,+fma"}, {"sse4.2", "avx2", "fma"}),
        ({"CPU_NAME": "nehalem", "CPU_FEATURES": ""}, set()),
        ({"CPU_NAME": "generic"}, set()),
        ({"ENABLE_AVX": 0}, set()),
        ({"DISABLE_JIT": 1}, set()),
    ],
)
def test_what_the_processor_is_said_to_have(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, object], features: set[str]
) -> None:
    from numba import config

    from striate import vectors

    for name, value in ({"CPU_NAME": None, "CPU_FEATURES": None} | settings).items():
        monkeypatch.setattr(config, name, value)
    assert vectors._features() == features


NARROW = """
import torch
from striate import vectors
from striate.winograd import convolution, halves
assert convolution.can() and not convolution.can_halves() and vectors.LANES == 8
images, weight = torch.randn(2, 80, 7, 6), torch.randn(112, 80, 3, 3)
images.requires_grad_(), weight.requires_grad_()
right = torch.nn.functional.conv2d(images.double(), weight.double(), padding=1)
gradient = torch.randn(2, 112, 7, 6)
back = torch.autograd.grad(right, (images, weight), gradient.double())
found = [convolution.convolve(images, convolution.kernels(weight), padding=(1, 1))]
found += [convolution.convolve(gradient, convolution.kernels(weight, turned=True), padding=(1, 1))]
found += [convolution.weight_gradient(images, gradient, padding=(1, 1))]
print(max(float((one - other).abs().max() / other.abs().max()) for one, other in zip(found, (right, *back))))
convolution._of_halves = lambda: halves  # slower than PyTorch here, but right
images, gradient = images.bfloat16(), gradient.bfloat16()
found = [convolution.convolve(images, convolution.kernels(weight, torch.bfloat16), padding=(1, 1))]
found += [convolution.convolve(gradient, convolution.kernels(weight, torch.bfloat16, turned=True), padding=(1, 1))]
found += [convolution.weight_gradient(images, gradient, padding=(1, 1))]
print(max(float((one - other).norm() / other.norm()) for one, other in zip(found, (right, *back))))
"""


@able
@pytest.mark.slow
def test_on_a_processor_with_narrower_vectors(tmp_path: Path) -> None:
    features = "+avx,+avx2,+fma,+bmi,+bmi2,+f16c,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+lzcnt,+movbe,+cx16,+sahf"
    processor = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": features}
    told_of = told(NARROW, NUMBA_CACHE_DIR=str(tmp_path), OMP_NUM_THREADS="1", **processor)
    full, halves = map(float, told_of.split())
    assert full < 1e-5
    assert halves < 8e-3
