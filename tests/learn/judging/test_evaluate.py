from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from learn.small_run import small_module, small_run, stripes
from striate.dataset import open as open_pictures
from striate.errors import DataError, NetworkError, Stopped
from striate.learn.judging.evaluate import PREDICTIONS, UNKEPT, evaluate, evaluation_of, identity, images_of, mistakes
from striate.network import Network
from striate.progress import listen, stoppable
from striate.spec import InputSpec

NAMES = ("upright", "rising", "falling")


def small_network(channels=3, classes=3, names=NAMES, size=(20, 24)):
    spec = InputSpec(channels, *size, mean=(0.5,) * channels, std=(0.25,) * channels)
    return Network(small_module(channels, classes), spec, names, name="small")


@pytest.fixture(scope="module")
def pictures():
    values, labels = stripes(70)
    return open_pictures(values, labels=labels)


def test_the_table_is_what_the_network_says(pictures):
    network = small_network()
    indices = np.array([5, 60, 7, 7, 0])
    held = evaluate(network, pictures, indices)
    logits = network(torch.stack([pictures.read(int(index), network.spec) for index in indices])).double()
    torch.testing.assert_close(torch.from_numpy(held.probabilities).double(), logits.softmax(1), rtol=1e-5, atol=1e-7)
    losses = F.cross_entropy(logits, torch.from_numpy(pictures.labels[indices]), reduction="none")
    torch.testing.assert_close(torch.from_numpy(held.losses).double(), losses, rtol=1e-5, atol=1e-6)
    assert held.labels.tolist() == pictures.labels[indices].tolist()
    assert held.names == tuple(pictures.name(int(index)) for index in indices)
    assert held.indices.tolist() == indices.tolist()
    assert held.class_names == NAMES
    assert held.recipe.weights == network.weights_hash


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_the_size_of_a_batch_changes_nothing_but_rounding(pictures, batch):
    network = small_network()
    np.testing.assert_allclose(
        evaluate(network, pictures, batch=batch, workers=0).probabilities,
        evaluate(network, pictures).probabilities,
        rtol=1e-5,
    )


def test_a_loss_beyond_what_a_probability_can_hold_is_finite():
    values, _ = stripes(4)
    held = open_pictures(values, labels=np.ones(4, dtype=np.int64))
    network = small_network()
    with torch.no_grad():
        network.module[-1].weight.zero_()
        network.module[-1].bias.copy_(torch.tensor([300.0, 0.0, 0.0]))
    table = evaluate(network, held)
    assert table.probabilities[0, 1] == 0
    np.testing.assert_allclose(table.losses, 300)


def save_classes(folder, names, each=4):
    """Class folders of stripes; the k-th name shows stripes of direction k."""
    values, labels = stripes(each * len(names), classes=len(names))
    for index, (picture, label) in enumerate(zip(values, labels, strict=True)):
        path = folder / names[label] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(path)
    return folder


def test_classes_are_found_by_name_in_any_order(tmp_path):
    # folders come in the order of their names, "10" before "2"; the network has them otherwise, and one more
    network = small_network(classes=4, names=("2", "10", "none", "1"))
    folder = save_classes(tmp_path / "set", ("1", "10", "2"))
    table = evaluate(network, folder)
    said = {name.split("/")[0]: int(label) for name, label in zip(table.names, table.labels, strict=True)}
    assert said == {"1": 3, "10": 1, "2": 0}


def test_synonyms_and_case_are_understood(tmp_path):
    network = small_network(names=("tabby, tabby cat", "tiger_cat", "lynx"))
    folder = save_classes(tmp_path / "set", ("Lynx", "tabby cat", "tiger cat"))
    table = evaluate(network, folder)
    said = {name.split("/")[0]: int(label) for name, label in zip(table.names, table.labels, strict=True)}
    assert said == {"Lynx": 2, "tabby cat": 0, "tiger cat": 1}


def test_a_class_that_the_network_does_not_know_is_refused(tmp_path):
    folder = save_classes(tmp_path / "set", ("falling", "rising", "sideways"))
    with pytest.raises(DataError, match=r"1 class that small does not know: sideways\. Its 3 are: upright, rising"):
        evaluate(small_network(), folder)
    # a number is a name here, never an index
    with pytest.raises(DataError, match="does not know: 1"):
        evaluate(small_network(), save_classes(tmp_path / "numbers", ("1", "rising")))


def test_labels_beyond_the_classes_are_refused(pictures):
    with pytest.raises(DataError, match=r"labels go from 0 to 2, and small has 2 classes, 0 to 1"):
        evaluate(small_network(classes=2, names=None), pictures)
    with pytest.raises(DataError, match="labels of shape"):
        evaluate(small_network(), pictures, [0, 1], [0])


def test_labels_without_names_are_indices_and_it_is_said(pictures):
    assert "taken for the indices" in " ".join(evaluate(small_network(), pictures, [0]).recipe.notes)
    assert evaluate(small_network(names=None), pictures, [0]).recipe.notes == ()


def test_a_network_without_names_is_said_to_take_the_names_of_the_pictures_in_their_order(tmp_path):
    folder = save_classes(tmp_path / "set", ("rising", "falling"))  # the network has three
    (note,) = evaluate(small_network(names=None), folder).recipe.notes
    assert note.endswith("are taken for its first 2, in this order: falling, rising.")


def test_missing_labels_stay_missing(pictures):
    table = evaluate(small_network(), pictures, [0, 1, 2], [-1, 1, -1])
    assert len(table) == 3
    assert table.judged.tolist() == [1]
    assert np.isnan(table.losses[[0, 2]]).all()
    values, _ = stripes(3)
    assert len(evaluate(small_network(), open_pictures(values)).judged) == 0


