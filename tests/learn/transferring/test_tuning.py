"""Fine-tuning in stages: what is frozen stays bit for bit, the best is given, and it ends where it should."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import striate
from learn.striped import arrays, parts
from learn.transferring.tuning_by_ranks import COMMON, NAMES, begun, made
from striate import dataset, progress
from striate.errors import DataError, OptionError, OutputError, Stopped, TrainingError
from striate.learn.judging.evaluate import evaluate
from striate.learn.loop import fit
from striate.learn.pictures.split import Split, split
from striate.learn.run import Run
from striate.learn.transferring.stages import plan_stages
from striate.learn.transferring.tuned import Tuned, as_given, judged
from striate.learn.transferring.tuning import fine_tune
from striate.results.base import Recipe
from striate.results.evaluation import Evaluation
from striate.results.shares import standard_error


def held(network: striate.Network) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.module.state_dict().items()}


def layers_that_differ(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    """Name the layers of which a weight or a statistic is another, in any bit."""
    return {name.rpartition(".")[0] for name in before if not torch.equal(before[name], after[name])}


@pytest.fixture(scope="module")
def pictures() -> Split:
    return parts(96)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tuned") / "out"


@pytest.fixture(scope="module")
def tuned(pictures: Split, out: Path) -> Tuned:
    network = made()
    before = held(network)
    found = fine_tune(network, pictures, out=out, **COMMON)
    assert layers_that_differ(before, held(network)) == set()  # what was given is left alone
    return found


def test_what_is_frozen_stays_bit_for_bit_and_all_else_moves(tuned: Tuned, out: Path) -> None:
    before = held(made())
    everything = {name.rpartition(".")[0] for name in before}
    expected = [{"dense1"}, {"dense1", "conv3"}, everything - {"bn1", "bn2", "bn3"}]
    for number, learns in enumerate(expected, 1):
        run = Run.open(out / "stages" / str(number))
        assert layers_that_differ(before, held(run.network("last"))) == learns
        before = held(run.network("best"))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_neither_decay_nor_an_average_moves_what_is_frozen(optimizer: str, pictures: Split, tmp_path: Path) -> None:
    network = made()
    before = held(network)
    stage = plan_stages(network, norms="learn")[1]
    run = fit(
        network, pictures, out=tmp_path / "out", epochs=1, batch=8, workers=0, precision="float32", rate=0.1,
        optimizer=optimizer, average=0.9, frozen=stage.frozen, groups=stage.rates,
        **({"weight_decay": 0.5} if optimizer == "adamw" else {}),
    )  # fmt: skip
    assert layers_that_differ(before, held(network)) == {"conv3", "bn3", "dense1"}
    assert layers_that_differ(before, held(run.network("last"))) == {"conv3", "bn3", "dense1"}


def test_it_learns_and_gives_the_best(tuned: Tuned, out: Path, pictures: Split) -> None:
    accuracies = [row.accuracy for row in tuned.rows]
    assert accuracies[0] < 0.5 < accuracies[1] <= accuracies[tuned.best] == max(accuracies)
    assert tuned.best == accuracies.index(max(accuracies))  # of equals the one that learned less
    own = tuned.network(torch.stack([pictures.train.read(int(one), tuned.network.spec)
                                     for one in pictures.validation_indices]))  # fmt: skip
    right = (own.argmax(1).numpy() == pictures.validation_labels).mean()
    assert right == pytest.approx(max(accuracies))
    kept = striate.load(out)
    assert layers_that_differ(held(tuned.network), held(kept)) == set()
    assert kept.class_names == pictures.class_names
    assert tuned.run is not None
    assert tuned.run.path == out / "stages" / str(tuned.best)


def test_it_ends_when_a_stage_no_longer_helps(tuned: Tuned) -> None:
    assert not tuned.rows[-1].helps
    assert tuned.ended == "All stages were trained."
    assert "it does not help" in tuned.rows[-1].words


def test_a_head_that_is_fitted_is_not_fitted_again_and_the_end_is_said(
    tuned: Tuned, pictures: Split, tmp_path: Path
) -> None:
    again = fine_tune(tuned.network, pictures, out=tmp_path / "out", first=2, stages=4, **COMMON)
    assert [row.stage and row.stage.number for row in again.rows] == [None, 2]
    assert again.best == 0  # all were right already
    assert again.run is None
    assert again.ended == "Stage 2 no longer helps, so fine-tuning ended before the last 2 stages."
    assert layers_that_differ(held(tuned.network), held(again.network)) == set()
    assert "The best is the network as it was given." in again.caption()


def test_interrupted_it_goes_on_to_the_same_bits(tuned: Tuned, pictures: Split, tmp_path: Path) -> None:
    def hear(event: progress.Event) -> None:
        if event.task == "fine-tuning":
            stages.append(event.done)
        if len(stages) == 2 and (event.task, event.done) == ("epoch 2", 3):
            stop.stop()

    stages: list[int] = []
    with (
        progress.stoppable() as stop,
        progress.listen(hear),
        pytest.raises(Stopped, match=r"Stopped in stage 2 of 3 of fine-tuning. The same call with resume=True goes on"),
    ):
        fine_tune(made(), pictures, out=tmp_path / "out", **COMMON)
    with pytest.raises(OutputError, match="is not empty"):
        fine_tune(made(), pictures, out=tmp_path / "out", **COMMON)
    found = fine_tune(made(), pictures, out=tmp_path / "out", resume=True, **COMMON)
    assert layers_that_differ(held(tuned.network), held(found.network)) == set()
    assert [row.words for row in found.rows] == [row.words for row in tuned.rows]
    with pytest.raises(TrainingError, match=r"cannot be gone on with: the network has other weights"):
        fine_tune(made(1), pictures, out=tmp_path / "out", resume=True, **COMMON)
    with pytest.raises(TrainingError, match=r"cannot be gone on with: it was begun with other pictures"):
        fine_tune(made(), parts(99), out=tmp_path / "out", resume=True, **COMMON)
    with pytest.raises(TrainingError, match=r"cannot be gone on with: the stages were others"):
        fine_tune(made(), pictures, out=tmp_path / "out", resume=True, **COMMON | {"falloff": 0.5})
    with pytest.raises(TrainingError, match=r"other settings \(rate: 0.02, not 0.01\)"):
        fine_tune(made(), pictures, out=tmp_path / "out", resume=True, **COMMON | {"rate": 0.01})


@pytest.mark.slow
def test_two_processes_fine_tune_alike(tmp_path: Path) -> None:
    script = Path(__file__).with_name("tuning_by_ranks.py")
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
         str(script), str(tmp_path)],
        capture_output=True, text=True, timeout=400, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in range(2))
    assert first == second  # bit for bit, whichever stage was the best
    for name in NAMES:
        given = begun(name)
        table = evaluate(given, parts(48).validation, parts(48).validation_indices, parts(48).validation_labels)
        assert first[name][1][0] == table.accuracy  # the first one's head, whatever that of the second was
        assert len(first[name][1]) > 1
        assert Run.open(tmp_path / name / "stages" / "1").about["ranks"] == 2
        assert set(held(striate.load(tmp_path / name / "network.safetensors"))) == set(held(given))


def test_the_summary_says_how_it_went(tuned: Tuned, out: Path) -> None:
    there = json.loads((out / "tuning.json").read_text("utf-8"))
    assert there["best"] == tuned.best
    assert [row["accuracy"] for row in there["rows"]] == [row.accuracy for row in tuned.rows]
    assert there["plan"] == [stage.to_dict() for stage in plan_stages(made(), falloff=0.9)]
    assert [row["weights_trained"] for row in there["rows"]] == [0, 165, 165 + 6 * 6 * 9 + 6, 789 - 8 - 12 - 12]


def table(right: list[bool], indices: list[int] | None = None) -> Evaluation:
    """What a network says that is right about these pictures: two classes, all of class 1."""
    count = len(right)
    sure = np.where(right, 0.9, 0.2).astype(np.float32)
    return Evaluation(
        names=tuple(map(str, range(count))),
        labels=np.ones(count, dtype=np.int64),
        probabilities=np.stack([1 - sure, sure], 1),
        losses=-np.log(sure),
        indices=np.arange(count) if indices is None else np.array(indices),
        recipe=Recipe(lens="evaluate", network="", weights="", input={}),
    )


@pytest.mark.parametrize(
    ("won", "lost", "helps", "verdict"),
    [(3, 0, True, "it helps"), (2, 1, False, "no more than chance would give"), (1, 0, False, "no more than chance"),
     (0, 0, False, "it does not help"), (1, 4, False, "it does not help"), (10, 5, True, "it helps")],
)  # fmt: skip
def test_a_stage_helps_by_more_than_the_standard_error(won: int, lost: int, helps: bool, verdict: str) -> None:
    both, neither = 5, 10
    before = table([False] * won + [True] * lost + [True] * both + [False] * neither)
    after = table([True] * won + [False] * lost + [True] * both + [False] * neither)
    count = won + lost + both + neither
    stage = plan_stages(made())[1]
    row = judged(stage, after, before, as_given(before), 1.0)
    assert row.gain == pytest.approx((won - lost) / count)
    assert row.gain_error == pytest.approx(math.sqrt(won + lost) / count)
    assert row.error == pytest.approx(standard_error(row.accuracy, count))
    assert row.helps == helps
    assert verdict in row.words


def test_a_picture_that_was_not_read_once_is_not_compared() -> None:
    before, after = table([True, False, False]), table([False, True], [0, 2])
    row = judged(plan_stages(made())[1], after, before, as_given(before), 1.0)
    assert (row.gain, row.gain_error) == (0.0, pytest.approx(math.sqrt(2) / 2))


def test_without_validation_pictures_nothing_can_be_judged(tmp_path: Path) -> None:
    images, labels = arrays()
    with pytest.raises(OptionError, match="needs validation pictures"):
        fine_tune(made(), dataset.open(images, labels=labels), share=0, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_head_of_other_classes_is_not_taken_for_fitted(pictures: Split, tmp_path: Path) -> None:
    network = made()
    network.class_names = ("one", "two", "three")
    with pytest.raises(DataError, match=r"knows 3 classes \(one, two, three\), and the pictures are of 3 classes"):
        fine_tune(network, pictures, out=tmp_path / "out", first=2)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"first": 4}, "first must be a stage from 1 to 3, got 4"),
        ({"epochs": [1, 2]}, "epochs has 2 numbers for 3 stages"),
        ({"stages": ()}, "there is no stage"),
        ({"stages": 0}, "stages must be a whole number from 1 on, got 0"),
        ({"stages": plan_stages(made()), "norms": "learn"}, "head, falloff and norms would be ignored"),
        ({"falloff": 2.0}, "falloff must be above 0 and at most 1"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_written(
    asked: dict[str, Any], words: str, pictures: Split, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=words):
        fine_tune(made(), pictures, out=tmp_path / "out", **asked)
    assert not (tmp_path / "out").exists()


def test_a_network_for_other_classes_is_refused(tmp_path: Path) -> None:
    images, labels = arrays(24)
    two = split(dataset.open(images[labels < 2], labels=labels[labels < 2]))
    with pytest.raises(DataError, match="has 3 logits for the 2 classes"):
        fine_tune(made(), two, out=tmp_path / "out")
