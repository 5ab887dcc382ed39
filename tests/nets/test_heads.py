"""Classifiers on features: each by hand, made again from plain numbers, and refused where those make no sense."""

from __future__ import annotations

import math

import pytest
import torch

from striate.errors import NetworkError
from striate.nets import heads

SIZES = {
    "linear": {"features": 3, "classes": 2},
    "dense": {"features": 3, "units": 4, "classes": 2},
    "kernel": {"features": 3, "vectors": 5, "classes": 2},
    "forest": {"features": 3, "trees": 2, "nodes": 4, "leaves": 3, "depth": 1, "classes": 2},
}


def test_linear_by_hand():
    state = {"layer.weight": torch.tensor([[1.0, 2.0], [0.0, -1.0]]), "layer.bias": torch.tensor([0.5, 3.0])}
    head = heads.filled("linear", state, features=2, classes=2)
    assert head(torch.tensor([[10.0, 1.0]])).tolist() == [[12.5, 2.0]]
    assert head.numbers == 6


def test_dense_by_hand():
    state = {
        "hidden.weight": torch.tensor([[1.0], [-1.0]]),
        "hidden.bias": torch.zeros(2),
        "output.weight": torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]),
        "output.bias": torch.tensor([0.0, 0.0, 1.0]),
    }
    head = heads.filled("dense", state, features=1, units=2, classes=3)
    assert head(torch.tensor([[2.0], [-3.0]])).tolist() == [[2.0, 0.0, 3.0], [0.0, 3.0, 4.0]]


def test_kernel_by_hand():
    # one feature, scaled to (x - 1) * 2; support vectors at 0 and 2 there, that is at 1 and 2
    state = {
        "shift": torch.tensor([1.0]),
        "factor": torch.tensor([2.0]),
        "support": torch.tensor([[0.0], [2.0]]),
        "dual": torch.tensor([[1.0, 0.0], [-1.0, 2.0]]),
        "bias": torch.tensor([0.0, 0.5]),
        "gamma": torch.tensor(0.25),
    }
    head = heads.filled("kernel", state, features=1, vectors=2, classes=2)
    near = math.exp(-0.25 * 4)
    found = head(torch.tensor([[1.0], [2.0]]))
    torch.testing.assert_close(found, torch.tensor([[1, -1 + 2 * near + 0.5], [near, -near + 2 + 0.5]]))


def forest():
    """Two trees: one asks twice (feature 0 at 1, then feature 1 at 5), the other is a single leaf."""
    state = {
        "roots": torch.tensor([0, 5]),
        "feature": torch.tensor([0, 0, 1, 0, 0, 0]),
        "threshold": torch.tensor([1.0, 0.0, 5.0, 0.0, 0.0, 0.0]),
        "ways": torch.tensor([[1, 2], [1, 1], [3, 4], [3, 3], [4, 4], [5, 5]]),
        "leaf": torch.tensor([0, 0, 0, 1, 2, 3]),
        "shares": torch.tensor([[1.0, 0.0], [0.25, 0.75], [0.0, 1.0], [0.0, 1.0]]),
    }
    return heads.filled("forest", state, features=2, trees=2, nodes=6, leaves=4, depth=2, classes=2)


def test_forest_by_hand_and_at_most_the_threshold_goes_first():
    rows = torch.tensor([[1.0, 9.0], [1.0001, 5.0], [2.0, 5.0001]])
    shares = forest()(rows).exp()
    torch.testing.assert_close(shares, torch.tensor([[0.5, 0.5], [0.125, 0.875], [1e-6, 1.0]]))


def test_a_forest_lets_no_gradient_through_and_the_others_do():
    for kind, sizes in SIZES.items():
        head = forest() if kind == "forest" else heads.blank({"kind": kind, **sizes})
        with torch.no_grad():
            for held in head.state_dict().values():
                if kind != "forest":
                    held.copy_(torch.rand(held.shape))
        rows = torch.rand(2, head.features, requires_grad=True)
        logits = head(rows)
        assert logits.requires_grad == head.differentiable
        if head.differentiable:
            assert torch.autograd.gradcheck(head.double(), rows.detach().double().requires_grad_())


@pytest.mark.parametrize("kind", SIZES)
def test_made_again_from_plain_numbers(kind):
    head = heads.blank({"kind": kind, **SIZES[kind]})
    again = heads.blank(head.plain())
    shapes = {name: held.shape for name, held in head.state_dict().items()}
    assert {name: held.shape for name, held in again.state_dict().items()} == shapes
    assert head.plain() == {"kind": kind, **SIZES[kind]}


def test_every_kind_is_found():
    assert set(heads.kinds()) == set(SIZES)


@pytest.mark.parametrize(
    ("plain", "words"),
    [
        ({"kind": "liner", "features": 2, "classes": 2}, "there is no head 'liner'; there are dense, forest"),
        ({"features": 2}, "there is no head None"),
        ({"kind": "linear", "features": 2}, "a linear head is made of features, classes"),
        ({"kind": "linear", "features": 2, "classes": 0}, "got classes=0"),
        ({"kind": "linear", "features": 2.5, "classes": True}, "got features=2.5, classes=True"),
        ({"kind": "linear", "features": 10**6, "classes": 10**6}, r"one layer would have 1000000 x 1000000 weights"),
        ({"kind": "forest", **SIZES["forest"], "depth": 10**9}, "4 nodes cannot be 1,000,000,000 questions deep"),
    ],
)
def test_numbers_that_make_no_head(plain, words):
    with pytest.raises(NetworkError, match=words):
        heads.blank(plain)
