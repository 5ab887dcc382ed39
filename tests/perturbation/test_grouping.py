"""Which patches are worked through together."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from striate.perturbation.grouping import alike
from striate.perturbation.windows import slide
from striate.program import Program
from striate.recording import record


def written_down(module: nn.Module, side: int) -> Program:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        return record(module.eval(), *(torch.randn(1, 3, side, side, generator=generator) for _ in range(2)))


def taken(groups: list[np.ndarray], module: nn.Sequential, side: int, boxes: torch.Tensor) -> tuple[float, float]:
    """Count multiply-adds on windows: those of groups, and those of each patch by itself; changes are looked for."""
    pictures = torch.zeros(len(boxes), 3, side, side)
    for picture, (top, left, bottom, right) in zip(pictures, boxes.tolist(), strict=True):
        picture[:, top:bottom, left:right] = 1
    together = alone = 0.0
    values, clean = pictures, torch.zeros(1, 3, side, side)
    with torch.no_grad():
        for layer in module:
            values, clean = layer(values), layer(clean)
            if not isinstance(layer, nn.Conv2d):
                continue
            changed = (values != clean).any(1)
            each = layer.weight.numel()
            sizes = np.stack([[span(one.any(1)), span(one.any(0))] for one in changed])
            alone += each * sizes.prod(1).sum()
            together += each * sum(len(group) * sizes[group].max(0).prod() for group in groups)
    return together, alone


def span(changed: torch.Tensor) -> int:
    places = changed.nonzero().flatten()
    return int(places.max() - places.min() + 1) if len(places) else 0


def deep() -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, after in pairwise((3, 8, 16, 32, 64)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.Conv2d(after, after, 3, padding=1), nn.MaxPool2d(2)]
    return nn.Sequential(*layers)


def test_every_patch_is_in_one_group_and_no_group_is_too_large():
    program = written_down(deep(), 64)
    boxes = slide((64, 64), 8, 4).boxes
    for at_most in (1, 3, 16, 1000):
        groups = alike(program, program.output, boxes, at_most)
        assert sorted(np.concatenate(groups).tolist()) == list(range(len(boxes)))
        assert max(len(group) for group in groups) <= at_most


def test_little_is_worked_out_in_vain(monkeypatch):
    monkeypatch.setattr("striate.perturbation.grouping._CALL", 1e4)  # small maps, so that counting takes no time
    module = deep()
    program = written_down(module, 64)
    boxes = slide((64, 64), 8, 4).boxes
    together, alone = taken(alike(program, program.output, boxes, 32), module, 64, boxes)
    assert alone <= together < 1.06 * alone


def test_patches_that_lie_alike_to_the_strides_go_together(monkeypatch):
    # a convolution of one pixel with stride 2 sees two rows of a patch that begins at an even row, one of another
    monkeypatch.setattr("striate.perturbation.grouping._CALL", 0.0)
    module = nn.Sequential(nn.Conv2d(3, 4, 1, stride=2))
    program = written_down(module, 16)
    boxes = torch.tensor([[at, 4, at + 3, 6] for at in range(2, 12)])
    groups = alike(program, program.output, boxes, 100)
    assert [sorted({at % 2 for at in group}) for group in groups] in ([[0], [1]], [[1], [0]])


@pytest.mark.parametrize("count", [1, 2, 700])
def test_places_of_any_number_and_kind(count):
    generator = torch.Generator().manual_seed(count)
    corners = torch.randint(0, 40, (count, 2), generator=generator)
    boxes = torch.cat([corners, corners + torch.randint(0, 20, (count, 2), generator=generator)], 1)
    program = written_down(nn.Sequential(nn.ReLU(), nn.Flatten(), nn.LazyLinear(4)), 64)  # nothing slides
    for chosen in (program, written_down(deep(), 64)):
        groups = alike(chosen, chosen.output, boxes, 32)
        assert sorted(np.concatenate(groups).tolist()) == list(range(count))
