"""A training that was interrupted gives what it would have given without; another one is not gone on with."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from learn.striped import TRYING, network, parts, plain, same, tensors, write
from striate import progress
from striate.errors import OptionError, OutputError, Stopped, TrainingError
from striate.learn import state
from striate.learn.loop import OVER, fit, resume
from striate.learn.run import Epoch, Run

CLOCKS = ("seconds", "pictures_per_second")


def numbers(row: Epoch) -> dict[str, Any]:
    """Return a line of the history without what the clock says."""
    return {name: value for name, value in vars(row).items() if name not in CLOCKS}


def stopping(task: str, done: int, out: Path, **settings: Any) -> None:
    """Train until an event comes, and stop there."""

    def hear(event: progress.Event) -> None:
        if (event.task, event.done) == (task, done):
            stop.stop()

    with progress.stoppable() as stop, progress.listen(hear), pytest.raises(Stopped):
        fit(network(), parts(), out=out, **settings)


@pytest.mark.parametrize(
    "settings",
    [
        TRYING,
        TRYING | {"optimizer": "momentum", "schedule": "plateau", "schedule_options": {"patience": 0}, "average": None,
                  "validate_every": 2, "storage": "stream", "augment": "pad=1,flip=alternating,cutout=0.3"},
        TRYING | {"optimizer": "muon", "rate": 0.05, "precision": "float32", "frozen": ("layer1",), "share": None},
    ],
    ids=["everything", "plateau", "muon"],
)  # fmt: skip
def test_two_epochs_and_two_are_four_bit_for_bit(tmp_path: Path, settings: dict[str, Any]) -> None:
    if settings.get("frozen"):
        first = next(name for name, part in network().module.named_modules() if isinstance(part, torch.nn.Conv2d))
        settings = settings | {"frozen": (first,)}
    whole = network()
    truth = fit(whole, parts(), out=tmp_path / "whole", **settings)
    # stopped within the third epoch, so that two are kept
    stopping("epoch 3", 2, tmp_path / "run", **settings)
    assert [row.epoch for row in Run.open(tmp_path / "run").history] == [1, 2]
    torch.manual_seed(1234)  # what others draw must not matter
    again = network(seed=5)
    run = fit(again, parts(), out=tmp_path / "run", resume=True, **settings)
    assert [numbers(row) for row in run.history] == [numbers(row) for row in truth.history]
    assert same(tensors(again.module), tensors(whole.module))
    mine, theirs = (state.unpack(one.path / "last" / "state.safetensors") for one in (run, truth))
    assert same(mine.tensors, theirs.tensors)
    assert mine.optimizer == theirs.optimizer
    left = {name: value for name, value in mine.record.items() if name not in ("history", "seconds")}
    assert left == {name: value for name, value in theirs.record.items() if name not in ("history", "seconds")}
    for name in ("network.safetensors", *(f"checkpoints/epoch-000{number}.safetensors" for number in range(5))):
        assert same(load_file(run.path / name), load_file(truth.path / name)), name
    assert again.spec == whole.spec


def test_training_touches_nothing_of_the_callers_chance() -> None:
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    fit(network(), parts(), epochs=1, batch=8)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_run_goes_on_from_its_folder_alone(tmp_path: Path) -> None:
    source = write(tmp_path / "stripes.npz")
    settings = TRYING | {"epochs": 3}
    truth = fit(network(), source, out=tmp_path / "whole", **settings)

    def hear(event: progress.Event) -> None:
        if (event.task, event.done) == ("epoch 2", 1):
            stop.stop()

    with progress.stoppable() as stop, progress.listen(hear), pytest.raises(Stopped, match="Stopped in epoch 2 of 3"):
        fit(network(), source, out=tmp_path / "run", **settings)
    run = resume(tmp_path / "run")
    assert [numbers(row) for row in run.history] == [numbers(row) for row in truth.history]
    assert same(tensors(run.network().module), tensors(truth.network().module))


def test_stopping_says_what_is_kept(tmp_path: Path) -> None:
    def hear(event: progress.Event) -> None:
        if (event.task, event.done) == (task, 1):
            stop.stop()

    for task, words in (
        ("epoch 1", r"Stopped in epoch 1 of 4, as asked. No epoch was over yet"),
        ("epoch 2", r"Stopped in epoch 2 of 4, as asked. The first 1 epoch is kept in .*run.* \(best: epoch 1\)"),
        ("validating epoch 3", r"Stopped in epoch 3 of 4, as asked. The first 2 epochs are kept"),
    ):
        trained = network()
        with progress.stoppable() as stop, progress.listen(hear), pytest.raises(Stopped, match=words):
            fit(trained, parts(), out=tmp_path / "run", resume=True, epochs=4, batch=8)
        assert not trained.module.training
        assert not any(weight.requires_grad for weight in trained.module.parameters())
        if task != "epoch 1":
            assert same(tensors(trained.module), tensors(Run.open(tmp_path / "run").network().module))


def test_ctrl_c_keeps_the_last_epoch(tmp_path: Path) -> None:
    def hear(event: progress.Event) -> None:
        if (event.task, event.done) == ("epoch 2", 1):
            raise KeyboardInterrupt

    with progress.listen(hear), pytest.raises(Stopped, match="Stopped in epoch 2 of 3"):
        fit(network(), parts(), out=tmp_path / "run", epochs=3, batch=8)
    assert len(Run.open(tmp_path / "run").history) == 1


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    fit(network(), parts(), out=tmp_path / "run", epochs=1, batch=8)
    before = {file: file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()}
    with pytest.raises(OutputError, match=r"there is a run in .*run already; it is not overwritten. Go on with it"):
        fit(network(), parts(), out=tmp_path / "run", epochs=1, batch=8)
    assert before == {file: file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("important")
    for again in (False, True):
        with pytest.raises(OutputError, match=r"is not empty \(thesis.tex\)"):
            fit(network(), parts(), out=tmp_path / "other", epochs=1, batch=8, resume=again)
    assert sorted(file.name for file in (tmp_path / "other").iterdir()) == ["thesis.tex"]


def test_a_finished_run_says_so_and_trains_nothing(tmp_path: Path) -> None:
    trained = network()
    truth = fit(trained, parts(), out=tmp_path / "run", epochs=2, batch=8, standardize="channel")
    files = {file: file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()}
    again = network(seed=3)
    run = fit(again, parts(), out=tmp_path / "run", epochs=2, batch=8, standardize="channel", resume=True)
    assert OVER in run.notes
    assert files == {file: file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file()}
    assert run.history == truth.history
    assert same(tensors(again.module), tensors(trained.module))
    assert again.spec == trained.spec


def test_what_the_last_moment_left_undone_is_done(tmp_path: Path) -> None:
    """Killed behind the last state, before the best network had its name and the history its last line."""
    out = tmp_path / "run"
    settings: dict[str, Any] = {"epochs": 2, "batch": 8, "monitor": "last", "out": out}
    truth = fit(network(), parts(), **settings)
    files = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    best = out / "network.safetensors"
    best.rename(out / "last" / "best-0002.safetensors")
    best.write_bytes((out / "checkpoints" / "epoch-0001.safetensors").read_bytes())  # the best one before
    (out / "history.csv").write_bytes(files[out / "history.csv"].rpartition(b"\n2,")[0] + b"\n")
    (out / ".t0knef5i.part").write_bytes(b"epoch,step")
    run = fit(network(), parts(), **settings, resume=True)
    assert run.history == truth.history
    assert {file: file.read_bytes() for file in out.rglob("*") if file.is_file()} == files


def test_other_settings_networks_and_pictures_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "run"
    settings: dict[str, Any] = {"epochs": 2, "batch": 8, "out": out, "resume": True}
    stopping("epoch 2", 1, out, epochs=2, batch=8)
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    for more, words in (
        ({"epochs": 4}, r"epochs: 2, not 4\).* to train longer, begin a new run"),
        ({"rate": 0.5, "seed": 3}, r"other settings \(rate: None, not 0.5; seed: 0, not 3\)"),
    ):
        with pytest.raises(TrainingError, match=words):
            fit(network(), parts(), **(settings | more))
    with pytest.raises(TrainingError, match=r"it is of another network, sequential: .* were not kept|are not in it"):
        fit(plain(), parts(), **settings)
    with pytest.raises(
        TrainingError, match=r"begun with other pictures \(36 to train on, 12 to validate on; now 36 and"
    ):
        fit(network(), parts(seed=1), **settings)
    with pytest.raises(TrainingError, match=r"begun with other pictures .* now 45 and 15"):
        fit(network(), parts(60), **settings)
    assert before == {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    # these decide when it ends, and nothing of what an epoch does
    assert fit(network(), parts(), **settings, time_limit=1e6, patience=7).finished


def test_a_broken_state_is_said(tmp_path: Path) -> None:
    stopping("epoch 2", 1, tmp_path / "run", epochs=2, batch=8)
    file = tmp_path / "run" / "last" / "state.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(TrainingError, match=r"state.safetensors cannot be read .*: it is broken"):
        fit(network(), parts(), out=tmp_path / "run", epochs=2, batch=8, resume=True)


def test_resume_without_a_run_begins_and_needs_a_folder(tmp_path: Path) -> None:
    run = fit(network(), parts(), out=tmp_path / "run", epochs=1, batch=8, resume=True)
    assert run.finished
    with pytest.raises(OptionError, match="resume needs the folder"):
        fit(network(), parts(), resume=True)


def test_two_processes_do_not_train_in_one_folder(tmp_path: Path) -> None:
    def hear(event: progress.Event) -> None:
        if (event.task, event.done) == ("epoch 1", 1):
            with pytest.raises(TrainingError, match=r"another process \(\d+ on .*\) trains in .*run"):
                fit(network(), parts(), out=tmp_path / "run", epochs=1, batch=8, resume=True)
            heard.append(event)

    heard: list[progress.Event] = []
    with progress.listen(hear):
        fit(network(), parts(), out=tmp_path / "run", epochs=1, batch=8)
    assert heard
    assert not (tmp_path / "run" / "lock").exists()


def test_a_training_that_came_to_nothing_can_be_begun_anew_with_other_settings(tmp_path: Path) -> None:
    out = tmp_path / "run"
    common: dict[str, Any] = {"epochs": 2, "batch": 8, "out": out, "optimizer": "sgd"}
    with pytest.raises(TrainingError, match=r"in epoch 1.*Training into it again begins anew, with whatever settings"):
        fit(network(), parts(), rate=1e30, **common)
    assert (out / "settings.json").exists()
    with pytest.raises(TrainingError, match="in epoch 1"):  # as before: nothing stands in the way
        fit(network(), parts(), rate=1e30, **common, resume=True)
    run = fit(network(), parts(), rate=0.05, **common)
    words = "before was over: it is begun anew, with other settings (rate: 0.05, not 1e+30)."
    assert sum(words in note for note in run.notes) == 1
    alone = fit(network(), parts(), rate=0.05, **common | {"out": tmp_path / "alone"})
    assert [row.train_loss for row in run.history] == [row.train_loss for row in alone.history]
    files = [{str(one.relative_to(path)) for one in path.rglob("*")} for path in (out, tmp_path / "alone")]
    assert files[0] == files[1]
    # and now there is something to lose
    with pytest.raises(OutputError, match="is not overwritten"):
        fit(network(), parts(), rate=0.01, **common)


def test_nothing_of_the_training_that_came_to_nothing_is_left(tmp_path: Path) -> None:
    out = tmp_path / "run"
    common: dict[str, Any] = {"epochs": 1, "batch": 8, "out": out, "optimizer": "sgd"}
    with pytest.raises(TrainingError, match="in epoch 1"):
        fit(plain(), parts(), rate=1e30, **common)
    assert (out / "checkpoints" / "epoch-0000.safetensors").exists()
    run = fit(network(), parts(), rate=0.05, keep=0, **common)  # of another network, and its first weights not kept
    assert run.checkpoints == {}
    assert same(tensors(run.network().module), tensors(Run.open(out).network().module))


def test_a_run_whose_weights_were_taken_away_is_not_begun_anew(tmp_path: Path) -> None:
    out = tmp_path / "run"
    common: dict[str, Any] = {"epochs": 1, "batch": 8, "out": out, "keep": 0}
    fit(network(), parts(), **common)
    for file in out.rglob("*.safetensors"):
        file.unlink()
    history = (out / "history.csv").read_bytes()
    with pytest.raises(OutputError, match="is not overwritten"):
        fit(network(), parts(), rate=0.01, **common)
    assert (out / "history.csv").read_bytes() == history


def test_a_run_of_before_there_was_a_choice_of_what_lies_together_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "run"
    fit(network(), parts(), out=out, epochs=2, batch=8)
    written = json.loads((out / "settings.json").read_text())
    del written["settings"]["together"]
    (out / "settings.json").write_text(json.dumps(written))
    assert Run.open(out).settings.together == "copies"  # what it did
    assert fit(network(), parts(), out=out, epochs=2, batch=8, resume=True).notes[-1] == OVER
    assert resume(out, train=parts().train).notes[-1] == OVER
    written["data"]["identity"] = "0123456789abcdef"  # as if others had lain on one side
    (out / "settings.json").write_text(json.dumps(written))
    with pytest.raises(TrainingError, match=r"other settings .together: 'copies', not 'near'.*other pictures"):
        fit(network(), parts(), out=out, epochs=2, batch=8, resume=True)


@pytest.mark.parametrize(
    ("monitor", "words"),
    [
        ("auto", r"best is epoch \d by accuracy \(validation [\d.]+ %, loss [\d.]+\)"),
        ("loss", r"best is epoch \d by validation loss \(validation [\d.]+ %"),
        ("last", r"the last counts, epoch 2 \(validation [\d.]+ %"),
    ],
)
def test_the_sentence_says_by_what_an_epoch_is_the_best(tmp_path: Path, monitor: str, words: str) -> None:
    run = fit(network(), parts(), out=tmp_path / "run", epochs=2, batch=8, monitor=monitor, keep=0)
    assert re.fullmatch(rf"2 of 2 epochs; {words}.*", run.sentence())
