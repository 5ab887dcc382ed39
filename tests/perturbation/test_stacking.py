"""Maps put together, normalised and rectified in one step, and windows put together in machine code."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from perturbation.random_nets import random_network
from perturbation.test_patches import check
from striate.folding import folded
from striate.fusing import fused
from striate.network import Network
from striate.perturbation.filling import Norm, fill
from striate.perturbation.patches import Trial
from striate.perturbation.stacking import NAME, Stacked, stacked
from striate.products import NAME as PRODUCT
from striate.products import with_products
from striate.recording import record

pytestmark = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="needs numba")


@pytest.mark.parametrize("threads", [1, 2])
def test_windows_hold_the_map_around_what_has_changed(threads):
    generator = torch.Generator().manual_seed(0)
    clean = torch.randn(40, 50, 7, generator=generator)
    count, size = 9, (20, 22)
    tops, lefts = np.arange(count) * 2, np.arange(count)[::-1] * 3
    sides = [(3, 5, 4), (20, 22, 1), (30, 4, 2)]  # rows, columns, channels; the last is longer than the windows
    scale, shift = torch.randn(7, generator=generator), torch.randn(7, generator=generator)
    expected = torch.stack([clean[y : y + 20, x : x + 22] for y, x in zip(tops, lefts, strict=True)])
    pieces, first = [], 0
    for number, (rows, columns, channels) in enumerate(sides):
        piece = torch.randn(count, rows, columns, channels, generator=generator)
        downs = np.arange(count) * 3 - 4 if number == 0 else np.full(count, 0 if number == 1 else -5)
        rights = np.arange(count) * 3 - 2 if number != 1 else np.zeros(count, np.int64)
        for window, down, right in zip(range(count), downs, rights, strict=True):
            for y in range(max(down, 0), min(down + rows, 20)):
                for x in range(max(right, 0), min(right + columns, 22)):
                    own = slice(first, first + channels)
                    value = piece[window, y - down, x - right] * scale[own] + shift[own]
                    expected[window, y, x, own] = value.clamp(-0.5, 1)
        pieces.append((piece, downs, rights))
        first += channels
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = fill(clean, (tops, lefts.copy()), size, pieces, Norm(scale, shift, -0.5, 1.0))
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_what_is_not_a_number_stays_so():
    found = Stacked(Norm(torch.ones(1), torch.zeros(1), 0.0))(torch.tensor([float("nan"), -1, 2]).view(1, 1, 1, 3))
    assert found.flatten().nan_to_num(7.0).tolist() == [7, 0, 2]


class Dense(nn.Module):
    """All earlier maps go to each layer, as in DenseNet."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(6 + 4 * at) for at in range(3))
        self.layers = nn.ModuleList(nn.Conv2d(6 + 4 * at, 4, 3, padding=1) for at in range(3))
        self.head = nn.Linear(18, 5)
        for norm in self.norms:
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)

    def forward(self, images: Tensor) -> Tensor:
        maps = [self.first(images)]
        for norm, layer in zip(self.norms, self.layers, strict=True):
            maps.append(layer(norm(torch.cat(maps, 1)).relu()))
        return self.head(torch.cat(maps, 1).mean((2, 3)))


def test_a_dense_network_in_fewer_steps():
    module = Dense().eval()
    pictures = torch.randn(3, 3, 12, 10, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        program = record(module, pictures[:1], pictures[1:2])
        ends = [program.output]
        short = stacked(with_products(fused(folded(program, ends), ends)), ends)
        found = short.run({0: pictures}, ends, 3)[program.output]
        expected = module(pictures)
    kinds = [step.name for step in short.steps]
    assert kinds.count(NAME) == 4
    assert kinds.count(PRODUCT) == 1
    assert not {"cat", "native_batch_norm", "relu", "addmm"} & set(kinds)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.fixture
def compiled(monkeypatch) -> list[bool]:
    """Networks count as large jobs; the list says of each trial whether it was put together in machine code."""
    seen: list[bool] = []
    follow_all = Trial.follow_all
    monkeypatch.setattr(Network, "spares", lambda *_: True)
    monkeypatch.setattr(
        Trial, "follow_all", lambda self, *given: (seen.append(self.compiled), follow_all(self, *given))
    )
    return seen


@pytest.mark.parametrize("seed", range(16))
def test_scores_are_those_of_a_loop_by_hand(seed, compiled):
    check(random_network(seed, steps=1 + seed % 9, awkward=seed % 3 == 0), seed, [0, 3], tolerance=1e-4)
    assert all(compiled)


@pytest.mark.parametrize("only", [["batch norm", "activation"], ["joined"], ["joined", "batch norm"]])
def test_steps_that_stack(only, compiled):
    for seed in range(3):
        check(random_network(seed, steps=4, only=only), seed, [1], tolerance=1e-4)
    assert all(compiled)