def test_broken_pictures_are_named_and_the_others_told(tmp_path):
    folder = save_classes(tmp_path / "set", NAMES)
    whole = sorted(folder.glob("rising/*.png"))
    whole[0].write_bytes(whole[0].read_bytes()[:60])
    table = evaluate(small_network(), folder, batch=3)
    assert len(table) == 11
    ((name, why),) = table.skipped
    assert name == f"rising/{whole[0].name}"
    assert "cut off" in why or "damaged" in why
    assert table.names == tuple(
        name for name in map(open_pictures(folder).name, range(12)) if name != table.skipped[0][0]
    )
    for path in folder.glob("*/*.png"):
        path.write_bytes(b"nothing")
    with pytest.raises(DataError, match="not one of 12 pictures can be read"):
        evaluate(small_network(), folder)


def test_a_network_that_fell_apart_is_refused(pictures):
    network = small_network()
    with torch.no_grad():
        network.module[-1].bias[1] = float("nan")
    with pytest.raises(NetworkError, match="NaN or infinite logits for 70 of 70 pictures"):
        evaluate(network, pictures)


@pytest.mark.parametrize(
    ("indices", "text"), [([], "nothing to evaluate"), ([0, 70], "pictures 0 to 70 were asked for")]
)
def test_indices_outside_the_set_are_refused(pictures, indices, text):
    with pytest.raises(DataError, match=text):
        evaluate(small_network(), pictures, indices)


@pytest.mark.parametrize(("channels", "size"), [(1, (28, 28)), (3, (16, 40)), (4, (20, 24))])
def test_grey_and_oblong_pictures(channels, size):
    values, labels = stripes(9, channels=channels, size=size)
    held = open_pictures(values, labels=labels, channels=channels)
    network = small_network(channels=channels, size=size)
    table = evaluate(network, held)
    shown = mistakes(network, held, table, 2)
    assert all(one.pixels.shape == (*size, 3) for one in shown)
    assert images_of(network, held, shown).shape == (len(shown), channels, *size)


def test_training_mode_dropout_and_statistics_are_left_alone(pictures):
    module = nn.Sequential(small_module(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5)).train()
    network = Network(module, small_network().spec, NAMES)
    before = network.weights_hash
    first = evaluate(network, pictures)
    np.testing.assert_array_equal(first.probabilities, evaluate(network, pictures).probabilities)
    assert network.weights_hash == before
    assert all(part.training for part in module.modules() if part is not module[0])


def test_it_tells_how_far_it_is_and_can_be_stopped(pictures):
    heard = []
    with listen(heard.append):
        evaluate(small_network(), pictures, batch=20)
    mine = [event.done for event in heard if event.task == "evaluating"]
    assert mine == [0, 20, 40, 60, 70]
    with stoppable() as stop:
        stop.stop()
        with pytest.raises(Stopped):
            evaluate(small_network(), pictures)


def test_identity_tells_pictures_order_and_labels_apart(pictures):
    other = open_pictures(stripes(70, seed=1)[0], labels=pictures.labels)
    marks = [
        identity(pictures, [0, 1], [0, 1]),
        identity(pictures, [1, 0], [0, 1]),
        identity(pictures, [0, 1], [0, 2]),
        identity(pictures, [0, 1, 2], [0, 1, 2]),
        identity(other, [0, 1], [0, 1]),
    ]
    assert len(set(marks)) == len(marks)
    assert identity(pictures, np.array([0, 1]), np.array([0, 1], dtype=np.int32)) == marks[0]


def test_the_table_of_a_run_is_made_once(tmp_path, monkeypatch):
    run = small_run(tmp_path / "run", epochs=1)
    first = evaluation_of(run)
    assert (run.path / PREDICTIONS).is_file()
    assert first.accuracy == pytest.approx(run.best.validation_accuracy)
    assert first.indices.tolist() == run.split.validation_indices.tolist()

    def not_again(*_):
        raise AssertionError("asked again")

    monkeypatch.setattr(
        sys.modules["striate.learn.judging.evaluate"], "_answers", not_again
    )  # the function has its name
    np.testing.assert_array_equal(evaluation_of(run).probabilities, first.probabilities)
    with pytest.raises(AssertionError, match="asked again"):
        evaluation_of(run, again=True)
    with torch.no_grad():  # other weights: what is kept is not theirs
        run.best_network.module[0].bias.add_(1)
    with pytest.raises(AssertionError, match="asked again"):
        evaluation_of(run)


def test_a_run_without_validation_pictures_says_so(tmp_path):
    run = small_run(tmp_path / "run", epochs=1)
    object.__setattr__(run.split, "validation", None)
    with pytest.raises(DataError, match="trained without validation pictures"):
        evaluation_of(run)


def test_a_table_is_not_used_for_the_same_weights_with_other_statistics(tmp_path):
    run = small_run(tmp_path / "run", epochs=1)
    first = evaluation_of(run)
    other = run.best_network
    other.spec = other.spec.changed(mean=(0.9, 0.1, 0.5))
    assert not np.allclose(evaluation_of(run).probabilities, first.probabilities)


def test_a_run_that_may_not_be_written_into_is_evaluated_and_it_is_said(tmp_path):
    run = small_run(tmp_path / "run", epochs=1)
    (run.path / PREDICTIONS).mkdir()  # so that nothing can be written there
    table = evaluation_of(run)
    assert len(table) == len(run.split.validation_indices)
    assert table.recipe.notes[-1].startswith(UNKEPT)
