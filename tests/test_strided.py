"""A strided convolution's way back, against PyTorch's own; and whole networks, in which it is the last step."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from striate import strided
from striate.strided import gradient_at, through

KERNELS = [(1, 1), (2, 3), (3, 3), (4, 4), (5, 2), (7, 7), (16, 16)]
STRIDES = [(2, 2), (1, 2), (3, 2), (4, 4), (5, 1)]
PADDINGS = [(0, 0), (1, 1), (3, 2), (0, 4)]


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("kernel", KERNELS)
def test_is_what_pytorch_sends_back(kernel):
    sizes = [(17, 16), (16, 21), (24, 31)]
    for stride, padding, size in itertools.product(STRIDES, PADDINGS, sizes):
        for order in (torch.contiguous_format, torch.channels_last):
            weight, images = drawn(5, 3, *kernel), drawn(2, 3, *size, seed=1).contiguous(memory_format=order)
            output = functional.conv2d(images.requires_grad_(), weight, stride=stride, padding=padding)
            arriving = drawn(*output.shape, seed=2).contiguous(memory_format=order)
            (expected,) = torch.autograd.grad(output, images, arriving)
            found = through(arriving, weight, stride, padding, size)
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_one_weight_by_hand():
    # a kernel of one pixel, stride 2: every other pixel gets twice the signal, those between nothing
    found = through(torch.tensor([[[[1.0, 3.0]]]]), torch.tensor([[[[2.0]]]]), (1, 2), (0, 0), (1, 4))
    assert found.tolist() == [[[[2, 0, 6, 0]]]]


class Stem(nn.Module):
    """A network whose first convolution has a stride, after arithmetic of its own."""

    def __init__(self, *, beside: bool = False, again: bool = False, **settings: int | str) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 5, **{"stride": 2, "padding": 2} | settings)
        self.second, self.head = nn.Conv2d(6, 8, 3, stride=2), nn.Linear(8, 2)
        self.beside, self.again = beside, again

    def start(self, images):
        return self.first((images - 0.2) / 0.5)

    def forward(self, images):
        maps = checkpoint(self.start, images, use_reentrant=False) if self.again else self.start(images)
        found = self.head(self.second(maps.relu()).relu().mean((2, 3)))
        return found + images.square().mean((1, 2, 3))[:, None] if self.beside else found


def both(module, images, monkeypatch):
    """Return the gradient as it is taken, that of PyTorch alone, and how often `through` was used."""
    calls = []
    monkeypatch.setattr(strided, "through", lambda *step: calls.append(1) or through(*step))
    module = module.double().requires_grad_(False)
    expected, found = (images.clone().requires_grad_() for _ in range(2))
    module(expected)[:, 1].sum().backward()
    return gradient_at(module(found)[:, 1].sum(), found), expected.grad, len(calls)


NETWORKS = {
    "plain": (Stem(), 1),
    "run once more on the way back": (Stem(again=True), 1),
    "in two directions": (Stem(stride=(1, 3)), 1),
    "without padding, by word": (Stem(padding="valid"), 1),
    "no stride": (Stem(stride=1), 0),
    "dilated": (Stem(dilation=2), 0),
    "in groups": (Stem(groups=3), 0),
    "another way to the pixels": (Stem(beside=True), 0),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_gradient_of_a_network_is_the_same(name, monkeypatch):
    module, used = NETWORKS[name]
    found, expected, calls = both(module, drawn(2, 3, 19, 23), monkeypatch)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)
    assert calls == used


def test_hooks_on_the_way_are_called(monkeypatch):
    class Watched(Stem):
        def start(self, images):
            shown = images * 1
            shown.register_hook(lambda signal: 3 * signal)
            maps = self.first(shown)
            maps.register_hook(lambda signal: 5 * signal)
            return maps

    found, expected, calls = both(Watched(), drawn(1, 3, 16, 16), monkeypatch)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)
    assert calls == 1


@pytest.mark.parametrize("part", ["weight", "bias"])
def test_weights_that_are_made_from_the_picture_are_another_way_to_it(part, monkeypatch):
    class Dynamic(Stem):
        def start(self, images):
            made = {"weight": self.first.weight, "bias": self.first.bias}
            made[part] = made[part] * images.mean()
            return functional.conv2d(images, **made, stride=2)

    found, expected, calls = both(Dynamic(), drawn(1, 3, 16, 16), monkeypatch)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)
    assert calls == 0


def test_checkpointed_parts_run_no_more_often_than_they_must():
    class Counted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 6, 5, stride=2), nn.Conv2d(6, 8, 3, stride=2)
            self.runs = []

        def part(self, name, maps):
            self.runs.append(name)
            return getattr(self, name)(maps).relu()

        def forward(self, images):
            for name in ("first", "second"):
                images = checkpoint(self.part, name, images, use_reentrant=False)
            return images

    module, images = Counted().double().requires_grad_(False), drawn(1, 3, 16, 16).requires_grad_()
    score = module(images).sum()
    module.runs.clear()
    assert gradient_at(score, images).any()
    assert sorted(module.runs) == ["first", "first", "second"]  # the first's weights are asked for by themselves


def test_where_there_is_no_gradient_there_is_none():
    images, other = drawn(1, 3, 16, 16).requires_grad_(), drawn(1, 3, 16, 16).requires_grad_()
    module = Stem().double().requires_grad_(False)
    assert gradient_at(module(other).sum(), images) is None


def test_where_the_network_cuts_it_there_is_none():
    class Cut(torch.autograd.Function):
        @staticmethod
        def forward(ctx, maps):
            return maps.clone()

        @staticmethod
        def backward(ctx, arriving):
            return None

    images, module = drawn(1, 3, 16, 16).requires_grad_(), Stem().double().requires_grad_(False)
    assert gradient_at(Cut.apply(module.first(images)).sum(), images) is None


def test_the_first_gradient_loads_no_algebra():
    code = (
        "import sys, torch; from torch import nn; from striate.strided import gradient_at;"
        "leaf = torch.randn(2, 3, 32, 32, requires_grad=True); stem = nn.Conv2d(3, 8, 3, 2, 1).requires_grad_(False);"
        "found = gradient_at(stem(leaf.clone()).sum(), leaf); assert found.shape == leaf.shape;"
        "print('sympy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
