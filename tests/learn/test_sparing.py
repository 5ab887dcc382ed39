"""Convolutions with fewer multiplications in training against autograd's own, and that nothing of it is left."""

from __future__ import annotations

import copy
import math
import pickle
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations
from torch.utils.flop_counter import FlopCounterMode

import striate
from learn.striped import arrays, same, tensors
from striate import dataset, network, progress
from striate.errors import Stopped
from striate.learn import course
from striate.learn.lending import lent
from striate.learn.loop import fit
from striate.learn.pictures.split import Split, split
from striate.learn.sparing import Halves, sparing_convolution, sparing_convolutions, suited
from striate.winograd import convolution as winograd

pytestmark = pytest.mark.skipif(not winograd.can(), reason="no numba, or a processor without vectors of eight numbers")


def noise(*shape: int, seed: int = 0) -> Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return values.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else values


def used(output: Tensor) -> bool:
    """Tell whether a convolution's output comes from here."""
    return type(output.grad_fn).__name__ == "_SparingBackward"


def convolution(*given: Any, **options: Any) -> nn.Conv2d:
    torch.manual_seed(0)
    return nn.Conv2d(*given, **{"padding": 1} | options)


def noted(monkeypatch: pytest.MonkeyPatch, *names: str) -> list[str]:
    """Let operations of `winograd` note that they were called."""
    called: list[str] = []
    for name in names:
        right = getattr(winograd, name)
        monkeypatch.setattr(
            winograd, name, lambda *given, name=name, right=right, **more: called.append(name) or right(*given, **more)
        )
    return called


# --- the same numbers


@pytest.mark.parametrize(
    ("shape", "padding", "bias"),
    [((2, 64, 64, 28, 28), (1, 1), True), ((3, 80, 64, 13, 26), (0, 1), False), ((5, 64, 96, 17, 19), (2, 0), True)],
)
def test_gradients_against_float64(shape: tuple[int, ...], padding: tuple[int, int], bias: bool) -> None:
    count, inputs, outputs, height, width = shape
    given = [noise(count, inputs, height, width), noise(outputs, inputs, 3, 3, seed=1), noise(outputs, seed=2)]
    ours = [one.clone().requires_grad_() for one in given[: 2 + bias]]
    exact = [one.double().requires_grad_() for one in given[: 2 + bias]]
    found = sparing_convolution(ours[0], ours[1], ours[2] if bias else None, padding)
    right = functional.conv2d(*exact, padding=padding)
    gradient = noise(*right.shape, seed=3)
    pairs = zip(
        [found.detach(), *torch.autograd.grad(found, ours, gradient)],
        [right.detach(), *torch.autograd.grad(right, exact, gradient.double())],
        strict=True,
    )
    for one, other in pairs:
        assert one.shape == other.shape
        assert float((one - other).abs().max()) <= 1e-5 * float(other.abs().max())


def test_a_rectifier_may_write_to_what_comes_out() -> None:
    images, plain = noise(4, 64, 24, 24), nn.Sequential(convolution(64, 64, 3), nn.ReLU())
    ours = nn.Sequential(copy.deepcopy(plain[0]), nn.ReLU(inplace=True))
    with sparing_convolutions(ours):
        ours(images).square().sum().backward()
    plain(images).square().sum().backward()
    for one, other in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("learns", ["images", "weight", "bias", "nothing"])
