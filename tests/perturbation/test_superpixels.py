from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.measure import label

from striate.errors import OptionError
from striate.perturbation.superpixels import given, segment
from striate.spec import InputSpec


@pytest.fixture(scope="module")
def cat(chelsea):
    return np.asarray(InputSpec(height=112, width=144).fit(Image.open(chelsea)))


@pytest.mark.parametrize("method", ["slic", "quickshift", "grid"])
def test_every_pixel_has_a_superpixel_and_no_number_is_left_out(cat, method):
    labels = segment(cat, method, 30)
    assert labels.shape == (112, 144)
    assert labels.dtype == torch.int64
    assert labels.unique().tolist() == list(range(int(labels.max()) + 1))
    assert torch.equal(labels, segment(cat, method, 30))


@pytest.mark.parametrize("method", ["slic", "grid"])
@pytest.mark.parametrize("count", [20, 50, 100])
def test_there_are_about_as_many_as_asked_for(cat, method, count):
    assert 0.6 * count <= int(segment(cat, method, count).max()) + 1 <= 1.3 * count


def test_superpixels_of_slic_hang_together(cat):
    labels = segment(cat, "slic", 40).numpy()
    assert label(labels + 1, connectivity=1).max() == labels.max() + 1


@pytest.mark.parametrize("method", ["slic", "quickshift"])
def test_edges_are_found(method):
    picture = np.full((40, 60, 3), (200, 30, 30), dtype=np.uint8)
    picture[:, 25:] = (30, 30, 200)
    labels = segment(picture, method, 6)
    left, right = set(labels[:, :24].unique().tolist()), set(labels[:, 26:].unique().tolist())
    assert not left & right


def test_a_grid_by_hand():
    labels = segment(np.zeros((4, 6, 3), np.uint8), "grid", 6)
    expected = torch.tensor([[0, 0, 1, 1, 2, 2], [3, 3, 4, 4, 5, 5]]).repeat_interleave(2, dim=0)
    assert torch.equal(labels, expected)


@pytest.mark.parametrize(("shape", "first_row"), [((2, 9), [0, 1]), ((4, 2), [0]), ((1, 2), [0, 1]), ((3, 3), [0, 1])])
def test_the_smallest_grid_has_two_cells_along_the_longer_side(shape, first_row):
    labels = segment(np.zeros((*shape, 3), np.uint8), "grid", 2)
    assert labels.unique().tolist() == [0, 1]
    assert labels[0].unique().tolist() == first_row


def test_a_picture_without_parts_is_refused():
    even = np.full((40, 40, 3), 90, dtype=np.uint8)
    with pytest.raises(OptionError, match="at least 2 superpixels are needed, of which one can be hidden, got 1"):
        segment(even, "slic", 1)
    with pytest.raises(OptionError, match=r"1 superpixel \(grid\): the picture is all one part"):
        segment(even[:1, :1], "grid", 4)
    with pytest.raises(OptionError, match=r"1 superpixel \(given\)"):
        given(torch.full((40, 40), 7), torch.zeros(1, 3, 40, 40))
    with pytest.raises(OptionError, match="no superpixels 'felzenszwalb'; there are slic, quickshift, grid"):
        segment(even, "felzenszwalb", 4)


def test_superpixels_of_ones_own_are_numbered_without_gaps():
    labels = torch.tensor([[7, 7, -2], [7, 9, 9]])
    found = given(labels, torch.zeros(2, 3, 2, 3))
    assert found.tolist() == [[[1, 1, 0], [1, 2, 2]]] * 2
    each = given(torch.stack([labels, labels * 0 + torch.arange(3)]), torch.zeros(2, 3, 2, 3))
    assert each[1].tolist() == [[0, 1, 2]] * 2


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.zeros(2, 3), "numbered by whole numbers, got a tensor of torch.float32"),
        (torch.zeros(3, 2, dtype=torch.int64), "superpixels of 3 x 2 for pictures of 2 x 3"),
        (torch.zeros(4, 2, 3, dtype=torch.int64), "superpixels of 4 x 2 x 3 for pictures of 2 x 3"),
    ],
)
def test_superpixels_that_do_not_fit_are_explained(labels, message):
    with pytest.raises(OptionError, match=message):
        given(labels, torch.zeros(2, 3, 2, 3))
