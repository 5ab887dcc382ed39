"""Products by oneDNN against PyTorch's own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from striate.fusing import can_fuse
from striate.products import NAME, Product, with_products
from striate.program import Program
from striate.recording import record

pytestmark = pytest.mark.skipif(not can_fuse(torch.zeros(1)), reason="this PyTorch has no oneDNN")


def written(module: nn.Module, images: Tensor) -> Program:
    with torch.no_grad():
        return record(module.eval(), images[:1], images[1:2])


class Last(nn.Module):
    """Vectors of 12 numbers and what is done with them."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), None if bias is None else nn.Parameter(bias)

    def forward(self, images: Tensor) -> Tensor:
        return functional.linear(images.flatten(1), self.weight, self.bias)


WAYS = {
    "plain": (torch.ones(7, 12), torch.arange(7.0), True),
    "no bias": (torch.ones(7, 12), None, True),
    "every other bias": (torch.ones(7, 12), torch.arange(14.0)[::2], True),
    "one bias": (torch.ones(7, 12), torch.ones(1).expand(7), True),
    "one class": (torch.ones(1, 12), torch.ones(1), True),
    "turned weights": (torch.ones(12, 7).t(), torch.arange(7.0), False),
    "no class": (torch.ones(0, 12), torch.ones(0), False),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("count", [1, 5, 0])
def test_products_are_those_of_pytorch(way, count):
    weight, bias, taken = WAYS[way]
    with torch.no_grad():
        weight = weight * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)) if taken else weight
    module = Last(weight, bias)
    images = torch.randn(5, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    program = written(module, images)
    short = with_products(program)
    assert (NAME in {step.name for step in short.steps}) == taken
    with torch.no_grad():
        found = short.run({0: images[:count]}, [program.output], count)[program.output]
        torch.testing.assert_close(found, module(images[:count]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "vectors",
    [
        torch.randn(1, 12).expand(5, 12), torch.randn(5, 1).expand(5, 12),
        torch.randn(12, 5).t(), torch.randn(5, 24)[:, ::2],
    ],
    ids=["one for all", "one number", "turned", "every other"],
)  # fmt: skip
def test_vectors_may_lie_anyhow_in_memory(vectors):
    weight, bias = torch.randn(7, 12), torch.randn(7)
    torch.testing.assert_close(
        Product(weight, bias)(vectors), functional.linear(vectors, weight, bias), rtol=1e-5, atol=1e-5
    )


def test_double_precision_is_left_to_pytorch():
    module = Last(torch.ones(7, 12, dtype=torch.float64), None)
    program = written(module, torch.randn(2, 3, 2, 2, dtype=torch.float64))
    assert NAME not in {step.name for step in with_products(program).steps}
