"""Weights of classes: by hand, by their limits, against scikit-learn, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from striate.errors import DataError, OptionError
from striate.learn.pictures.weights import class_weights


def test_two_classes_by_hand():
    # beta=.5: 1 picture is worth 1, 2 are worth 1.5, so weights go as 1 : 2/3, scaled to mean 1
    torch.testing.assert_close(class_weights(torch.tensor([1, 2]), beta=0.5), torch.tensor([1.2, 0.8]))


@pytest.mark.parametrize(("beta", "ratio"), [(0.0, 1.0), (1 - 1e-12, 1000.0)])
def test_limits_are_uniform_and_inverse_frequency(beta, ratio):
    common, rare = class_weights(torch.tensor([1000, 1]), beta=beta)
    assert rare / common == pytest.approx(ratio, rel=1e-4)


def test_balanced_is_inverse_frequency_as_in_scikit_learn():
    counts = torch.tensor([5, 20, 7])
    labels = np.repeat([0, 1, 2], counts)
    theirs = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    found = class_weights(counts, kind="balanced")
    torch.testing.assert_close(found, torch.from_numpy(theirs / theirs.mean()).float())
    weight = found.double() * counts  # every class weighs as much as every other
    torch.testing.assert_close(weight, weight[:1].expand(3), rtol=1e-6, atol=0)
    assert found.dtype == torch.float32
    torch.testing.assert_close(class_weights(counts, beta=1 - 1e-13), found, rtol=1e-3, atol=0)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(DataError, match=r"1 of 3 classes have no pictures \(indices \[1\]\)"):
        class_weights(torch.tensor([5, 0, 7]))
    with pytest.raises(OptionError, match=r"beta must lie in \[0, 1\), got 1"):
        class_weights(torch.tensor([5, 7]), beta=1)
    with pytest.raises(OptionError, match="no class weights 'even'; there are effective and balanced"):
        class_weights(torch.tensor([5, 7]), kind="even")
