"""Networks that are made in unusual ways: tied weights, masks, kernels of five dimensions, layers made by a picture."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

import striate
from learn.striped import parts
from striate import progress
from striate.errors import AddressError, NetworkError, Stopped
from striate.learn import state
from striate.learn.descent.averaging import Average
from striate.learn.descent.finder import find_rate
from striate.learn.descent.optimizers import make_optimizer
from striate.learn.freezing import wake
from striate.learn.loop import fit

COMMON: dict[str, Any] = {"batch": 8, "precision": "float32", "workers": 0}


class Tied(nn.Module):
    """Two convolutions with the same kernels."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(1, 4, 3, padding=1)
        self.first = nn.Conv2d(4, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.second.weight = self.first.weight
        self.dense = nn.Linear(4, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = functional.relu(self.second(functional.relu(self.first(functional.relu(self.enter(images))))))
        return self.dense(maps.amax((2, 3)))


class Masked(nn.Module):
    """A buffer that holds minus infinity from the beginning, as an attention mask does, and a kernel of five axes."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(81, 3)
        self.five = nn.Parameter(torch.zeros(1, 1, 1, 3, 3))
        self.register_buffer("mask", torch.tensor([0.0, -math.inf]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        grown = functional.conv3d(images[:, :, None], self.five, padding=(0, 1, 1))[:, :, 0]
        shares = (torch.zeros(2) + self.mask).softmax(0)
        return self.dense((images + shares[0] * grown).flatten(1))


def made(module: type[nn.Module] = Tied, seed: int = 0) -> striate.Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return striate.Network(module(), striate.InputSpec(1, 9, 9))


def stopped(out: Path, epoch: int, **settings: Any) -> None:
    """Train until the second step of an epoch."""

    def hear(event: progress.Event) -> None:
        if (event.task, event.done) == (f"epoch {epoch}", 1):
            stop.stop()

    with progress.stoppable() as stop, progress.listen(hear), pytest.raises(Stopped):
        fit(made(), parts(), out=out, **settings)


def test_the_best_of_tied_weights_survives_an_epoch_that_is_worse(tmp_path: Path) -> None:
    settings = COMMON | {"epochs": 3, "optimizer": "sgd", "rate": 0.05, "schedule": "constant", "monitor": "loss"}
    stopped(tmp_path / "run", 3, **settings)
    path = tmp_path / "run" / "last" / "state.safetensors"
    saved = state.unpack(path)
    record = saved.record | {"best": 1}
    record["history"][0] |= {"validation_loss": 0.0}  # nothing is better
    held = made()
    state.fill(held.module, saved.network)
    wake(held.module)
    optimizer = make_optimizer("sgd", held.module, rate=0.05)
    path.write_bytes(state.pack(held.module, optimizer, None, record))
    best = load_file(tmp_path / "run" / "network.safetensors")
    again = made(seed=9)
    run = fit(again, parts(), out=tmp_path / "run", resume=True, **settings)
    assert run.best is not None
    assert run.best.epoch == 1
    assert torch.equal(again.module.second.weight, best["first.weight"])  # type: ignore[union-attr, arg-type]


def test_the_last_network_has_the_average_of_tied_weights(tmp_path: Path) -> None:
    run = fit(made(), parts(), out=tmp_path / "run", epochs=2, rate=0.01, average=0.9, **COMMON)
    saved = state.unpack(tmp_path / "run" / "last" / "state.safetensors")
    last = run.network("last", factory=Tied).module
    assert torch.equal(last.second.weight, saved.average["mean.first.weight"])  # type: ignore[union-attr, arg-type]
    assert not torch.equal(last.second.weight, saved.network["first.weight"])  # type: ignore[union-attr, arg-type]


def test_one_name_of_a_tied_weight_freezes_it() -> None:
    module = Tied()
    wake(module, ("first",))
    assert not module.second.weight.requires_grad
    assert module.second.bias.requires_grad  # type: ignore[union-attr]
    wake(module)
    assert module.first.weight.requires_grad


@pytest.mark.parametrize("average", [None, 0.9])
def test_infinities_of_the_network_s_own_are_no_failure(average: float | None) -> None:
    network = made(Masked)
    run = fit(network, parts(), epochs=2, rate=0.01, average=average, **COMMON)
    assert all(math.isfinite(row.validation_loss or math.nan) for row in run.history)
    assert network.module.mask.tolist() == [0.0, -math.inf]  # type: ignore[union-attr, operator]
    assert bool((network.module.five != 0).any())  # type: ignore[union-attr]


def test_an_average_leaves_infinities_alone() -> None:
    module = Masked()
    average = Average(module, 0.9)
    average.update()
    with average.swapped():
        assert module.mask.tolist() == [0.0, -math.inf]
    average.restore(average.state())


def test_layers_that_a_first_picture_makes() -> None:
    module = nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.LazyLinear(3))
    network = striate.Network(module, striate.InputSpec(1, 9, 9))
    assert len(fit(network, parts(), epochs=1, **COMMON).history) == 1
    assert module[3].weight.shape == (3, 4 * 7 * 7)


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16])
def test_other_numbers_learn_in_float32(kind: torch.dtype) -> None:
    network = made()
    network.module.to(kind)
    with pytest.raises(NetworkError, match=r"weights of Tied are (float64|bfloat16); they learn in float32"):
        find_rate(network, parts(), steps=10)
    fit(network, parts(), epochs=1, **COMMON)
    assert network.dtype == torch.float32


def test_an_epoch_without_validation_tells_a_plateau_nothing(tmp_path: Path) -> None:
    run = fit(made(), parts(), out=tmp_path / "run", epochs=5, validate_every=2, schedule="plateau",
              schedule_options={"patience": 1}, rate=0.01, **COMMON)  # fmt: skip
    record = state.record_of(run.path / "last" / "state.safetensors")
    assert record["schedule"]["losses"] == [
        row.validation_loss for row in run.history if row.validation_loss is not None
    ]
    alone = fit(made(), parts(share=0.0), out=tmp_path / "alone", epochs=2, schedule="plateau", rate=0.01, **COMMON)
    record = state.record_of(alone.path / "last" / "state.safetensors")
    assert record["schedule"]["losses"] == [row.train_loss for row in alone.history]


def test_the_finder_freezes_as_a_training_does() -> None:
    with pytest.raises(AddressError, match=r"frozen: there is no layer or weight 'frist'. Did you mean first"):
        find_rate(made(), parts(), steps=10, frozen="frist")
    found = find_rate(made(), parts(), steps=10, frozen="first", augment=None)
    assert found.recipe.options["frozen"] == ["first"]
