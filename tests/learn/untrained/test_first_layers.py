"""First layers beside each other: each training is what it says, and a comparison that was stopped goes on."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

import striate
from learn.striped import arrays, parts, stripes_with_broken_ones, write
from striate import dataset, progress
from striate.cli import main
from striate.errors import OptionError, Stopped, TrainingError
from striate.learn.loop import fit
from striate.learn.pictures.split import Split
from striate.learn.pictures.standardize import standardized
from striate.learn.run import Run
from striate.learn.starting.start import start
from striate.learn.untrained.fewer import fewer
from striate.learn.untrained.first_layer import first_layer, set_first_layer
from striate.learn.untrained.first_layers import NET, WAYS, compare_first_layers
from striate.results.first_layers import FirstLayer, FirstLayers

FIXED = ("by-hand", "random", "trained")
SMALL = "striate:sequential,1x9x9,conv 6 3x3 same relu,pool 3,flatten,dense 3"


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Three first layers, two trainings of two epochs each, and the folder that they are kept in."""
    out = tmp_path_factory.mktemp("compared") / "first"
    return compare_first_layers(parts(), net=SMALL, ways=FIXED, epochs=2, seeds=2, rate=0.02, batch=8, out=out), out


def test_each_training_is_what_fit_gives_with_such_a_first_layer(compared):
    found, out = compared
    network = start(SMALL, classes=3, channels=1, size=(9, 9), seed=1)
    split = parts()
    network.spec = standardized(network.spec, split.train, split.train_indices, "channel")
    frozen = set_first_layer(network, "by-hand", split.train, indices=split.train_indices, seed=1)
    before = first_layer(network)[1].weight.detach().clone()
    run = fit(network, split, epochs=2, rate=0.02, batch=8, frozen=frozen, seed=1, monitor="last")
    assert [row.validation_accuracy for row in run.history] == found.way("by-hand").courses[1].tolist()
    np.testing.assert_array_equal(first_layer(network)[1].weight.detach().numpy(), before.numpy())  # it did not learn
    kept = striate.load(out / "by-hand-1")
    assert kept.weights_hash == network.weights_hash
    assert kept.class_names == split.class_names
    assert Run.open(out / "by-hand-1").settings.monitor == "last"  # no epoch is chosen after the fact


def test_only_the_trained_one_learns_and_it_begins_as_the_random_one(compared):
    found, _ = compared
    network = start(SMALL, classes=3, channels=1, size=(9, 9), seed=0)
    split = parts()
    network.spec = standardized(network.spec, split.train, split.train_indices, "channel")
    set_first_layer(network, "random", split.train, indices=split.train_indices, seed=0)
    drawn = first_layer(network)[1].weight.detach().numpy()
    np.testing.assert_array_equal(found.way("random").filters, drawn)
    learned = found.way("trained").filters
    assert 0 < np.abs(learned - drawn).max() < 0.5  # two epochs lead not far from where it began
    assert [one.weights for one in found.ways] == [165, 165, 225]  # 3 x 3 x 6 + 3 of the dense layer; 60 of the first
    assert found.way("trained").spread == pytest.approx(np.std(found.way("trained").accuracies, ddof=1))


def test_a_comparison_that_was_stopped_goes_on_and_what_is_over_is_not_done_again(compared, tmp_path):
    whole, _ = compared
    out = tmp_path / "first"
    given = {"net": SMALL, "ways": FIXED, "epochs": 2, "seeds": 2, "rate": 0.02, "batch": 8, "out": out}

    def hear(event: progress.Event) -> None:
        if event.task == "epoch 2" and event.done == 1 and (out / "random-0").exists():
            stop.stop()

    with progress.stoppable() as stop, progress.listen(hear), pytest.raises(Stopped, match=r"1 epoch|epoch 1|kept"):
        compare_first_layers(parts(), **given)
    assert not (out / "trained-0").exists()
    done = {path: path.stat().st_mtime_ns for path in (out / "by-hand-0").rglob("*.safetensors")}
    assert done
    again = compare_first_layers(parts(), **given)
    assert {path: path.stat().st_mtime_ns for path in done} == done
    for one, other in zip(again.ways, whole.ways, strict=True):
        np.testing.assert_array_equal(one.courses, other.courses)
        np.testing.assert_array_equal(one.filters, other.filters)
    with pytest.raises(TrainingError, match=r"by-hand-0 cannot be gone on with: it has other settings \(epochs: 2"):
        compare_first_layers(parts(), **given | {"epochs": 3})
    with pytest.raises(TrainingError, match=r"other pictures"):
        compare_first_layers(parts(60), **given)


