"""Ranking architectures: the same numbers however often it is interrupted, and clear words where it cannot go on."""

from __future__ import annotations

import json
import math

import pytest

from learn.striped import arrays, write
from striate import dataset, progress
from striate.errors import DataError, NetworkError, OptionError, Stopped, TrainingError
from striate.learn.run import Run
from striate.learn.starting.start import start
from striate.learn.untrained import ranking
from striate.learn.untrained.random_features import random_features
from striate.learn.untrained.ranking import TASK, rank_nets

NETS = {
    "blind": "conv 2 1x1 relu, global average, flatten, dense",  # does not see where the bright third lies
    "seeing": "conv 4 3x3 relu, pool 2, flatten, dense",
    "deep": "conv 4 3x3 bn relu, conv 4 3x3 bn relu, flatten, dense",
}
OPTIONS = {"seeds": 2, "train_best": 2, "epochs": 2, "device": "cpu", "settings": {"batch": 16, "rate": 0.02}}


@pytest.fixture(scope="module")
def source():
    images, labels = arrays(90)
    return dataset.open(images, labels=labels)


@pytest.fixture(scope="module")
def found(source, tmp_path_factory):
    return rank_nets(source, NETS, out=tmp_path_factory.mktemp("ranked") / "out", **OPTIONS)


def numbers(result):
    plain = result.numbers()
    for one in plain["nets"]:
        for name in ("random_seconds", "trained_seconds"):
            del one[name]
    return json.dumps(plain)


def test_the_network_that_sees_is_above_the_blind_one(found):
    assert [one.name for one in found.nets][-1] == "blind"
    assert found.nets[0].mean > 0.9 > 0.6 > found.nets[-1].mean
    assert all(len(one.random) == 2 for one in found.nets)
    assert [math.isfinite(one.trained) for one in found.nets] == [True, True, False]
    assert found.judged == 18
    assert found.nets[0].trained > 0.5


def test_the_accuracy_is_that_of_random_features(found, source):
    seeing = next(one for one in found.nets if one.name == "seeing")
    for seed, accuracy in enumerate(seeing.random):
        # the split is of seed 0, whatever the weights are drawn by
        network = random_features(NETS["seeing"], ranking.split(source, share=0.2, seed=0), seed=seed, device="cpu")
        assert f"{100 * accuracy:.1f} % of 18 validation pictures" in network.notes[-1]
    assert seeing.features == 36
    assert seeing.weights == 4 * 10 + 36 * 3 + 3


def test_stopped_and_gone_on_with_gives_the_same_numbers(source, found, tmp_path):
    heard: list[str] = []
    for stop_at in (2, 7):
        with progress.stoppable() as stop:

            def hear(event, stop=stop, stop_at=stop_at):
                if event.task == TASK and event.done == stop_at:
                    stop.stop()

            with progress.listen(hear), pytest.raises(Stopped):
                rank_nets(source, NETS, out=tmp_path / "out", **OPTIONS)
    held = json.loads((tmp_path / "out" / "done.json").read_text())
    assert (len(held["random"]), len(held["trained"])) == (6, 1)
    with progress.listen(lambda event: heard.append(event.note) if event.task == TASK else None):
        again = rank_nets(source, NETS, out=tmp_path / "out", **OPTIONS)
    assert numbers(again) == numbers(found)
    assert len(heard) == 8
    assert heard[0].startswith("blind, random weights, seed 0: ")


def test_what_is_done_is_not_done_again_and_more_can_be_added(source, found, tmp_path, monkeypatch):
    out = tmp_path / "out"
    rank_nets(source, {"seeing": NETS["seeing"]}, out=out, seeds=1, device="cpu")
    done: list[tuple[str, int]] = []
    plain = ranking._Job.ask
    monkeypatch.setattr(
        ranking._Job, "ask", lambda job, name, seed: done.append((name, seed)) or plain(job, name, seed)
    )
    again = rank_nets(source, NETS, out=out, **OPTIONS)
    assert done == [("blind", 0), ("blind", 1), ("seeing", 1), ("deep", 0), ("deep", 1)]
    assert numbers(again) == numbers(found)
    done.clear()
    rank_nets(
        source, NETS, out=out, **{**OPTIONS, "seeds": (1,), "train_best": 0}
    )  # on the same pictures, whatever the first seed is
    assert not done


def test_where_nothing_is_to_be_trained_how_the_others_were_is_taken_from_the_folder(source, tmp_path):
    names = {name: NETS[name] for name in ("blind", "seeing")}
    out, train = tmp_path / "out", {"seeds": 1, "train_best": 1, "device": "cpu"}
    first = rank_nets(source, {"seeing": NETS["seeing"]}, out=out, epochs=2, **train)
    again = rank_nets(source, names, out=out, seeds=1, device="cpu")  # ten epochs, were there anything to train
    assert [one.trained for one in again.trained] == [first.nets[0].trained]
    assert again.epochs == 2
    assert again.recipe.options["epochs"] == 2
    assert json.loads((out / "done.json").read_text())["training"] == {"epochs": 2}
    with pytest.raises(TrainingError, match=r"begun otherwise \(epochs: 2, not 10\)"):
        rank_nets(source, names, out=out, **train)
    assert numbers(rank_nets(source, names, out=out, epochs=2, **train)) == numbers(again)


