"""What a training leaves, what it refuses, and how it ends when something goes wrong."""

from __future__ import annotations

import csv
import errno
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import striate
from learn.striped import arrays, network, parts, plain, same, tensors, write
from striate import dataset, progress
from striate.errors import DataError, MissingExtraError, NetworkError, OptionError, OutputError, TrainingError
from striate.learn import beginning
from striate.learn.loop import fit
from striate.learn.pictures.split import split
from striate.learn.run import COLUMNS, Run


class Own(nn.Module):
    """A network of the user's, with weights that are tied, and more than logits to give."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(81, 12)
        self.second = nn.Linear(81, 12)
        self.second.weight = self.first.weight
        self.last = nn.Linear(12, 3)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, str]:
        flat = images.flatten(1)
        return self.last(torch.relu(self.first(flat) + self.second(flat))), "more"


def own() -> striate.Network:
    torch.manual_seed(0)
    module = Own()
    Own.__module__ = "__main__"  # as in a script or a notebook
    return striate.Network(module, striate.InputSpec(1, 9, 9))


# --- what it leaves


def test_a_run_is_all_there(tmp_path: Path) -> None:
    trained = network()
    events: list[progress.Event] = []
    with progress.listen(events.append):
        run = fit(trained, write(tmp_path / "x.npz"), out=tmp_path / "run", epochs=6, batch=8, rate=0.02)
    assert not trained.module.training
    assert not any(weight.requires_grad for weight in trained.module.parameters())
    best = run.best
    assert best is not None
    assert best.validation_accuracy == max(row.validation_accuracy or 0 for row in run.history)
    assert best.validation_accuracy > 0.9
    # history, as a table
    with (run.path / "history.csv").open() as file:
        rows = list(csv.reader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [row[0] for row in rows[1:]] == list("123456")
    assert [row[-1] for row in rows[1:]] == [str(int(row.best)) for row in run.history]
    assert [row.step for row in run.history] == [4 * number for number in range(1, 7)]  # 38 pictures, by eight
    # the best network, wherever it is loaded from
    for again in (
        striate.load(run.path),
        striate.load(str(run.path)),
        run.network(),
        Run.open(run.path).network("best"),
    ):
        assert same(tensors(again.module), tensors(trained.module))
        assert again.class_names == ("0", "1", "2")
        assert again.spec == trained.spec
    assert sorted(run.checkpoints) == [0, 2, 3, 4, 6]  # five at equal distances
    assert same(tensors(run.network(0).module), tensors(network().module))
    assert same(tensors(run.network(6).module), tensors(run.network("last").module))
    with pytest.raises(TrainingError, match=r"epoch 1 was not kept .* Kept were: 0, 2, 3, 4, 6"):
        run.network(1)
    with pytest.raises(OptionError, match="'best', 'last' or the number of an epoch, got 'worst'"):
        run.network("worst")
    assert run.finished
    assert run.split.identity == Run.open(run.path).split.identity
    assert Run.open(run.path).settings.rate == 0.02
    assert repr(run).endswith("6 of 6 epochs; " + repr(run).split("; ")[1])
    assert not list(run.path.rglob("*.part"))
    assert not list(run.path.rglob("best-*"))
    # one line an epoch, and bars within
    lines = [event for event in events if event.task == "training"]
    assert [(event.done, event.total) for event in lines] == [(number, 6) for number in range(7)]
    assert "loss " in lines[3].note
    assert "validation " in lines[3].note
    assert " left" in lines[3].note
    assert " left" not in lines[6].note
    assert [event.done for event in events if event.task == "epoch 2"] == [1, 2, 3, 4]


def test_validation_is_what_the_network_says_itself(tmp_path: Path) -> None:
    cut, trained = parts(), network()
    run = fit(trained, cut, epochs=2, batch=8, precision="float32", augment="rotation=20", smoothing=0.2, seed=1)
    assert cut.validation is not None
    assert run.best is not None
    images = torch.stack([cut.validation.read(int(one), trained.spec) for one in cut.validation_indices])
    labels = torch.from_numpy(cut.validation_labels)
    logits = trained(images)
    assert run.best.validation_accuracy == pytest.approx(float((logits.argmax(1) == labels).double().mean()))
    # neither smoothed nor augmented
    assert run.best.validation_loss == pytest.approx(float(nn.functional.cross_entropy(logits, labels)), rel=1e-5)


def test_one_step_is_torch_s_own(tmp_path: Path) -> None:
    cut = parts(share=0.0)
    by_hand, trained = plain(), plain()
    fit(trained, cut, epochs=1, batch=48, optimizer="sgd", rate=0.1, schedule="constant", precision="float32",
        monitor="last")  # fmt: skip
    images = torch.stack([cut.train.read(int(one), by_hand.spec) for one in cut.train_indices])
    by_hand.module.requires_grad_(True).train()
    loss = nn.functional.cross_entropy(by_hand.module(images), torch.from_numpy(cut.train_labels))
    loss.backward()
    torch.optim.SGD(by_hand.module.parameters(), 0.1).step()
    for mine, theirs in zip(trained.module.parameters(), by_hand.module.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs.detach(), rtol=1e-5, atol=1e-6)


def test_without_validation_the_training_loss_decides_and_that_is_said(tmp_path: Path) -> None:
    run = fit(network(), parts(share=0.0), out=tmp_path / "run", epochs=3, batch=8)
    assert run.best is not None
    assert run.best.train_loss == min(row.train_loss for row in run.history)
    assert all(row.validation_loss is None for row in run.history)
    assert any(
        "no validation pictures: the best epoch is that with the lowest training loss" in one for one in run.notes
    )
    assert Run.open(run.path).history == run.history
    for more in ({"monitor": "accuracy"}, {"validate_every": 2}):
        with pytest.raises(OptionError, match=r"there are no validation pictures|needs validation pictures"):
            fit(network(), parts(share=0.0), epochs=3, **more)


def test_without_a_folder_nothing_is_left_behind() -> None:
    run = fit(network(), parts(), epochs=2, batch=8)
    path = run.path
    assert run.finished
    assert len(run.history) == 2
    assert sorted(run.checkpoints) == [0, 1, 2]
    assert same(tensors(run.network("last").module), tensors(run.network(2).module))
    del run
    assert not path.exists()


def test_a_module_that_only_the_user_can_make(tmp_path: Path) -> None:
    trained = own()
    run = fit(trained, parts(), out=tmp_path / "run", epochs=2, batch=8, seed=3)
    assert trained.module.second.weight is trained.module.first.weight  # type: ignore[union-attr]
    assert same(tensors(run.network().module), tensors(trained.module))
    with pytest.raises(NetworkError, match=r"not what they are for. Say how the module is made: factory="):
        striate.load(run.path)
    again = striate.load(run.path, factory=Own)
    assert same(tensors(again.module), tensors(trained.module))
    assert again.class_names == ("0", "1", "2")
    assert again.spec == trained.spec
    assert same(tensors(Run.open(run.path).network("last", factory=Own).module), tensors(run.network("last").module))


def test_frozen_parts_stay_as_they_are(tmp_path: Path) -> None:
    names = [name for name, part in network().module.named_modules() if isinstance(part, nn.Conv2d | nn.BatchNorm2d)]
    before, trained = network(), network()
    fit(trained, parts(), epochs=1, batch=8, frozen=names, monitor="last")
    for (name, mine), theirs in zip(
        trained.module.state_dict().items(), before.module.state_dict().values(), strict=True
    ):
        assert torch.equal(mine, theirs) == any(name.startswith(one) for one in names), name
    with pytest.raises(striate.errors.AddressError, match=r"no layer or weight 'conv9'"):
        fit(network(), parts(), epochs=1, frozen="conv9")


def test_early_stopping_and_time_limit_end_it(tmp_path: Path) -> None:
    run = fit(network(), parts(), out=tmp_path / "early", epochs=50, batch=8, rate=1e-12, schedule="constant",
              patience=3, monitor="loss", optimizer="sgd", precision="float32", seed=2)  # fmt: skip
    assert run.ended == "patience"
    assert run.finished
    assert run.best is not None
    assert len(run.history) == run.best.epoch + 3 < 50
    run = fit(network(), parts(), out=tmp_path / "short", epochs=50, batch=8, time_limit=1e-3)
    assert run.ended == "time"
    assert not run.finished
    assert len(run.history) == 1
    more = fit(network(), parts(), out=tmp_path / "short", epochs=50, batch=8, time_limit=2e-3, resume=True)
    assert len(more.history) == 2


def test_the_time_of_reading_pictures_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    late, clock, standardised = [0.0], time.monotonic, beginning._standardized

    def slowly(*given: Any) -> Any:
        late[0] += 1e6
        return standardised(*given)

    monkeypatch.setattr(time, "monotonic", lambda: clock() + late[0])
    monkeypatch.setattr(beginning, "_standardized", slowly)
    assert fit(network(), parts(), out=tmp_path / "run", epochs=3, batch=8, time_limit=1e5).ended == "time"


def test_there_is_a_best_network_before_the_first_validation(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"epochs": 6, "batch": 8, "validate_every": 3, "patience": 1, "out": tmp_path / "run"}
    run = fit(network(), parts(), **settings, time_limit=1e-3)
    assert run.best is not None
    assert run.best.validation_loss is None
    assert run.network().class_names == ("0", "1", "2")
    run = fit(network(), parts(), **settings, resume=True)
    assert [row.validation_loss is None for row in run.history[:4]] == [True, True, False, True]
    assert run.best.epoch in (3, 6)  # type: ignore[union-attr]
    assert run.history[2].best


def test_class_weights_of_nothing_teach_nothing(tmp_path: Path) -> None:
    images, labels = arrays(60)
    trained = plain()
    run = fit(trained, dataset.open(images, labels=labels), epochs=4, batch=8, rate=0.02, class_weights=(0, 1, 1))
    assert run.best is not None
    values = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    assert not (trained(trained.spec.normalise(values)).argmax(1) == 0).any()


# --- what it refuses


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"epochs": 0}, "epochs must be a whole number from 1 on, got 0"),
        ({"batch": 2.5}, "batch must be a whole number"),
        ({"optimizer": "sgd", "momentum": 0.9}, "sgd has no momentum"),
        ({"optimizer": "adamm"}, "Did you mean adam"),
        ({"schedule": "cosin"}, "Did you mean cosine"),
        ({"schedule": "constant", "schedule_options": {"drop": 0.5}}, "'constant' has no drop"),
        ({"smoothing": 1.0}, "smoothing must be from 0 up to"),
        ({"class_weights": "blanced"}, "Did you mean 'balanced'"),
        ({"class_weights": (1.0, 2.0)}, "class_weights has 2 values for 3 classes: 0, 1, 2"),
        ({"precision": "float8"}, "precision: there is no 'float8'"),
        ({"standardize": "pixels"}, "Did you mean 'pixel'"),
        ({"monitor": "last", "patience": 3}, "patience would be ignored"),
        ({"time_limit": 0}, "time_limit must be above 0"),
        ({"rate": "0.1"}, "rate must be a number, got '0.1'"),
        ({"seed": None}, "seed must be a whole number, got None"),
        ({"augment": 5}, "augment must be an Augment"),
        ({"groups": {"conv1": "x"}}, "conv1 must be a number, got 'x'"),
        ({"class_weights": ("balanced", 2)}, "class_weights must be none, .*or a number for each class"),
        ({"clip": -1.0}, "clip must be above 0"),
        ({"augment": "rotaton=5"}, "rota"),
        ({"tensorboard": True}, "tensorboard needs a folder"),
        ({"labels": [1]}, "labels would be ignored"),
    ],
)
def test_settings_without_sense_are_refused(more: dict[str, Any], words: str) -> None:
    trained = network()
    before = tensors(trained.module)
    with pytest.raises(OptionError, match=words):
        fit(trained, parts(), **({"epochs": 1} | more))
    assert same(before, tensors(trained.module))


def test_a_network_with_other_logits_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"sequential has 5 logits for the 3 classes .* gives it a new head"):
        fit(network(classes=5), parts(), out=tmp_path / "run", epochs=1)
    assert not (tmp_path / "run").exists()


def test_a_file_in_the_way_and_a_place_that_may_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file is a file; a run needs a folder"):
        fit(network(), parts(), out=tmp_path / "file", epochs=1)
    with pytest.raises(OutputError, match="Cannot write into"):
        fit(network(), parts(), out=tmp_path / "file" / "run", epochs=1)


# --- what goes wrong


class Spoiled(nn.Module):
    """Gives NaN from one call in training on."""

    def __init__(self, inner: nn.Module, call: int, value: float = math.nan) -> None:
        super().__init__()
        self.inner, self.call, self.value, self.calls = inner, call, value, 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.calls += self.training
        return self.inner(images) + (self.value if self.training and self.calls >= self.call else 0.0)


@pytest.mark.parametrize(("value", "words"), [(math.nan, "NaN"), (math.inf, "NaN|infinite")])
def test_a_loss_that_is_no_number_stops_and_keeps_the_last_epoch(tmp_path: Path, value: float, words: str) -> None:
    trained = plain()
    trained.module = Spoiled(trained.module, 11, value)
    with pytest.raises(
        TrainingError,
        match=rf"the loss became ({words}).* in epoch 3, step 3 of 4 .*lower rate.* first 2 epochs are kept",
    ):
        fit(trained, parts(), out=tmp_path / "run", epochs=5, batch=8)
    assert all(bool(value.isfinite().all()) for value in tensors(trained.module).values())
    run = Run.open(tmp_path / "run")
    assert len(run.history) == 2
    kept = run.network(factory=lambda: Spoiled(plain().module, 11))
    assert same(tensors(kept.module), tensors(trained.module))
    assert bool(kept(torch.zeros(1, 1, 9, 9)).isfinite().all())


def test_weights_that_are_spoiled_by_the_last_step_are_not_kept(tmp_path: Path) -> None:
    trained = plain()
    with pytest.raises(
        TrainingError, match=r"(weights became NaN or infinite|validation loss of epoch 1|the loss became)"
    ):
        fit(trained, parts(), out=tmp_path / "run", epochs=2, batch=36, optimizer="sgd", rate=1e38, schedule="constant")
    assert same(tensors(trained.module), tensors(plain().module))
    with pytest.raises(TrainingError, match=r"no epoch of .* is over yet"):
        Run.open(tmp_path / "run").network()
    with pytest.raises(NetworkError, match="first epoch is not over yet"):
        striate.load(tmp_path / "run")


def test_a_full_disk_keeps_the_last_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flush = os.fsync
    left = math.inf  # files that can still be written

    def full(handle: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(handle)

    settings: dict[str, Any] = {"epochs": 4, "batch": 8, "rate": 0.02}
    truth = tensors(fit(network(), parts(), out=tmp_path / "whole", **settings).network().module)
    monkeypatch.setattr(os, "fsync", full)
    for number in range(5):  # a network of the course, the best one, the state, the history; a network of the next

        def hear(event: progress.Event, number: int = number) -> None:
            nonlocal left
            if (event.task, event.done) == ("training", 1):
                left = number

        out, trained = tmp_path / f"run-{number}", network()
        with progress.listen(hear), pytest.raises(OutputError, match=r"No space left on device.* kept in .*run-"):
            fit(trained, parts(), out=out, **settings)
        left = math.inf
        run = Run.open(out)
        assert len(run.history) == 1 + (number > 2)
        assert run.best is not None
        assert same(tensors(run.network().module), tensors(trained.module))
        assert not list(out.rglob(".*.part"))
        # with room again it goes on, to the same end
        again = fit(network(), parts(), out=out, resume=True, **settings)
        assert same(tensors(again.network().module), truth)


def test_pictures_that_cannot_be_read_are_listed_and_the_rest_trains(tmp_path: Path) -> None:
    images, labels = arrays(48)
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        file = tmp_path / "pictures" / "abc"[label] / f"{index:02}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(image))
    for name in ("a/00.png", "b/01.png"):
        (tmp_path / "pictures" / name).write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    run = fit(network(), tmp_path / "pictures", out=tmp_path / "run", epochs=2, batch=8, storage="stream")
    with (run.path / "skipped.csv").open() as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["part", "picture", "reason"]
    assert {row[1] for row in rows[1:]} == {"a/00.png", "b/01.png"}
    assert run.skipped == [tuple(row) for row in rows[1:]]
    assert all("damaged" in row[2] or "cannot be read" in row[2] for row in rows[1:])
    assert len(run.history) == 2
    assert run.network().class_names == ("a", "b", "c")


def png(image: np.ndarray) -> bytes:
    from striate.images import encode_png

    return encode_png(image.repeat(3, 2))


def test_a_batch_that_the_network_cannot_take_is_said() -> None:
    class Picky(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = plain().module

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if self.training:
                raise RuntimeError("sizes do not match\nat layer 3")
            return self.inner(images)

    with pytest.raises(TrainingError, match=r"cannot be trained on a batch of 8 x 1 x 9 x 9 \(epoch 1\): sizes do not"):
        fit(striate.Network(Picky(), plain().spec), parts(), epochs=1, batch=8)


# --- TensorBoard


def test_tensorboard_gets_the_history(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = fit(network(), parts(), out=tmp_path / "run", epochs=2, batch=8, tensorboard=True)
    read = EventAccumulator(str(run.path / "tensorboard"))
    read.Reload()
    assert [event.step for event in read.Scalars("loss/validation")] == [1, 2]
    assert [event.value for event in read.Scalars("accuracy/train")] == pytest.approx(
        [row.train_accuracy for row in run.history], rel=1e-6
    )


def test_tensorboard_that_is_not_there_is_said_before_anything_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"pip install striate\[tensorboard\]"):
        fit(network(), parts(), out=tmp_path / "run", epochs=1, tensorboard=True)
    assert not (tmp_path / "run").exists()


def test_a_split_is_taken_as_it_is(tmp_path: Path) -> None:
    images, labels = arrays(60)
    cut = split(dataset.open(images[:48], labels=labels[:48]), dataset.open(images[48:], labels=labels[48:]))
    run = fit(network(), cut, out=tmp_path / "run", epochs=1, batch=8)
    about = Run.open(run.path).about
    assert about["data"]["identity"] == cut.identity
    assert (about["data"]["train_pictures"], about["data"]["validation_pictures"]) == (48, 12)