def test_k_means_learns_from_the_training_pictures_alone():
    split = parts()
    images, labels = arrays()
    spoiled = images.copy()
    spoiled[split.validation_indices] = np.random.default_rng(5).integers(0, 255, (9, 9, 1), dtype=np.uint8)
    other = dataset.open(spoiled, labels=labels)
    changed = Split(
        other, split.train_indices, split.train_labels, other, split.validation_indices, split.validation_labels,
        split.class_names,
    )  # fmt: skip
    first, second = (
        compare_first_layers(one, net=SMALL, ways=["k-means"], epochs=1, batch=8) for one in (split, changed)
    )
    np.testing.assert_array_equal(first.ways[0].filters, second.ways[0].filters)


def test_fewer_pictures_keep_the_shares_of_the_classes():
    labels = np.array([0] * 60 + [1] * 30 + [2] * 9 + [3])
    images = np.random.default_rng(0).integers(0, 255, (100, 9, 9, 1), dtype=np.uint8)
    pictures = dataset.open(images, labels=labels)
    names = ("a", "b", "c", "d")
    whole = Split(pictures, np.arange(100), labels, pictures, np.arange(4), labels[:4], names)
    some = fewer(whole, 31, 0)
    assert some.train_counts.tolist() == [18, 9, 3, 1]
    assert sorted(set(some.train_indices.tolist())) == some.train_indices.tolist()
    np.testing.assert_array_equal(labels[some.train_indices], some.train_labels)
    assert some.identity == fewer(whole, 31, 0).identity != fewer(whole, 31, 1).identity
    assert fewer(whole, 100, 0) is whole is fewer(whole, None, 0)
    assert fewer(whole, 4, 0).train_counts.tolist() == [1, 1, 1, 1]
    assert some.notes == ("31 of 100 training pictures are used, drawn by lot, of each class its share.",)
    with pytest.raises(OptionError, match="3 training pictures for 4 classes: give each class one at least"):
        fewer(whole, 3, 0)


def result(accuracies: dict[str, list[float]], pictures: int = 400) -> FirstLayers:
    draw = np.random.default_rng(0)
    ways = tuple(
        FirstLayer(
            way, "Of some kind.", draw.standard_normal((5, 3, 4, 4)).astype(np.float32),
            np.array([[0.1, value] for value in values]), np.full(len(values), 2.5), 0.5, 1234,
        )
        for way, values in accuracies.items()
    )  # fmt: skip
    return FirstLayers(ways=ways, layer="conv1", colour=True, validated=pictures, classes=4, setting="Setting.")


def test_errors_and_words_by_hand():
    found = result({"random": [0.5], "by-hand": [0.8], "trained": [0.9]})
    assert found.error(found.way("random")) == pytest.approx(0.025)  # sqrt(0.5 * 0.5 / 400)
    assert found.error(found.way("trained")) == pytest.approx(0.015)
    assert "random 50.0 %, by-hand 80.0 %, trained 90.0 %; guessing would be 25.0 %" in found.caption()
    assert "error of each is up to 2.5 points" in found.caption()
    assert found.caption().endswith(
        "trained is 10.0 points ahead of by-hand (by-hand is the best of those that do not learn)."
    )
    assert found.way("random").spread is None
    close = result({"by-hand": [0.82], "trained": [0.80]})
    assert close.caption().endswith("by-hand and trained are 2.0 points apart, which may be chance.")
    many = result({"random": [0.5, 0.6, 0.7], "k-means": [0.95, 0.9, 1.0]})
    assert many.way("random").spread == pytest.approx(0.1)
    assert many.caption().endswith("k-means is 35.0 points ahead of random.")
    perfect = result({"trained": [1.0]})
    assert 0 < perfect.error(perfect.ways[0]) < 0.01
    assert not math.isnan(perfect.error(perfect.ways[0]))


def test_what_is_drawn_and_written(tmp_path):
    found = result({"random": [0.5, 0.6], "by-hand": [0.8, 0.7], "k-means": [0.3, 0.9], "trained": [0.9, 0.9]})
    assert [one.title for one in found.drawings()] == [f"{one.way} conv1" for one in found.ways]
    for drawing, one in zip(found.drawings(), found.ways, strict=True):
        cell = drawing.pixels[:40:10, :40:10].astype(int)  # the first filter, a pixel for each weight
        expected = one.filters[0] / np.abs(one.filters[0]).max() / 2 + 0.5
        np.testing.assert_allclose(cell / 255, np.moveaxis(expected, 0, -1), atol=0.01)
    written = json.loads(found.save(tmp_path / "a.json").read_text())
    assert [one["accuracy"] for one in written["ways"]] == pytest.approx([0.55, 0.75, 0.6, 0.9])
    assert found.save(tmp_path / "a.png").stat().st_size > 20_000
    arrays_ = np.load(found.save(tmp_path / "a.npz"))
    np.testing.assert_array_equal(arrays_["by_hand_filters"], found.way("by-hand").filters)


