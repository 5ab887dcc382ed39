from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from striate.errors import OptionError
from striate.perturbation.windows import coarse_nodes, covered_mean, interpolated, slide

sides = st.integers(1, 12)


@st.composite
def slides(draw):
    size = (draw(st.integers(1, 24)), draw(st.integers(1, 24)))
    patch = tuple(draw(st.integers(1, length)) for length in size)
    stride = tuple(draw(st.integers(1, side)) for side in patch)
    return size, patch, stride


def test_the_last_window_is_cut_off_at_the_edge():
    windows = slide((4, 5), 3, 2)
    assert windows.tops == (0, 2)  # rows 2 to 4, of which 4 is outside
    assert windows.lefts == (0, 2)
    assert windows.boxes.tolist() == [[0, 0, 3, 3], [0, 2, 3, 5], [2, 0, 4, 3], [2, 2, 4, 5]]
    assert len(windows) == 4
    assert windows.grid == (2, 2)


def test_pairs_are_height_and_width():
    windows = slide((4, 6), (2, 3), [2, 1])
    assert (windows.tops, windows.lefts) == ((0, 2), (0, 1, 2, 3))
    assert slide((4, 6), [2], (1,)).patch == (2, 2)  # as the command line gives one number


@settings(max_examples=60, deadline=None)
@given(slides())
def test_every_pixel_is_covered_and_no_window_is_for_nothing(drawn):
    size, patch, stride = drawn
    windows = slide(size, patch, stride)
    for starts, length, side, step in zip((windows.tops, windows.lefts), size, patch, stride, strict=True):
        assert {pixel for start in starts for pixel in range(start, start + side)} >= set(range(length))
        assert list(starts) == list(range(0, starts[-1] + 1, step))
        assert starts[-1] - step + side < length or len(starts) == 1  # the one before does not reach the edge
    assert (windows.boxes[:, 2:] > windows.boxes[:, :2]).all()
    assert (windows.boxes[:, 2:] <= torch.tensor(size)).all()


@settings(max_examples=60, deadline=None)
@given(slides(), st.integers(0, 1000))
def test_a_pixel_gets_the_mean_of_the_windows_over_it(drawn, seed):
    windows = slide(*drawn)
    values = torch.randn(2, len(windows), generator=torch.Generator().manual_seed(seed))
    expected = np.zeros((2, *windows.size))
    counts = np.zeros(windows.size)
    for index, (top, left, bottom, right) in enumerate(windows.boxes.tolist()):
        expected[:, top:bottom, left:right] += values[:, index].double().numpy()[:, None, None]
        counts[top:bottom, left:right] += 1
    found = covered_mean(windows.boxes, values, windows.size)
    np.testing.assert_allclose(found.numpy(), expected / counts, rtol=1e-9, atol=1e-9)


def test_a_pixel_under_no_box_is_zero():
    found = covered_mean(torch.tensor([[0, 1, 2, 3], [1, 1, 2, 2]]), torch.tensor([[4.0, 8.0]]), (3, 4))
    assert found.tolist() == [[[0, 4, 4, 0], [0, 6, 4, 0], [0, 0, 0, 0]]]


@settings(max_examples=40, deadline=None)
@given(slides())
def test_coarse_windows_leave_no_gap_where_fine_ones_overlap(drawn):
    size, patch, stride = drawn
    windows = slide(size, patch, stride)
    for starts, nodes, length, side, step in zip(
        (windows.tops, windows.lefts), coarse_nodes(windows), size, patch, stride, strict=True
    ):
        chosen = [starts[node] for node in nodes]
        assert (chosen[0], chosen[-1]) == (starts[0], starts[-1])
        if 2 * step <= side:
            assert {pixel for start in chosen for pixel in range(start, start + side)} >= set(range(length))
            assert len(chosen) <= len(starts) // 2 + 2


def test_what_is_between_known_rows_and_columns():
    rows, columns = torch.tensor([0, 2, 5]), torch.tensor([0, 3, 4])
    plane = 2.0 * torch.arange(6)[:, None] - 3.0 * torch.arange(5) + 1  # bilinear interpolation knows every plane
    found = interpolated(plane[rows][:, columns][None], rows, columns, (6, 5))
    torch.testing.assert_close(found[0], plane.double())
    heights = torch.tensor([[[1.0, 5.0, 2.0]]])
    line = interpolated(heights, torch.tensor([0]), columns, (1, 5))[0, 0].numpy()
    np.testing.assert_allclose(line, np.interp(range(5), columns.numpy(), heights[0, 0].numpy()), rtol=1e-7)


@pytest.mark.parametrize(
    ("patch", "stride", "message"),
    [
        (0, 1, r"patch must be at least 1 pixel, got 0 x 0\."),
        ((3, -1), 1, r"patch must be at least 1 pixel, got 3 x -1\."),
        (3, 0, r"stride must be at least 1 pixel, got 0 x 0\."),
        ((3, 9), 2, r"a patch of 3 x 9 pixels is larger than the picture of 7 x 8\. Choose a smaller patch"),
        (3, (3, 4), r"with stride 3 x 4 a patch of 3 x 3 leaves pixels uncovered"),
        ((1, 2, 3), 1, r"patch is one number, or height and width; got 3 numbers"),
    ],
)
def test_windows_that_make_no_sense(patch, stride, message):
    with pytest.raises(OptionError, match=message):
        slide((7, 8), patch, stride)
