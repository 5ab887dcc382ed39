"""A run that is cut at a layer: its gradients are the network's, and only where they are is it used."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from normed import Normed, count_runs, made, noise, plainly
from striate import tap
from striate.fusing import can_fuse
from striate.lenses import grad_cam, saliency

pytestmark = pytest.mark.skipif(not can_fuse(torch.zeros(1)), reason="this PyTorch has no oneDNN")


@pytest.fixture
def runs(monkeypatch) -> list[int]:
    return count_runs(monkeypatch)


@pytest.mark.parametrize("variant", ["grad-cam", "grad-cam++", "layer-cam", "hires-cam"])
def test_grad_cam_is_that_of_the_network(variant, runs, monkeypatch):
    network, pictures = made(), noise(9)

    def call() -> Tensor:
        return grad_cam(network, pictures, "class:2", layer="third.1", variant=variant).scores

    expected = plainly(monkeypatch, call)
    assert not runs
    found = call()
    assert runs
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_where_much_lies_behind_the_layer_it_is_run_as_it_is(monkeypatch):
    network, pictures = made(), noise(9)
    expected = plainly(monkeypatch, lambda: tap.gradient(network, pictures, "class:1", at="first"))
    found = tap.gradient(network, pictures, "class:1", at="first")
    assert torch.equal(found.values, expected.values)
    assert torch.equal(saliency(network, pictures, "class:1").scores,
                       plainly(monkeypatch, lambda: saliency(network, pictures, "class:1").scores))  # fmt: skip


class _Bent(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, found: Tensor) -> Tensor:
        return found.clone()

    @staticmethod
    def backward(ctx: Any, arriving: Tensor) -> Tensor:
        return 5 * arriving


class WithItsOwnGradient(Normed):
    def behind(self, maps: Tensor) -> Tensor:
        return _Bent.apply(maps.mean((2, 3)))


class PartlyCut(Normed):
    def behind(self, maps: Tensor) -> Tensor:
        with torch.no_grad():
            beside = maps.mean((2, 3))
        return maps.relu().mean((2, 3)) + beside


class CutForOthers(Normed):
    """Of the first class the gradient is that of the operations."""

    def behind(self, maps: Tensor) -> Tensor:
        return maps.relu()

    def forward(self, images: Tensor) -> Tensor:
        maps = self.behind(self.third(self.first(images))).mean((2, 3))
        with torch.no_grad():
            beside = maps.square()
        return torch.cat([maps[:, :1], maps[:, 1:2] * beside[:, :1]], 1)


def test_what_is_right_for_one_class_is_not_taken_for_right_for_another(monkeypatch):
    network, pictures = made(CutForOthers), noise(8)
    tap.gradient(network, pictures, "class:0", at="third.1")

    def call() -> Tensor:
        return tap.gradient(network, pictures, "class:1", at="third.1").values

    assert torch.equal(call(), plainly(monkeypatch, call))


@pytest.mark.parametrize("kind", [WithItsOwnGradient, PartlyCut])
def test_a_gradient_that_is_not_that_of_the_operations_is_kept(kind, monkeypatch):
    network, pictures = made(kind), noise(8)

    def call() -> Tensor:
        return tap.gradient(network, pictures, "class:0", at="third.1").values

    assert torch.equal(call(), plainly(monkeypatch, call))


def test_the_layer_itself_can_be_the_target(runs, monkeypatch):
    network, pictures = made(), noise(8)

    def call() -> tap.Gradient:
        return tap.gradient(network, pictures, "third.1:3", at="third.1")

    expected, found = plainly(monkeypatch, call), call()
    assert runs
    assert torch.equal(found.values, expected.values)
    torch.testing.assert_close(found.scores, expected.scores, rtol=1e-5, atol=1e-5)
