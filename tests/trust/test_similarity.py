"""Likeness of maps: by SciPy, by hand, and what has no order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import rankdata, spearmanr

from striate.errors import OptionError
from striate.trust import rank_similarity, structural_similarity
from striate.trust.similarity import measure, ranks


@pytest.mark.parametrize("levels", [1_000_000, 7, 2])
def test_rank_similarity_is_spearman_of_absolute_values(levels):
    random = np.random.default_rng(levels)
    first, second = random.integers(-levels, levels, (2, 5, 9, 11)).astype(np.float32)  # few levels: many ties
    found = rank_similarity(torch.from_numpy(first), torch.from_numpy(second))
    expected = [
        spearmanr(abs(one).ravel(), abs(other).ravel()).statistic for one, other in zip(first, second, strict=True)
    ]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)


def test_equal_values_share_their_places():
    values = torch.tensor([5.0, 1, 5, 2, 5, 1])
    assert ranks(values).tolist() == rankdata(values.numpy()).tolist() == [5, 1.5, 5, 3, 5, 1.5]


def test_scale_and_sign_do_not_count():
    first = torch.randn(1, 4, 5, generator=torch.Generator().manual_seed(0))
    assert rank_similarity(first, -3 * first).item() == pytest.approx(1)
    assert structural_similarity(first, -3 * first).item() == pytest.approx(1)


@pytest.mark.parametrize("compare", [rank_similarity, structural_similarity])
@pytest.mark.parametrize("bad", [0.0, float("nan"), float("inf")])
def test_a_map_without_order_is_like_none(compare, bad):
    first = torch.rand(1, 4, 5, generator=torch.Generator().manual_seed(0))
    second = torch.full_like(first, bad) if bad == 0 else first.clone().index_fill_(1, torch.tensor([2]), bad)
    assert compare(first, second).isnan().all()


def test_structure_of_shuffled_pixels_is_lost():
    smooth = torch.linspace(0, 1, 24).view(1, 1, 24).expand(1, 24, 24)
    shuffled = smooth.flatten()[torch.randperm(576, generator=torch.Generator().manual_seed(0))].view(1, 24, 24)
    assert structural_similarity(smooth, shuffled).item() < 0.3
    assert structural_similarity(smooth, smooth + 0.01).item() > 0.95


def test_what_cannot_be_compared_is_said():
    with pytest.raises(OptionError, match="maps of 1 x 4 x 5 and 1 x 5 x 4 cannot be compared"):
        rank_similarity(torch.ones(1, 4, 5), torch.ones(1, 5, 4))
    with pytest.raises(OptionError, match="2 x 9 pixels have no structure"):
        structural_similarity(torch.ones(1, 2, 9), torch.ones(1, 2, 9))
    with pytest.raises(OptionError, match="no similarity 'cosine'; there are rank, ssim"):
        measure("cosine")