def test_fewer_pictures_to_train_on_are_judged_by_the_same(source, found, tmp_path):
    options = {"seeds": 1, "device": "cpu"}
    few = rank_nets(source, {"seeing": NETS["seeing"]}, out=tmp_path, pictures=30, **options)
    assert (few.pictures, few.judged) == (30, found.judged)
    assert "30 of 72 training pictures are used" in " ".join(few.recipe.notes)
    with pytest.raises(TrainingError, match="is on other pictures"):
        rank_nets(source, {"seeing": NETS["seeing"]}, out=tmp_path, **options)


def test_those_that_are_ranked_unless_others_are_named_fit_digits_and_differ():
    texts = ranking._named(ranking.NETS, 10)
    assert len(set(texts.values())) == len(ranking.NETS)
    for text in texts.values():
        assert start(text, classes=10, channels=1, size=28).graph().classes == 10


def test_trained_networks_are_runs_that_can_be_opened(source, tmp_path):
    result = rank_nets(source, ["cnn2"], out=tmp_path, seeds=1, train_best=9, epochs=2, device="cpu")
    (folder,) = (tmp_path / "trained").iterdir()
    run = Run.open(folder)
    assert run.history[-1].validation_accuracy == result.nets[0].trained
    assert run.settings.monitor == "last"  # no epoch is chosen after the fact
    assert len(run.history) == 2
    assert result.nets[0].name == "cnn2"


def test_without_a_folder_nothing_is_kept(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = rank_nets(source, [NETS["blind"]], seeds=1, device="cpu")
    assert not list(tmp_path.iterdir())
    assert result.nets[0].name == "conv 2 1x1, global average"


def test_another_ranking_in_the_folder_is_refused(source, tmp_path):
    out = tmp_path / "out"
    rank_nets(source, ["tiny"], out=out, seeds=1, size=12, device="cpu")
    with pytest.raises(TrainingError, match=r"begun otherwise \(size: \[12, 12\], not \[14, 14\]\)"):
        rank_nets(source, ["tiny"], out=out, seeds=1, size=14, device="cpu")
    with pytest.raises(TrainingError, match="is on other pictures"):
        rank_nets(write(tmp_path / "other.npz", 60, seed=4), ["tiny"], out=out, seeds=1, size=12, device="cpu")
    (out / "done.json").write_text("{}")
    with pytest.raises(TrainingError, match=r"done\.json cannot be read as a ranking"):
        rank_nets(source, ["tiny"], out=out, seeds=1, size=12, device="cpu")


def test_a_training_that_fails_is_said_and_the_others_go_on(source, tmp_path):
    options = {**OPTIONS, "settings": {"optimizer": "sgd", "rate": 1e30, "schedule": "constant"}}
    result = rank_nets(source, NETS, out=tmp_path / "out", **options)
    assert not result.trained
    assert all("its training failed" in one.note for one in result.nets[:2])
    assert "failed" in result.table()[1]


@pytest.mark.parametrize(
    ("nets", "given", "error", "words"),
    [
        ([], {}, OptionError, "no networks to rank"),
        (["tiny", "tiny"], {}, OptionError, "two networks are called 'tiny'"),
        (["tiny"], {"seeds": 0}, OptionError, "at least one seed"),
        (["tiny"], {"share": 0}, OptionError, "needs pictures to validate on"),
        (["tyni"], {}, NetworkError, "tyni"),
        (["a=conv 3 3x3 relu, dense"], {}, NetworkError, "Put 'flatten' before it"),
        (["conv 3 3x3 relu, flatten"], {}, NetworkError, "does not end with a dense layer"),
    ],
)
def test_mistakes_are_said_before_anything_is_done(source, tmp_path, nets, given, error, words):
    with pytest.raises(error, match=words):
        rank_nets(source, nets, out=tmp_path / "out", device="cpu", **{"seeds": 1, **given})
    assert not (tmp_path / "out").exists()


def test_one_class_is_refused(tmp_path):
    images, labels = arrays(12)
    with pytest.raises(DataError, match="one class only"):
        rank_nets(dataset.open(images, labels=labels * 0), ["tiny"], device="cpu")


def test_the_networks_that_are_ranked_unless_said_otherwise_fit_digits_and_small_colour_pictures():
    from striate.learn.starting.start import start
    from striate.learn.untrained.random_features import source_of

    assert len(ranking.NETS) >= 8
    for text in ranking.NETS.values():
        for channels, side in ((1, 28), (3, 32)):
            made = start(source_of(text, 10), classes=10, channels=channels, size=side)
            assert made.graph().classes == 10