def test_filters_over_grey_pictures_are_drawn_in_grey(compared):
    found, _ = compared
    [first, *_] = found.drawings()
    assert "mid-grey is zero" in first.caption
    assert np.ptp(first.pixels[:39, :39].astype(int), axis=2).max() == 0
    assert first.pixels[0, 0, 0] > first.pixels[38, 0, 0]  # an edge that is brighter above


def test_pictures_that_cannot_be_read_are_not_counted_and_said(tmp_path):
    source = stripes_with_broken_ones(tmp_path / "stripes")
    given = {"net": SMALL, "ways": ["random"], "epochs": 1, "batch": 8, "out": tmp_path / "out"}
    for _ in range(2):  # done, and found done
        found = compare_first_layers(source, **given)
        assert found.validated == 22
        assert "23 pictures of 3 classes to learn from" in found.caption()
        assert "Right of 22 pictures" in found.caption()
        assert "3 pictures could not be read and not counted. The first: " in found.recipe.notes[-1]
        right = 22 * found.ways[0].accuracy
        assert right == pytest.approx(round(right))


def test_of_many_filters_it_is_said_how_many_are_drawn_and_sheets_are_as_high_as_their_room():
    draw = np.random.default_rng(0)

    def made(filters: int, channels: int) -> FirstLayers:
        weights = draw.standard_normal((filters, channels, 3, 3)).astype(np.float32)
        one = FirstLayer("random", "Of some kind.", weights, np.array([[0.5]]), np.array([1.0]), 0.5, 12)
        return FirstLayers((one,), layer="conv1", colour=channels == 3, validated=9, classes=2, setting="Setting.")

    assert "The first 64 of 65 are drawn." in made(65, 3).drawings()[0].caption
    assert "are drawn" not in made(64, 3).drawings()[0].caption
    wide = made(40, 5)
    (sheet,) = wide.drawings()
    assert "a row for each, its channels side by side; paper is zero. The first 8 of 40 are drawn." in sheet.caption
    high, across = sheet.pixels.shape[:2]
    assert high / across == pytest.approx(8 / 5, rel=0.05)
    # two channels make a sheet four times as high as wide, which is drawn narrower: words follow right below
    tall, square = (made(40, channels).figure().get_size_inches()[1] for channels in (2, 5))
    assert tall - square == pytest.approx(2.4 * (2.0 - high / across), abs=0.02)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(OptionError, match=r"no first layer 'learned'; there are by-hand, random, k-means, trained"):
        compare_first_layers(parts(), ways=["learned"])
    with pytest.raises(OptionError, match=r"there is nothing to compare"):
        compare_first_layers(parts(), ways=())
    with pytest.raises(OptionError, match=r"at least once, got seeds=0"):
        compare_first_layers(parts(), seeds=0)
    with pytest.raises(OptionError, match=r"give a share above 0"):
        compare_first_layers(parts(share=0))
    assert WAYS == ("by-hand", "random", "k-means", "trained")


def test_the_command(tmp_path: Path, capsys):
    source = write(tmp_path / "stripes.npz")
    out = tmp_path / "first"
    words = ["compare-first-layers", str(source), "--epochs", "1", "--way", "by-hand", "--way", "trained"]
    assert main([*words, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == str(out / "first-layers.png")
    assert "by-hand " in said.splitlines()[0]
    assert f"striate look {out / 'by-hand-0'} PICTURE" in said
    numbers = json.loads((out / "first-layers.json").read_text())
    assert [one["way"] for one in numbers["ways"]] == ["by-hand", "trained"]
    assert numbers["recipe"]["options"]["net"] == NET
    assert (out / "first-layers.png").stat().st_size > 20_000
    assert main([*words, "--out", str(out)]) == 0  # again: nothing is left to do, and it says the same
    assert capsys.readouterr().out.splitlines()[-3:] == said.splitlines()[-3:]
    assert main([*words[:2], "--way", "learned"]) == 2
    assert "'learned' is not one of" in capsys.readouterr().err
    assert main(["compare-first-layers", str(tmp_path / "gone"), "--out", str(tmp_path / "b")]) == 2
    assert "does not exist" in capsys.readouterr().err
