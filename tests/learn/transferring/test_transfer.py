"""A transfer from beginning to end on small pictures: its table, its network, going on, and what it refuses."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import striate
from learn.small_run import stripes
from striate import dataset, learn
from striate.errors import AtlasError, DataError, NetworkError, OptionError, OutputError, TrainingError
from striate.learn.run import Run
from striate.learn.transferring.depths import choose_depths
from striate.learn.transferring.keeping import Kept, read_transfer
from striate.learn.transferring.ways import Training, from_scratch
from striate.nets import heads
from striate.nets.joined import joined
from striate.network import Network
from striate.progress import Event, listen
from striate.spec import InputSpec

NET = "striate:sequential,3x20x24,conv 8 5x5 bn relu,pool 2,conv 12 3x3 bn relu,global average,flatten,dense 4"
HEADS = ("logistic", "rbf-svm")
NAMES = ("upright", "rising", "falling")


def pictures(count: int = 150, seed: int = 0) -> dataset.PictureSet:
    values, labels = stripes(count, seed=seed)
    opened = dataset.open(values, labels=labels)
    opened.class_names = NAMES
    return opened


@pytest.fixture(scope="module")
def trained() -> Network:
    return learn.start(NET, classes=4, seed=1)


@pytest.fixture(scope="module")
def done(trained, tmp_path_factory):
    out = tmp_path_factory.mktemp("transfer") / "run"
    before = trained.weights_hash
    found = learn.transfer(trained, pictures(), out=out, heads=HEADS, tune=True, scratch=True, epochs=1)
    assert trained.weights_hash == before
    return found


def test_every_way_is_in_the_table(done):
    names = [way.name for way in done.ways]
    assert names[:2] == [f"{head} on {done.likeness.deepest.address}" for head in HEADS]
    assert names[2:4] == [f"{head} on {len(done.likeness.depths)} depths" for head in HEADS]
    assert [way.kind for way in done.ways[:4]] == ["head"] * 4
    assert {way.kind for way in done.ways[4:-1]} == {"tuned"}
    assert done.ways[-1].name == "from random weights, 3 epochs"
    assert done.best.accuracy == max(way.accuracy for way in done.ways if way.kind != "tuned" or way is done.best)
    assert done.amount.pictures == 120
    assert done.validation == 30


def test_the_network_of_the_folder_is_the_best_of_the_table(done):
    run = Run.open(done.path)
    network = striate.load(done.path)

    parts = learn.split(pictures())
    table = learn.evaluate(network, parts.validation, parts.validation_indices, parts.validation_labels)
    assert table.accuracy == pytest.approx(done.best.accuracy)
    assert network.class_names == NAMES
    again = run.network("best")
    assert again.weights_hash == network.weights_hash
    heatmap = striate.lenses.occlusion(network, torch.zeros(1, 3, 20, 24), patch=8, stride=8)
    assert heatmap.scores.shape == (1, 20, 24)


def test_heads_are_measured_on_pictures_that_they_have_not_seen(trained, tmp_path):
    values, labels = stripes(120)
    wrong = np.random.default_rng(0).integers(0, 3, 120)
    noisy = np.where(np.arange(120) % 2 == 0, wrong, labels)  # of half of them nothing can be learned
    parts = learn.split(dataset.open(values, labels=noisy))
    found = learn.transfer(trained, parts, out=tmp_path, heads=("forest",), tune=False)
    table = learn.evaluate(striate.load(tmp_path), parts.validation, parts.validation_indices, parts.validation_labels)
    assert found.best.accuracy == pytest.approx(table.accuracy)
    assert found.best.accuracy < 0.85  # by heart it would know them all


def test_it_is_a_run_that_says_what_it_is(done):
    run = Run.open(done.path)
    assert run.transferred
    assert run.finished
    assert run.sentence() == f"made by transfer; best is {done.best.name} (validation {100 * done.best.accuracy:.1f} %)"
    assert read_transfer(done.path).table() == done.table()
    with pytest.raises(TrainingError, match="was left by a transfer, which has no epochs to go on with"):
        learn.resume(done.path)


def test_the_same_call_again_does_nothing_twice(trained, done):
    heard: list[Event] = []
    with listen(heard.append):
        again = learn.transfer(trained, pictures(), out=done.path, heads=HEADS, tune=True, scratch=True, epochs=1)
    assert again.ways == done.ways
    assert again.numbers() == done.numbers()
    assert not any(event.task in ("atlas", "logistic", "rbf-svm", "training") and event.note for event in heard)


def test_more_is_added_to_what_is_there(trained, done):
    more = learn.transfer(trained, pictures(), out=done.path, heads=("linear-svm", *HEADS), tune=False)
    assert more.ways[1:3] == done.ways[:2]
    assert more.ways[0].name.startswith("linear-svm on ")
    assert len(more) == 6
    assert more.feature_seconds == done.feature_seconds


def test_batch_norm_stays_as_it_is_unless_it_is_to_learn(trained, done, tmp_path):
    notes = {"keep": [way.note for way in done.ways if way.kind == "tuned"]}
    found = learn.transfer(trained, pictures(), out=tmp_path, heads=("logistic",), tune=True, epochs=1, norms="learn")
    notes["learn"] = [way.note for way in found.ways if way.kind == "tuned"]
    assert "all 2 batch norm layers keep statistics, scale and shift" in notes["keep"][0]
    assert "2 batch norm layers keep their statistics, the others go on" in notes["learn"][0]
    before = trained.module.state_dict()
    for out, same in ((done.path, True), (tmp_path, False)):
        after = Run.open(out / "tuning" / "stages" / "2").network("last").module.state_dict()
        means = [name for name in after if name.endswith("running_mean")]
        assert all(torch.equal(after[name], before[name]) for name in means) is same
    with pytest.raises(TrainingError, match="the stages were others"):
        learn.transfer(trained, pictures(), out=tmp_path, heads=("logistic",), tune=True, epochs=1)


@pytest.mark.parametrize("heads", [(), ("forest",)])
def test_what_fine_tuning_goes_on_from_is_a_way_too(trained, tmp_path, heads):
    found = learn.transfer(trained, pictures(90), out=tmp_path, heads=heads, tune=True, epochs=1)
    kinds = [way.name.split()[0] for way in found.ways if way.kind == "head"]
    assert kinds == [*(["forest"] * 2 if heads else []), "logistic"]
    assert found.ways[len(kinds)].name.startswith("fine-tuned, stage 2")
    with pytest.raises(OptionError, match="no heads are wanted, and fine-tuning is not for so few pictures"):
        learn.transfer(trained, pictures(90), out=tmp_path / "other", heads=())


def test_one_that_cannot_be_trained_has_its_heads_all_the_same(tmp_path, monkeypatch):
    from striate.results import likeness

    monkeypatch.setattr(likeness, "FEW", 10)
    monkeypatch.setattr(likeness, "FEW_A_CLASS", 5)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 6, 3), torch.nn.ReLU(), torch.nn.Conv2d(6, 6, 3))
    network = Network(module, InputSpec(3, 20, 24), name="program", one_by_one=True)
    found = learn.transfer(network, pictures(60), out=tmp_path / "run", heads=("logistic",))
    assert found.strategy.startswith("fine-tuning")
    assert {way.kind for way in found.ways} == {"head"}
    assert "It was not fine-tuned: program takes one picture at a time" in found.recipe.notes[-2]
    assert "It is not known how program is made" in found.recipe.notes[-1]
    with pytest.raises(NetworkError, match="takes one picture at a time, so that it cannot be fine-tuned"):
        learn.transfer(network, pictures(60), out=tmp_path / "run", heads=("logistic",), tune=True)


def test_another_network_is_refused(done):
    other = learn.start(NET, classes=4, seed=2)
    with pytest.raises(TrainingError, match=r"it is of sequential with weights \w+, not of this sequential with"):
        learn.transfer(other, pictures(), out=done.path)


def test_other_pictures_are_refused(trained, done):
    with pytest.raises(TrainingError, match=r"its pictures were others \(120 and 30; now 144 and 36\)"):
        learn.transfer(trained, pictures(180), out=done.path)


def test_features_of_another_network_are_refused(done, tmp_path):
    (tmp_path / "run").mkdir()
    (done.path / "features").rename(tmp_path / "run" / "features")
    try:
        other = learn.start(NET, classes=4, seed=2)
        with pytest.raises(AtlasError, match="was built with sequential"):
            learn.transfer(other, pictures(), out=tmp_path / "run", tune=False)
    finally:
        (tmp_path / "run" / "features").rename(done.path / "features")


def test_a_folder_of_something_else_is_left_alone(trained, tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(OutputError, match=r"is not empty \(letter.txt\), and what is in it is no transfer"):
        learn.transfer(trained, pictures(), out=tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"heads": ("logistic", "magic")}, "heads are a list of logistic, .*got 'magic'"),
        ({"heads": "logistic"}, "heads are a list"),
        ({"heads": (), "tune": False}, "there is nothing to do"),
        ({"heads": ("forest", "forest")}, "a head is named twice"),
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"norms": "forget"}, "norms must be 'keep' or 'learn', got 'forget'"),
        ({"tune": "sometimes"}, "tune is True, False or 'auto'"),
    ],
)
def test_options_that_make_no_sense(trained, tmp_path, options, words):
    with pytest.raises(OptionError, match=words):
        learn.transfer(trained, pictures(), out=tmp_path / "run", **options)


def test_pictures_that_cannot_be_used(trained, tmp_path):
    values, _ = stripes(9)
    lonely = dataset.open(values, labels=[0, 0, 0, 0, 1, 1, 1, 1, 2])
    with pytest.raises(DataError, match="1 class with one picture"):
        learn.transfer(trained, lonely, out=tmp_path / "run")
    few = dataset.open(values[:6], labels=[0, 0, 1, 1, 2, 2])
    with pytest.raises(DataError, match="3 training pictures of 3 classes"):
        learn.transfer(trained, few, out=tmp_path / "run")
    with pytest.raises(DataError, match="no pictures to validate on"):
        learn.transfer(trained, pictures(), out=tmp_path / "run", share=0.0)
    assert not (tmp_path / "run").exists()


def test_broken_pictures_are_left_out_and_said(trained, tmp_path):
    from PIL import Image

    values, labels = stripes(60)
    for index, (picture, label) in enumerate(zip(values, labels, strict=True)):
        folder = tmp_path / "pictures" / NAMES[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(folder / f"{index:03}.png")
    broken = sorted((tmp_path / "pictures" / "rising").iterdir())[:2]
    for file in broken:
        file.write_bytes(file.read_bytes()[:200])
    found = learn.transfer(trained, tmp_path / "pictures", out=tmp_path / "run", heads=("logistic",), tune=False)
    assert any("2 pictures could not be read and were left out" in note for note in found.recipe.notes)
    skipped = Run.open(tmp_path / "run").skipped
    assert sorted(Path(name).name for _, name, _ in skipped) == [file.name for file in broken]
    assert found.path is not None
    json.loads((tmp_path / "run" / "transfer.json").read_text())


def test_depths_are_those_at_each_resolution(lite0):
    depths = choose_depths(lite0)
    assert depths[:3] == ("blocks.1", "blocks.2", "blocks.4")
    assert len(depths) == 4
    assert lite0.graph().layer(depths[-1]).channels == 1280
    assert choose_depths(lite0, ["blocks.4", "blocks.2"]) == ("blocks.2", "blocks.4")


def even_head(kind: str, features: int, **sizes: int) -> heads.Head:
    """A head that calls all classes alike."""
    head = heads.blank({"kind": kind, "features": features, "classes": 3, **sizes})
    for weight in head.parameters():
        torch.nn.init.zeros_(weight)
    return head


@pytest.mark.parametrize("places", [("relu1", "pool2"), ("pool2",)])
@pytest.mark.parametrize("kind", ["linear", "dense"])
def test_a_network_that_was_transferred_is_read_like_its_backbone(trained, places, kind):
    width = sum(trained.graph().layer(place).channels for place in places)
    sizes = {"units": 5} if kind == "dense" else {}
    once = joined(trained, places, even_head(kind, width, **sizes))
    assert choose_depths(trained) == ("relu1", "pool2")
    assert choose_depths(once) == ("backbone.relu1", "backbone.pool2")


def test_transferred_twice_the_names_stay_short(trained, tmp_path):
    places, heads_of = ("relu1", "pool2"), {"heads": ("dense",), "tune": True, "epochs": 1}
    width = sum(trained.graph().layer(place).channels for place in places)
    once = joined(trained, places, even_head("linear", width))
    found = learn.transfer(once, pictures(60), out=tmp_path / "again", scratch=True, **heads_of)
    assert [way.name for way in found.ways] == [
        "dense on backbone.pool2", "dense on 2 depths", "logistic on backbone.pool2",
        "fine-tuned, stage 2: backbone.conv2 and on", "from random weights, 3 epochs",
    ]  # fmt: skip
    twice = striate.load(tmp_path / "again")
    assert not any("backbone.backbone" in address for address in twice.graph().names)
    assert twice.name.count("head") <= 1
    assert not any("cannot be trained from random weights" in note for note in found.recipe.notes)


def test_code_that_a_file_names_is_not_run_to_compare_with_random_weights(trained, tmp_path, monkeypatch):
    (tmp_path / "planted.py").write_text("open('ran', 'w').close()")
    monkeypatch.chdir(tmp_path)
    marked = Network(trained.module, trained.spec, factory="planted.py:make")
    behind = joined(marked, ["pool2"], even_head("linear", trained.graph().layer("pool2").channels))
    for source in (marked.save("plain.safetensors"), behind.save("behind.safetensors")):
        # who gives a function of their own has not named what the file names
        network = striate.load(source, factory=lambda: copy.deepcopy(trained.module))
        notes: list[str] = []
        how = Training(1, None, None, 0, 0)
        assert from_scratch(network, learn.split(pictures(60)), Kept(tmp_path / "out"), how, notes) == []
        assert "planted.py:make is code of somebody's own, which is not run by itself" in notes[0]
    assert not (tmp_path / "ran").exists()


def test_a_head_on_a_head_is_compared_with_the_innermost_backbone(trained, tmp_path, monkeypatch):
    once = joined(trained, ["pool2"], even_head("linear", trained.graph().layer("pool2").channels))
    asked: list[str] = []

    def start(made_as: str, **_: object) -> Network:
        asked.append(made_as)
        raise NetworkError("enough")

    monkeypatch.setattr("striate.learn.transferring.ways.start", start)
    twice = joined(once, ["head"], even_head("linear", 3))
    from_scratch(twice, learn.split(pictures(60)), Kept(tmp_path / "out"), Training(1, None, None, 0, 0), [])
    assert asked == [trained.factory]


def test_features_are_those_of_the_tap(trained, done):
    from striate import atlas, tap

    parts = learn.split(pictures())
    kept = atlas.open(done.path / "features")
    place = done.likeness.depths[0].address
    images = torch.stack([parts.train.read(int(index), trained.spec) for index in parts.train_indices[:10]])
    truth = tap.activations(trained, images, [place]).outputs[place].mean((2, 3)).numpy()
    np.testing.assert_allclose(kept.features(place)[:10], truth, rtol=1e-5, atol=1e-6)
