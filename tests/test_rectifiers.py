"""What counts as a rectifier, and what is said of the rest."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from striate.errors import RuleError
from striate.rectifiers import backward, waking

CAUGHT = {
    "relu": torch.relu,
    "relu6": functional.relu6,
    "in place": lambda z: functional.relu_(z.clone()),
    "clamp": lambda z: z.clamp(min=0),
    "clamp_min": lambda z: torch.clamp_min(z, 0),
    "threshold": lambda z: functional.threshold(z, 0, 0),
    "maximum": lambda z: torch.maximum(z, torch.zeros(())),
    "leaky without slope": lambda z: functional.leaky_relu(z, 0.0),
}
LEFT = {
    "hard swish written out": (lambda z: z * functional.relu6(z + 3) / 6, "1 Hardtanh"),
    "leaky": (lambda z: functional.leaky_relu(z, 0.1), "1 LeakyRelu"),
    "gelu": (functional.gelu, "1 Gelu"),
    "silu": (functional.silu, "1 Silu"),
    "where": (lambda z: torch.where(z > 0, z, 0.0), "1 Where"),
    "clamp elsewhere": (lambda z: z.clamp(min=-1), "1 Clamp"),
    "maximum of two": (lambda z: torch.maximum(z, 2 * z), "1 Maximum"),
    "prelu": (nn.PReLU(), "1 PreluKernel"),
    "in place on a view, which hides what it is": (
        lambda z: functional.relu_(z.clone().view(4)).view(1, 4),
        "1 CopySlices",
    ),
}
INPUT = [-2.0, 3.0, 1.0, -1.0]
WEIGHTS = [1.0, 2.0, -3.0, -4.0]  # what comes back at the rectifier


def passed_back(function, rule):
    z = torch.tensor([INPUT], requires_grad=True)
    return backward((function(z) * torch.tensor([WEIGHTS])).sum(1), z, rule)


@pytest.mark.parametrize("name", CAUGHT)
def test_rectifiers_follow_the_rules(name):
    values = {rule: passed_back(CAUGHT[name], rule) for rule in ("gradient", "guided", "deconvnet")}
    assert values["gradient"][0].tolist() == [[0, 2, -3, 0]]  # where the input is above zero
    assert values["guided"][0].tolist() == [[0, 2, 0, 0]]  # and the signal
    assert values["deconvnet"][0].tolist() == [[1, 2, 0, 0]]  # where the signal is above zero
    assert [values[rule][1] for rule in values] == [0, 1, 1]


@pytest.mark.parametrize("name", LEFT)
def test_what_is_no_rectifier_is_refused_and_named(name):
    function, said = LEFT[name]
    with pytest.raises(RuleError, match=f"none lies on the way.*{said}"):
        passed_back(function, "guided")


def test_what_is_passed_beside_rectifiers_is_counted():
    _, rectifiers, others = passed_back(lambda z: torch.relu(functional.silu(z)) + torch.sigmoid(z), "guided")
    assert (rectifiers, others) == (1, {"Silu": 1, "Sigmoid": 1})


@pytest.mark.parametrize("name", CAUGHT)
def test_what_is_silent_everywhere_is_woken_and_nothing_else(name):
    # the first picture is cut off everywhere, the second in places, as in every other test
    z = torch.tensor([[-2.0, -3.0, -1.0, -1.0], INPUT], requires_grad=True)
    scores = (CAUGHT[name](z) * torch.tensor([WEIGHTS])).sum(1)
    # of the first what would raise the score by raising its input; of the second the plain gradient
    assert waking(scores, z).tolist() == [[1, 2, 0, 0], [0, 2, -3, 0]]


def test_waking_goes_through_several_rectifiers():
    z = torch.tensor([[-1.0, -1.0]], requires_grad=True)
    inner = torch.relu(z) @ torch.tensor([[1.0], [-1.0]]) - 1  # -1: the outer one is silent too
    assert torch.autograd.grad(torch.relu(inner).sum(), z, retain_graph=True)[0].tolist() == [[0, 0]]
    assert waking(torch.relu(inner).sum(1), z).tolist() == [[1, 0]]
