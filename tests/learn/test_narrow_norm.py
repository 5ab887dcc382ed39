"""Batch norm of narrow maps against PyTorch's own, and that nothing of it is left on a module."""

from __future__ import annotations

import contextlib
import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import striate
from learn.striped import arrays, same, tensors
from striate import dataset, progress
from striate.errors import Stopped
from striate.learn import course
from striate.learn.loop import fit
from striate.learn.narrow_norm import narrow_batch_norm, narrow_norms, places_in_row
from striate.learn.pictures.split import Split, split


def maps(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Maps far from zero, each channel with a mean and a spread of its own; channels last."""
    made = torch.Generator().manual_seed(seed)
    channels = torch.arange(shape[1]).view(1, -1, 1, 1)
    values = torch.randn(shape, generator=made) * (channels + 1) + 3 * channels - 5
    return values.to(dtype).contiguous(memory_format=torch.channels_last)


def noise(*shape: int, seed: int = 9, dtype: torch.dtype = torch.float32) -> Tensor:
    """A gradient; channels last."""
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return values.to(dtype).contiguous(memory_format=torch.channels_last)


def twins(channels: int, **options: object) -> tuple[nn.BatchNorm2d, nn.BatchNorm2d]:
    """The same layer twice, with weights that are not those of the beginning."""
    torch.manual_seed(1)
    one = nn.BatchNorm2d(channels, **options)  # type: ignore[arg-type]
    if one.affine:
        nn.init.uniform_(one.weight, -1.5, 1.5)
        nn.init.normal_(one.bias)
    return one, copy.deepcopy(one)


def results(layer: nn.BatchNorm2d, images: Tensor, gradient: Tensor) -> dict[str, Tensor]:
    """Return what comes out, all gradients and statistics, as float64."""
    images = images.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    out = layer(images)
    weights = {name: weight for name, weight in layer.named_parameters() if weight.requires_grad}
    found = torch.autograd.grad(out, [images, *weights.values()], gradient)
    named = dict(zip(("images", *weights), found, strict=True))
    held = {name: value.clone() for name, value in layer.named_buffers()}
    return {name: value.detach().double() for name, value in {"out": out, **named, **held}.items()}


# --- the same numbers


@pytest.mark.parametrize(
    "shape", [(32, 8, 16, 16), (64, 2, 28, 28), (16, 6, 24, 32), (4, 15, 64, 64), (1, 3, 128, 64), (8, 20, 32, 32)]
)
def test_in_float32_it_is_pytorchs_own_and_nearer_to_float64(shape: tuple[int, ...]) -> None:
    images, gradient = maps(*shape), noise(*shape)
    assert places_in_row(images)
    plain, ours = twins(shape[1])
    exact = results(copy.deepcopy(plain).double(), images.double(), gradient.double())
    theirs = results(plain, images, gradient)
    with narrow_norms(ours):
        found = results(ours, images, gradient)
    assert list(found) == list(exact) == list(theirs)
    for name, value in exact.items():
        scale = float(value.abs().max())
        assert float((found[name] - value).abs().max()) <= 1e-4 * scale, name
        error, usual = ((one[name] - value).norm() for one in (found, theirs))
        assert float(error) <= 1.5 * float(usual) + 1e-7 * float(value.norm()), name


def test_by_hand_of_two_values() -> None:
    # each channel holds 1 and 3 in turn: mean 2, variance 1, so that the result is -1 and 1
    images = torch.tensor([1.0, 3.0]).repeat(16_384).view(4, 2, 64, 64).contiguous(memory_format=torch.channels_last)
    mean, variance = torch.zeros(2), torch.zeros(2)
    out = narrow_batch_norm(images, None, None, mean, variance, momentum=0.5, epsilon=0.0, many=places_in_row(images))
    torch.testing.assert_close(out, images - 2)
    torch.testing.assert_close(mean, torch.ones(2))  # half of the way from 0 to 2
    torch.testing.assert_close(variance, torch.full((2,), 0.5 * 16_384 / 16_383))  # and to the unbiased variance


def test_the_gradient_of_maps_has_no_part_along_the_maps_or_their_mean() -> None:
    # moving or stretching a channel changes nothing that comes out, so no gradient points there
    images, gradient = maps(16, 4, 32, 32), noise(16, 4, 32, 32)
    images.requires_grad_()
    out = narrow_batch_norm(images, None, None, epsilon=0.0, many=places_in_row(images))
    (back,) = torch.autograd.grad(out, images, gradient)
    for direction in (torch.ones_like(images), images.detach()):
        along = (back * direction).double().sum((0, 2, 3))
        assert float((along.abs() / (back * direction).double().abs().sum((0, 2, 3))).max()) < 1e-5


def test_under_autocast_bfloat16_goes_in_and_comes_out() -> None:
    shape = (32, 8, 16, 16)
    images, gradient = maps(*shape, dtype=torch.bfloat16), noise(*shape, dtype=torch.bfloat16)
    plain, ours = twins(8)
    exact = results(copy.deepcopy(plain).double(), images.double(), gradient.double())
    with narrow_norms(ours), torch.autocast("cpu", torch.bfloat16):
        assert ours(images).dtype == torch.bfloat16
        ours.load_state_dict(plain.state_dict())
        found = results(ours, images, gradient)
    for name, value in exact.items():
        rounded = name in ("out", "images")  # 2**-8 is the step of bfloat16; statistics and weights stay float32
        assert float((found[name] - value).norm() / value.norm()) < (2**-8 if rounded else 1e-4), name


@pytest.mark.parametrize(
    "options", [{"affine": False}, {"momentum": None}, {"track_running_stats": False}, {"momentum": 0.7, "eps": 0.1}]
)
def test_every_option_of_the_layer_holds(options: dict[str, object]) -> None:
    plain, ours = twins(8, **options)
    for seed in range(3):  # statistics of several batches
        images, gradient = maps(32, 8, 16, 16, seed=seed), noise(32, 8, 16, 16, seed=seed)
        wanted = results(plain, images, gradient)
        with narrow_norms(ours):
            found = results(ours, images, gradient)
        assert list(found) == list(wanted)
        for name, value in wanted.items():
            assert float((found[name] - value).abs().max()) <= 1e-4 * max(float(value.abs().max()), 1), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("affine", [True, False])
def test_gradients_of_gradients(dtype: torch.dtype, affine: bool) -> None:
    found = []
    for layer in twins(8, affine=affine):
        images = maps(16, 8, 28, 28, dtype=dtype).requires_grad_()
        with narrow_norms(layer) if not found else contextlib.nullcontext():
            output = layer(images)
        assert (type(output.grad_fn).__name__ == "_NarrowNormBackward") == (not found)
        (gradient,) = torch.autograd.grad(output.float().pow(3).mean(), images, create_graph=True)
        found.append(torch.autograd.grad(gradient.float().square().sum(), [images, *layer.parameters()]))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-2 if dtype == torch.bfloat16 else 1e-4, atol=1e-9)


def test_where_pytorch_transforms_functions_its_own_kernel_is_used() -> None:
    ours, theirs = twins(8, track_running_stats=False)  # which cannot be written to meanwhile
    images = maps(16, 8, 28, 28)
    with narrow_norms(ours):
        found = torch.func.grad(lambda given: ours(given).pow(3).mean())(images)
    assert torch.equal(found, torch.func.grad(lambda given: theirs(given).pow(3).mean())(images))


def test_weights_that_do_not_learn_get_no_gradient() -> None:
    _, ours = twins(8)
    ours.weight.requires_grad_(False)
    with narrow_norms(ours):
        ours(maps(32, 8, 16, 16).requires_grad_()).sum().backward()
    assert ours.weight.grad is None
    assert ours.bias.grad is not None
    torch.testing.assert_close(ours.bias.grad, torch.full((8,), 32.0 * 16 * 16))


# --- where it is taken


@pytest.mark.parametrize(
    ("images", "why"),
    [
        (maps(32, 16, 16, 16), "as many channels as PyTorch is fast with"),
        (maps(32, 1, 16, 16), "one channel"),
        (maps(32, 24, 16, 16), "many enough for float32"),
        (maps(2, 8, 8, 8), "small"),
        (maps(32, 8, 16, 16).contiguous(), "channels first"),
        (maps(32, 8, 16, 16, dtype=torch.float64), "numbers that the kernel does not mix"),
        (maps(32, 8, 16, 16).to(torch.float16), "likewise"),
        (maps(33, 2, 17, 19), "an odd number of places"),
        (torch.zeros(0, 8, 16, 16), "no picture"),
        (torch.zeros(32, 8, 256), "no map"),
    ],
)
def test_elsewhere_pytorchs_own_kernel_is_used(images: Tensor, why: str) -> None:
    assert places_in_row(images) == 0, why


def test_what_is_left_to_pytorch_is_the_same_to_the_last_bit() -> None:
    plain, ours = twins(8)
    for images in (maps(2, 8, 8, 8), maps(32, 8, 16, 16).contiguous(), maps(5, 8, 7, 7)):
        wanted = results(plain, images, torch.ones_like(images))
        with narrow_norms(ours):
            found = results(ours, images, torch.ones_like(images))
        assert same(found, wanted)
    images = maps(32, 8, 16, 16)
    plain.eval(), ours.eval()
    with narrow_norms(ours):
        assert torch.equal(ours(images), plain(images))
    with pytest.raises(ValueError, match="more than 1 value per channel"), narrow_norms(ours.train()):
        ours(torch.zeros(1, 8, 1, 1))


def test_nothing_of_it_is_left_on_the_module() -> None:
    class Other(nn.BatchNorm2d):
        def forward(self, input: Tensor) -> Tensor:
            return input

    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), Other(8))
    before = [dict(vars(layer)) for layer in net.modules()]
    names = list(net.state_dict())
    with narrow_norms(net):
        assert "forward" in vars(net[1])
        assert "forward" not in vars(net[2])  # computes in a way of its own
        assert type(net[1]) is nn.BatchNorm2d
        assert list(net.state_dict()) == names
    with pytest.raises(RuntimeError, match="expected input"), narrow_norms(net):
        net(torch.zeros(1, 2, 8, 8))
    assert [list(vars(layer)) for layer in net.modules()] == [list(one) for one in before]
    pickle.dumps(net[:2])


def test_a_copy_made_meanwhile_has_statistics_of_its_own() -> None:
    layer = nn.BatchNorm2d(8)
    with narrow_norms(layer):
        twin = copy.deepcopy(layer)
        twin(maps(32, 8, 16, 16))
    assert torch.equal(layer.running_mean, torch.zeros(8))
    assert int(layer.num_batches_tracked) == 0
    assert int(twin.num_batches_tracked) == 1


# --- in a training


NET = "striate:sequential,1x32x32,conv 4 3x3 same bn relu,pool 2,conv 8 3x3 same bn relu,global average,flatten,dense 3"
TRYING: dict[str, Any] = {
    "batch": 32, "optimizer": "adam", "rate": 0.01, "average": 0.9, "standardize": "channel", "share": 0.25, "seed": 4,
}  # fmt: skip


def pictures() -> Split:
    images, labels = arrays(132, side=32)
    return split(dataset.open(images, labels=labels), share=0.25)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_two_epochs_and_two_are_four_bit_for_bit(tmp_path: Path, precision: str) -> None:
    taken = []

    def watch(layer: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        name = type(out.grad_fn).__name__
        taken.append((layer.training, name))

    settings = TRYING | {"epochs": 4, "precision": precision}
    whole = striate.load(NET)
    handle = whole.module.get_submodule("bn1").register_forward_hook(watch)
    truth = fit(whole, pictures(), out=tmp_path / "whole", **settings)
    handle.remove()
    assert {name for training, name in taken if training} == {"_NarrowNormBackward"}  # hooks see it, and it is used
    assert {name for training, name in taken if not training} == {"NoneType"}

    def hear(event: progress.Event) -> None:
        if (event.task, event.done) == ("epoch 3", 2):
            stop.stop()

    with progress.stoppable() as stop, progress.listen(hear), pytest.raises(Stopped):
        fit(striate.load(NET), pictures(), out=tmp_path / "run", **settings)
    again = striate.load(NET)
    run = fit(again, pictures(), out=tmp_path / "run", resume=True, **settings)
    assert [row.train_loss for row in run.history] == [row.train_loss for row in truth.history]
    assert same(tensors(again.module), tensors(whole.module))
    assert all("forward" not in vars(layer) for layer in again.module.modules())


def test_a_training_is_the_same_as_with_pytorchs_kernel_but_for_rounding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = TRYING | {"epochs": 1, "precision": "float32", "optimizer": "sgd", "average": None}
    ours, theirs = striate.load(NET), striate.load(NET)
    first = fit(ours, pictures(), **settings)
    monkeypatch.setattr(course, "narrow_norms", contextlib.nullcontext)
    second = fit(theirs, pictures(), **settings)
    assert first.history[0].train_loss == pytest.approx(second.history[0].train_loss, rel=1e-5)
    for name, value in tensors(theirs.module).items():
        torch.testing.assert_close(tensors(ours.module)[name], value, rtol=1e-3, atol=1e-4)
    assert not same(tensors(ours.module), tensors(theirs.module))  # else the kernel was not used at all


def test_a_rectifier_may_write_over_what_comes_out() -> None:
    shape = (32, 8, 16, 16)
    plain, ours = twins(8)
    found = []
    for norm in (plain, ours):
        images = maps(*shape).requires_grad_()
        with narrow_norms(norm):
            if norm is plain:
                out = nn.functional.relu(nn.functional.batch_norm(images, None, None, norm.weight, norm.bias, True))
            else:
                out = nn.functional.relu(norm(images), inplace=True)
        (out * noise(*shape)).sum().backward()
        assert images.grad is not None
        found.append((out.detach(), images.grad))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)
