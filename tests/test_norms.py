"""Batch norm's short way back, against PyTorch's own, and where it must not be taken."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

import striate
from striate.norms import still_norms


def drawn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def norm(dims=2, *, affine=True, dtype=torch.float64):
    kind = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[dims]
    module = kind(4, affine=affine, eps=1e-3).to(dtype).eval()
    for at, tensor in enumerate([*module.parameters(), module.running_mean]):
        tensor.data.copy_(drawn(4, seed=at, dtype=dtype))
    module.running_var.copy_(drawn(4, seed=9, dtype=dtype).square())
    return module.requires_grad_(False)


def took(output):
    """Tell whether the short way was taken."""
    return output.grad_fn.name().startswith("_Still")


@pytest.mark.parametrize(("dims", "shape"), [(1, (3, 4)), (1, (3, 4, 5)), (2, (3, 4, 5, 6)), (3, (2, 4, 3, 2, 2))])
@pytest.mark.parametrize("affine", [True, False])
def test_is_what_pytorch_sends_back_and_forward_bit_by_bit(dims, shape, affine):
    for dtype in (torch.float32, torch.float64):
        module, values = norm(dims, affine=affine, dtype=dtype), drawn(*shape, dtype=dtype).requires_grad_()
        expected = module(values)
        with still_norms():
            found = module(values)
        assert took(found)
        assert torch.equal(found, expected)
        signal = drawn(*shape, seed=3, dtype=dtype)
        ours, theirs = (torch.autograd.grad(output, values, signal)[0] for output in (found, expected))
        torch.testing.assert_close(ours, theirs, rtol=4 * torch.finfo(dtype).eps, atol=0)


def test_a_branch_beside_it_gets_its_own_signal():
    module, values = norm(), drawn(2, 4, 3, 3).requires_grad_()
    gradients = []
    for block in (torch.enable_grad, still_norms):
        with block():
            output = (module(values) + values).square().sum()
        gradients.append(torch.autograd.grad(output, values)[0])
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=0)


def test_everything_else_goes_its_own_way():
    values = drawn(2, 4, 3, 3)
    module = norm()
    asking = values.clone().requires_grad_()
    with still_norms():
        assert not took(module.train()(asking))  # the statistics of the batch
        module.eval()
        assert not took(functional.batch_norm(asking, None, None, training=True))
        module.requires_grad_(True)
        assert not took(module(values))
        module.requires_grad_(False)
        assert not module(values).requires_grad
        with torch.no_grad():
            assert not module(asking).requires_grad
        half = norm().to(torch.bfloat16)
        assert not took(half(values.bfloat16().requires_grad_()))
        assert took(module(asking))
    assert not took(module(asking))


def test_outside_after_an_exception():
    module, asking = norm(), drawn(2, 4, 3, 3).requires_grad_()
    with pytest.raises(KeyError), still_norms():
        raise KeyError
    assert not took(module(asking))


def test_lenses_of_a_network_that_runs_itself_once_more():
    class Again(nn.Module):
        def __init__(self, *, again: bool) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.body = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
            self.more = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
            self.head, self.again = nn.Linear(4, 3), again

        def forward(self, images):
            maps = self.body(images)
            maps = checkpoint(self.more, maps, use_reentrant=False) if self.again else self.more(maps)
            return self.head(maps.mean((2, 3)))

    images = drawn(2, 3, 16, 16, dtype=torch.float32)
    plain, again = (
        striate.lenses.saliency(striate.Network(Again(again=again), striate.InputSpec(3, 16, 16)), images, 1)
        for again in (False, True)
    )
    torch.testing.assert_close(plain.scores, again.scores, rtol=1e-5, atol=1e-7)
    assert plain.scores.any()


def test_a_network_may_take_gradients_of_its_own():
    module, values = norm(), drawn(3, 2, 4, 3, 3).requires_grad_()

    def slope(one):
        return torch.func.grad(lambda given: module(given).square().sum())(one).sum()

    expected = torch.func.vmap(slope)(values)
    with still_norms():
        found = torch.func.vmap(slope)(values)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=0)
    gradients = [torch.autograd.grad(output.sum(), values)[0] for output in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=0)


@pytest.mark.filterwarnings("ignore:.torch.jit")  # PyTorch's own
def test_a_network_may_take_derivatives_forward():
    module, values, along = norm(), drawn(2, 4, 3, 3), drawn(2, 4, 3, 3, seed=1)
    expected = torch.func.jvp(module, (values,), (along,))[1]
    with still_norms(), forward_ad.dual_level():
        output = module(forward_ad.make_dual(values.clone().requires_grad_(), along))
        assert took(output)
        torch.testing.assert_close(forward_ad.unpack_dual(output).tangent, expected, rtol=1e-12, atol=0)
