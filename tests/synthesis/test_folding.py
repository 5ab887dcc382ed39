"""Batch norms in convolutions: the same network up to rounding, in a copy, where it can be."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from striate.network import Network
from striate.spec import InputSpec
from striate.synthesis import Warp, ascend, objective, recipe_of
from striate.synthesis.folding import folded
from striate.synthesis.observing import uphill
from striate.synthesis.reading import Reading
from striate.tap import activations

SIZE = (8, 8)


class Net(nn.Module):
    """A pair, a pair with bias and without affine numbers, a norm read off a convolution that two read, a lone norm."""

    def __init__(self, *, tied: bool = False, saving: bool = False) -> None:
        super().__init__()
        self.tied, self.saving = tied, saving
        self.a = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.norm_a = nn.BatchNorm2d(4)
        self.b = nn.Conv2d(4, 4, 3, padding=1)
        self.norm_b = nn.BatchNorm2d(4, affine=False)
        self.c = nn.Conv2d(4, 4, 1)
        self.norm_c = nn.BatchNorm2d(4)
        self.norm_d = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 2)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.norm_a(self.a(images)).relu_()
        if self.saving and images.requires_grad:
            maps = checkpoint(self.middle, maps, use_reentrant=False)
        else:
            maps = self.middle(maps)
        both = self.c(maps)
        maps = self.norm_d((self.norm_c(both) + both).relu_())
        if self.tied:  # the weights of a are read once more, past the module
            maps = maps + nn.functional.conv2d(images, self.a.weight, padding=1)
        return self.head(maps.mean((2, 3)))

    def middle(self, maps: Tensor) -> Tensor:
        return self.norm_b(self.b(maps)).relu_()


def _network(kind: type[Net] = Net, **options: bool) -> Network:
    torch.manual_seed(0)
    module = kind(**options)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean)
            nn.init.uniform_(part.running_var, 0.5, 2)
            if part.affine:
                nn.init.normal_(part.weight)
                nn.init.normal_(part.bias)
    return Network(module.double(), InputSpec(height=8, width=8, mean=(0.5,), std=(0.25,)))


def _images() -> Tensor:
    return torch.randn(3, 3, *SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def _norms(network: Network, lean: Network) -> int:
    """Count the norms that were folded."""
    if lean is network:
        return 0
    return sum("forward" in part.__dict__ for part in lean.module.modules())


def test_a_lean_copy_gives_the_same_and_the_network_is_not_touched() -> None:
    network, images = _network(), _images()
    before = {name: value.clone() for name, value in network.module.state_dict().items()}
    held = list(network.module.parameters())
    lean = folded(network, SIZE, [None, "norm_a"])
    assert _norms(network, lean) == 2
    assert lean.module.c.weight.data_ptr() == network.module.c.weight.data_ptr()  # shared
    plain = activations(network, images, ["norm_a", "norm_d"], logits=True)
    within = activations(lean, images, ["norm_a", "norm_d"], logits=True)
    torch.testing.assert_close(within.outputs, plain.outputs, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(within.logits, plain.logits, rtol=1e-12, atol=1e-12)
    assert not any(weight.requires_grad for weight in lean.module.parameters())
    assert all(one is other and one.requires_grad for one, other in zip(network.module.parameters(), held, strict=True))
    assert network.module.a.bias is None
    assert network.module.training
    assert all(torch.equal(value, before[name]) for name, value in network.module.state_dict().items())


def test_a_convolution_that_is_asked_for_keeps_its_norm() -> None:
    network, images = _network(), _images()
    lean = folded(network, SIZE, ["a", "norm_d"])
    assert _norms(network, lean) == 1
    within = activations(lean, images, ["a"]).outputs["a"]
    assert torch.equal(within, activations(network, images, ["a"]).outputs["a"])


def test_weights_that_are_read_elsewhere_too_are_left_alone() -> None:
    network = _network(tied=True)
    assert folded(network, SIZE, [None]) is network
    # where that part is not asked for, folding does no harm
    assert _norms(network, folded(network, SIZE, ["norm_c"])) == 2


def test_a_hook_or_another_class_is_no_plain_norm() -> None:
    class Norm(nn.BatchNorm2d):
        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input) + 1

    network = _network()
    network.module.norm_a = Norm(4).double()
    handle = network.module.b.register_forward_hook(lambda _module, _inputs, output: output * 2)
    network._graphs.clear()
    assert folded(network, SIZE, [None]) is network
    handle.remove()
    assert _norms(network, folded(network, SIZE, [None])) == 1


class Guarded(Net):
    """Cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.guard = threading.Lock()


class Bound(Net):
    """Runs a part that its copy does not own."""

    def __init__(self) -> None:
        super().__init__()
        norm = self.norm_a
        self.alias = lambda maps: norm(maps)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.alias(self.a(images)).mean((2, 3)))


@pytest.mark.parametrize("kind", [Guarded, Bound])
def test_what_cannot_be_copied_is_run_as_it_is(kind: type[Net]) -> None:
    network = _network(kind)
    assert folded(network, SIZE, [None]) is network


def test_weights_are_converted_once_unless_the_network_keeps_out_of_that() -> None:
    class Exact(Net):
        def middle(self, maps: Tensor) -> Tensor:
            with torch.autocast("cpu", enabled=False):
                return super().middle(maps.float())

    network = _network()
    network.module.float()
    lean = folded(network, SIZE, [None], kind=torch.bfloat16)
    assert lean.module.a.weight.dtype == lean.module.a.bias.dtype == torch.bfloat16
    assert network.dtype == network.module.a.weight.dtype == torch.float32
    network = _network(Exact)
    network.module.float()
    lean = folded(network, SIZE, [None], kind=torch.bfloat16)
    assert _norms(network, lean) == 2
    assert lean.module.a.weight.dtype == torch.float32


@pytest.mark.parametrize("training", [False, True])
def test_a_network_that_runs_parts_again_on_the_way_back_gets_the_true_gradient(training: bool) -> None:
    plain, saving = _network(), _network(saving=True)
    saving.module.train(training)
    before = {name: value.clone() for name, value in saving.module.state_dict().items()}
    images = torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(2))
    reading = Reading([objective(plain, 1)] * 2, plain.device)
    wanted = uphill(plain, images, reading)[1]
    for lean in (None, folded(saving, SIZE, [None])):
        torch.testing.assert_close(uphill(saving, images, reading, lean=lean)[1], wanted)
    assert all(torch.equal(value, before[name]) for name, value in saving.module.state_dict().items())


def test_other_threads_see_the_network_as_it_is() -> None:
    network = _network()
    network.module.float()
    found: set[Any] = set()
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            found.update((network.weights_hash, network.dtype))

    watcher = threading.Thread(target=look)
    watcher.start()
    ascend(network, [objective(network, 1)], size=SIZE, steps=12, precision="bfloat16")
    over.set()
    watcher.join()
    assert found == {network.weights_hash, torch.float32}


def test_what_is_known_of_the_network_is_of_the_network_itself() -> None:
    wide = recipe_of("lucid")
    wide = type(wide)(**{**vars(wide), "warp": Warp(pad=4)})
    network, other = _network(), _network()
    ascend(network, [objective(network, 1)], recipe=wide, size=SIZE, steps=1)
    assert network.graph(16, 16) == other.graph(16, 16)


def test_what_a_copy_is_asked_of_other_sizes_is_not_taken_for_the_network_s() -> None:
    network = _network()
    twin = folded(network, SIZE, [None])
    assert twin is not network
    parameters = sum(weight.numel() for weight in network.module.parameters())
    twin.graph(12, 12)
    assert network.graph(12, 12).parameters == parameters
