"""Windows of change against changes that are seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.perturbation.parts import Around, Part, gathered, pasted
from striate.perturbation.regions import Axis, Region


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    length=st.integers(6, 24),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 4),
    padding=st.integers(0, 4),
    dilation=st.integers(1, 3),
    data=st.data(),
)
def test_a_sliding_window_changes_what_it_says(length, kernel, stride, padding, dilation, data):
    reach = (kernel - 1) * dilation
    if length + 2 * padding <= reach or padding > reach:
        return
    starts = np.array([data.draw(st.integers(0, length - 3)) for _ in range(3)])
    axis = Axis.of(starts, starts + 2, length)
    weight = torch.ones(1, 1, kernel, dtype=torch.float64)

    def run(values: torch.Tensor) -> torch.Tensor:
        return torch.conv1d(values[None, None], weight, stride=stride, padding=padding, dilation=dilation)[0, 0]

    clean = run(torch.zeros(length, dtype=torch.float64))
    out = axis.slid(kernel, stride, padding, dilation, len(clean))
    for index, start in enumerate(starts):
        changed = torch.zeros(length, dtype=torch.float64)
        changed[start : start + 3] = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
        places = (run(changed) != clean).nonzero().flatten()
        if len(places):
            assert out.starts[index] <= places.min()
            assert places.max() < out.starts[index] + out.size
    assert (out.starts >= 0).all()
    assert (out.starts + out.size <= len(clean)).all()


def test_windows_are_no_larger_than_they_must():
    # 3 changed pixels under a 3-wide kernel change 5 outputs; at the edge those that are there
    axis = Axis.of(np.array([4, 8]), np.array([6, 10]), 20).slid(3, 1, 1, 1, 20)
    assert (axis.starts.tolist(), axis.size) == ([3, 7], 5)
    # at stride 2 pixels 4 to 6 change outputs 2 and 3 (which see 3 to 5 and 5 to 7)
    assert Axis.of(np.array([4]), np.array([6]), 20).slid(3, 2, 1, 1, 10).size == 2


def test_a_window_at_the_edge_is_moved_inside():
    axis = Axis.of(np.array([0, 17]), np.array([2, 19]), 20).slid(5, 1, 2, 1, 20)
    assert (axis.starts.tolist(), axis.size) == ([0, 15], 5)


def test_joined_windows_hold_both():
    joined = Axis(np.array([2, 8]), np.array([4, 10]), 12).joined(Axis(np.array([4, 5]), np.array([5, 6]), 12))
    assert (joined.starts.tolist(), joined.size) == ([2, 5], 6)


def test_a_window_is_enlarged_as_a_whole_though_nothing_changes_in_it():
    between = Axis.of(np.array([1, 3]), np.array([1, 3]), 8).slid(1, 2, 0, 1, 4)  # pixels that stride 2 does not see
    assert (between.size, between.scaled(2).size) == (1, 2)
    assert between.scaled(2).starts.tolist() == (2 * between.starts).tolist()


@pytest.mark.parametrize("dims", [(-2, -1), (-3, -2)])
def test_windows_are_set_into_the_map_around_them(dims):
    generator = torch.Generator().manual_seed(0)
    shape = (1, 3, 9, 8) if dims == (-2, -1) else (1, 9, 8, 3)
    clean = torch.randn(shape, generator=generator)
    tops, lefts = np.array([0, 2, 5]), np.array([1, 4, 0])
    region = Region(Axis(tops, tops + 3, 9), Axis(lefts, lefts + 2, 8))
    part = Part(torch.randn((3, 3, 4, 3) if dims == (-2, -1) else (3, 4, 3, 3), generator=generator), region, dims)
    around = Around.of(clean, dims, (1, 1, 2, 2), 0.5)
    target = gathered(around, tops - 1, lefts - 2, 6, 7)
    pasted(target, tops - 1, lefts - 2, part)
    padded = torch.nn.functional.pad(clean.movedim(dims, (-2, -1)), (2, 2, 1, 1), value=0.5)[0]
    for index in range(3):
        expected = padded.clone()
        changed = part.tensor[index].movedim(dims, (-2, -1))
        expected[:, tops[index] + 1 : tops[index] + 5, lefts[index] + 2 : lefts[index] + 5] = changed
        cut = expected[:, tops[index] : tops[index] + 6, lefts[index] : lefts[index] + 7]
        assert torch.equal(target[index].movedim(-1, 0), cut)
