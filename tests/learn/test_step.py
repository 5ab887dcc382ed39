"""One step, by hand; states of all optimisers, kept and taken up."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from learn.striped import same
from striate.errors import OptionError, TrainingError
from striate.learn import state
from striate.learn.descent.averaging import Average
from striate.learn.descent.optimizers import OPTIMIZERS, make_optimizer
from striate.learn.folder import Folder
from striate.learn.freezing import asleep, wake
from striate.learn.pictures.feeding import Fed
from striate.learn.precision import precision_for
from striate.learn.settings import Settings
from striate.learn.step import Stepper, losses_of
from striate.learn.telling import duration

CPU = torch.device("cpu")


def fed(labels: list[int], **more: Tensor) -> Fed:
    count = len(labels)
    images = torch.rand(count, 1, 2, 2, generator=torch.Generator().manual_seed(count))
    return Fed(images, torch.tensor(labels), torch.arange(count), **more)


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 2), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 3))


# --- the loss


def test_losses_by_hand() -> None:
    logits = torch.tensor([[math.log(2.0), math.log(1.0), math.log(1.0)]] * 2)  # probabilities 1/2, 1/4, 1/4
    first = losses_of(logits, fed([0, 1]))
    torch.testing.assert_close(first, torch.tensor([math.log(2), math.log(4)]))
    # a weight for each class; the mean is over pictures
    torch.testing.assert_close(
        losses_of(logits, fed([0, 1]), weights=torch.tensor([3.0, 0.5, 1.0])), first * torch.tensor([3.0, 0.5])
    )
    # smoothing by 0.3: a tenth of the truth for each class
    smooth = losses_of(logits, fed([0, 1]), 0.3)
    torch.testing.assert_close(smooth[0], torch.tensor(0.8 * math.log(2) + 0.2 * math.log(4)))
    # mixed pictures: both labels, in their shares; mixed with itself it is as before
    mixed = fed([0, 1], second=torch.tensor([1, 1]), weight=torch.tensor([0.25, 0.6]))
    torch.testing.assert_close(
        losses_of(logits, mixed), torch.tensor([0.25 * math.log(2) + 0.75 * math.log(4), math.log(4)])
    )


def test_smoothing_is_torch_s() -> None:
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(1))
    one = fed([0, 1, 2, 0, 1])
    torch.testing.assert_close(
        losses_of(logits, one, 0.2).mean(), functional.cross_entropy(logits, one.labels, label_smoothing=0.2)
    )


# --- the step


def test_clipping_and_sums() -> None:
    module = net().eval()
    optimizer = make_optimizer("sgd", module, rate=1.0)
    before = [weight.detach().clone() for weight in module.parameters()]
    step = Stepper(module, lambda output: output, optimizer, CPU, clip=1e-3)
    step(fed([0, 1, 2, 0]))
    moved = math.sqrt(
        sum(float((new.detach() - old).square().sum()) for new, old in zip(module.parameters(), before, strict=True))
    )
    assert moved == pytest.approx(1e-3, rel=1e-3)
    step(fed([0, 1]))
    assert step.look().bad is None
    loss, accuracy, pictures = step.results()
    assert pictures == 6
    assert 0 <= accuracy <= 1
    assert loss > 0
    step.begin()
    assert step.results() == (0.0, 0.0, 0)


def test_a_bad_loss_is_named_also_when_seen_later() -> None:
    class Third(nn.Module):
        calls = 0

        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(4, 3)

        def forward(self, images: Tensor) -> Tensor:
            self.calls += 1
            return self.inner(images.flatten(1)) * (math.inf if self.calls == 3 else 1)

    module = Third()
    step = Stepper(module, lambda output: output, make_optimizer("sgd", module), CPU)
    step(fed([0, 1]))
    assert step.look().bad is None
    for _ in range(3):
        step(fed([0, 1]))
    bad = step.look().bad
    assert bad is not None
    assert bad[0] == 2
    assert math.isnan(bad[1])


# --- what is kept


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimiser_goes_on_where_it_was(tmp_path: Path, name: str) -> None:
    def begun() -> tuple[nn.Module, torch.optim.Optimizer, Average]:
        module = net().to(memory_format=torch.channels_last)
        return module, make_optimizer(name, module), Average(module, 0.9)

    def train(module: nn.Module, optimizer: torch.optim.Optimizer, average: Average, steps: range) -> None:
        step = Stepper(module, lambda output: output, optimizer, CPU, average=average)
        for number in steps:
            step(fed([number % 3, 1, 2, 0]))

    whole, part, again = begun(), begun(), begun()
    train(*whole, range(5))
    train(*part, range(2))
    file = tmp_path / "last" / "state.safetensors"
    file.parent.mkdir()
    file.write_bytes(state.pack(*part, {"epoch": 2}))
    saved = state.unpack(file)
    assert saved.record == {"epoch": 2} == state.record_of(file)
    state.restore(saved, *again)
    train(*again, range(2, 5))
    assert same(dict(again[0].state_dict()), dict(whole[0].state_dict()))
    assert same(again[2].state(), whole[2].state())


def test_a_state_of_another_format_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    file = tmp_path / "state.safetensors"
    save_file({"a": torch.zeros(1)}, file, {"format": "striate-state-9"})
    with pytest.raises(
        TrainingError, match=r"'striate-state-9', where this version of Striate reads 'striate-state-1'"
    ):
        state.unpack(file)


def test_differences_of_networks_are_named() -> None:
    kept = dict(net().state_dict())
    assert state.difference(net(), kept) == ""
    other = nn.Sequential(nn.Conv2d(1, 2, 2), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 5))
    assert "2 are of other shape (first: 3.weight is 5 x 2, kept was 3 x 2)" in state.difference(other, kept)
    assert "not in it (first: 1.weight)" in state.difference(nn.Sequential(nn.Conv2d(1, 2, 2)), kept)


# --- small matters


def test_frozen_names() -> None:
    module = nn.Sequential(nn.Sequential(nn.Conv2d(1, 2, 2), nn.BatchNorm2d(2)), nn.Linear(2, 3))
    wake(module, ("0", "1.bias"))
    assert [name for name, weight in module.named_parameters() if weight.requires_grad] == ["1.weight"]
    assert asleep(module, ("0", "1.bias")) == [module[0], module[0][0], module[0][1]]
    wake(module)
    assert all(weight.requires_grad for weight in module.parameters())


def test_settings_come_back_from_json() -> None:
    settings = Settings(
        augment="rotation=10,shift=0.1,mixup=0.2", class_weights=[1, 2.5], frozen="conv1", groups={"conv1": 0.1},
        schedule="step", schedule_options={"at": (0.5, 0.8)}, time_limit=10.5,
    )  # type: ignore[arg-type]  # fmt: skip
    again = Settings.from_dict(json.loads(json.dumps(settings.to_dict())))
    assert again == settings
    assert "class_weights: [1.0, 2.5], not 'none'" in settings.differences(Settings(seed=1))
    assert Settings().differences(Settings()) == []
    with pytest.raises(OptionError, match="unknown settings: speed"):
        Settings.from_dict({"speed": 1})


def test_precision_is_a_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    assert precision_for("float32", CPU) == "float32"
    for found in (True, False):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=found: {"avx512_bf16": found}, raising=False)
        assert precision_for("auto", CPU) == ("bfloat16" if found else "float32")
    with pytest.raises(OptionError, match="no precision 'half'"):
        precision_for("half", CPU)


def test_the_best_network_is_found_between_two_steps_of_keeping(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    (tmp_path / "last").mkdir()
    folder.network.write_bytes(b"second")
    folder.waiting(3).write_bytes(b"third")  # written, and its epoch counted, but not renamed yet
    folder.waiting(4).write_bytes(b"fourth")  # written, but its epoch does not count
    (tmp_path / "last" / ".x.part").write_bytes(b"half")
    assert folder.best(2).read_bytes() == b"second"
    assert folder.best(3).read_bytes() == b"third"
    folder.settle(3)
    assert folder.network.read_bytes() == b"third"
    assert [file.name for file in (tmp_path / "last").iterdir()] == []


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (59, "59 s"), (100, "2 min"), (5399, "1 h 30 min"), (7260, "2 h 1 min")]
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_tied_weight_is_kept_once_and_twice() -> None:
    module: Any = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    module[1].weight = module[0].weight
    data = state.pack(module, torch.optim.SGD(module.parameters(), 0.1), None, {})
    assert len(data) > 0