def test_only_what_learns_gets_a_gradient(learns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    worked = noted(monkeypatch, "kernels", "weight_gradient")
    layer, images = convolution(64, 64, 3).requires_grad_(False), noise(4, 64, 24, 24)
    held = {"images": images, "weight": layer.weight, "bias": layer.bias}
    if learns != "nothing":
        held[learns].requires_grad_()
    with sparing_convolutions(layer):
        output = layer(images)
    assert output.requires_grad == (learns != "nothing")
    if learns != "nothing":
        output.sum().backward()
        assert {name for name, one in held.items() if one.grad is not None} == {learns}
    expected = {"images": ["kernels"] * 2, "weight": ["kernels", "weight_gradient"]}
    assert worked == expected.get(learns, ["kernels"])  # no more is done than is asked for


def test_weights_are_those_of_each_step() -> None:
    layer, images = convolution(64, 64, 3, bias=False), noise(4, 64, 24, 24)
    with sparing_convolutions(layer), torch.no_grad():
        before = layer(images)
        layer.weight.mul_(2)
        assert torch.equal(layer(images), 2 * before)  # twice a number is exact
        layer.weight = nn.Parameter(-layer.weight)
        assert torch.equal(layer(images), -2 * before)


# --- where it is used


@pytest.mark.parametrize(
    ("images", "why"),
    [
        (noise(2, 64, 20, 20), "a small batch"),
        (noise(64, 40, 40), "no batch"),
        (noise(0, 64, 40, 40), "no picture"),
    ],
)
def test_what_is_left_to_pytorch_is_the_same_to_the_last_bit(images: Tensor, why: str) -> None:
    layer = convolution(64, 64, 3)
    expected = layer(images)
    with sparing_convolutions(layer):
        found = layer(images)
    assert not used(found), why
    assert torch.equal(found, expected), why


def test_other_numbers_are_left_to_pytorch() -> None:
    layer, images = convolution(64, 64, 3), noise(4, 64, 24, 24)
    with sparing_convolutions(layer, halves=None):
        assert used(layer(images))
        for half in (torch.bfloat16, torch.float16):
            with torch.autocast("cpu", half):
                assert not used(layer(images))
        with pytest.raises(RuntimeError, match=r"expected input.* to have 64 channels"):
            layer(noise(4, 80, 24, 24))
        with pytest.raises(RuntimeError, match=r"same|type"):
            layer(images.double())
        with pytest.raises(RuntimeError, match="Kernel size can't be greater"):
            layer(noise(4, 64, 0, 24))


halving = pytest.mark.skipif(not winograd.can_halves(), reason="no processor that gains by it in bfloat16")


WAYS = get_args(Halves)


def twice(layer: nn.Module, images: Tensor, half: bool) -> list[Tensor]:
    """Return gradients of the size of a gradient, as networks use them that bound how fast they change."""
    images = images.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        output = layer(images)
    (gradient,) = torch.autograd.grad(output.float().square().mean(), images, create_graph=True)
    return list(torch.autograd.grad(gradient.float().square().sum(), [images, *layer.parameters()]))


@pytest.mark.parametrize("half", [False, pytest.param(True, marks=halving)])
def test_gradients_of_gradients(half: bool) -> None:
    layer, images = convolution(64, 64, 3), noise(2, 64, 28, 28)
    expected = twice(layer, images, half)
    with sparing_convolutions(layer):
        for one, other in zip(twice(layer, images, half), expected, strict=True):
            assert float((one - other).norm()) <= (2e-2 if half else 1e-5) * float(other.norm())


@pytest.mark.parametrize("half", [False, True])
def test_where_pytorch_transforms_functions_it_is_pytorchs(half: bool) -> None:
    layer, images = convolution(64, 64, 3), noise(2, 64, 28, 28)

    def size(given: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            return layer(given).float().square().mean()

    expected = torch.func.grad(size)(images)
    with sparing_convolutions(layer):
        assert torch.equal(torch.func.grad(size)(images), expected)


@halving
@pytest.mark.parametrize("halves", WAYS)
def test_under_autocast_it_is_in_bfloat16(halves: Halves) -> None:
    plain, images = convolution(64, 80, 3), noise(4, 64, 24, 24)
    ours, exact = copy.deepcopy(plain), copy.deepcopy(plain).double()
    gradient, found = noise(4, 80, 24, 24, seed=3), {}
    for name, layer in (("plain", plain), ("ours", ours), ("exact", exact)):
        half = name != "exact"
        given = (images if half else images.double()).clone().requires_grad_()
        with sparing_convolutions(layer if name == "ours" else nn.Identity(), halves=halves):
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                output = layer(given)
            assert used(output) == (name == "ours")
            assert output.dtype == (torch.bfloat16 if half else torch.float64)
            output.backward(gradient.to(output.dtype))
        kept = [output.detach(), given.grad, layer.weight.grad, layer.bias.grad]
        found[name] = [one.double() for one in kept if one is not None]
        assert [one.dtype for one in kept[1:]] == [given.dtype] * 3
    for one, other, right in zip(*(found[name] for name in ("ours", "plain", "exact")), strict=True):
        assert float((one - right).norm()) <= max(2.5 * float((other - right).norm()), 1e-6 * float(right.norm()))


@halving
@pytest.mark.parametrize("halves", WAYS)
@pytest.mark.parametrize("learns", ["images", "weight", "bias", "nothing"])
def test_under_autocast_only_what_learns_gets_a_gradient(learns: str, halves: Halves) -> None:
    layer, images = convolution(64, 64, 3).requires_grad_(False), noise(4, 64, 24, 24)
    held = {"images": images, "weight": layer.weight, "bias": layer.bias}
    if learns != "nothing":
        held[learns].requires_grad_()
    with sparing_convolutions(layer, halves=halves), torch.autocast("cpu", torch.bfloat16):
        output = layer(images)
    assert output.requires_grad == (learns != "nothing")
    if learns != "nothing":
        output.sum().backward()
        assert {name for name, one in held.items() if one.grad is not None} == {learns}


@halving
@pytest.mark.parametrize(
    ("halves", "expected"),
    [
        ("weights", ["weight_gradient"]),
        ("gradients", ["convolve", "weight_gradient"]),
        ("all", ["convolve"] * 2 + ["weight_gradient"]),
    ],
)
def test_of_bfloat16_no_more_is_done_here_than_is_wanted(
    halves: Halves, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    worked = noted(monkeypatch, "convolve", "weight_gradient")
    plain, images, gradient = convolution(64, 80, 3), noise(4, 64, 24, 24), noise(4, 80, 24, 24, seed=3).bfloat16()
    ours, found = copy.deepcopy(plain), []
    for layer in (plain, ours):
        given = images.clone().requires_grad_()
        with sparing_convolutions(ours, halves=halves), torch.autocast("cpu", torch.bfloat16):
            output = layer(given)
        output.backward(gradient)
        found.append((output, given.grad))
    assert worked == expected
    assert [torch.equal(*pair) for pair in zip(*found, strict=True)] == [halves != "all", halves == "weights"]


@halving
def test_under_autocast_bfloat16_itself_may_come_in() -> None:
    layer, images = convolution(64, 64, 3), noise(4, 64, 24, 24)
    with sparing_convolutions(layer, halves="all"), torch.autocast("cpu", torch.bfloat16):
        expected, found = layer(images), layer(images.bfloat16())
        assert used(found)
        assert torch.equal(found, expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_a_bias_of_another_type_is_left_to_pytorch(dtype: torch.dtype) -> None:
    layer, images = convolution(64, 64, 3), noise(4, 64, 24, 24)
    assert layer.bias is not None
    layer.bias.data = layer.bias.data.to(dtype)
    with torch.autocast("cpu", torch.bfloat16):
        expected = layer(images)
        with sparing_convolutions(layer, halves="all"):
            assert torch.equal(layer(images), expected)


def test_without_a_processor_for_it_autocast_is_left_to_pytorch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "_of_halves", lambda: None)
    layer, images = convolution(64, 64, 3), noise(4, 64, 24, 24)
    with sparing_convolutions(layer, halves="all"), torch.autocast("cpu", torch.bfloat16):
        assert not used(layer(images))


def test_whoever_watches_pytorchs_operations_sees_them() -> None:
    layer, images = convolution(64, 64, 3), noise(4, 64, 24, 24)
    with sparing_convolutions(layer), FlopCounterMode(display=False) as counter:
        assert not used(layer(images))
    assert counter.get_total_flops() == 2 * 4 * 24 * 24 * 64 * 64 * 9


def test_within_a_compiled_part_it_is_left_to_pytorch() -> None:
    layer, images = convolution(64, 64, 3), noise(4, 64, 24, 24)
    expected = layer(images)
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    with sparing_convolutions(layer):
        assert torch.equal(compiled(images), expected)
    torch._dynamo.reset()


class Scaled(nn.Conv2d):
    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(input, 2 * weight, bias)


class Doubled(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


class Named(nn.Conv2d):
    """Another name alone."""


def wrapped() -> nn.Conv2d:
    layer = convolution(64, 64, 3)
    layer._conv_forward = lambda images, weight, bias: functional.conv2d(images, weight, bias)  # type: ignore[method-assign]
    return layer


def with_attribute(name: str, value: object) -> nn.Conv2d:
    layer = convolution(64, 64, 3)
    setattr(layer, name, value)
    return layer


def test_which_convolutions_gain() -> None:
    gaining = [convolution(64, 80, 3), Named(80, 64, 3, padding=(0, 2))]
    others = [
        Scaled(64, 64, 3),
        Doubled(64, 64, 3),
        wrapped(),
        convolution(64, 64, 3, padding="same"),
        convolution(64, 64, 3, padding_mode="circular"),
        convolution(64, 64, 3, stride=2),
        convolution(64, 64, 3, groups=4),
        convolution(32, 64, 3),
        nn.ConvTranspose2d(64, 64, 3),
        convolution(64, 64, 3).double(),
        with_attribute("padding", 1),  # which PyTorch takes as well
        with_attribute("stride", 1),
    ]
    assert suited(nn.Sequential(*gaining, *others, gaining[0])) == gaining


def test_weights_made_of_others_are_not_made_once_more() -> None:
    layer = parametrizations.spectral_norm(convolution(64, 64, 3))
    held = tensors(layer)
    assert suited(layer) == []
    assert same(tensors(layer), held)  # each use moves its vectors a step


def test_hooks_are_called() -> None:
    layer, seen = convolution(64, 64, 3), []
    layer.register_forward_pre_hook(lambda *given: seen.append("before"))
    layer.register_forward_hook(lambda *given: seen.append(used(given[2])))
    layer.register_full_backward_hook(lambda *given: seen.append("back"))
    with sparing_convolutions(layer):
        layer(noise(4, 64, 24, 24).requires_grad_()).sum().backward()
        assert seen == ["before", True, "back"]
        layer(input=noise(4, 64, 24, 24))
    assert seen[3:] == ["before", True]


def test_nothing_of_it_is_left_on_the_module() -> None:
    net = nn.Sequential(convolution(64, 64, 3), Doubled(64, 64, 3), nn.ReLU())
    before, names = [list(vars(layer)) for layer in net.modules()], list(net.state_dict())
    with sparing_convolutions(net):
        assert ["forward" in vars(layer) for layer in net] == [True, False, False]
        assert list(net.state_dict()) == names
    with pytest.raises(RuntimeError, match="expected input"), sparing_convolutions(net):
        net(noise(1, 3, 8, 8))
    assert [list(vars(layer)) for layer in net.modules()] == before
    pickle.dumps(net[0])


def test_a_copy_made_meanwhile_has_weights_of_its_own() -> None:
    layer, images = convolution(64, 64, 3), noise(4, 64, 24, 24)
    with sparing_convolutions(layer), torch.no_grad():
        expected = layer(images)
        twin = copy.deepcopy(layer)
        layer.weight.zero_()
        assert torch.equal(twin(images), expected)


def test_what_is_lent_is_given_back() -> None:
    one, other = nn.ReLU(), nn.ReLU()

    def use() -> None:
        with lent([one], lambda self, images: images + (self is one)):
            assert int(one(torch.tensor(-5))) == -4
            assert int(other(torch.tensor(-5))) == 0
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        use()
    assert int(one(torch.tensor(-5))) == 0


def test_without_numba_nothing_is_lent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "_compiled", lambda: None)
    layer = convolution(64, 64, 3)
    with sparing_convolutions(layer):
        assert "forward" not in vars(layer)


# --- in a training


NET = "striate:sequential,1x24x24,conv 64 3x3 same relu,conv 64 3x3 same bn relu,global average,flatten,dense 3"
TRYING: dict[str, Any] = {
    "batch": 8, "optimizer": "adam", "rate": 0.003, "average": 0.9, "share": 0.25, "seed": 4, "precision": "float32",
}  # fmt: skip


def pictures() -> Split:
    images, labels = arrays(32, side=24)
    return split(dataset.open(images, labels=labels), share=0.25)


def watched(trained: striate.Network, seen: list[tuple[bool, bool]]) -> striate.Network:
    """Note of each call of the second convolution whether it is for training, and whether it comes from here."""

    def watch(layer: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append((layer.training, used(output)))

    suited(trained.module)[0].register_forward_hook(watch)
    return trained


@pytest.mark.parametrize(
    ("precision", "done"), [("float32", "convolve"), pytest.param("bfloat16", "weight_gradient", marks=halving)]
)
def test_two_epochs_and_two_are_four_bit_for_bit(
    precision: str, done: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "WORTH", 0)
    worked = noted(monkeypatch, "convolve", "weight_gradient")
    seen: list[tuple[bool, bool]] = []
    whole = watched(striate.load(NET), seen)
    settings = TRYING | {"epochs": 4, "precision": precision}
    truth = fit(whole, pictures(), out=tmp_path / "whole", **settings)
    assert set(seen) == {(True, True), (False, False)}
    assert set(worked) == {done, "weight_gradient"}  # of bfloat16 that alone: forward it is PyTorch's own

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


def test_large_jobs_alone_take_it_and_are_the_same_but_for_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = TRYING | {"epochs": 1, "optimizer": "sgd", "average": None}
    seen: list[tuple[bool, bool]] = []
    theirs = watched(striate.load(NET), seen)
    second = fit(theirs, pictures(), **settings)
    assert not any(used for _, used in seen)
    # 24 pictures, forward and twice back
    macs = theirs.graph().macs
    for worth, expected in ((72 * macs + 1, False), (72 * macs, True)):
        monkeypatch.setattr(network, "WORTH", worth)
        seen.clear()
        ours = watched(striate.load(NET), seen)
        first = fit(ours, pictures(), **settings)
        assert any(used for _, used in seen) == expected
        assert same(tensors(ours.module), tensors(theirs.module)) != expected
    assert first.history[0].train_loss == pytest.approx(second.history[0].train_loss, rel=1e-5)
    for name, value in tensors(theirs.module).items():
        torch.testing.assert_close(tensors(ours.module)[name], value, rtol=1e-3, atol=1e-5)
    assert all(math.isfinite(float(value.sum())) for value in tensors(ours.module).values())
    assert course.suited is suited
